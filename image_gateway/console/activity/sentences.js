/**
 * Tells what happened to an image, as sentences.
 */

/**
 * @typedef {object} Entry An entry of the audit log.
 * @property {string} entryId
 * @property {string} event
 * @property {string | null} user Null for workers, the sweeper and people without an account.
 * @property {string} created
 * @property {Record<string, string>} details
 */

/** @type {Record<string, string>} */
const READERS = { private: "only the owner", shared: "people that the owner chose", public: "everyone" };
/** @type {Record<string, string>} */
const JOBS = {
  compact: "compaction",
  convert: "conversion",
  flatten: "flattening",
  import: "import",
  publish: "publishing",
  verify: "verification",
};
/** @type {Record<string, string>} */
const MISMATCHES = { size: "has another size than", sha256: "has another SHA-256 than" };

/** By event: what somebody did, after the name. @type {Record<string, (details: Record<string, string>) => string>} */
const ACTS = {
  "image created": ({ imageName, format }) =>
    `created the image “${imageName}”${format ? `, to be uploaded as ${format}` : ""}`,
  "import requested": ({ imageName }) => `asked to import “${imageName}”`,
  "empty disk requested": ({ imageName }) => `asked for the empty disk “${imageName}”`,
  "upload completed": ({ size }) => `completed the upload${size ? ` of ${Number(size).toLocaleString()} bytes` : ""}`,
  "upload aborted": () => "aborted the upload",
  "image renamed": ({ before, after }) => `renamed “${before}” to “${after}”`,
  "visibility changed": ({ before, after }) =>
    `changed who may read from ${READERS[before] ?? before} to ${READERS[after] ?? after}`,
  "image deleted": () => "deleted the image",
  shared: ({ withUser, permission }) =>
    `shared the image with ${withUser}, to ${permission === "write" ? "read and write" : "read"}`,
  "share revoked": ({ withUser }) => `took the access of ${withUser} back`,
  "share link created": ({ link, label }) => `made ${linkName(link)}${label ? ` (${label})` : ""}`,
  "share link revoked": ({ link }) => `revoked ${linkName(link)}`,
  "share link redeemed": ({ link }) => `opened ${linkName(link)}`,
  "lease created": ({ link }) => (link ? `got a lease by ${linkName(link)}` : "got a lease to read the image"),
  "lease revoked": () => "ended a lease",
  "publish requested": () => "asked to publish the image as chunks",
  "verify requested": () => "asked to verify the chunks",
  "delta created": ({ delta }) => `began to keep changes in ${deltaName(delta)}`,
  "delta forked": ({ delta, parent, generation }) =>
    `made ${deltaName(delta)} of generation ${generation ?? "?"} of ${deltaName(parent)}`,
  "delta renamed": ({ delta, before, after }) => `renamed ${deltaName(delta)} from “${before}” to “${after}”`,
  "delta deleted": ({ delta, reason }) => `deleted ${deltaName(delta)}${reason ? ` (${reason})` : ""}`,
  "delta session opened": ({ delta }) => `became the writer of ${deltaName(delta)}`,
  "delta snapshot created": ({ delta }) => `made a snapshot of ${deltaName(delta)}`,
  "delta snapshot deleted": ({ delta }) => `deleted a snapshot of ${deltaName(delta)}`,
  "delta reset": ({ delta, generation }) => `reset ${deltaName(delta)} to generation ${generation ?? "?"}`,
  "delta flatten requested": ({ delta }) => `asked for an image of ${deltaName(delta)}`,
  "job cancelled": ({ kind }) => `cancelled the ${JOBS[kind] ?? "job"}`,
};

/** By event: what happened by itself. @type {Record<string, (details: Record<string, string>) => string>} */
const HAPPENINGS = {
  "upload failed": ({ mismatch }) => `The upload failed: it ${MISMATCHES[mismatch] ?? "is not"} what was declared`,
  "upload expired": () => "The upload expired",
  "job done": ({ kind }) => `The ${JOBS[kind] ?? "job"} is done`,
  "job failed": ({ kind, code }) => `The ${JOBS[kind] ?? "job"} failed${code ? ` (${code})` : ""}`,
};

/**
 * Return an entry as a sentence; an event that is not known here with all its details.
 *
 * @param {Entry} entry
 * @returns {string}
 */
export function sentenceOf({ event, user, details }) {
  const happening = HAPPENINGS[event];
  if (happening) return `${happening(details)}.`;
  const role = details.role === "admin" ? " (as an admin)" : "";
  const act = ACTS[event];
  if (act) return `${user ?? doerWithoutName(details)}${role} ${act(details)}.`;
  const facts = Object.entries(details).map(([name, value]) => `${name} ${value}`);
  return `${[event, user && `by ${user}${role}`, ...facts].filter(Boolean).join(", ")}.`;
}

/** @param {Record<string, string>} details */
function doerWithoutName({ link }) {
  return link ? "Somebody with a link" : "Somebody";
}

/** @param {string | undefined} delta Its id. */
function deltaName(delta) {
  return delta ? `the delta ${delta.slice(0, 8)}` : "a delta";
}

/** @param {string | undefined} link Its id. */
function linkName(link) {
  return link ? `the link ${link.slice(0, 8)}` : "a link";
}

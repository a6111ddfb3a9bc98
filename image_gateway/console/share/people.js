/**
 * Who has access to an image, in one list, and the form that adds a person.
 */

import { get, send } from "../lib/api.js";
import { confirmed } from "../lib/dialog.js";
import { element, errorBox, field, replace, say, table, whileBusy } from "../lib/dom.js";
import { time } from "../lib/format.js";
import { nameOf, stateOf, usesText } from "./links.js";

/** @typedef {import("../images/types.js").Image} Image */
/** @typedef {import("../images/types.js").Share} Share */
/** @typedef {import("../images/types.js").ShareLink} ShareLink */
/** @typedef {{ who: string, may: string, since: string, until: string, remove?: () => Promise<void>, action: string }} Row */

const PAGE = 200;
const PERMISSIONS = { read: "Read", write: "Read and write" };

/**
 * Return all shares and links of an image.
 *
 * @param {string} imageId
 * @param {AbortSignal} signal
 * @returns {Promise<{ shares: Share[], links: ShareLink[] }>}
 */
export async function loadGrants(imageId, signal) {
  const [shares, links] = await Promise.all([
    loadAll(`/v1/images/${imageId}/shares`, "shares", signal),
    loadAll(`/v1/images/${imageId}/share-links`, "shareLinks", signal),
  ]);
  return { shares, links };
}

/**
 * @param {string} path
 * @param {string} field Where an answer has its list.
 * @param {AbortSignal} signal
 * @returns {Promise<any[]>}
 */
async function loadAll(path, field, signal) {
  const all = [];
  let cursor = "";
  do {
    const query = new URLSearchParams({ limit: String(PAGE), ...(cursor && { cursor }) });
    const page = await get(`${path}?${query}`, signal);
    all.push(...page[field]);
    cursor = page.nextCursor ?? "";
  } while (cursor);
  return all;
}

/**
 * Return the list of all who have access.
 *
 * @param {Image} image
 * @param {string} owner How the owner is called here.
 * @param {{ shares: Share[], links: ShareLink[] }} grants
 * @param {{ unshare: (share: Share) => Promise<void>, revoke: (link: ShareLink) => Promise<void> }} actions
 */
export function accessTable(image, owner, { shares, links }, { unshare, revoke }) {
  const isSuspended = image.visibility === "private";
  const note = isSuspended ? " (suspended)" : "";
  /** @type {Row[]} */
  const rows = [
    { who: `${owner} (you)`, may: "Everything", since: image.created, until: "", action: "" },
    ...(image.visibility === "public"
      ? [{ who: "Everyone, without signing in", may: "Read", since: "", until: "", action: "" }]
      : []),
    ...shares.map((share) => ({
      who: share.user,
      may: PERMISSIONS[share.permission] + note,
      since: share.created,
      until: "",
      remove: () => unshare(share),
      action: "Remove",
    })),
    ...links.map((link) => ({
      who: `${nameOf(link)}: whoever has it`,
      may: stateOf(link) === "valid" ? `Read${note}` : `Nothing: it is ${stateOf(link)}`,
      since: link.created,
      until: `${link.expiresAt ? time(link.expiresAt) : "No end"}, ${usesText(link)}`,
      remove: () => revoke(link),
      action: "Revoke",
    })),
  ];
  return table(
    "Who has access",
    [
      { label: "Who", cell: ({ who }) => who },
      { label: "May", cell: ({ may }) => may },
      { label: "Since", cell: ({ since }) => (since ? element("time", { datetime: since }, time(since)) : "–") },
      { label: "Until", cell: ({ until }) => until || "–" },
      { label: "", cell: (row) => removeButton(row) },
    ],
    rows,
  );
}

/** @param {Row} row */
function removeButton({ who, remove, action }) {
  if (!remove) return null;
  const label = `${action}: ${who}`;
  return element("button", { type: "button", class: "small danger", "aria-label": label, onclick: remove }, action);
}

/**
 * Return the form that shares the image with a person.
 *
 * @param {string} imageId
 * @param {() => Promise<void>} onShared
 */
export function personForm(imageId, onShared) {
  const user = element("input", { required: true, maxlength: 256, autocomplete: "off", spellcheck: "false" });
  const options = Object.entries(PERMISSIONS).map(([value, label]) => element("option", { value }, label));
  const permission = element("select", {}, ...options);
  const add = element("button", { type: "submit" }, "Add");
  const problem = element("div");
  const share = async () => {
    try {
      const body = { user: user.value.trim(), permission: permission.value };
      await send("POST", `/v1/images/${imageId}/shares`, body);
      replace(problem);
      say(`Shared with ${body.user}`);
      user.value = "";
      await onShared();
      user.focus();
    } catch (error) {
      replace(problem, errorBox(error));
    }
  };
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void whileBusy(add, share);
  };
  return element(
    "form",
    { onsubmit: submit },
    element("p", { class: "quiet" }, "The name is the one by which the person signs in here. Adding again changes it."),
    problem,
    element("div", { class: "row" }, field("Name of the person", user, "grow"), field("Permission", permission), add),
  );
}

/**
 * Ask, and take a person's permission back.
 *
 * @param {string} imageId
 * @param {Share} share
 * @returns {Promise<boolean>} Whether it was done.
 */
export async function removePerson(imageId, { user }) {
  const isSure = await confirmed({
    title: `Remove ${user}?`,
    body: [element("p", {}, "What this person is reading just now ends within seconds.")],
    confirm: "Remove",
    danger: true,
  });
  if (isSure) await send("DELETE", `/v1/images/${imageId}/shares?${new URLSearchParams({ user })}`);
  return isSure;
}

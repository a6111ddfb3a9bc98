/**
 * The page of one image: facts, partitions, how to read it elsewhere, chunks, and changes.
 */

import { chunkSection } from "../image/chunk_section.js";
import { imageHead, section } from "../image/head.js";
import { JobView, followJob, isActive, reasonOf } from "../image/jobs.js";
import { partitionSection } from "../image/partition_section.js";
import { readerSection } from "../image/reader_section.js";
import { deleteSection, settingsSection } from "../image/settings_section.js";
import { ImageStream } from "../image/stream.js";
import { exchange, get } from "../lib/api.js";
import { copyButton, element, errorBox, replace } from "../lib/dom.js";
import { ACCESS, READERS, exactSize, time } from "../lib/format.js";

/** @typedef {import("../images/types.js").Image} Image */
/** @typedef {import("../images/types.js").Job} Job */
/** @typedef {import("../image/settings_section.js").Versioned} Versioned */

export const title = "Image";

/**
 * @param {HTMLElement} main
 * @param {import("../app.js").Parameters} parameters
 */
export async function show(main, { path, signal }) {
  /** @returns {Promise<Versioned>} */
  const fetchImage = async () => {
    const { document: image, etag } = await exchange("GET", `/v1/images/${path.imageId}`, undefined, { signal });
    return { image, etag };
  };
  const reload = async () => draw(main, await fetchImage(), signal, fetchImage, reload);
  await reload();
}

/**
 * @param {HTMLElement} main
 * @param {Versioned} current
 * @param {AbortSignal} signal
 * @param {() => Promise<Versioned>} fetchImage
 * @param {() => Promise<void>} reload Draws the whole page anew.
 */
function draw(main, current, signal, fetchImage, reload) {
  const { image } = current;
  const isOwner = image.access === "owner";
  const isReadable = image.state === "complete";
  const stream = new ImageStream(image.imageId, signal);
  const [head, facts] = [element("div"), element("div")];
  const update = (/** @type {Versioned} */ changed) => {
    Object.assign(current, changed);
    document.title = `${current.image.name} – image-gateway`;
    replace(head, ...imageHead(current.image, ""));
    replace(facts, factSection(current.image));
  };
  update(current);
  replace(
    main,
    head,
    !isReadable && stateSection(image, signal, reload),
    facts,
    isReadable && partitionSection(image, stream),
    isReadable && readerSection(image, stream),
    isReadable && isOwner && chunkSection(current, signal, async () => update(await fetchImage())),
    isOwner && settingsSection(current, update),
    (isOwner || image.access === "admin") && deleteSection(current),
  );
}

/** @param {Image} image */
function factSection(image) {
  const { sha256, etag, access } = image;
  /** @type {[string, import("../lib/dom.js").Child | import("../lib/dom.js").Child[]][]} */
  const facts = [
    ["Size", exactSize(image.size ?? image.sizeBytes)],
    ["Kind", image.kind === "iso" ? "CD/DVD" : "Disk"],
    ["Uploaded as", image.format],
    ["Who may read", READERS[image.visibility]],
    ["You may", ACCESS[access]],
    ["Published as chunks", image.chunked ? "Yes" : "No"],
    ["SHA-256", sha256 ? [element("code", {}, sha256), " ", copyButton("Copy", () => sha256)] : "Not known"],
    ["ETag", etag ? element("code", {}, etag) : "–"],
    ["Version", element("code", {}, image.version)],
    ["Id", [element("code", {}, image.imageId), " ", copyButton("Copy", () => image.imageId)]],
    ["Created", time(image.created)],
    ["Changed", time(image.updated)],
  ];
  const rows = facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, ...[value].flat())]);
  return section("Facts", element("dl", { class: "facts" }, ...rows));
}

/**
 * Say why the image cannot be read yet, or not at all.
 *
 * @param {Image} image
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} reload
 */
function stateSection(image, signal, reload) {
  if (image.state === "uploading") {
    const text = "The upload is not finished. Choose the same file again to go on: only missing parts are sent.";
    const link = element("a", { href: "/upload" }, "Go to Upload");
    return section("Upload", element("p", {}, text), image.access === "owner" && link);
  }
  const body = element(
    "div",
    {},
    element("p", {}, image.state === "processing" ? "It is processed." : "It has failed."),
  );
  if (image.access === "owner") void showJob(body, image, signal, reload);
  return section(image.state === "processing" ? "Processing" : "Failed", body);
}

/**
 * Show the job that makes the disk, and load the image anew when it has ended.
 *
 * @param {HTMLElement} body
 * @param {Image} image
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} reload
 */
async function showJob(body, image, signal, reload) {
  try {
    const { jobs } = await get(`/v1/images/${image.imageId}/jobs`, signal);
    /** @type {Job | undefined} */
    const job = jobs.find((/** @type {Job} */ { kind }) => kind === "convert" || kind === "import");
    if (image.state === "failed") {
      const reason = job ? reasonOf(job) || "It was cancelled." : "The upload was aborted, or has expired.";
      return replace(
        body,
        element("p", {}, reason),
        element("p", { class: "quiet" }, "Nothing can be read of it. Delete it."),
      );
    }
    if (!job) return;
    const view = new JobView(job);
    replace(body, view.element);
    if (isActive(job)) await followJob(job, (now) => view.update(now), signal);
    await reload();
  } catch (error) {
    const retry = () => void showJob(body, image, signal, reload);
    if (!signal.aborted) replace(body, errorBox(error, retry));
  }
}

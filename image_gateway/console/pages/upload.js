/**
 * The page Upload.
 */

import { element, errorBox } from "../lib/dom.js";
import { uploadsOf } from "../upload/uploads.js";
import { UploadAnnouncer } from "./upload_announcer.js";
import { dropZone } from "./upload_drop.js";
import { emptyDiskForm, importForm } from "./upload_forms.js";
import { UploadRows } from "./upload_rows.js";
import { UnfinishedList } from "./upload_unfinished.js";

export const title = "Upload";

const STYLES = "/console/pages/upload.css";

/**
 * @param {HTMLElement} main
 * @param {import("../app.js").Parameters} parameters
 */
export async function show(main, { me }) {
  await loadStyles();
  const engine = uploadsOf(me?.user ?? "");
  const leaving = new AbortController();
  const { signal } = leaving;
  const rows = new UploadRows(engine);
  const unfinished = new UnfinishedList(engine, signal);
  const announcer = new UploadAnnouncer(engine);
  const problems = element("div");
  /** @param {string} text */
  const onProblem = (text) => problems.replaceChildren(errorBox(text));
  /** @type {Parameters<typeof dropZone>[0]} */
  const onFiles = (files, options) => {
    problems.replaceChildren();
    for (const file of files) engine.add(file, options);
  };
  engine.addEventListener("change", () => rows.update(), { signal });
  engine.addEventListener("progress", () => rows.update(), { signal });
  // Only then the engine knows whether a file that was picked belongs to an unfinished upload.
  onNewImage(engine, () => void unfinished.load(), signal);
  main.replaceChildren(
    element("div", { class: "head" }, element("h1", {}, "Upload")),
    ...[dropZone(onFiles, onProblem, signal), problems, rows.element, unfinished.element],
    element("div", { class: "upload-others" }, importForm(), emptyDiskForm()),
    announcer.element,
  );
  void unfinished.load();
  return () => {
    leaving.abort();
    announcer.end();
  };
}

/**
 * Call back when an upload has got its image, or has lost it.
 *
 * @param {import("../upload/engine.js").UploadEngine} engine
 * @param {() => void} call
 * @param {AbortSignal} signal
 */
function onNewImage(engine, call, signal) {
  const imagesNow = () => engine.uploads.map(({ imageId }) => imageId ?? "").join();
  let images = imagesNow();
  const check = () => {
    const now = imagesNow();
    if (now === images) return;
    images = now;
    call();
  };
  engine.addEventListener("change", check, { signal });
  engine.addEventListener("progress", check, { signal });
}

/** Add the page's styles to the document, once. */
async function loadStyles() {
  if (document.querySelector(`link[href="${STYLES}"]`)) return;
  const link = element("link", { rel: "stylesheet", href: STYLES });
  // A page without its styles is still usable.
  const loaded = new Promise((resolve) => (link.onload = link.onerror = resolve));
  document.head.append(link);
  await loaded;
}

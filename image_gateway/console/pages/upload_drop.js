/**
 * Where files come in: a file input, and the whole page as a place to drop them.
 */

import { element } from "../lib/dom.js";
import { formatSelect } from "./upload_formats.js";

/** @typedef {import("../upload/engine.js").UploadOptions} UploadOptions */

/**
 * @param {(files: File[], options: UploadOptions) => void} onFiles
 * @param {(text: string) => void} onProblem
 * @param {AbortSignal} signal Aborted when the person leaves the page.
 * @returns {HTMLElement}
 */
export function dropZone(onFiles, onProblem, signal) {
  const input = element("input", { type: "file", multiple: true, id: "upload-files", "aria-describedby": "upload-hint" });
  const format = formatSelect("auto");
  const hash = element("input", { type: "checkbox", checked: true });
  /** @param {File[]} files */
  const take = (files) => {
    const given = format.value === "auto" ? {} : { format: format.value };
    if (files.length > 0) onFiles(files, { ...given, hash: hash.checked });
  };
  input.addEventListener("change", () => {
    const files = Array.from(input.files ?? []);
    // So that the same file can be picked again.
    input.value = "";
    take(files);
  });
  const zone = element(
    "section",
    { class: "card upload-drop", "aria-labelledby": "upload-label" },
    element("label", { for: "upload-files", id: "upload-label" }, "Pick files, or drop them anywhere on this page"),
    input,
    element("p", { id: "upload-hint", class: "hint" }, HINT),
    element(
      "details",
      {},
      element("summary", {}, "Options for the next files"),
      element("label", { class: "field" }, "Format", format),
      element("label", { class: "upload-check" }, hash, "Compute the SHA-256 of each file, to compare it with what arrives"),
    ),
  );
  receiveDrops(zone, take, onProblem, signal);
  return zone;
}

const HINT =
  "Raw disks, QCOW2, VMDK, VHD, VHDX, VDI and ISO images of any size. The upload begins at once and goes on while you " +
  "visit other pages of this console. If the browser is closed, pick the same file again later.";

/**
 * @param {HTMLElement} zone Marked while files are dragged over the page.
 * @param {(files: File[]) => void} take
 * @param {(text: string) => void} onProblem
 * @param {AbortSignal} signal
 */
function receiveDrops(zone, take, onProblem, signal) {
  /** @param {boolean} isOver */
  const mark = (isOver) => void zone.classList.toggle("is-over", isOver);
  const options = { signal };
  document.addEventListener(
    "dragover",
    (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      mark(true);
    },
    options,
  );
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false), options);
  document.addEventListener(
    "drop",
    (event) => {
      mark(false);
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      const { files, folders } = sortOut(event.dataTransfer);
      if (folders.length > 0) onProblem(`Folders cannot be uploaded: ${folders.join(", ")}. Drop the files in them.`);
      take(files);
    },
    options,
  );
}

/** @param {DataTransfer} transfer */
function sortOut(transfer) {
  /** @type {{ files: File[], folders: string[] }} */
  const found = { files: [], folders: [] };
  for (const item of transfer.items) {
    const entry = item.kind === "file" ? item.webkitGetAsEntry() : null;
    const file = item.getAsFile();
    if (entry?.isDirectory) found.folders.push(entry.name);
    else if (file !== null) found.files.push(file);
  }
  return found;
}

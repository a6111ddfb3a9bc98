/**
 * The uploads that were interrupted by closing the page: pick the file again to go on.
 */

import { confirmed } from "../lib/dialog.js";
import { element, errorBox, replace } from "../lib/dom.js";
import { size, time } from "../lib/format.js";

/** @typedef {import("../upload/engine.js").UploadEngine} UploadEngine */
/** @typedef {import("../upload/unfinished.js").UnfinishedUpload} UnfinishedUpload */

/** The list of unfinished uploads. */
export class UnfinishedList {
  #engine;
  #signal;
  #list = element("ul", { class: "uploads" });
  #problem = element("div");

  /**
   * @param {UploadEngine} engine
   * @param {AbortSignal} signal Aborted when the person leaves the page.
   */
  constructor(engine, signal) {
    this.#engine = engine;
    this.#signal = signal;
    const heading = element("h2", { id: "unfinished-heading", tabindex: -1 }, "Unfinished uploads");
    const hint = "Pick the same file again: only what is missing is sent.";
    this.element = element(
      "section",
      { class: "card", "aria-labelledby": heading.id, hidden: true },
      ...[heading, element("p", { class: "quiet" }, hint), this.#problem, this.#list],
    );
  }

  /** Ask the gateway for the list, and show it. */
  async load() {
    await this.#attempt(async () => {
      const uploads = await this.#engine.unfinished.list(this.#signal);
      replace(this.#list, ...uploads.map((upload) => this.#row(upload)));
      this.element.hidden = uploads.length === 0;
    });
  }

  /** @param {UnfinishedUpload} upload */
  #row({ record, storedBytes, expiresAt, isInUse }) {
    const { name, fileName, size: bytes } = record;
    const percent = bytes > 0 ? Math.floor((100 * storedBytes) / bytes) : 0;
    const facts = `${size(storedBytes)} of ${size(bytes)} (${percent} %) are stored. They are kept until ${time(expiresAt)}.`;
    const problem = element("p", { class: "small-text upload-error", role: "alert" });
    const input = element("input", { type: "file", "aria-label": `Pick ${fileName} again` });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      input.value = "";
      if (file !== undefined) problem.textContent = this.#goOn(file, record);
    });
    const discard = () => void this.#discard(record);
    return element(
      "li",
      {},
      element("div", { class: "upload-head" }, element("strong", { class: "upload-name" }, name)),
      element("p", { class: "quiet small-text" }, facts),
      problem,
      isInUse
        ? element("p", { class: "small-text" }, "It is being uploaded in another tab of this browser.")
        : element(
            "div",
            { class: "row center" },
            input,
            element("button", { type: "button", class: "small", onclick: discard, "aria-label": `Discard: ${name}` }, "Discard"),
          ),
    );
  }

  /**
   * @param {File} file
   * @param {import("../upload/engine.js").UploadRecord} record
   * @returns {string} What is wrong; empty if the upload goes on.
   */
  #goOn(file, record) {
    const isSame = file.name === record.fileName && file.size === record.size;
    if (!isSame) return `That is another file: ${file.name} (${size(file.size)}). Wanted is ${record.fileName}.`;
    if (file.lastModified !== record.lastModified) {
      return `${file.name} was changed since. Upload it as a new image above, and discard this upload.`;
    }
    this.#engine.add(file, { name: record.name, format: record.format });
    return "";
  }

  /** @param {import("../upload/engine.js").UploadRecord} record */
  async #discard(record) {
    const body = [element("p", {}, "What the store has of it is deleted. The file on your computer stays.")];
    const title = `Discard the upload of ${record.name}?`;
    if (!(await confirmed({ title, body, confirm: "Discard", danger: true }))) return;
    await this.#attempt(() => this.#engine.unfinished.discard(record, this.#signal));
    await this.load();
    if (!this.element.hidden) this.element.querySelector("h2")?.focus();
  }

  /** @param {() => Promise<void>} work */
  async #attempt(work) {
    try {
      replace(this.#problem);
      await work();
    } catch (error) {
      if (this.#signal.aborted) return;
      this.element.hidden = false;
      replace(this.#problem, errorBox(error));
    }
  }
}

/**
 * The list of the files that are uploaded, with what can be done with each and with all.
 */

import { confirmed } from "../lib/dialog.js";
import { copyButton, element, replace } from "../lib/dom.js";
import { size } from "../lib/format.js";
import { detailOf, factsOf, percentOf, STATES, totalsText } from "./upload_texts.js";

/** @typedef {import("../upload/engine.js").UploadEngine} UploadEngine */
/** @typedef {import("../upload/engine.js").FileUpload} FileUpload */

const SIGN_IN = `/sign-in?next=${encodeURIComponent("/sign-in?done=1")}`;
// Of which a cancelled upload is asked about first.
const WORTH_A_QUESTION = 10 * 1024 * 1024;

/** The list. It is made once and then kept up to date, so that the focus stays where it is. */
export class UploadRows {
  /** @type {Map<FileUpload, UploadRow>} */
  #rows = new Map();
  #engine;
  #list = element("ul", { class: "uploads" });
  #progress = element("progress", { max: 1, "aria-label": "All files" });
  #facts = element("p", { class: "quiet" });
  #totals;
  #pause = button("Pause all", () => this.#engine.pauseAll());
  #resume = button("Resume all", () => this.#engine.resumeAll());
  #cancel = button("Cancel all", () => void this.#cancelAll());
  #clear = button("Clear the list", () => this.#clearList());

  /** @param {UploadEngine} engine */
  constructor(engine) {
    this.#engine = engine;
    const actions = element("div", { class: "row" }, this.#pause, this.#resume, this.#cancel, this.#clear);
    this.#totals = element("div", { class: "upload-totals" }, this.#progress, this.#facts, actions);
    const heading = element("h2", { id: "uploads-heading", tabindex: -1 }, "Files");
    this.element = element("section", { class: "card", "aria-labelledby": heading.id }, heading, this.#totals, this.#list);
    this.update();
  }

  /** Show what the engine has now. */
  update() {
    const { uploads, totals } = this.#engine;
    this.element.hidden = uploads.length === 0;
    this.#totals.hidden = uploads.length < 2;
    for (const upload of this.#rows.keys()) if (!uploads.includes(upload)) this.#drop(upload);
    for (const upload of uploads) this.#rowOf(upload).update();
    this.#progress.value = totals.bytes > 0 ? totals.sentBytes / totals.bytes : 0;
    this.#facts.textContent = totalsText(totals);
    /** @param {(upload: FileUpload) => boolean} condition */
    const none = (condition) => !uploads.some(condition);
    this.#pause.disabled = none((upload) => canPause(upload));
    this.#resume.disabled = none(({ state }) => state === "paused");
    this.#cancel.disabled = none(({ isOver }) => !isOver);
    this.#clear.disabled = none(({ isOver }) => isOver);
  }

  /** @param {FileUpload} upload */
  #rowOf(upload) {
    let row = this.#rows.get(upload);
    if (row === undefined) {
      row = new UploadRow(upload, this.#engine);
      this.#rows.set(upload, row);
      this.#list.append(row.element);
    }
    return row;
  }

  /** @param {FileUpload} upload */
  #drop(upload) {
    const row = this.#rows.get(upload)?.element;
    this.#rows.delete(upload);
    const hadFocus = row?.contains(document.activeElement);
    row?.remove();
    if (hadFocus) this.element.querySelector("h2")?.focus();
  }

  async #cancelAll() {
    const title = "Discard all uploads?";
    const body = [element("p", {}, "What the store has of them is deleted. Images that are complete stay.")];
    if (await confirmed({ title, body, confirm: "Discard them", danger: true })) await this.#engine.cancelAll();
  }

  #clearList() {
    for (const upload of this.#engine.uploads) this.#engine.remove(upload);
  }
}

/** One file. Its two buttons change their meaning with its state, and keep the focus. */
class UploadRow {
  #upload;
  #engine;
  #name = element("strong", { class: "upload-name" });
  #badge = element("span");
  #progress = element("progress", { max: 1 });
  #facts = element("p", { class: "quiet small-text" });
  #detail = element("p", { class: "small-text" });
  #go = button("", () => this.#goOrStop());
  #end = button("", () => void this.#endOrRemove());
  #more = element("div", { class: "row center" });
  /** @type {string} */
  #shown = "";

  /**
   * @param {FileUpload} upload
   * @param {UploadEngine} engine
   */
  constructor(upload, engine) {
    this.#upload = upload;
    this.#engine = engine;
    this.#name.textContent = upload.name;
    this.#progress.setAttribute("aria-label", upload.name);
    const head = element("div", { class: "upload-head" }, this.#name, this.#badge);
    const actions = element("div", { class: "row center" }, this.#more, this.#go, this.#end);
    this.element = element("li", {}, head, this.#progress, this.#facts, this.#detail, actions);
  }

  update() {
    const upload = this.#upload;
    const { state } = upload;
    this.#progress.value = state === "done" ? 1 : upload.size > 0 ? upload.sentBytes / upload.size : 0;
    this.#progress.hidden = state === "failed" || state === "cancelled" || state === "done";
    this.#facts.textContent = factsOf(upload);
    this.#detail.textContent = detailOf(upload);
    if (state === this.#shown) return;
    this.#shown = state;
    const [label, kind] = STATES[state];
    this.#badge.className = `badge ${kind}`;
    this.#badge.textContent = label;
    this.#detail.classList.toggle("upload-error", state === "failed" || state === "signed-out");
    rename(this.#go, canPause(upload) ? "Pause" : state === "failed" ? "Try again" : "Resume", upload.name);
    this.#go.hidden = !canPause(upload) && state !== "paused" && !canTryAgain(upload);
    rename(this.#end, upload.isOver ? "Remove from the list" : "Cancel", upload.name);
    this.#end.disabled = state === "cancelling";
    const extras = this.#extras();
    replace(this.#more, ...extras);
    this.#more.hidden = extras.length === 0;
  }

  /** @returns {HTMLElement[]} */
  #extras() {
    const { state, imageId, error, name } = this.#upload;
    if (state === "done" && imageId !== null) {
      const label = `Open the image: ${name}`;
      const href = `/images/${imageId}`;
      return [element("a", { class: "button small primary", href, "aria-label": label }, "Open the image")];
    }
    if (state === "signed-out") return [element("a", { href: SIGN_IN, target: "_blank" }, "Sign in in a new tab")];
    if (state !== "failed" || error?.requestId == null) return [];
    const { message, requestId } = error;
    return [
      element("span", { class: "quiet small-text" }, `Request ${requestId}`),
      copyButton("Copy the message", () => `${message} (request ${requestId})`),
    ];
  }

  #goOrStop() {
    if (canPause(this.#upload)) this.#upload.pause();
    else this.#upload.resume();
  }

  async #endOrRemove() {
    const upload = this.#upload;
    // What the store has of a failed one stays, among the unfinished uploads.
    if (upload.isOver) return this.#engine.remove(upload);
    if (upload.sentBytes < WORTH_A_QUESTION || (await this.#isSure())) await upload.cancel();
  }

  #isSure() {
    const { name, sentBytes } = this.#upload;
    const text = `${size(sentBytes)} (${percentOf(this.#upload)} %) are uploaded already, and are deleted.`;
    const title = `Discard the upload of ${name}?`;
    return confirmed({ title, body: [element("p", {}, text)], confirm: "Discard it", danger: true });
  }
}

/** @param {FileUpload} upload */
function canPause({ state, isBusy }) {
  return state === "queued" || (isBusy && state !== "cancelling");
}

/** @param {FileUpload} upload */
function canTryAgain({ state, error }) {
  return state === "failed" && error?.kind !== "format" && error?.kind !== "file-changed";
}

/**
 * @param {string} label
 * @param {() => void} onclick
 */
function button(label, onclick) {
  return element("button", { type: "button", class: "small", onclick }, label);
}

/**
 * @param {HTMLButtonElement} changed
 * @param {string} label
 * @param {string} name What it is about, for screen readers.
 */
function rename(changed, label, name) {
  changed.textContent = label;
  changed.setAttribute("aria-label", `${label}: ${name}`);
}

/**
 * Tells screen readers how uploads get on: changes of states, and the progress of all at long intervals.
 */

import { element } from "../lib/dom.js";
import { detailOf, STATES } from "./upload_texts.js";

/** @typedef {import("../upload/engine.js").UploadEngine} UploadEngine */
/** @typedef {import("../upload/engine.js").UploadState} UploadState */

const PROGRESS_MILLISECONDS = 20_000;
// What changes at the same time is told together.
const GATHER_MILLISECONDS = 1000;
/** @type {Set<UploadState>} */
const TOLD = new Set(["waiting", "signed-out", "paused", "done", "failed", "cancelled"]);

/** A live region about one engine. */
export class UploadAnnouncer {
  /** @type {Map<string, string>} The last news of each file. */
  #news = new Map();
  /** @type {WeakMap<object, UploadState>} */
  #states = new WeakMap();
  /** @type {ReturnType<typeof setTimeout> | null} */
  #timer = null;
  #lastPercent = -1;
  #engine;
  #leaving = new AbortController();
  #interval;

  /** @param {UploadEngine} engine */
  constructor(engine) {
    this.#engine = engine;
    this.element = element("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    const { signal } = this.#leaving;
    engine.addEventListener("change", (event) => this.#changed(/** @type {CustomEvent} */ (event).detail), { signal });
    this.#interval = setInterval(() => this.#tellProgress(), PROGRESS_MILLISECONDS);
  }

  end() {
    this.#leaving.abort();
    clearInterval(this.#interval);
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** @param {import("../upload/engine.js").FileUpload} upload */
  #changed(upload) {
    const { state } = upload;
    const before = this.#states.get(upload);
    this.#states.set(upload, state);
    const goesOn = state === "uploading" && (before === "waiting" || before === "signed-out" || before === "paused");
    if (before === state || !(TOLD.has(state) || goesOn)) return;
    const [label] = STATES[state];
    this.#news.set(upload.name, `${upload.name}: ${label}. ${detailOf(upload)}`);
    this.#timer ??= setTimeout(() => this.#tell(), GATHER_MILLISECONDS);
  }

  #tell() {
    this.#timer = null;
    this.element.textContent = Array.from(this.#news.values()).join(" ");
    this.#news.clear();
  }

  #tellProgress() {
    const { bytes, sentBytes } = this.#engine.totals;
    const percent = bytes > 0 ? Math.floor((100 * sentBytes) / bytes) : 0;
    if (!this.#engine.isBusy || percent === this.#lastPercent) return;
    this.#lastPercent = percent;
    this.element.textContent = `${percent} % uploaded`;
  }
}

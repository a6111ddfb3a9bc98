/**
 * Offers the download of an image: into a file of the person's choice where the browser lets pages write one, with
 * pause and resume; by the browser's own download elsewhere.
 */

import { fileName } from "../image/snippets.js";
import { element, errorBox, replace } from "../lib/dom.js";
import { duration, rate, size } from "../lib/format.js";
import { RateMeter } from "../upload/rate_meter.js";
import { Download } from "./download.js";

/** @typedef {import("../open/link_lease.js").LinkLease} LinkLease */
/** @typedef {import("./download.js").DownloadLease} DownloadLease */
/** @typedef {import("../images/types.js").Views} Views */
/** @typedef {{ createWritable: () => Promise<FileSystemWritableFileStream> }} FileHandle */
/** @typedef {(options: { suggestedName: string }) => Promise<FileHandle>} SavePicker */

const REDRAW_MS = 250;

const STATES = {
  running: "Downloading",
  waiting: "Waiting for the network",
  paused: "Paused",
  done: "Downloaded",
  failed: "Stopped",
  cancelled: "Cancelled",
};

/**
 * Return the button that downloads, and the place of the progress.
 *
 * @param {LinkLease} link
 * @param {DownloadLease} lease
 * @param {AbortSignal} signal Aborted when the page is left.
 * @returns {{ button: HTMLElement, place: HTMLElement }}
 */
export function downloadOffer(link, lease, signal) {
  const place = element("div");
  const name = fileName(link.name, "disk");
  const picker = /** @type {{ showSaveFilePicker?: SavePicker }} */ (window).showSaveFilePicker;
  if (picker === undefined) return { button: browserDownload(name, lease), place };
  const choose = async () => {
    try {
      const handle = await picker.call(window, { suggestedName: name });
      const file = await handle.createWritable();
      const onEnded = () => (button.disabled = false);
      const view = new DownloadView({ total: link.size, file, lease, signal, onEnded });
      replace(place, view.element);
      button.disabled = true;
      view.start();
      view.toggle.focus();
    } catch (error) {
      // The person closed the browser's dialog.
      if (!(error instanceof DOMException && error.name === "AbortError")) replace(place, errorBox(error));
    }
  };
  const button = element("button", { type: "button", class: "primary", onclick: choose }, "Download");
  return { button, place };
}

/**
 * A link that the browser downloads from; it goes on by ranges itself where the connection breaks.
 *
 * @param {string} name
 * @param {DownloadLease} lease
 */
function browserDownload(name, lease) {
  const address = () => {
    const { url, views } = /** @type {{ url: string, views?: Views }} */ (lease.current);
    if (!views) return url;
    return `${views.raw.url.replace(/[^/]*$/, encodeURIComponent(name))}?download`;
  };
  const renew = () => link.setAttribute("href", address());
  const link = element("a", { class: "button primary", href: address(), download: name, onclick: renew }, "Download");
  return link;
}

class DownloadView {
  /**
   * @param {object} options
   * @param {number} options.total Bytes of the image.
   * @param {FileSystemWritableFileStream} options.file
   * @param {DownloadLease} options.lease
   * @param {AbortSignal} options.signal
   * @param {() => void} options.onEnded Called when there is nothing to go on with.
   */
  constructor({ total, file, lease, signal, onEnded }) {
    this.onEnded = onEnded;
    this.meter = new RateMeter(() => Date.now());
    this.counted = 0;
    const sink = {
      write: (/** @type {Uint8Array<ArrayBuffer>} */ bytes) => file.write(bytes),
      close: () => file.close(),
      abort: () => file.abort(),
    };
    this.download = new Download({ lease, size: total, sink, onChange: () => this.changed() });
    this.state = element("strong", { role: "status" });
    this.text = element("span", { class: "quiet small-text" });
    this.bar = element("progress", { max: total || 1, value: 0, "aria-label": "Progress of the download" });
    this.toggle = element("button", { type: "button", class: "small", onclick: () => this.pauseOrGoOn() });
    this.cancel = element(
      "button",
      { type: "button", class: "small", onclick: () => void this.download.cancel() },
      "Cancel",
    );
    this.problem = element("div");
    this.element = element(
      "div",
      { class: "job download" },
      element("div", { class: "row center" }, this.state, this.text),
      this.bar,
      element("div", { class: "row" }, this.toggle, this.cancel),
      this.problem,
    );
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.shown = "";
    window.addEventListener("online", () => this.download.wake(), { signal });
    window.addEventListener("beforeunload", (event) => this.isOpen && event.preventDefault(), { signal });
    signal.addEventListener("abort", () => this.isOpen && void this.download.cancel());
  }

  /** Whether leaving loses what was downloaded. */
  get isOpen() {
    return !["done", "cancelled"].includes(this.download.state);
  }

  start() {
    this.meter.start();
    void this.download.run();
  }

  pauseOrGoOn() {
    if (["running", "waiting"].includes(this.download.state)) this.download.pause();
    else this.start();
  }

  /** Bytes come often: draw at a rate that a person can follow, and a new state at once. */
  changed() {
    const { state, received } = this.download;
    this.meter.add(received - this.counted);
    this.counted = received;
    if (state !== this.shown) return this.draw();
    this.timer ??= setTimeout(() => this.draw(), REDRAW_MS);
  }

  draw() {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { state, received, size: total, problem } = this.download;
    if (state !== this.shown) this.state.textContent = STATES[state];
    this.shown = state;
    this.bar.value = total ? received : state === "done" ? 1 : 0;
    this.bar.hidden = this.toggle.hidden = this.cancel.hidden = !this.isOpen;
    this.toggle.textContent =
      state === "running" || state === "waiting" ? "Pause" : state === "failed" ? "Try again" : "Go on";
    this.text.textContent = progressText(this.download, this.meter.rate);
    replace(this.problem, state === "failed" && errorBox(problem));
    if (!this.isOpen) this.onEnded();
  }
}

/**
 * @param {Download} download
 * @param {number} speed Bytes per second.
 */
function progressText({ state, received, size: total, problem }, speed) {
  if (state === "done") return size(total);
  const sofar = `${size(received)} of ${size(total)}`;
  if (state === "waiting") return `${sofar}. ${problem?.message ?? ""}`;
  if (state !== "running" || speed <= 0) return sofar;
  return `${sofar}, ${rate(speed)}, ${duration((total - received) / speed)} left`;
}

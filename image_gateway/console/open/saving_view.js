/**
 * Shows whether what the machine writes is saved.
 */

import { element, replace } from "../lib/dom.js";
import { size } from "../lib/format.js";

const UPDATE_MS = 500;
/** Less is no news: each commit takes some time. */
const LATE_MS = 5000;

/** @typedef {import("../deltas/delta_disk.js").DeltaDisk} DeltaDisk */
/** @typedef {import("../deltas/delta_disk.js").SaveStatus} SaveStatus */

export class SavingView {
  #text = element("p", { class: "status saving" });
  // Changes all the time: only what is late is said by screen readers.
  #announcement = element("p", { class: "visually-hidden", role: "status" });
  /** @type {DeltaDisk | null} */
  #disk = null;
  #timer = 0;
  #wasLate = false;

  constructor() {
    this.element = element("div", {}, this.#text, this.#announcement);
  }

  /** @param {DeltaDisk} disk */
  start(disk) {
    this.#disk = disk;
    this.#timer = window.setInterval(() => this.show(), UPDATE_MS);
    this.show();
  }

  stop() {
    window.clearInterval(this.#timer);
    this.show();
  }

  show() {
    if (this.#disk === null) return;
    const { status } = this.#disk;
    const isLate = status.state === "unsaved" && isOld(status);
    this.#text.textContent = describe(status, isLate);
    this.#text.classList.toggle("waiting", isLate || (status.state === "stopped" && status.unsavedBytes > 0));
    if (isLate !== this.#wasLate) this.#announce(isLate);
    this.#wasLate = isLate;
  }

  /**
   * Show in `place` that the last changes are being saved, until they are, or until the person gives them up.
   *
   * @param {HTMLElement} place
   * @param {DeltaDisk} disk
   */
  async settle(place, disk) {
    /** @type {Promise<void>} */
    const givenUp = new Promise((resolve) => {
      const button = element("button", { type: "button", onclick: () => resolve() }, "Stop without saving");
      const text = "The last changes are being saved. The machine is stopped when that is done.";
      replace(place, element("div", { class: "card", role: "status" }, element("p", {}, text), button));
    });
    // Whoever stops the disk meanwhile says why.
    await Promise.race([disk.flush().catch(() => {}), givenUp]);
    replace(place);
  }

  /** @param {boolean} isLate */
  #announce(isLate) {
    this.#announcement.textContent = isLate ? "Changes are not saved at the moment." : "Saving works again.";
  }
}

/** @param {SaveStatus} status */
function isOld({ unsavedSince }) {
  return unsavedSince !== null && Date.now() - unsavedSince >= LATE_MS;
}

/**
 * @param {SaveStatus} status
 * @param {boolean} isLate
 */
function describe({ state, unsavedBytes, unsavedSince, problem }, isLate) {
  const bytes = size(unsavedBytes);
  if (state === "stopped") return unsavedBytes === 0 ? "All changes were saved." : `${bytes} were not saved.`;
  if (state === "saved") return "All changes are saved.";
  if (!isLate) return `${bytes} not saved yet.`;
  const since = new Date(unsavedSince ?? 0).toLocaleTimeString();
  return `${bytes} not saved since ${since}. ${problem ?? "The gateway has not answered yet."} It is tried again.`;
}

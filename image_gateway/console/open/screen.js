/**
 * The machine's screen, and the keyboard, which goes to the machine only while the person says so.
 */

import { element } from "../lib/dom.js";

export const WAY_OUT = "Ctrl+Alt+G";

/** @typedef {{ lock?: () => Promise<void> }} KeyboardLock `navigator.keyboard`, which only some browsers have. */

export class Screen {
  /** The element that v86 draws in: text in the div, graphics on the canvas. */
  container = element("div", { class: "screen" }, element("div"), element("canvas"));
  #onCapture;
  #isCaptured = false;
  // v86 handles the events of elements of this class, also those of the keyboards of phones.
  #keyboard = element("textarea", {
    class: "phone_keyboard",
    "aria-label": `Keyboard of the machine. ${WAY_OUT} gives it back to this page.`,
    tabindex: -1,
    autocapitalize: "off",
    autocomplete: "off",
    spellcheck: "false",
  });
  #capture = element("button", { type: "button", onclick: () => this.capture() }, "Type into the machine");
  #hint = element("p", { class: "capture" });

  /** @param {(isCaptured: boolean) => void} onCapture */
  constructor(onCapture) {
    this.#onCapture = onCapture;
    this.#keyboard.addEventListener("focus", () => this.#setCaptured(true));
    this.#keyboard.addEventListener("blur", () => this.#setCaptured(false));
    this.#keyboard.addEventListener("input", () => (this.#keyboard.value = ""));
    this.container.addEventListener("click", () => this.capture());
    // Before v86, which listens at the window, too.
    window.addEventListener("keydown", this.#leaveOnKeys, { capture: true });
    this.frame = element("div", { class: "frame" }, this.container, this.#keyboard, this.#hint);
    this.buttons = [
      this.#capture,
      element("button", { type: "button", onclick: () => void this.#fillScreen() }, "Full screen"),
    ];
    this.#showHint();
  }

  /** Send all keys to the machine. */
  capture() {
    this.#keyboard.focus({ preventScroll: true });
  }

  /** Give the keyboard back to the page. */
  leave() {
    if (this.#isCaptured) this.#capture.focus();
  }

  destroy() {
    this.leave();
    window.removeEventListener("keydown", this.#leaveOnKeys, { capture: true });
  }

  #leaveOnKeys = (/** @type {KeyboardEvent} */ event) => {
    if (!this.#isCaptured || !event.ctrlKey || !event.altKey || event.code !== "KeyG") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    void this.#leaveFullScreen();
  };

  async #leaveFullScreen() {
    if (document.fullscreenElement !== null) await document.exitFullscreen();
    this.leave();
  }

  /** @param {boolean} isCaptured */
  #setCaptured(isCaptured) {
    if (this.#isCaptured === isCaptured) return;
    this.#isCaptured = isCaptured;
    this.frame.classList.toggle("captured", isCaptured);
    this.#showHint();
    this.#onCapture(isCaptured);
  }

  #showHint() {
    this.#hint.textContent = this.#isCaptured
      ? `The keyboard goes to the machine. ${WAY_OUT} gives it back.`
      : "The keyboard goes to this page. To type into the machine click on its screen, or use the button above.";
  }

  async #fillScreen() {
    await this.frame.requestFullscreen();
    this.capture();
    const { keyboard } = /** @type {Navigator & { keyboard?: KeyboardLock }} */ (navigator);
    // With it Esc and the like go to the machine, too, and a long press of Esc ends the full screen.
    await keyboard?.lock?.();
  }
}

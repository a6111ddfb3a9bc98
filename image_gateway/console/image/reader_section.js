/**
 * The section of the page Image with what to paste into emulators and tools. What permits to read stays hidden until a
 * button is pressed, and is hidden again after a minute.
 */

import { copyButton, element, errorBox, field, replace } from "../lib/dom.js";
import { duration, time } from "../lib/format.js";
import { section } from "./head.js";
import { hasSecrets, makeSnippets, maskSecrets } from "./snippets.js";

/** @typedef {import("../images/types.js").Image} Image */
/** @typedef {import("./snippets.js").Snippet} Snippet */
/** @typedef {import("./stream.js").ImageStream} ImageStream */

const SHOWN_MS = 60_000;

/**
 * Return the section; it asks for URLs at once, or when an admin asks for it, whose leases are audited.
 *
 * @param {Image} image
 * @param {ImageStream} stream
 * @returns {HTMLElement}
 */
export function readerSection(image, stream) {
  const body = element("div");
  const load = async () => {
    try {
      const answer = await stream.current();
      const snippets = makeSnippets(answer, image);
      if (snippets.length) replace(body, ...new SnippetView(image, stream, snippets).elements);
      else replace(body, element("p", {}, "Here images are read with cookies of the CDN, which only browsers send."));
    } catch (error) {
      if (!stream.signal.aborted)
        replace(
          body,
          errorBox(error, () => void load()),
        );
    }
  };
  if (image.access === "admin") {
    const button = element("button", { type: "button", onclick: () => void load() }, "Make URLs");
    replace(body, element("p", { class: "quiet" }, "What admins read is written to the audit log."), button);
  } else void load();
  return section("Use it elsewhere", body);
}

class SnippetView {
  /**
   * @param {Image} image
   * @param {ImageStream} stream
   * @param {Snippet[]} snippets
   */
  constructor(image, stream, snippets) {
    this.image = image;
    this.stream = stream;
    const options = snippets.map(({ label }) => element("option", {}, label));
    this.select = element("select", { onchange: () => this.hide() }, ...options);
    this.code = element("pre", { tabindex: "0", role: "region", "aria-label": "Snippet" });
    this.note = element("p", { class: "quiet small-text" });
    this.expiry = element("p", { class: "quiet small-text" });
    this.problem = element("div");
    this.toggle = element("button", { type: "button", class: "small", onclick: () => void this.showOrHide() });
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.isShown = false;
    stream.signal.addEventListener("abort", () => this.hide());
    this.hide();
    this.elements = [
      field("Reader", this.select, "reader"),
      this.code,
      element(
        "div",
        { class: "row" },
        this.toggle,
        copyButton("Copy the snippet", async () => (await this.snippet()).text),
        copyButton("Copy the URL", async () => (await this.snippet()).url),
      ),
      this.problem,
      this.note,
      this.expiry,
    ];
  }

  /** Return the chosen snippet with URLs that are valid now. */
  async snippet() {
    const answer = await this.stream.current();
    return makeSnippets(answer, this.image)[this.select.selectedIndex];
  }

  async showOrHide() {
    if (this.isShown) return this.hide();
    try {
      const { text } = await this.snippet();
      this.draw(text, true);
      this.timer = setTimeout(() => this.hide(), SHOWN_MS);
    } catch (error) {
      replace(this.problem, errorBox(error));
    }
  }

  hide() {
    clearTimeout(this.timer);
    const { answer } = this.stream;
    if (!answer) return;
    const { text } = makeSnippets(answer, this.image)[this.select.selectedIndex];
    this.draw(maskSecrets(text, answer), false);
  }

  /**
   * @param {string} text
   * @param {boolean} isShown Whether the text has its secrets.
   */
  draw(text, isShown) {
    const { answer } = this.stream;
    if (!answer) return;
    this.isShown = isShown;
    this.code.textContent = text;
    this.note.textContent = makeSnippets(answer, this.image)[this.select.selectedIndex].note;
    this.toggle.textContent = isShown ? "Hide the secret" : "Show the secret";
    this.toggle.hidden = !hasSecrets(answer);
    this.expiry.textContent = expiryText(answer);
  }
}

/** @param {import("./snippets.js").Stream} answer */
function expiryText(answer) {
  const { expiresAt } = answer;
  const warning = hasSecrets(answer) ? " Whoever has the URL can read the image: treat it like a password." : "";
  if (!expiresAt) return `The URL does not expire.${warning}`;
  const left = (Date.parse(expiresAt) - Date.now()) / 1000;
  return `Valid until ${time(expiresAt)} (for ${duration(left)}).${warning}`;
}

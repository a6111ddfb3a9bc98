/**
 * The machine's serial port: what it writes, and a line to send to it.
 */

import { element, field } from "../lib/dom.js";

const MOST_CHARACTERS = 200_000;
// Control sequences of terminals (ECMA-48): colours and movements of the cursor.
const CONTROL_SEQUENCE = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])/g;
const BEGUN_SEQUENCE = /\u001b(?:\[[0-?]*[ -/]*)?$/;

/**
 * Return a text with what comes after it, as a plain log: backspaces are applied, control sequences left out.
 *
 * @param {string} text
 * @param {string} more
 * @returns {string} At most the last 200,000 characters.
 */
export function appendOutput(text, more) {
  let whole = text;
  for (const character of more.replace(CONTROL_SEQUENCE, "").replaceAll("\r", "")) {
    if (character === "\b") whole = whole.replace(/[^\n]$/, "");
    else whole += character;
  }
  return whole.slice(-MOST_CHARACTERS);
}

export class SerialConsole {
  #log = element("pre", { class: "serial", tabindex: 0, role: "region", "aria-label": "Output of the serial port" });
  #line = element("input", { id: "serial-line", type: "text", autocomplete: "off", spellcheck: "false" });
  #decoder = new TextDecoder();
  #text = "";
  /** The beginning of a control sequence whose end has not come yet. */
  #begun = "";
  /** @type {number[]} */
  #received = [];

  /** @param {(bytes: Uint8Array) => void} onSend */
  constructor(onSend) {
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      onSend(new TextEncoder().encode(`${this.#line.value}\r`));
      this.#line.value = "";
    };
    this.element = element(
      "section",
      { class: "card", "aria-labelledby": "serial-title" },
      element("h2", { id: "serial-title" }, "Serial port"),
      this.#log,
      element(
        "form",
        { class: "row", onsubmit: submit },
        field("Send a line", this.#line, "grow"),
        element("button", { type: "submit" }, "Send"),
      ),
    );
  }

  /** @param {number} byte A byte that the machine has sent. */
  receive(byte) {
    if (this.#received.push(byte) === 1) requestAnimationFrame(() => this.#show());
  }

  #show() {
    const output = this.#begun + this.#decoder.decode(new Uint8Array(this.#received), { stream: true });
    this.#received = [];
    this.#begun = BEGUN_SEQUENCE.exec(output)?.[0] ?? "";
    this.#text = appendOutput(this.#text, output.slice(0, output.length - this.#begun.length));
    const isAtEnd = this.#log.scrollTop + this.#log.clientHeight >= this.#log.scrollHeight - 4;
    this.#log.textContent = this.#text;
    if (isAtEnd) this.#log.scrollTop = this.#log.scrollHeight;
  }
}

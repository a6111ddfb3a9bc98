/**
 * Shows what was read of the disk so far: numbers, and the map.
 */

import { element, replace } from "../lib/dom.js";
import { rate, size } from "../lib/format.js";
import { mapBlockSize, READ, READ_AHEAD, ReadMap, WRITTEN, ZEROS } from "./read_map.js";
import { ReadMapView } from "./read_map_view.js";
import { Transfer } from "./transfer.js";

const UPDATE_MS = 1000;

export class DiskReport {
  #written;
  #transfer = new Transfer();
  #facts = element("dl", { class: "numbers" });
  #map;
  #view;
  #timer = 0;

  /**
   * @param {{ name: string, size: number }} image
   * @param {() => string[]} written The name and the value of a number: what was written.
   */
  constructor(image, written) {
    this.#written = written;
    this.#map = new ReadMap(image.size, mapBlockSize(image.size));
    this.#view = new ReadMapView(this.#map, image.name);
    this.#view.element.append(this.#facts);
    this.element = this.#view.element;
    const note = (/** @type {number} */ flag) => (/** @type {number} */ offset, /** @type {number} */ length) =>
      this.#map.note(flag, offset, length, Date.now());
    /** What the disk tells. */
    this.listener = {
      onRead: note(READ),
      onReadAhead: note(READ_AHEAD),
      onZeros: note(ZEROS),
      onWritten: note(WRITTEN),
      onReceived: (/** @type {number} */ bytes) => this.#transfer.received(bytes, Date.now()),
      onRequest: () => {
        this.#transfer.requests += 1;
      },
    };
  }

  start() {
    this.#view.start();
    this.#showFacts();
    this.#timer = window.setInterval(() => this.#showFacts(), UPDATE_MS);
  }

  stop() {
    window.clearInterval(this.#timer);
    this.#view.stop();
  }

  #showFacts() {
    const { bytes, requests } = this.#transfer;
    const facts = [
      ["Read from the gateway", size(bytes)],
      ["Requests", requests.toLocaleString("en")],
      ["Rate now", rate(this.#transfer.rate(Date.now()))],
      this.#written(),
    ];
    replace(
      this.#facts,
      facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
    );
  }
}

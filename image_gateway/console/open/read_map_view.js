/**
 * Draws the map of a disk's reads, with a legend, the same in words, and a picture to save.
 */

import { element } from "../lib/dom.js";
import { duration, size } from "../lib/format.js";
import { describe, gridOf } from "./read_map.js";

const MOST_HEIGHT = 260;
const DRAW_MS = 250;
const WORDS_MS = 2000;
/** For so long a cell in which something happened stands out. */
const FRESH_MS = 1500;
const GAP = 1;
/** The saved picture, in CSS pixels. */
const PICTURE = { width: 1000, margin: 16, ratio: 2 };

/** @typedef {import("./read_map.js").CellKind} CellKind */

/** @type {[CellKind | "fresh", string][]} */
const LEGEND = [
  ["untouched", "not read"],
  ["ahead", "read ahead"],
  ["read", "read by the machine"],
  ["zeros", "zeros only"],
  ["written", "written by the machine"],
  ["fresh", "a moment ago"],
];

export class ReadMapView {
  #map;
  #name;
  #canvas = element("canvas", {
    class: "read-map",
    role: "img",
    "aria-label": "Map of the disk",
    "aria-describedby": "map-words",
  });
  #words = element("p", { id: "map-words" });
  #timer = 0;
  #wordsAt = 0;

  /**
   * @param {import("./read_map.js").ReadMap} map
   * @param {string} name The name of the picture.
   */
  constructor(map, name) {
    this.#map = map;
    this.#name = name;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    this.element = element(
      "section",
      { class: "card", "aria-labelledby": "map-title" },
      element("h2", { id: "map-title" }, "Reads of the disk"),
      this.#canvas,
      legend(),
      this.#words,
      element("button", { type: "button", onclick: () => void this.#save() }, "Save as picture"),
    );
  }

  start() {
    this.#draw();
    this.#timer = window.setInterval(() => this.#draw(), DRAW_MS);
  }

  stop() {
    window.clearInterval(this.#timer);
    this.#wordsAt = 0;
    this.#draw();
  }

  #draw() {
    if (document.hidden || !this.#canvas.isConnected) return;
    const now = Date.now();
    const width = Math.floor(this.#canvas.clientWidth);
    if (width > 0) this.#drawOn(this.#canvas, width, window.devicePixelRatio || 1, 0, now);
    if (now - this.#wordsAt >= WORDS_MS) {
      this.#wordsAt = now;
      this.#words.textContent = describe(this.#map, now, { size, duration });
    }
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} width CSS pixels.
   * @param {number} ratio Device pixels of a CSS pixel.
   * @param {number} margin CSS pixels around the map, and three times as many more below it.
   * @param {number} now
   */
  #drawOn(canvas, width, ratio, margin, now) {
    const { columns, rows, pitch } = gridOf(this.#map.cellCount, width - 2 * margin, MOST_HEIGHT);
    const height = rows * pitch + 5 * margin;
    resize(canvas, Math.round(width * ratio), Math.round(height * ratio));
    const context = canvas.getContext("2d");
    if (context === null) return;
    const colours = coloursOf(this.element);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = colours.page;
    context.fillRect(0, 0, width, height);
    for (let index = 0; index < this.#map.cellCount; index += 1) {
      const { kind, share, age } = this.#map.cell(index, now);
      const x = margin + (index % columns) * pitch;
      const y = margin + Math.floor(index / columns) * pitch;
      const side = pitch - GAP;
      context.globalAlpha = 1;
      context.fillStyle = colours.untouched;
      context.fillRect(x, y, side, side);
      if (kind === "untouched") continue;
      // A cell of which one block was read must be seen, too.
      context.globalAlpha = 0.45 + 0.55 * share;
      context.fillStyle = colours[kind];
      context.fillRect(x, y, side, side);
      if (age < FRESH_MS) {
        context.globalAlpha = 1;
        context.strokeStyle = colours.fresh;
        context.lineWidth = 1.5;
        context.strokeRect(x + 0.75, y + 0.75, side - 1.5, side - 1.5);
      }
    }
    context.globalAlpha = 1;
  }

  /** Save the map as PNG, with the same in words below it. */
  async #save() {
    const { margin, width } = PICTURE;
    const canvas = element("canvas");
    const now = Date.now();
    this.#drawOn(canvas, width, PICTURE.ratio, margin, now);
    const words = `${this.#name}: ${describe(this.#map, now, { size, duration })}`;
    drawWords(canvas, words, coloursOf(this.element));
    const blob = await new Promise((/** @type {BlobCallback} */ resolve) => canvas.toBlob(resolve, "image/png"));
    if (blob === null) return;
    const url = URL.createObjectURL(blob);
    element("a", { href: url, download: `${this.#name} reads.png` }).click();
    // The download has its own reference to the picture by then.
    window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}

/**
 * Draw the legend and the map's words at the lower end of a picture.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string} words
 * @param {Record<CellKind | "fresh" | "page" | "text", string>} colours
 */
function drawWords(canvas, words, colours) {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const { width, margin, ratio } = PICTURE;
  const bottom = canvas.height / ratio;
  context.font = "13px system-ui, sans-serif";
  let x = margin;
  for (const [kind, text] of LEGEND) {
    context.fillStyle = colours[kind];
    context.fillRect(x, bottom - 3.4 * margin, 11, 11);
    context.fillStyle = colours.text;
    context.fillText(text, x + 17, bottom - 2.8 * margin);
    x += context.measureText(text).width + 40;
  }
  context.fillText(words, margin, bottom - margin, width - 2 * margin);
}

function legend() {
  const entries = LEGEND.map(([kind, text]) => element("li", {}, element("span", { class: `swatch ${kind}` }), text));
  return element("ul", { class: "legend" }, entries);
}

/**
 * Setting a canvas's size clears it, so only do that when it changes.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
function resize(canvas, width, height) {
  if (canvas.width === width && canvas.height === height) return;
  canvas.width = width;
  canvas.height = height;
}

/**
 * Return the colours of the current theme, as the browser works them out for the legend.
 *
 * @param {Element} place An element that has the legend.
 * @returns {Record<CellKind | "fresh" | "page" | "text", string>}
 */
function coloursOf(place) {
  const colourOf = (/** @type {Element | null} */ from) => (from ? getComputedStyle(from).color : "");
  const swatch = (/** @type {string} */ kind) => colourOf(place.querySelector(`.swatch.${kind}`));
  return {
    untouched: swatch("untouched"),
    ahead: swatch("ahead"),
    read: swatch("read"),
    zeros: swatch("zeros"),
    written: swatch("written"),
    fresh: swatch("fresh"),
    page: getComputedStyle(place).backgroundColor,
    text: colourOf(place),
  };
}

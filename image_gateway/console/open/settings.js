/**
 * What a person can choose before the machine starts.
 */

import { element, field } from "../lib/dom.js";
import { KeepChoice } from "./keep_choice.js";

const MEMORY_MIB = [16, 32, 64, 128, 256, 512, 1024];
const DEFAULT_MIB = 128;

/**
 * @typedef {object} Settings
 * @property {number} memoryMib
 * @property {boolean} isCd
 * @property {"ranges" | "parts"} readBy Deltas are read by ranges always.
 * @property {import("./keep_choice.js").Keep | null} keep Where to keep what the machine writes; null to discard it.
 */

/**
 * Return the form.
 *
 * @param {"disk" | "iso"} kind What the image is.
 * @param {import("./keep_choice.js").DeltaDocument[] | null} deltas Null for a person who cannot keep what is written.
 * @param {Settings | null} last What was chosen for the start before.
 * @param {(settings: Settings) => void} onStart
 * @returns {HTMLFormElement}
 */
export function settingsForm(kind, deltas, last, onStart) {
  const sizes = MEMORY_MIB.map((mib) => [String(mib), `${mib} MiB`]);
  const memory = select("memory", sizes, String(last?.memoryMib ?? DEFAULT_MIB));
  const drive = select("drive", [["disk", "hard disk"], ["cd", "CD"]], (last?.isCd ?? kind === "iso") ? "cd" : "disk");
  const readBy = select(
    "read-by",
    [["ranges", "byte ranges (one URL)"], ["parts", "parts (many files, which caches can keep)"]],
    last?.readBy ?? "ranges",
  );
  const keep = deltas && new KeepChoice(deltas, last?.keep ?? null);
  const update = () => {
    keep?.setCd(drive.value === "cd");
    readBy.disabled = Boolean(keep?.chosen);
  };
  const start = (/** @type {Event} */ event) => {
    event.preventDefault();
    onStart({
      memoryMib: Number(memory.value),
      isCd: drive.value === "cd",
      readBy: readBy.value === "parts" ? "parts" : "ranges",
      keep: keep?.chosen ?? null,
    });
  };
  update();
  return element(
    "form",
    { class: "card settings", onsubmit: start, onchange: update },
    field("Memory", memory),
    field("Boot from", drive),
    keep?.element,
    field("Read by", readBy),
    element("p", { class: "quiet" }, "The machine has no network and no sound."),
    element("button", { type: "submit", class: "primary" }, "Start"),
  );
}

/**
 * @param {string} id
 * @param {string[][]} options Values and texts.
 * @param {string} value
 */
function select(id, options, value) {
  return element(
    "select",
    { id },
    options.map(([name, text]) => element("option", { value: name, selected: name === value }, text)),
  );
}

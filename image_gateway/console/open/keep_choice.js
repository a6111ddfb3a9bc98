/**
 * The choice of what becomes of what the machine writes: discarded, or kept in a delta.
 */

import { get, send } from "../lib/api.js";
import { element, field } from "../lib/dom.js";
import { size, time } from "../lib/format.js";

const DISCARD = "discard";
const NEW = "new";
/** Of 100 deltas each; who has more of one image finds the newest ones. */
const MOST_PAGES = 5;

/**
 * A delta of the image, as `GET /v1/deltas` describes it.
 *
 * @typedef {{ deltaId: string, name: string | null, storedBytes: number, updated: string }} DeltaDocument
 */

/** @typedef {{ deltaId: string } | { newName: string }} Keep The delta that keeps what is written. */

const HINTS = {
  discard: "Kept in the memory of this page, and discarded when you close or reload it.",
  keep:
    "Saved at the gateway while the machine runs, and there when you open it again. Only one page at a time can write: " +
    "opening a delta here ends that elsewhere.",
  cd: "A machine cannot write to a CD.",
};

/**
 * Return the deltas of an image in which this person can keep writes.
 *
 * @param {string} imageId
 * @returns {Promise<DeltaDocument[]>}
 */
export async function listDeltas(imageId) {
  const deltas = [];
  let cursor = "";
  for (let page = 0; page < MOST_PAGES && cursor !== null; page += 1) {
    const query = new URLSearchParams({ imageId, limit: "100", ...(cursor && { cursor }) });
    const answer = await get(`/v1/deltas?${query}`);
    deltas.push(...answer.deltas);
    cursor = answer.nextCursor ?? null;
  }
  return deltas;
}

/**
 * Return the id of the delta that was chosen, which is made if it is a new one.
 *
 * @param {string} imageId
 * @param {Keep} keep
 * @returns {Promise<string>}
 */
export async function deltaOf(imageId, keep) {
  if ("deltaId" in keep) return keep.deltaId;
  return (await send("POST", "/v1/deltas", { imageId, name: keep.newName })).deltaId;
}

export class KeepChoice {
  #choice;
  #name = element("input", { id: "delta-name", maxlength: 255, required: true, autocomplete: "off" });
  #nameField = field("Name of the new delta", this.#name);
  #hint = element("span", { class: "hint", id: "keep-hint" });
  #isCd = false;

  /**
   * @param {DeltaDocument[]} deltas
   * @param {Keep | null} last What was chosen before.
   */
  constructor(deltas, last) {
    const chosen = last !== null && "deltaId" in last ? last.deltaId : DISCARD;
    const options = [
      [DISCARD, "discard"],
      [NEW, "keep in a new delta"],
      ...deltas.map((delta) => [delta.deltaId, `keep in ${describe(delta)}`]),
    ];
    this.#choice = element(
      "select",
      { id: "keep", "aria-describedby": "keep-hint", onchange: () => this.#show() },
      options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)),
    );
    this.#name.value = `Changes of ${time(new Date().toISOString())}`;
    const choice = field("What the machine writes", this.#choice);
    choice.append(this.#hint);
    this.element = element("div", {}, choice, this.#nameField);
    this.#show();
  }

  /** @param {boolean} isCd Whether the machine boots from a CD. */
  setCd(isCd) {
    this.#isCd = isCd;
    this.#show();
  }

  /** @returns {Keep | null} Null to discard what is written. */
  get chosen() {
    if (this.#isCd || this.#choice.value === DISCARD) return null;
    return this.#choice.value === NEW ? { newName: this.#name.value } : { deltaId: this.#choice.value };
  }

  #show() {
    const { chosen } = this;
    this.#choice.disabled = this.#isCd;
    this.#nameField.hidden = chosen === null || !("newName" in chosen);
    // A field that is not shown cannot be filled in.
    this.#name.disabled = this.#nameField.hidden;
    this.#hint.textContent = this.#isCd ? HINTS.cd : chosen === null ? HINTS.discard : HINTS.keep;
  }
}

/** @param {DeltaDocument} delta */
function describe({ name, deltaId, storedBytes, updated }) {
  return `“${name ?? deltaId}” (${size(storedBytes)}, changed ${time(updated)})`;
}

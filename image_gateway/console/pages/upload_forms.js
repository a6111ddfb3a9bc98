/**
 * Other ways to get an image: import it from a URL, or make an empty disk.
 */

import { goTo } from "../app.js";
import { send } from "../lib/api.js";
import { element, errorBox, replace } from "../lib/dom.js";
import { formatSelect } from "./upload_formats.js";

/** @type {Record<string, number>} */
const UNITS = { MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };
const SECTOR = 512;

/** @returns {HTMLElement} */
export function importForm() {
  const url = element("input", { type: "url", required: true, maxlength: 4096, placeholder: "https://" });
  const name = element("input", { maxlength: 255, autocomplete: "off" });
  const format = formatSelect("auto");
  const pattern = "\\s*[0-9a-fA-F]{64}\\s*";
  const sha256 = element("input", { pattern, class: "mono", autocomplete: "off", spellcheck: "false" });
  sha256.title = "64 hexadecimal digits";
  const fields = [
    field("URL", url, "The gateway fetches it. Files ending in .gz, .xz and .zst are decompressed."),
    field("Name (optional)", name, "By default the file's name in the URL."),
    field("Format", format),
    field("SHA-256 of the file (optional)", sha256),
  ];
  return creation("Import from a URL", fields, "Import", "/v1/images/import", () => ({
    url: url.value.trim(),
    format: format.value,
    ...given("name", name.value),
    ...given("sha256", sha256.value),
  }));
}

/** @returns {HTMLElement} */
export function emptyDiskForm() {
  const amount = element("input", { type: "number", required: true, min: 0.001, step: "any", value: 10 });
  const options = Object.keys(UNITS).map((unit) => element("option", { selected: unit === "GiB" }, unit));
  const unit = element("select", { "aria-label": "Unit of the size" }, ...options);
  const name = element("input", { maxlength: 255, autocomplete: "off" });
  const size = element("div", { class: "upload-size" }, field("Size", amount), unit);
  const fields = [size, field("Name (optional)", name)];
  return creation("New empty disk", fields, "Create", "/v1/images/empty", () => ({
    sizeBytes: sectors(Number(amount.value) * UNITS[unit.value]),
    ...given("name", name.value),
  }));
}

/**
 * Return a size in whole sectors, at least one.
 *
 * @param {number} bytes
 */
function sectors(bytes) {
  return Math.max(1, Math.round(bytes / SECTOR)) * SECTOR;
}

/**
 * Return a form that creates an image, and then shows the image's page.
 *
 * @param {string} title
 * @param {HTMLElement[]} fields
 * @param {string} action
 * @param {string} path
 * @param {() => object} body
 */
function creation(title, fields, action, path, body) {
  const problem = element("div");
  const submit = element("button", { type: "submit", class: "primary" }, action);
  /** @param {Event} event */
  const onsubmit = async (event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      const { imageId } = await send("POST", path, body());
      await goTo(`/images/${imageId}`);
    } catch (error) {
      replace(problem, errorBox(error));
    } finally {
      submit.disabled = false;
    }
  };
  const heading = element("h2", {}, title);
  return element("section", { class: "card" }, heading, element("form", { onsubmit }, ...fields, problem, submit));
}

/**
 * @param {string} label
 * @param {HTMLElement} input
 * @param {string} [hint]
 */
function field(label, input, hint) {
  const labelled = element("label", { class: "field" }, label, input);
  if (hint === undefined) return labelled;
  const id = `hint-${label.toLowerCase().replaceAll(/\W+/g, "-")}`;
  input.setAttribute("aria-describedby", id);
  return element("div", { class: "field" }, labelled, element("span", { class: "hint", id }, hint));
}

/**
 * @param {string} name
 * @param {string} value
 */
function given(name, value) {
  const text = value.trim();
  return text === "" ? {} : { [name]: text };
}

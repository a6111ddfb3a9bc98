/**
 * The choice of a format.
 */

import { element } from "../lib/dom.js";

/** @type {Record<string, string>} */
const FORMATS = {
  auto: "Find it out",
  raw: "Raw disk",
  qcow2: "QCOW2",
  vmdk: "VMDK",
  vhd: "VHD",
  vhdx: "VHDX",
  vdi: "VDI",
  iso: "ISO 9660",
};

/**
 * @param {string} chosen
 * @returns {HTMLSelectElement}
 */
export function formatSelect(chosen) {
  const options = Object.entries(FORMATS).map(([value, label]) =>
    element("option", { value, selected: value === chosen }, label),
  );
  return element("select", {}, ...options);
}

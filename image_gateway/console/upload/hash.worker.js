/**
 * Hashes a file in the background. The page asks for one slice after the other, so that there is never more than one
 * in memory.
 *
 * Messages in: `{ file }` first, then `{ start, end }` for each slice in its order, and `{ finish: true }`.
 * Messages out, one for each slice and for the finish: `{ end }`, `{ hex }`, or `{ unreadable: true }`.
 */

import { Sha256 } from "./sha256.js";

const hash = new Sha256();
/** @type {Blob} */
let file = new Blob();

self.onmessage = async ({ data }) => {
  if (data.file) file = data.file;
  else if (data.finish) self.postMessage({ hex: hash.hex() });
  else await add(data.start, data.end);
};

/**
 * @param {number} start
 * @param {number} end
 */
async function add(start, end) {
  const bytes = await file.slice(start, end).arrayBuffer().catch(() => null);
  if (bytes === null) return self.postMessage({ unreadable: true });
  hash.update(new Uint8Array(bytes));
  self.postMessage({ end });
}

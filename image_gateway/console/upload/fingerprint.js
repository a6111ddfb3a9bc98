/**
 * Tells files apart by a few of their blocks: enough to recognise the file that was picked before the page was closed,
 * without reading all of a large disk.
 */

import { fileChanged } from "./errors.js";
import { Sha256 } from "./sha256.js";

const BLOCKS = 32;
const BLOCK_BYTES = 16 * 1024;

/**
 * Return where the blocks are: the first, the last, and others between them at equal distances. A small file is one
 * block.
 *
 * @param {number} size
 * @returns {{ start: number, end: number }[]}
 */
export function sampledBlocks(size) {
  if (size <= BLOCKS * BLOCK_BYTES) return [{ start: 0, end: size }];
  return Array.from({ length: BLOCKS }, (_, index) => {
    const start = Math.floor(((size - BLOCK_BYTES) * index) / (BLOCKS - 1));
    return { start, end: start + BLOCK_BYTES };
  });
}

/**
 * Return the SHA-256 of a file's sampled blocks, in hex.
 *
 * @param {Blob} file
 * @returns {Promise<string>}
 * @throws {import("./errors.js").UploadError} The file cannot be read any more.
 */
export async function fingerprint(file) {
  const blob = new Blob(sampledBlocks(file.size).map(({ start, end }) => file.slice(start, end)));
  const bytes = await blob.arrayBuffer().catch(() => Promise.reject(fileChanged()));
  // Pages that are not from https or this machine have no crypto.subtle.
  if (globalThis.crypto?.subtle === undefined) return new Sha256().update(new Uint8Array(bytes)).hex();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

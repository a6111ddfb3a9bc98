/**
 * Encodes the blocks of one commit as a segment: the body of the request, and the object that the gateway stores.
 *
 * Little-endian: a header of 16 bytes, a table with 20 bytes for each run of blocks, then the data.
 */

import { crc32 } from "../lib/crc32.js";

export const MOST_SEGMENT_BYTES = 8 * 1024 * 1024;
const MOST_EXTENTS = 65_536;
const HEADER_BYTES = 16;
const ENTRY_BYTES = 20;
const MAGIC = [0x49, 0x47, 0x44, 0x31]; // IGD1
const DATA = 0;
const ZERO = 1;

/** @typedef {{ first: number, blocks: Uint8Array[], isZero: boolean }} Extent */

/**
 * Return how many blocks fit into a segment, wherever they are.
 *
 * @param {number} blockSize
 */
export function blocksOfSegment(blockSize) {
  return Math.min(MOST_EXTENTS, Math.floor((MOST_SEGMENT_BYTES - HEADER_BYTES) / (blockSize + ENTRY_BYTES)));
}

/**
 * Return the segment of these blocks; those that hold zeros only take no room in it.
 *
 * @param {number} blockSize A power of two from 512 to 65,536.
 * @param {Map<number, Uint8Array>} blocks By their numbers, at least one and at most `blocksOfSegment`.
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeSegment(blockSize, blocks) {
  if (blocks.size === 0) throw new RangeError("a segment has at least one block");
  const extents = extentsOf(blocks);
  const data = extents.filter((extent) => !extent.isZero);
  const tableBytes = extents.length * ENTRY_BYTES;
  const dataBlocks = data.reduce((sum, extent) => sum + extent.blocks.length, 0);
  const segment = new Uint8Array(HEADER_BYTES + tableBytes + dataBlocks * blockSize);
  if (segment.length > MOST_SEGMENT_BYTES) throw new RangeError("the blocks do not fit into a segment");
  let at = HEADER_BYTES + tableBytes;
  const view = new DataView(segment.buffer);
  extents.forEach(({ first, blocks: run, isZero }, index) => {
    const start = at;
    if (!isZero) {
      for (const block of run) {
        if (block.length !== blockSize) throw new RangeError(`a block has ${block.length} bytes`);
        segment.set(block, at);
        at += blockSize;
      }
    }
    const entry = HEADER_BYTES + index * ENTRY_BYTES;
    view.setBigUint64(entry, BigInt(first), true);
    view.setUint32(entry + 8, run.length, true);
    view.setUint32(entry + 12, isZero ? ZERO : DATA, true);
    view.setUint32(entry + 16, isZero ? 0 : crc32(segment.subarray(start, at)), true);
  });
  segment.set(MAGIC);
  segment[4] = 31 - Math.clz32(blockSize);
  view.setUint32(8, extents.length, true);
  view.setUint32(12, crc32(segment.subarray(HEADER_BYTES, HEADER_BYTES + tableBytes)), true);
  return segment;
}

/**
 * Return runs of adjacent blocks of one kind, in ascending order.
 *
 * @param {Map<number, Uint8Array>} blocks
 */
function extentsOf(blocks) {
  /** @type {Extent[]} */
  const extents = [];
  const ascending = [...blocks].sort(([one], [other]) => one - other);
  for (const [number, block] of ascending) {
    const isZero = hasZerosOnly(block);
    const last = extents.at(-1);
    if (last?.isZero === isZero && last.first + last.blocks.length === number) last.blocks.push(block);
    else extents.push({ first: number, blocks: [block], isZero });
  }
  return extents;
}

/** @param {Uint8Array} block */
function hasZerosOnly(block) {
  // Ten times as fast as `every`, on the thread on which the guest runs.
  for (let at = 0; at < block.length; at += 1) if (block[at] !== 0) return false;
  return true;
}

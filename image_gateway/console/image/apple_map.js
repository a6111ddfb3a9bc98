/**
 * Reads an Apple partition map: one block for each partition, the map itself among them.
 */

import { TooManyReads, hasText, textAt, viewOf } from "./disk_reader.js";

/** @typedef {import("./disk_reader.js").DiskReader} DiskReader */
/** @typedef {import("./partitions.js").Partition} Partition */

const BLOCK = 512;
const MOST_ENTRIES = 64;

/**
 * Read the map; null if the disk has none.
 *
 * @param {DiskReader} disk
 * @returns {Promise<{ partitions: Partition[], problems: string[] } | null>}
 */
export async function readAppleMap(disk) {
  const block = await findBlockSize(disk);
  if (block === null) return null;
  /** @type {Partition[]} */
  const partitions = [];
  /** @type {string[]} */
  const problems = [];
  const first = await disk.at(block, BLOCK);
  const count = viewOf(first).getUint32(4);
  if (count > MOST_ENTRIES)
    problems.push(`The map says that it has ${count} entries; the first ${MOST_ENTRIES} are shown.`);
  try {
    for (let index = 0; index < Math.min(count, MOST_ENTRIES); index++) {
      const entry = await disk.at(block * (index + 1), BLOCK);
      if (!hasText(entry, 0, "PM") || entry.length < BLOCK) {
        problems.push(`The map says that it has ${count} entries, but entry ${index + 1} is missing.`);
        break;
      }
      partitions.push(parseEntry(entry, block, index + 1));
    }
  } catch (error) {
    if (!(error instanceof TooManyReads)) throw error;
    problems.push("There are more partitions than are read here.");
  }
  return { partitions, problems };
}

/**
 * Return the size of a block, which the first block tells, or of a sector where that has no map.
 *
 * @param {DiskReader} disk
 * @returns {Promise<number | null>}
 */
async function findBlockSize(disk) {
  const driver = await disk.at(0, BLOCK);
  const told = hasText(driver, 0, "ER") ? viewOf(driver).getUint16(2) : BLOCK;
  for (const block of told >= BLOCK && told <= 4096 ? [told, BLOCK] : [BLOCK]) {
    if (hasText(await disk.at(block, BLOCK), 0, "PM")) return block;
  }
  return null;
}

/**
 * @param {Uint8Array} entry
 * @param {number} block
 * @param {number} number
 * @returns {Partition}
 */
function parseEntry(entry, block, number) {
  const view = viewOf(entry);
  return {
    number,
    type: textAt(entry, 48, 32, "macintosh") || "Unknown",
    name: textAt(entry, 16, 32, "macintosh"),
    start: view.getUint32(8) * block,
    size: view.getUint32(12) * block,
    isActive: false,
    isLogical: false,
    isContainer: false,
    filesystem: null,
  };
}

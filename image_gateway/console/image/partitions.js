/**
 * Finds out how a disk is divided, by a few small reads. A damaged table is described as far as it goes, with what is
 * wrong with it; only a failed read is an error.
 */

import { readAppleMap } from "./apple_map.js";
import { DiskReader, TooManyReads } from "./disk_reader.js";
import { HEAD, WHOLE_HEAD, guessFilesystem } from "./filesystems.js";
import { readGpt } from "./gpt.js";
import { isPlausibleTable, isProtective, readMbr } from "./mbr.js";

/** @typedef {import("./filesystems.js").Filesystem} Filesystem */

/**
 * @typedef {object} Partition
 * @property {number} number As its table counts.
 * @property {string} type As its table says.
 * @property {string} name As its table says, or empty.
 * @property {number} start In bytes.
 * @property {number} size In bytes.
 * @property {boolean} isActive Whether the table marks it as the one to boot.
 * @property {boolean} isLogical Whether it lies in an extended partition.
 * @property {boolean} isContainer Whether it is an extended partition.
 * @property {Filesystem | null} filesystem
 */

/**
 * @typedef {object} Layout
 * @property {"MBR" | "GPT" | "Apple partition map" | null} table Null if the disk is not partitioned.
 * @property {number} sector The table's sector size in bytes.
 * @property {Partition[]} partitions In the order of the table.
 * @property {Filesystem | null} filesystem Of the disk as a whole.
 * @property {string[]} problems What is wrong with the table, in sentences.
 */

const SECTOR = 512;
const MOST_PARTITIONS = 128;

/**
 * Read the layout of a disk.
 *
 * @param {import("./disk_reader.js").ReadBytes} read
 * @param {number} size Of the disk, in bytes.
 * @returns {Promise<Layout>}
 */
export async function readLayout(read, size) {
  const disk = new DiskReader(read, size);
  const filesystem = guessFilesystem(await disk.at(0, Math.min(WHOLE_HEAD, size)));
  const layout = await readTable(disk, filesystem);
  if (layout.partitions.length > MOST_PARTITIONS) {
    layout.problems.push(`There are ${layout.partitions.length} partitions; the first ${MOST_PARTITIONS} are shown.`);
    layout.partitions.length = MOST_PARTITIONS;
  }
  layout.problems.push(...findMisplaced(layout.partitions, size));
  await guessFilesystems(disk, layout);
  return layout;
}

/**
 * @param {DiskReader} disk
 * @param {Filesystem | null} filesystem
 * @returns {Promise<Layout>}
 */
async function readTable(disk, filesystem) {
  const sector = await disk.at(0, SECTOR);
  const hasMbr = isPlausibleTable(sector);
  // A volume without partitions may have anything in its first sector, but not a table of them.
  const isVolume = filesystem !== null && !hasMbr && filesystem.type !== "ISO 9660";
  const gpt = isVolume ? null : await readGpt(disk, !hasMbr || isProtective(sector));
  if (gpt !== null) {
    if (!isProtective(sector)) gpt.problems.push("The first sector does not protect the GPT, as it should.");
    return { table: "GPT", filesystem, ...gpt };
  }
  const apple = isVolume ? null : await readAppleMap(disk);
  if (apple !== null) return { table: "Apple partition map", sector: SECTOR, filesystem, ...apple };
  if (!hasMbr) return { table: null, sector: SECTOR, partitions: [], problems: [], filesystem };
  const mbr = await readMbr(disk);
  if (isProtective(sector)) mbr.problems.push("The first sector says that there is a GPT, but there is none.");
  return { table: "MBR", sector: SECTOR, filesystem, ...mbr };
}

/**
 * Return sentences about partitions that lie outside of the disk or upon each other.
 *
 * @param {Partition[]} partitions
 * @param {number} size
 * @returns {string[]}
 */
function findMisplaced(partitions, size) {
  /** @type {string[]} */
  const problems = [];
  for (const { number, start, size: length } of partitions) {
    if (!(length > 0)) problems.push(`Partition ${number} has no size.`);
    else if (start >= size) problems.push(`Partition ${number} begins beyond the end of the disk.`);
    else if (start + length > size) problems.push(`Partition ${number} reaches beyond the end of the disk.`);
  }
  const placed = partitions.filter((one) => !one.isContainer && one.size > 0).sort((a, b) => a.start - b.start);
  for (const [index, one] of placed.entries()) {
    const next = placed[index + 1];
    if (next && next.start < one.start + one.size) {
      problems.push(`Partitions ${one.number} and ${next.number} overlap.`);
    }
  }
  return problems;
}

/**
 * Look into the partitions, as far as reads are left.
 *
 * @param {DiskReader} disk
 * @param {Layout} layout
 */
async function guessFilesystems(disk, layout) {
  try {
    for (const partition of layout.partitions) {
      if (partition.isContainer || !(partition.size > 0) || partition.start === 0) continue;
      const bytes = await disk.at(partition.start, Math.min(HEAD, partition.size));
      partition.filesystem = guessFilesystem(bytes);
    }
  } catch (error) {
    if (!(error instanceof TooManyReads)) throw error;
    layout.problems.push(
      "There are more partitions than are looked into here: the file systems of some are not known.",
    );
  }
}

/**
 * Reads a GUID partition table (UEFI specification, chapter 5), or its copy at the disk's end.
 */

import { crc32 } from "../lib/crc32.js";
import { hasText, textAt, viewOf } from "./disk_reader.js";

/** @typedef {import("./disk_reader.js").DiskReader} DiskReader */
/** @typedef {import("./partitions.js").Partition} Partition */
/** @typedef {{ sector: number, lba: number, entriesLba: number, count: number, entrySize: number, entriesCrc: number, isSound: boolean }} Header */

const SIGNATURE = "EFI PART";
const SECTOR_SIZES = [512, 4096];
const HEADER_BYTES = 92;
const ENTRY_BYTES = 128;
const MOST_ENTRY_BYTES = 64 * 1024;
const NO_TYPE = "00000000-0000-0000-0000-000000000000";

/** @type {Record<string, string>} */
const TYPES = {
  "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI System",
  "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
  "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
  "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
  "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
  "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux",
  "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
  "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
  "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
  "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux boot",
  "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
  "48465300-0000-11aa-aa11-00306543ecac": "Apple HFS+",
  "7c3457ef-0000-11aa-aa11-00306543ecac": "Apple APFS",
  "516e7cb4-6ecf-11d6-8ff8-00022d09712b": "FreeBSD",
};

/**
 * Read the table, or its copy where it is damaged. Null if the disk has none.
 *
 * @param {DiskReader} disk
 * @param {boolean} isExpected Whether to look for the copy even if there is no trace of the table itself.
 * @returns {Promise<{ sector: number, partitions: Partition[], problems: string[] } | null>}
 */
export async function readGpt(disk, isExpected) {
  const first = await findHeader(disk, (sector) => 1 * sector);
  /** @type {string[]} */
  const problems = [];
  const table = first && (await readEntries(disk, first, problems));
  if (first?.isSound && table?.isSound) return { sector: first.sector, partitions: table.partitions, problems };
  if (first === null && !isExpected) return null;
  const copy = await findHeader(disk, (sector) => disk.size - sector, first?.sector);
  if (copy === null && first === null) return null;
  if (first === null) problems.push("The table at the disk's beginning is missing; this is its copy from the end.");
  else if (!first.isSound) problems.push("The checksum of the table's header is wrong.");
  if (copy?.isSound) {
    /** @type {string[]} */
    const ofCopy = [];
    const copied = await readEntries(disk, copy, ofCopy);
    if (copied.isSound) {
      if (first !== null) problems.push("The table is damaged; this is its copy from the disk's end.");
      return { sector: copy.sector, partitions: copied.partitions, problems };
    }
  }
  problems.push("The copy of the table at the disk's end is missing or damaged, too.");
  return { sector: (first ?? copy)?.sector ?? 512, partitions: table?.partitions ?? [], problems };
}

/**
 * @param {DiskReader} disk
 * @param {(sector: number) => number} place Where it is for a sector size, in bytes.
 * @param {number} [known] The sector size if it is known.
 * @returns {Promise<Header | null>}
 */
async function findHeader(disk, place, known) {
  for (const sector of known ? [known] : SECTOR_SIZES) {
    const bytes = await disk.at(place(sector), HEADER_BYTES);
    if (bytes.length === HEADER_BYTES && hasText(bytes, 0, SIGNATURE)) {
      return parseHeader(bytes, sector, place(sector) / sector);
    }
  }
  return null;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} sector
 * @param {number} lba Where it was found.
 * @returns {Header}
 */
function parseHeader(bytes, sector, lba) {
  const view = viewOf(bytes);
  const length = view.getUint32(12, true);
  const cleared = bytes.slice();
  cleared.fill(0, 16, 20);
  return {
    sector,
    lba,
    entriesLba: Number(view.getBigUint64(72, true)),
    count: view.getUint32(80, true),
    entrySize: view.getUint32(84, true),
    entriesCrc: view.getUint32(88, true),
    // Longer headers are allowed, but nobody writes them.
    isSound:
      length === HEADER_BYTES &&
      crc32(cleared) === view.getUint32(16, true) &&
      Number(view.getBigUint64(24, true)) === lba,
  };
}

/**
 * @param {DiskReader} disk
 * @param {Header} header
 * @param {string[]} problems
 * @returns {Promise<{ partitions: Partition[], isSound: boolean }>}
 */
async function readEntries(disk, { sector, entriesLba, count, entrySize, entriesCrc }, problems) {
  const length = count * entrySize;
  if (entrySize < ENTRY_BYTES || entrySize % 8 || length > MOST_ENTRY_BYTES) {
    problems.push(`The table says that it has ${count} entries of ${entrySize} bytes, which cannot be.`);
    return { partitions: [], isSound: false };
  }
  const bytes = await disk.at(entriesLba * sector, length);
  const isSound = bytes.length === length && crc32(bytes) === entriesCrc;
  if (!isSound) problems.push("The checksum of the table's entries is wrong.");
  /** @type {Partition[]} */
  const partitions = [];
  for (let index = 0; (index + 1) * entrySize <= bytes.length; index++) {
    const partition = parseEntry(bytes.subarray(index * entrySize, (index + 1) * entrySize), sector, index + 1);
    if (partition) partitions.push(partition);
  }
  return { partitions, isSound };
}

/**
 * @param {Uint8Array} entry
 * @param {number} sector
 * @param {number} number
 * @returns {Partition | null}
 */
function parseEntry(entry, sector, number) {
  const type = guidAt(entry);
  if (type === NO_TYPE) return null;
  const view = viewOf(entry);
  const first = Number(view.getBigUint64(32, true));
  const last = Number(view.getBigUint64(40, true));
  return {
    number,
    type: TYPES[type] ?? type,
    name: textAt(entry, 56, 72, "utf-16le"),
    start: first * sector,
    size: (last - first + 1) * sector,
    isActive: false,
    isLogical: false,
    isContainer: false,
    filesystem: null,
  };
}

/**
 * Return the GUID at the start of an entry. Its first three groups are little-endian.
 *
 * @param {Uint8Array} bytes
 */
function guidAt(bytes) {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  const hex = order.map((index) => bytes[index].toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

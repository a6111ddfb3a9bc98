/**
 * Reads the partition table in a disk's first sector (MBR), with the chain of logical partitions.
 */

import { TooManyReads, viewOf } from "./disk_reader.js";

/** @typedef {import("./disk_reader.js").DiskReader} DiskReader */
/** @typedef {import("./partitions.js").Partition} Partition */
/** @typedef {{ isActive: boolean, type: number, start: number, sectors: number }} Entry */

const SECTOR = 512;
const TABLE = 446;
const EXTENDED = new Set([0x05, 0x0f, 0x85]);
const PROTECTIVE = 0xee;
const FIRST_LOGICAL = 5;
const MOST_LOGICAL = 64;

/** @type {Record<number, string>} */
const TYPES = {
  0x01: "FAT12",
  0x04: "FAT16",
  0x05: "Extended",
  0x06: "FAT16",
  0x07: "NTFS or exFAT",
  0x0b: "FAT32",
  0x0c: "FAT32",
  0x0e: "FAT16",
  0x0f: "Extended",
  0x11: "Hidden FAT12",
  0x27: "Windows recovery",
  0x82: "Linux swap",
  0x83: "Linux",
  0x85: "Extended",
  0x8e: "Linux LVM",
  0xa5: "FreeBSD",
  0xa6: "OpenBSD",
  0xa8: "Apple UFS",
  0xa9: "NetBSD",
  0xab: "Apple boot",
  0xaf: "Apple HFS",
  0xee: "GPT protective",
  0xef: "EFI System",
  0xfd: "Linux RAID",
};

/**
 * Return the four entries of a table; null unless the sector ends with the signature of one.
 *
 * @param {Uint8Array} sector
 * @returns {Entry[] | null}
 */
export function parseTable(sector) {
  if (sector.length < SECTOR || sector[510] !== 0x55 || sector[511] !== 0xaa) return null;
  const view = viewOf(sector);
  return [0, 1, 2, 3].map((index) => {
    const at = TABLE + 16 * index;
    return {
      isActive: view.getUint8(at) === 0x80,
      type: view.getUint8(at + 4),
      start: view.getUint32(at + 8, true),
      sectors: view.getUint32(at + 12, true),
    };
  });
}

/**
 * Return whether entries can be those of a table: the boot code of a volume without partitions is there, otherwise.
 *
 * @param {Uint8Array} sector
 * @returns {boolean}
 */
export function isPlausibleTable(sector) {
  const entries = parseTable(sector);
  if (entries === null) return false;
  const areFlags = [0, 1, 2, 3].every((index) => [0x00, 0x80].includes(sector[TABLE + 16 * index]));
  return areFlags && entries.some(({ type, start, sectors }) => type !== 0 && (start > 0 || sectors > 0));
}

/**
 * Return whether the table only says that there is a GPT.
 *
 * @param {Uint8Array} sector
 */
export function isProtective(sector) {
  return parseTable(sector)?.some(({ type }) => type === PROTECTIVE) ?? false;
}

/**
 * Read all partitions of a table.
 *
 * @param {DiskReader} disk
 * @returns {Promise<{ partitions: Partition[], problems: string[] }>}
 */
export async function readMbr(disk) {
  const entries = parseTable(await disk.at(0, SECTOR)) ?? [];
  /** @type {Partition[]} */
  const partitions = [];
  /** @type {string[]} */
  const problems = [];
  for (const [index, entry] of entries.entries()) {
    if (entry.type === 0) continue;
    partitions.push(partitionOf(entry, index + 1, 0, false));
    if (EXTENDED.has(entry.type)) await readLogical(disk, entry.start, partitions, problems);
  }
  return { partitions, problems };
}

/**
 * Follow the chain of tables in an extended partition; each has a logical partition and the place of the next table.
 *
 * @param {DiskReader} disk
 * @param {number} base First sector of the extended partition, to which the places of the tables are relative.
 * @param {Partition[]} partitions
 * @param {string[]} problems
 */
async function readLogical(disk, base, partitions, problems) {
  const seen = new Set();
  let at = base;
  let number = Math.max(FIRST_LOGICAL, ...partitions.filter((one) => one.isLogical).map((one) => one.number + 1));
  try {
    while (seen.size < MOST_LOGICAL) {
      if (seen.has(at))
        return void problems.push("The chain of logical partitions is a loop: it leads back to itself.");
      seen.add(at);
      const entries = parseTable(await disk.at(at * SECTOR, SECTOR));
      if (entries === null) return void problems.push(`There is no table of a logical partition at sector ${at}.`);
      const [logical, next] = entries;
      if (logical.type !== 0) partitions.push(partitionOf(logical, number++, at, true));
      if (next.type === 0 || next.sectors === 0) return;
      at = base + next.start;
    }
    problems.push(`Only the first ${MOST_LOGICAL} logical partitions are shown.`);
  } catch (error) {
    if (!(error instanceof TooManyReads)) throw error;
    problems.push("There are more logical partitions than are read here.");
  }
}

/**
 * @param {Entry} entry
 * @param {number} number
 * @param {number} base The sector to which its start is relative.
 * @param {boolean} isLogical
 * @returns {Partition}
 */
function partitionOf({ isActive, type, start, sectors }, number, base, isLogical) {
  return {
    number,
    type: TYPES[type] ?? `Type 0x${type.toString(16).padStart(2, "0")}`,
    name: "",
    start: (base + start) * SECTOR,
    size: sectors * SECTOR,
    isActive,
    isLogical,
    isContainer: EXTENDED.has(type),
    filesystem: null,
  };
}

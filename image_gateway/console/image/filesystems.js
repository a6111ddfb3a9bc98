/**
 * Guesses the file system of a volume from its first bytes.
 */

import { hasText, textAt, viewOf } from "./disk_reader.js";

/** How many bytes of a volume most guesses need. */
export const HEAD = 4096;
/** As many as ISO 9660 and Btrfs need, too. */
export const WHOLE_HEAD = 68 * 1024;

/** @typedef {{ type: string, label: string }} Filesystem */

/** Magic texts that say everything: the offset, the text and what it stands for. */
/** @type {[offset: number, text: string, type: string][]} */
const MAGIC = [
  [3, "NTFS    ", "NTFS"],
  [3, "EXFAT   ", "exFAT"],
  [0, "XFSB", "XFS"],
  [0, "hsqs", "SquashFS"],
  [0, "LUKS\xba\xbe", "LUKS (encrypted)"],
  [512, "LABELONE", "LVM"],
  [4086, "SWAPSPACE2", "Linux swap"],
  [65_600, "_BHRfS_M", "Btrfs"],
  [0, "SQLite format 3\0", "SQLite database"],
  [0, "QFI\xfb", "qcow2 image"],
  [0, "KDMV", "VMDK image"],
  [0, "vhdxfile", "VHDX image"],
];

/**
 * Return the file system, or null if the bytes look like none that is known.
 *
 * @param {Uint8Array} bytes The volume from its start on, as many as there are.
 * @returns {Filesystem | null}
 */
export function guessFilesystem(bytes) {
  const magic = MAGIC.find(([offset, text]) => hasText(bytes, offset, text));
  if (magic) return { type: magic[2], label: "" };
  return guessIso(bytes) ?? guessExt(bytes) ?? guessHfs(bytes) ?? guessFat(bytes);
}

const ISO_VOLUME = 16 * 2048;

/**
 * ECMA-119 8.4: the primary volume descriptor.
 *
 * @param {Uint8Array} bytes
 * @returns {Filesystem | null}
 */
function guessIso(bytes) {
  if (bytes.length < ISO_VOLUME + 72 || !hasText(bytes, ISO_VOLUME, "\x01CD001")) return null;
  return { type: "ISO 9660", label: textAt(bytes, ISO_VOLUME + 40, 32) };
}

const EXT_SUPERBLOCK = 1024;
const EXT_COMPAT_JOURNAL = 0x4;
/** Extents, 64-bit, flexible block groups: what only ext4 has. */
const EXT4_INCOMPAT = 0x40 | 0x80 | 0x200;
/** Huge files, group checksums, many subdirectories, extra inode size, metadata checksums. */
const EXT4_RO_COMPAT = 0x8 | 0x10 | 0x20 | 0x40 | 0x400;

/**
 * @param {Uint8Array} bytes
 * @returns {Filesystem | null}
 */
function guessExt(bytes) {
  if (bytes.length < EXT_SUPERBLOCK + 136) return null;
  const view = viewOf(bytes);
  if (view.getUint16(EXT_SUPERBLOCK + 56, true) !== 0xef53) return null;
  const [compat, incompat, readOnly] = [92, 96, 100].map((at) => view.getUint32(EXT_SUPERBLOCK + at, true));
  const isExt4 = incompat & EXT4_INCOMPAT || readOnly & EXT4_RO_COMPAT;
  const type = isExt4 ? "ext4" : compat & EXT_COMPAT_JOURNAL ? "ext3" : "ext2";
  return { type, label: textAt(bytes, EXT_SUPERBLOCK + 120, 16, "utf-8") };
}

const MAC_ROMAN = "macintosh";

/**
 * @param {Uint8Array} bytes
 * @returns {Filesystem | null}
 */
function guessHfs(bytes) {
  if (hasText(bytes, 1024, "H+")) return { type: "HFS+", label: "" };
  if (hasText(bytes, 1024, "HX")) return { type: "HFSX", label: "" };
  if (!hasText(bytes, 1024, "BD") || bytes.length < 1024 + 64) return null;
  // A Pascal string: its length, at most 27, and its characters.
  return { type: "HFS", label: textAt(bytes, 1024 + 37, Math.min(bytes[1024 + 36], 27), MAC_ROMAN) };
}

/**
 * The width of FAT's entries follows from the number of clusters alone.
 *
 * @param {Uint8Array} bytes
 * @returns {Filesystem | null}
 */
function guessFat(bytes) {
  if (bytes.length < 512 || !(bytes[0] === 0xe9 || (bytes[0] === 0xeb && bytes[2] === 0x90))) return null;
  const view = viewOf(bytes);
  const sector = view.getUint16(11, true);
  const cluster = bytes[13];
  const reserved = view.getUint16(14, true);
  const tables = bytes[16];
  const tableSectors = view.getUint16(22, true) || view.getUint32(36, true);
  const sectors = view.getUint16(19, true) || view.getUint32(32, true);
  const isPlausible =
    isPowerOfTwo(sector) && sector >= 512 && sector <= 4096 && isPowerOfTwo(cluster) && reserved > 0 && tables >= 1;
  if (!isPlausible || tables > 2 || bytes[21] < 0xf0 || tableSectors === 0) return null;
  const rootSectors = Math.ceil((view.getUint16(17, true) * 32) / sector);
  const clusters = Math.floor((sectors - reserved - tables * tableSectors - rootSectors) / cluster);
  if (clusters <= 0) return null;
  if (clusters < 4085) return { type: "FAT12", label: fatLabel(bytes, 43) };
  if (clusters < 65_525) return { type: "FAT16", label: fatLabel(bytes, 43) };
  return { type: "FAT32", label: fatLabel(bytes, 71) };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function fatLabel(bytes, at) {
  const label = textAt(bytes, at, 11);
  return label === "NO NAME" ? "" : label;
}

/** @param {number} number */
function isPowerOfTwo(number) {
  return number > 0 && (number & (number - 1)) === 0;
}

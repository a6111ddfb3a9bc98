/**
 * Finds out what format a file has by looking at its bytes: the formats of disk images that the gateway takes, and
 * what people upload by mistake. A file without any mark is a raw disk.
 */

import { fileChanged } from "./errors.js";

/** @typedef {"raw" | "qcow2" | "vmdk" | "vhd" | "vhdx" | "vdi" | "iso"} ImageFormat A `format` of the HTTP API. */

/**
 * @typedef {object} DetectedFormat
 * @property {ImageFormat} format
 * @property {string} label For people.
 * @property {string | null} refusal Why the gateway would not take the file, and what to do about it.
 */

// An ISO 9660 volume has its first descriptor at 32 KiB.
const HEAD = 34 * 1024;
const FOOTER = 512;
const ISO_AT = 0x8001;
const VDI_AT = 0x40;
const VDI_MAGIC = "\x7f\x10\xda\xbe";
const VHD_COOKIE = "conectix";
const TAR_AT = 257;

/** @type {{ magic: string, label: string, command: string }[]} */
const COMPRESSED = [
  { magic: "\x1f\x8b\x08", label: "gzip", command: "gunzip" },
  { magic: "\xfd7zXZ\x00", label: "xz", command: "unxz" },
  { magic: "\x28\xb5\x2f\xfd", label: "Zstandard", command: "unzstd" },
];
/** @type {{ magic: string, label: string, at?: number }[]} */
const ARCHIVES = [
  { magic: "1AY&SY", label: "bzip2", at: 4 },
  { magic: "PK\x03\x04", label: "ZIP" },
  { magic: "7z\xbc\xaf\x27\x1c", label: "7-Zip" },
  { magic: "ustar", label: "tar or OVA", at: TAR_AT },
];

/**
 * Find out the format of a file. Reads 35 KiB of it.
 *
 * @param {Blob & { name?: string }} file
 * @returns {Promise<DetectedFormat>}
 * @throws {import("./errors.js").UploadError} The file cannot be read.
 */
export async function detectFormat(file) {
  const head = await read(file, 0, HEAD);
  const tail = await read(file, Math.max(0, file.size - FOOTER), file.size);
  return (
    detectContainer(head) ?? detectPacked(head, file.name) ?? detectFixedVhd(tail) ?? detectIso(head) ?? raw()
  );
}

/** @returns {DetectedFormat} */
function raw() {
  return { format: "raw", label: "raw disk", refusal: null };
}

/**
 * @param {DataView} head
 * @returns {DetectedFormat | null}
 */
function detectContainer(head) {
  if (has(head, 0, "QFI\xfb")) return { format: "qcow2", label: "QCOW2", refusal: refuseQcow2(head) };
  if (has(head, 0, "KDMV") || has(head, 0, "COWD")) return { format: "vmdk", label: "VMDK", refusal: null };
  if (has(head, 0, "# Disk DescriptorFile")) {
    return { format: "vmdk", label: "VMDK descriptor", refusal: refuseDescriptor(head) };
  }
  if (has(head, 0, "vhdxfile")) return { format: "vhdx", label: "VHDX", refusal: null };
  if (has(head, 0, VHD_COOKIE)) return { format: "vhd", label: "dynamic VHD", refusal: refuseVhd(head, 0) };
  if (has(head, VDI_AT, VDI_MAGIC)) return { format: "vdi", label: "VDI", refusal: refuseVdi(head) };
  return null;
}

/**
 * @param {DataView} head
 * @param {string} [name]
 * @returns {DetectedFormat | null}
 */
function detectPacked(head, name = "disk.img") {
  const compressed = COMPRESSED.find(({ magic }) => has(head, 0, magic));
  if (compressed !== undefined) {
    const refusal =
      `This file is compressed with ${compressed.label}, and uploads are not decompressed. Decompress it first ` +
      `(${compressed.command} ${name}), or put it on a web server and import it from there: imports are decompressed.`;
    return { format: "raw", label: `compressed (${compressed.label})`, refusal };
  }
  const archive = ARCHIVES.find(({ magic, at = 0 }) => has(head, at, magic));
  if (archive === undefined) return null;
  const refusal = `This file is an archive (${archive.label}). Unpack it, and upload the disk image that is in it.`;
  return { format: "raw", label: `archive (${archive.label})`, refusal };
}

/**
 * @param {DataView} tail
 * @returns {DetectedFormat | null}
 */
function detectFixedVhd(tail) {
  // Versions before Virtual PC 2004 wrote a footer of 511 bytes.
  const at = [tail.byteLength - FOOTER, tail.byteLength - FOOTER + 1].find((start) => has(tail, start, VHD_COOKIE));
  if (at === undefined) return null;
  return { format: "vhd", label: "fixed VHD", refusal: refuseVhd(tail, at) };
}

/**
 * @param {DataView} head
 * @returns {DetectedFormat | null}
 */
function detectIso(head) {
  return has(head, ISO_AT, "CD001") ? { format: "iso", label: "ISO 9660", refusal: null } : null;
}

/** @param {DataView} head */
function refuseQcow2(head) {
  const flatten = "Convert it first: qemu-img convert -O qcow2 old.qcow2 new.qcow2";
  if (number(head, 8, 8) !== 0) return `This QCOW2 image needs its backing file, which is another file. ${flatten}`;
  if (number(head, 32, 4) !== 0) return `This QCOW2 image is encrypted. ${flatten}`;
  // Bit 2 of the incompatible features of version 3.
  const isExternal = number(head, 4, 4) >= 3 && (number(head, 76, 4) & 4) !== 0;
  return isExternal ? `This QCOW2 image has its data in another file. ${flatten}` : null;
}

/** @param {DataView} head */
function refuseDescriptor(head) {
  const text = new TextDecoder("latin1").decode(head);
  const extent = /^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+\S+\s+"([^"]{1,255})"/m.exec(text)?.[1];
  const where = extent === undefined ? "in other files" : `in other files, such as ${extent}`;
  return (
    `This file only describes a VMware disk: its data are ${where}. Make one file of them first: ` +
    "qemu-img convert -O qcow2 disk.vmdk disk.qcow2"
  );
}

/**
 * @param {DataView} view
 * @param {number} at Where the footer, or its copy at the head, begins.
 */
function refuseVhd(view, at) {
  return number(view, at + 60, 4) === 4 ? needsParent("VHD") : null;
}

/** @param {DataView} head */
function refuseVdi(head) {
  // Undo and differencing images.
  const type = head.byteLength >= 0x50 ? head.getUint32(0x4c, true) : 0;
  return type === 3 || type === 4 ? needsParent("VDI") : null;
}

/** @param {string} label */
function needsParent(label) {
  return `This ${label} is a differencing disk, which needs its parent. Merge it first, or export it as one file.`;
}

/**
 * @param {DataView} view
 * @param {number} at
 * @param {string} magic One character for each byte.
 */
function has(view, at, magic) {
  if (at < 0 || at + magic.length > view.byteLength) return false;
  return Array.from(magic).every((character, index) => view.getUint8(at + index) === character.charCodeAt(0));
}

/**
 * Return a big-endian number, or 0 where the file has ended.
 *
 * @param {DataView} view
 * @param {number} at
 * @param {4 | 8} length
 */
function number(view, at, length) {
  if (at + length > view.byteLength) return 0;
  return length === 4 ? view.getUint32(at) : Number(view.getBigUint64(at));
}

/**
 * @param {Blob} file
 * @param {number} start
 * @param {number} end
 */
async function read(file, start, end) {
  const bytes = await file.slice(start, end).arrayBuffer().catch(() => Promise.reject(fileChanged()));
  return new DataView(bytes);
}

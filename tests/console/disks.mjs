// Makes small disks with partition tables, of which only the written pieces take memory.

const SECTOR = 512;

/** A disk of zeros with pieces written into it. `read` counts its calls. */
export class Disk {
  constructor(size) {
    this.size = size;
    this.pieces = [];
    this.reads = [];
    this.read = async (start, length) => {
      this.reads.push([start, length]);
      return this.bytes(start, length);
    };
  }

  bytes(start, length) {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - start)));
    for (const [at, piece] of this.pieces) {
      const from = Math.max(at, start);
      const to = Math.min(at + piece.length, start + bytes.length);
      if (from < to) bytes.set(piece.subarray(from - at, to - at), from - start);
    }
    return bytes;
  }

  write(at, piece) {
    this.pieces.push([at, typeof piece === "string" ? Buffer.from(piece, "latin1") : piece]);
    return this;
  }
}

/** A sector with up to four entries: [type, first sector, sectors, active]. */
export function mbr(...entries) {
  const sector = Buffer.alloc(SECTOR);
  entries.forEach(([type, start, sectors, active], index) => {
    const at = 446 + 16 * index;
    sector[at] = active ? 0x80 : 0;
    sector[at + 4] = type;
    sector.writeUInt32LE(start, at + 8);
    sector.writeUInt32LE(sectors, at + 12);
  });
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

export const PROTECTIVE = mbr([0xee, 1, 0xffffffff]);

/** Bit by bit, not by a table as the code under test does. */
function crc32(bytes) {
  let value = 0xffffffffn;
  for (const byte of bytes) {
    value ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ 0xedb88320n : value >> 1n;
  }
  return Number(value ^ 0xffffffffn);
}

const LINUX = "af3dc60f838472478e793d69d8477de4";

/** A GPT and its copy: partitions are [first, last, name]. `change` may spoil a header before its checksum is made. */
export function gpt(disk, partitions, { sector = SECTOR, count = 128, change = () => {} } = {}) {
  const entries = Buffer.alloc(count * 128);
  partitions.forEach(([first, last, name], index) => {
    entries.write(LINUX, index * 128, "hex");
    entries.write(LINUX, index * 128 + 16, "hex");
    entries.writeBigUInt64LE(BigInt(first), index * 128 + 32);
    entries.writeBigUInt64LE(BigInt(last), index * 128 + 40);
    entries.write(name, index * 128 + 56, 72, "utf16le");
  });
  const end = disk.size / sector - 1;
  const copyAt = end - entries.length / sector;
  disk.write(0, PROTECTIVE);
  for (const [at, other, entriesAt] of [
    [1, end, 2],
    [end, 1, copyAt],
  ]) {
    const header = Buffer.alloc(92);
    header.write("EFI PART");
    header.writeUInt32LE(0x10000, 8);
    header.writeUInt32LE(92, 12);
    header.writeBigUInt64LE(BigInt(at), 24);
    header.writeBigUInt64LE(BigInt(other), 32);
    header.writeBigUInt64LE(BigInt(entriesAt), 72);
    header.writeUInt32LE(count, 80);
    header.writeUInt32LE(128, 84);
    header.writeUInt32LE(crc32(entries), 88);
    change(header);
    header.writeUInt32LE(crc32(header), 16);
    disk.write(at * sector, header).write(entriesAt * sector, entries);
  }
  return disk;
}

/** An entry of an Apple partition map. */
export function appleEntry(count, start, blocks, name, type) {
  const entry = Buffer.alloc(SECTOR);
  entry.write("PM");
  entry.writeUInt32BE(count, 4);
  entry.writeUInt32BE(start, 8);
  entry.writeUInt32BE(blocks, 12);
  entry.write(name, 16, 32, "latin1");
  entry.write(type, 48, 32, "latin1");
  return entry;
}

/** The first 2 KiB of an ext volume with these feature words. */
export function ext({ compat = 0, incompat = 0, readOnly = 0, label = "" } = {}) {
  const bytes = Buffer.alloc(2048);
  bytes.writeUInt16LE(0xef53, 1024 + 56);
  bytes.writeUInt32LE(compat, 1024 + 92);
  bytes.writeUInt32LE(incompat, 1024 + 96);
  bytes.writeUInt32LE(readOnly, 1024 + 100);
  bytes.write(label, 1024 + 120, 16);
  return bytes;
}

/** The first sector of a FAT volume. */
export function fat({ sectors, cluster = 1, tableSectors = 1, label = "", at = 43 }) {
  const sector = Buffer.alloc(SECTOR);
  sector.set([0xeb, 0x3c, 0x90]);
  sector.writeUInt16LE(SECTOR, 11);
  sector[13] = cluster;
  sector.writeUInt16LE(1, 14);
  sector[16] = 2;
  sector[21] = 0xf8;
  sector.writeUInt32LE(sectors, 32);
  if (at === 43) sector.writeUInt16LE(tableSectors, 22);
  else sector.writeUInt32LE(tableSectors, 36);
  sector.write(label.padEnd(11), at, 11);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** A primary volume descriptor of ISO 9660. */
export function iso(label) {
  const sector = Buffer.alloc(2048);
  sector.write("\x01CD001\x01", 0, "latin1");
  sector.write(label.padEnd(32), 40, 32);
  return sector;
}

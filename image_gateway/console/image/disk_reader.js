/**
 * Reads small pieces of a disk, a bounded number of times, and takes numbers and text out of them.
 */

/** @typedef {(start: number, length: number) => Promise<Uint8Array>} ReadBytes Returns fewer bytes at the disk's end. */

const HEAD_BYTES = 68 * 1024;
const MAX_READS = 12;

/** More had to be read than is allowed. */
export class TooManyReads extends Error {}

export class DiskReader {
  /**
   * @param {ReadBytes} read
   * @param {number} size Of the disk, in bytes.
   */
  constructor(read, size) {
    this.read = read;
    this.size = size;
    this.reads = 0;
    /** @type {Uint8Array | undefined} The first bytes of the disk, which hold most tables. */
    this.head = undefined;
  }

  /**
   * Return bytes of the disk; fewer than asked for where the disk ends.
   *
   * @param {number} start
   * @param {number} length
   * @returns {Promise<Uint8Array>}
   * @throws {TooManyReads}
   */
  async at(start, length) {
    if (start < 0) return new Uint8Array();
    this.head ??= await this.fetch(0, HEAD_BYTES);
    if (start + length <= this.head.length || this.head.length === this.size) {
      return this.head.subarray(start, start + length);
    }
    return this.fetch(start, length);
  }

  /**
   * @param {number} start
   * @param {number} length
   */
  async fetch(start, length) {
    const wanted = Math.min(length, this.size - start);
    if (!Number.isSafeInteger(start) || wanted <= 0) return new Uint8Array();
    if (this.reads >= MAX_READS) throw new TooManyReads("reading stopped: the disk has more tables than are read here");
    this.reads += 1;
    return this.read(start, wanted);
  }
}

/**
 * @param {Uint8Array} bytes
 * @returns {DataView}
 */
export function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Return text without what follows its first NUL and without spaces around it.
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} length In bytes.
 * @param {string} [encoding] As TextDecoder names it.
 * @returns {string}
 */
export function textAt(bytes, start, length, encoding = "latin1") {
  return printable(new TextDecoder(encoding).decode(bytes.subarray(start, start + length)));
}

/**
 * Return the text before its first NUL, with every control character replaced.
 *
 * @param {string} text
 * @returns {string}
 */
export function printable(text) {
  return text.replace(/\0.*/s, "").replace(/\p{C}/gu, "�").trim();
}

/**
 * Return whether bytes begin with some ASCII text at an offset.
 *
 * @param {Uint8Array} bytes
 * @param {number} offset
 * @param {string} text
 * @returns {boolean}
 */
export function hasText(bytes, offset, text) {
  if (bytes.length < offset + text.length) return false;
  return [...text].every((character, index) => bytes[offset + index] === character.charCodeAt(0));
}

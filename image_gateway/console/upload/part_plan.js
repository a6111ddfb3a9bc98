/**
 * Which parts an upload has, which bytes they are, and which of them the store lacks.
 */

/** S3's largest part number. */
export const MAX_PARTS = 10_000;

/** @typedef {{ number: number, start: number, end: number }} Part Bytes `start` up to `end`, which is excluded. */
/** @typedef {{ partNumber: number, size: number }} StoredPart A part as the gateway lists it. */

/** The parts 1 to `count` of a file, each of `partSize` bytes, the last one shorter. An empty file is one empty part. */
export class PartPlan {
  /**
   * @param {number} size The file's size in bytes.
   * @param {number} partSize Bytes of each part except the last.
   * @throws {RangeError} The sizes are no sizes, or the file needs more than 10,000 parts.
   */
  constructor(size, partSize) {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`${size} is not the size of a file`);
    if (!Number.isSafeInteger(partSize) || partSize < 1) throw new RangeError(`${partSize} is not the size of a part`);
    this.size = size;
    this.partSize = partSize;
    this.count = Math.max(1, Math.ceil(size / partSize));
    if (this.count > MAX_PARTS) throw new RangeError(`${size} bytes in parts of ${partSize} are over ${MAX_PARTS} parts`);
  }

  /**
   * Return where a part is in the file.
   *
   * @param {number} number From 1 to `count`.
   * @returns {Part}
   * @throws {RangeError} There is no such part.
   */
  part(number) {
    if (!Number.isInteger(number) || number < 1 || number > this.count) {
      throw new RangeError(`part ${number} is not one of ${this.count}`);
    }
    const start = (number - 1) * this.partSize;
    return { number, start, end: Math.min(start + this.partSize, this.size) };
  }

  /**
   * Return the length of a part in bytes.
   *
   * @param {number} number
   * @returns {number}
   */
  length(number) {
    const { start, end } = this.part(number);
    return end - start;
  }

  /**
   * Return the numbers of the parts that the store lacks, ascending. A part of another size than planned is lacking.
   *
   * @param {Iterable<StoredPart>} stored
   * @returns {number[]}
   */
  missing(stored) {
    const sizes = new Map(Array.from(stored, ({ partNumber, size }) => [partNumber, size]));
    const numbers = Array.from({ length: this.count }, (_, index) => index + 1);
    return numbers.filter((number) => sizes.get(number) !== this.length(number));
  }

  /**
   * Return how many bytes of the file are stored when these parts are missing.
   *
   * @param {number[]} missing
   * @returns {number}
   */
  storedBytes(missing) {
    return missing.reduce((rest, number) => rest - this.length(number), this.size);
  }
}

/**
 * Remembers which blocks of a disk were read and written, and sums them up in a bounded number of cells.
 */

export const READ = 1;
export const READ_AHEAD = 2;
export const ZEROS = 4;
export const WRITTEN = 8;

/** @typedef {"untouched" | "ahead" | "zeros" | "read" | "written"} CellKind */

/**
 * A cell as it is drawn.
 *
 * @typedef {object} Cell
 * @property {CellKind} kind What stands out among its blocks: written before read, read before read ahead.
 * @property {number} share The part of its blocks that are not untouched, from 0 to 1.
 * @property {number} age Milliseconds since something happened in it; Infinity if nothing has.
 */

const MOST_CELLS = 2048;
const SMALLEST_BLOCK = 4096;
const MOST_BLOCKS = 524_288;

/**
 * Return the block size of the map of a disk: fine for small disks, and never more than half a million blocks.
 *
 * @param {number} size Bytes of the disk.
 */
export function mapBlockSize(size) {
  let blockSize = SMALLEST_BLOCK;
  while (size / blockSize > MOST_BLOCKS) blockSize *= 2;
  return blockSize;
}

export class ReadMap {
  #flags;
  /** Per cell: the number of its blocks with each flag, by the place of the flag's bit, and of those with any. */
  #counts;
  #lastTimes;
  #totals = { read: 0, ahead: 0, zeros: 0, written: 0 };
  /** @type {{ offset: number, time: number } | null} */
  #lastRead = null;

  /**
   * @param {number} size Bytes of the disk.
   * @param {number} blockSize
   * @param {number} [mostCells]
   */
  constructor(size, blockSize, mostCells = MOST_CELLS) {
    this.size = size;
    this.blockSize = blockSize;
    this.blockCount = Math.ceil(size / blockSize);
    this.blocksPerCell = Math.max(1, Math.ceil(this.blockCount / mostCells));
    this.cellCount = Math.ceil(this.blockCount / this.blocksPerCell);
    this.#flags = new Uint8Array(this.blockCount);
    this.#counts = new Uint32Array(this.cellCount * 5);
    this.#lastTimes = new Float64Array(this.cellCount).fill(-Infinity);
  }

  /**
   * Note something about a range of bytes.
   *
   * @param {number} flag READ, READ_AHEAD, ZEROS or WRITTEN.
   * @param {number} offset
   * @param {number} length
   * @param {number} now Milliseconds.
   */
  note(flag, offset, length, now) {
    if (length <= 0 || offset >= this.size) return;
    const last = Math.min(this.blockCount - 1, Math.floor((offset + length - 1) / this.blockSize));
    for (let block = Math.floor(offset / this.blockSize); block <= last; block += 1) this.#noteBlock(flag, block, now);
    if (flag === READ) this.#lastRead = { offset, time: now };
  }

  /**
   * @param {number} flag
   * @param {number} block
   * @param {number} now
   */
  #noteBlock(flag, block, now) {
    const cell = Math.floor(block / this.blocksPerCell);
    // That a block holds zeros is a fact about it, and no event.
    if (flag !== ZEROS) this.#lastTimes[cell] = now;
    const before = this.#flags[block];
    if (before & flag) return;
    this.#flags[block] = before | flag;
    this.#counts[cell * 5 + placeOf(flag)] += 1;
    if (before === 0) this.#counts[cell * 5 + 4] += 1;
    this.#totals[TOTALS[placeOf(flag)]] += 1;
  }

  /**
   * @param {number} index
   * @param {number} now
   * @returns {Cell}
   */
  cell(index, now) {
    const at = index * 5;
    const [read, ahead, zeros, written, touched] = this.#counts.subarray(at, at + 5);
    const blocks = Math.min(this.blocksPerCell, this.blockCount - index * this.blocksPerCell);
    const kind = kindOf(read, ahead, zeros, written, touched);
    return { kind, share: touched / blocks, age: now - this.#lastTimes[index] };
  }

  /** Return the numbers of blocks of each kind, and the last read of the guest. */
  totals() {
    return { ...this.#totals, blocks: this.blockCount, lastRead: this.#lastRead };
  }
}

/** @type {("read" | "ahead" | "zeros" | "written")[]} */
const TOTALS = ["read", "ahead", "zeros", "written"];

/** @param {number} flag */
function placeOf(flag) {
  return 31 - Math.clz32(flag);
}

/**
 * @param {number} read
 * @param {number} ahead
 * @param {number} zeros
 * @param {number} written
 * @param {number} touched
 * @returns {CellKind}
 */
function kindOf(read, ahead, zeros, written, touched) {
  if (touched === 0) return "untouched";
  if (written > 0) return "written";
  if (zeros === touched) return "zeros";
  return read > 0 || ahead === 0 ? "read" : "ahead";
}

/**
 * Return how many columns and rows of square cells fill a width, and how large a cell is.
 *
 * @param {number} cellCount
 * @param {number} width
 * @param {number} mostHeight
 * @returns {{ columns: number, rows: number, pitch: number }} `pitch` in the unit of the width.
 */
export function gridOf(cellCount, width, mostHeight) {
  const largest = Math.max(4, Math.floor(Math.sqrt((width * mostHeight) / Math.max(1, cellCount))));
  for (let pitch = Math.min(largest, 24); pitch > 4; pitch -= 1) {
    const columns = Math.max(1, Math.floor(width / pitch));
    const rows = Math.ceil(cellCount / columns);
    if (rows * pitch <= mostHeight) return { columns, rows, pitch };
  }
  const columns = Math.max(1, Math.floor(width / 4));
  return { columns, rows: Math.ceil(cellCount / columns), pitch: 4 };
}

/**
 * Return the map in words.
 *
 * @param {ReadMap} map
 * @param {number} now
 * @param {{ size: (bytes: number) => string, duration: (seconds: number) => string }} format
 * @returns {string}
 */
export function describe(map, now, format) {
  const { blocks, read, ahead, zeros, written, lastRead } = map.totals();
  const count = (/** @type {number} */ number) => number.toLocaleString("en");
  const part = ((read / blocks) * 100).toLocaleString("en", { maximumSignificantDigits: 2 });
  const parts = [
    `${count(read)} of ${count(blocks)} blocks of ${format.size(map.blockSize)} read (${part} %)`,
    `${count(ahead)} read ahead`,
    `${count(zeros)} with zeros only`,
    `${count(written)} written`,
  ];
  if (lastRead === null) return `${parts.join(", ")}. Nothing has been read yet.`;
  const age = format.duration((now - lastRead.time) / 1000);
  return `${parts.join(", ")}. Last read at ${format.size(lastRead.offset)}, ${age} ago.`;
}

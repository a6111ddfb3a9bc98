/**
 * Keeps what the guest has written until it is committed, in layers: each is what one commit takes.
 *
 * A layer is sealed before it is sent, and later writes go into the next one. Layers are committed in their order, so
 * that the delta always is the disk as it was at some moment, and never has a write without those before it.
 */

import { blocksOfSegment } from "./segment.js";

const SECTOR = 512;

/** A block of which sectors were written; the others are zeros until they are filled. */
export class WrittenBlock {
  #written;

  /** @param {number} blockSize */
  constructor(blockSize) {
    this.data = new Uint8Array(blockSize);
    this.#written = new Uint8Array(blockSize / SECTOR);
  }

  get isWhole() {
    return this.#written.every((isWritten) => isWritten === 1);
  }

  /**
   * @param {number} offset Within the block.
   * @param {Uint8Array} sectors
   */
  write(offset, sectors) {
    this.data.set(sectors, offset);
    this.#written.fill(1, offset / SECTOR, (offset + sectors.length) / SECTOR);
  }

  /**
   * @param {number} offset Of a sector within the block.
   * @returns {Uint8Array | null} The sector, if it was written or filled.
   */
  sector(offset) {
    return this.#written[offset / SECTOR] ? this.data.subarray(offset, offset + SECTOR) : null;
  }

  /**
   * Take the sectors that were not written from the block as it was before.
   *
   * @param {Uint8Array} before
   */
  fill(before) {
    this.#written.forEach((isWritten, index) => {
      const at = index * SECTOR;
      if (!isWritten) this.data.set(before.subarray(at, at + SECTOR), at);
    });
    this.#written.fill(1);
  }
}

/** What one commit takes. */
export class Layer {
  /** @type {Map<number, WrittenBlock>} */
  blocks = new Map();

  /** @param {number} began When the first of its writes was made, in milliseconds. */
  constructor(began) {
    this.began = began;
  }
}

/** @typedef {import("../open/overlay.js").Overlay} Overlay */

/** @implements {Overlay} */
export class WriteLayers {
  /** @type {Layer[]} The oldest first; the last one takes writes unless it is sealed. */
  #layers = [];
  #isSealed = true;
  #blockSize;
  #mostBlocks;
  #now;

  /**
   * @param {number} blockSize
   * @param {() => number} now Milliseconds.
   */
  constructor(blockSize, now) {
    this.#blockSize = blockSize;
    this.#mostBlocks = blocksOfSegment(blockSize);
    this.#now = now;
  }

  /** The memory that the writes take, which is at most what is not committed. */
  get bytes() {
    return this.#layers.reduce((sum, layer) => sum + layer.blocks.size, 0) * this.#blockSize;
  }

  /** @returns {number | null} When the oldest of the writes was made, in milliseconds; null if there is none. */
  get oldest() {
    return this.#layers[0]?.began ?? null;
  }

  /** @returns {Layer | null} What is to be committed next; null without a sealed layer. */
  get next() {
    return this.#layers.length > 1 || this.#isSealed ? (this.#layers[0] ?? null) : null;
  }

  /** @returns {number} The number of layers that are sealed. */
  get sealedCount() {
    return this.#layers.length - (this.#isSealed ? 0 : 1);
  }

  /** Let later writes go into another layer. */
  seal() {
    this.#isSealed = true;
  }

  /** Forget the oldest layer, after it was committed. */
  removeNext() {
    if (this.next === null) throw new TypeError("there is no sealed layer");
    this.#layers.shift();
  }

  /**
   * @param {number} offset
   * @param {Uint8Array} data Whole sectors.
   */
  write(offset, data) {
    if (offset % SECTOR || data.length % SECTOR) throw new RangeError("a write must have whole sectors");
    for (let at = 0; at < data.length; ) {
      const within = (offset + at) % this.#blockSize;
      const stop = Math.min(at + this.#blockSize - within, data.length);
      this.#blockToWrite(Math.floor((offset + at) / this.#blockSize)).write(within, data.subarray(at, stop));
      at = stop;
    }
  }

  /**
   * @param {number} offset
   * @param {Uint8Array} target
   */
  read(offset, target) {
    if (this.#layers.length === 0) return;
    for (let at = 0; at < target.length; ) {
      const from = (offset + at) % SECTOR;
      const stop = Math.min(SECTOR, from + target.length - at);
      const sector = this.#find(offset + at - from);
      if (sector !== null) target.set(sector.subarray(from, stop), at);
      at += stop - from;
    }
  }

  /**
   * @param {number} offset
   * @param {number} length
   */
  covers(offset, length) {
    if (this.#layers.length === 0) return false;
    for (let sector = offset - (offset % SECTOR); sector < offset + length; sector += SECTOR) {
      if (this.#find(sector) === null) return false;
    }
    return true;
  }

  /**
   * @param {number} offset Of a sector.
   * @returns {Uint8Array | null} What was written there last.
   */
  #find(offset) {
    const number = Math.floor(offset / this.#blockSize);
    const within = offset % this.#blockSize;
    for (let index = this.#layers.length - 1; index >= 0; index -= 1) {
      const sector = this.#layers[index].blocks.get(number)?.sector(within);
      if (sector) return sector;
    }
    return null;
  }

  /** @param {number} number */
  #blockToWrite(number) {
    let layer = this.#layers.at(-1);
    const isFull = layer !== undefined && layer.blocks.size === this.#mostBlocks && !layer.blocks.has(number);
    if (layer === undefined || this.#isSealed || isFull) {
      layer = new Layer(this.#now());
      this.#layers.push(layer);
      this.#isSealed = false;
    }
    let block = layer.blocks.get(number);
    if (block === undefined) {
      block = new WrittenBlock(this.#blockSize);
      layer.blocks.set(number, block);
    }
    return block;
  }
}

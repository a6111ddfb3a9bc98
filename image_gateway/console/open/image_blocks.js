/**
 * The image as blocks in memory, which are read from the gateway when they are needed.
 */

import { BlockCache } from "./block_cache.js";
import { BlockFetcher } from "./block_fetcher.js";
import { BlockLoader } from "./block_loader.js";

const CACHE_BYTES = 96 * 1024 * 1024;

/** @typedef {Map<number, Uint8Array>} Blocks By their numbers. */
/** @typedef {{ offset: number, data: Uint8Array }} Change `offset` in the block. */

/**
 * @typedef {import("./block_fetcher.js").FetcherOptions & {
 *   size: number,
 *   cacheBytes?: number,
 *   parallel?: number,
 *   onLoaded?: (offset: number, bytes: Uint8Array, isAhead: boolean) => void,
 * }} ImageBlocksOptions
 */

export class ImageBlocks {
  #size;
  #blockSize;
  #cache;
  #fetcher;
  #loader;
  #onLoaded;
  /** @type {Set<Blocks>} What reads have got so far that wait for more. */
  #gathered = new Set();
  /** @type {Map<number, Change[]>} For blocks that are on their way. */
  #changes = new Map();

  /** @param {ImageBlocksOptions} options */
  constructor(options) {
    this.#size = options.size;
    this.#blockSize = options.requests.blockSize;
    this.#onLoaded = options.onLoaded;
    this.#cache = new BlockCache(options.cacheBytes ?? CACHE_BYTES);
    this.#fetcher = new BlockFetcher(options);
    this.#loader = new BlockLoader({
      fetcher: this.#fetcher,
      cache: this.#cache,
      blockSize: this.#blockSize,
      blockCount: Math.ceil(options.size / this.#blockSize),
      mostBlocks: options.requests.mostBlocks,
      parallel: options.parallel,
      onLoaded: (index, block, isAhead) => this.#noteLoaded(index, block, isAhead),
    });
  }

  /** @returns {number} Bytes in memory. */
  get bytes() {
    return this.#cache.bytes;
  }

  /**
   * Return where blocks begin and end that have bytes of a range, without what is behind the image's end.
   *
   * @param {number} offset
   * @param {number} length
   */
  pieces(offset, length) {
    const pieces = [];
    const end = Math.min(offset + length, this.#size);
    for (let start = offset; start < end; ) {
      const index = Math.floor(start / this.#blockSize);
      const stop = Math.min((index + 1) * this.#blockSize, end);
      pieces.push({ index, start, stop });
      start = stop;
    }
    return pieces;
  }

  /**
   * @param {number[]} indexes
   * @returns {Blocks | undefined} Undefined unless all of them are in memory.
   */
  find(indexes) {
    /** @type {Blocks} */
    const blocks = new Map();
    for (const index of indexes) {
      const block = this.#cache.get(index);
      if (block === undefined) return undefined;
      blocks.set(index, block);
    }
    return blocks;
  }

  /**
   * Load blocks from memory or from the gateway, and copy what they have of a range.
   *
   * @param {number[]} indexes
   * @param {number} offset
   * @param {Uint8Array} target
   */
  async read(indexes, offset, target) {
    /** @type {Blocks} */
    const blocks = new Map();
    this.#gathered.add(blocks);
    try {
      await Promise.all(indexes.map(async (index) => blocks.set(index, await this.#loader.load(index))));
      this.copy(blocks, offset, target);
    } finally {
      this.#gathered.delete(blocks);
    }
  }

  /**
   * @param {Blocks} blocks
   * @param {number} offset
   * @param {Uint8Array} target Gets what the blocks have of the bytes from `offset` on.
   */
  copy(blocks, offset, target) {
    for (const [index, block] of blocks) {
      const start = index * this.#blockSize;
      const from = Math.max(0, offset - start);
      const until = Math.min(block.length, offset + target.length - start);
      target.set(block.subarray(from, until), start + from - offset);
    }
  }

  /**
   * Note that the image has other bytes now, for the blocks that are in memory or on their way.
   *
   * @param {number} offset
   * @param {Uint8Array} data Within one block; it must not change afterwards.
   */
  change(offset, data) {
    const index = Math.floor(offset / this.#blockSize);
    const change = { offset: offset - index * this.#blockSize, data };
    const inMemory = [this.#cache.get(index), ...[...this.#gathered].map((blocks) => blocks.get(index))];
    for (const block of inMemory) if (block !== undefined) apply(block, change);
    if (this.#loader.isLoading(index)) this.#changes.set(index, [...(this.#changes.get(index) ?? []), change]);
  }

  /** @param {number[]} offsets In the order in which the bytes will be wanted. */
  readAhead(offsets) {
    this.#loader.loadAhead([...new Set(offsets.map((offset) => Math.floor(offset / this.#blockSize)))]);
  }

  wake() {
    this.#fetcher.wake();
  }

  close() {
    this.#fetcher.close();
  }

  /**
   * @param {number} index
   * @param {Uint8Array} block
   * @param {boolean} isAhead
   */
  #noteLoaded(index, block, isAhead) {
    for (const change of this.#changes.get(index) ?? []) apply(block, change);
    this.#changes.delete(index);
    const offset = index * this.#blockSize;
    this.#onLoaded?.(offset, block.subarray(0, this.#size - offset), isAhead);
  }
}

/**
 * @param {Uint8Array} block
 * @param {Change} change
 */
function apply(block, { offset, data }) {
  block.set(data.subarray(0, block.length - offset), offset);
}

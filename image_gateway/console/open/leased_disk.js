/**
 * A disk for v86 that is read from the gateway on demand and written in memory.
 *
 * v86 takes any object with `get`, `set` and `load` as a disk; its own are in v86's `src/buffer.js`. Its drives call
 * `get_and_cache` for the first sector, `get_from_cache` for the same right afterwards, then `get` and `set`.
 */

import { BlockCache } from "./block_cache.js";
import { BlockFetcher } from "./block_fetcher.js";
import { BlockLoader } from "./block_loader.js";
import { Patience } from "./patience.js";
import { browserClock } from "./waiting.js";

const CACHE_BYTES = 96 * 1024 * 1024;
/** Drivers give up on a disk after 10 seconds (Windows) or 30 (Linux, SeaBIOS). */
const PATIENCE_MS = 4000;

/**
 * What a disk tells about its reads and writes; offsets and lengths in bytes of the image.
 *
 * @typedef {object} DiskListener
 * @property {(offset: number, length: number) => void} [onRead] The guest reads.
 * @property {(offset: number, length: number) => void} [onWritten] The guest has written.
 * @property {(offset: number, length: number) => void} [onReadAhead] Bytes were read that no guest waits for.
 * @property {(offset: number, length: number) => void} [onZeros] Bytes that came from the gateway are all zeros.
 * @property {(bytes: number) => void} [onReceived]
 * @property {() => void} [onRequest]
 * @property {(reason: string | null) => void} [onWaiting] Reads wait for the reason, or, with null, wait no more.
 * @property {(isSlow: boolean) => void} [onSlow] The guest waits so long for a read that it should be paused, or, with
 *   false, has got its bytes.
 * @property {(error: unknown) => void} [onStopped] The image can be read no more; the guest gets no further bytes.
 */

/**
 * @typedef {object} DiskOptions
 * @property {number} size Bytes of the image.
 * @property {number} sectorSize 512, or 2048 for a CD.
 * @property {import("./block_requests.js").BlockRequests} requests
 * @property {import("./block_fetcher.js").ReadingLease} lease
 * @property {string} etag The version of the image.
 * @property {import("./overlay.js").Overlay} overlay
 * @property {DiskListener} [listener]
 * @property {number} [cacheBytes]
 * @property {number} [parallel]
 * @property {typeof fetch} [fetch]
 * @property {import("./waiting.js").Clock} [clock]
 * @property {() => number} [random]
 */

export class LeasedDisk {
  /** @type {((event: object) => void) | undefined} Set by v86, which waits for it. */
  onload = undefined;
  /** @type {((event: object) => void) | undefined} Set by v86; nothing is loaded beforehand. */
  onprogress = undefined;

  #size;
  #blockSize;
  #overlay;
  #listener;
  #cache;
  #fetcher;
  #loader;
  #patience;
  #isStopped = false;

  /** @param {DiskOptions} options */
  constructor(options) {
    const { size, requests, listener = {} } = options;
    /** Whole sectors: what the image lacks in its last one is read as zeros. */
    this.byteLength = Math.ceil(size / options.sectorSize) * options.sectorSize;
    this.#size = size;
    this.#blockSize = requests.blockSize;
    this.#overlay = options.overlay;
    this.#listener = listener;
    this.#cache = new BlockCache(options.cacheBytes ?? CACHE_BYTES);
    this.#patience = new Patience(options.clock ?? browserClock, PATIENCE_MS, (isSlow) => listener.onSlow?.(isSlow));
    const { onWaiting, onReceived, onRequest } = listener;
    this.#fetcher = new BlockFetcher({ ...options, onWaiting, onReceived, onRequest });
    this.#loader = new BlockLoader({
      fetcher: this.#fetcher,
      cache: this.#cache,
      blockSize: requests.blockSize,
      blockCount: Math.ceil(size / requests.blockSize),
      mostBlocks: requests.mostBlocks,
      parallel: options.parallel,
      onLoaded: (index, block, isAhead) => this.#noteLoaded(index, block, isAhead),
    });
  }

  load() {
    this.onload?.({});
  }

  /**
   * Read, at once if the bytes are in memory. After `options.signal` is aborted, and once the disk has stopped, `done`
   * is not called.
   *
   * @param {number} offset
   * @param {number} length
   * @param {(bytes: Uint8Array) => void} done
   * @param {{ signal?: AbortSignal }} [options]
   */
  get(offset, length, done, options) {
    this.#listener.onRead?.(offset, Math.min(length, Math.max(0, this.#size - offset)));
    const inMemory = this.#findInMemory(offset, length);
    if (inMemory !== undefined) return done(inMemory);
    const end = this.#patience.begin();
    options?.signal?.addEventListener("abort", end);
    this.#read(offset, length).then(
      (bytes) => {
        if (!options?.signal?.aborted && !this.#isStopped) done(bytes);
        // After the bytes are in the guest, so that it finds them there when it goes on.
        end();
      },
      (error) => {
        this.#stop(error);
        end();
      },
    );
  }

  /**
   * @param {number} offset
   * @param {number} length
   * @param {(bytes: Uint8Array) => void} done
   * @param {{ signal?: AbortSignal }} [options]
   */
  get_and_cache(offset, length, done, options) {
    this.get(offset, length, done, options);
  }

  /**
   * @param {number} offset
   * @param {number} length
   * @returns {Uint8Array | undefined} The bytes, if all of them are in memory.
   */
  get_from_cache(offset, length) {
    return this.#findInMemory(offset, length);
  }

  /**
   * Write to the overlay; the image does not change.
   *
   * @param {number} offset
   * @param {Uint8Array} data
   * @param {() => void} done
   */
  set(offset, data, done) {
    this.#overlay.write(offset, data);
    this.#listener.onWritten?.(offset, data.length);
    done();
  }

  /** @param {(buffer?: ArrayBuffer) => void} done Gets nothing: the whole disk is nowhere in memory. */
  get_buffer(done) {
    done();
  }

  /** @returns {[[number, Uint8Array][]]} What was written, for a saved state of v86. */
  get_state() {
    return [this.#overlay.entries()];
  }

  /** @param {[[number, Uint8Array][]]} state */
  set_state([entries]) {
    this.#overlay.clear();
    for (const [offset, data] of entries) this.#overlay.write(offset, data);
  }

  /**
   * Read what the guest will want, in this order.
   *
   * @param {number[]} offsets Byte offsets.
   */
  readAhead(offsets) {
    this.#loader.loadAhead([...new Set(offsets.map((offset) => Math.floor(offset / this.#blockSize)))]);
  }

  /** Try what waits at once: the network is back. */
  wake() {
    this.#fetcher.wake();
  }

  /** End all reads; the guest gets no more bytes. */
  close() {
    this.#isStopped = true;
    this.#fetcher.close();
  }

  /** @returns {number} Bytes of the image in memory. */
  get cachedBytes() {
    return this.#cache.bytes;
  }

  /**
   * @param {number} offset
   * @param {number} length
   */
  #findInMemory(offset, length) {
    /** @type {Map<number, Uint8Array>} */
    const blocks = new Map();
    for (const index of this.#blocksOf(offset, length)) {
      const block = this.#cache.get(index);
      if (block === undefined) return undefined;
      blocks.set(index, block);
    }
    return this.#compose(offset, length, blocks);
  }

  /**
   * @param {number} offset
   * @param {number} length
   */
  async #read(offset, length) {
    const indexes = this.#blocksOf(offset, length);
    const blocks = await Promise.all(indexes.map((index) => this.#loader.load(index)));
    return this.#compose(offset, length, new Map(indexes.map((index, at) => [index, blocks[at]])));
  }

  /**
   * Return the blocks that a read needs: none behind the image's end, nor where all was written.
   *
   * @param {number} offset
   * @param {number} length
   */
  #blocksOf(offset, length) {
    const indexes = [];
    const end = Math.min(offset + length, this.#size);
    for (let start = offset; start < end; ) {
      const index = Math.floor(start / this.#blockSize);
      const stop = Math.min((index + 1) * this.#blockSize, end);
      if (!this.#overlay.covers(start, stop - start)) indexes.push(index);
      start = stop;
    }
    return indexes;
  }

  /**
   * @param {number} offset
   * @param {number} length
   * @param {Map<number, Uint8Array>} blocks
   */
  #compose(offset, length, blocks) {
    const bytes = new Uint8Array(length);
    for (const [index, block] of blocks) {
      const start = index * this.#blockSize;
      const from = Math.max(0, offset - start);
      const until = Math.min(block.length, offset + length - start);
      bytes.set(block.subarray(from, until), start + from - offset);
    }
    this.#overlay.read(offset, bytes);
    return bytes;
  }

  /**
   * @param {number} index
   * @param {Uint8Array} block
   * @param {boolean} isAhead
   */
  #noteLoaded(index, block, isAhead) {
    const offset = index * this.#blockSize;
    const length = Math.min(block.length, this.#size - offset);
    if (isAhead) this.#listener.onReadAhead?.(offset, length);
    if (block.every((byte) => byte === 0)) this.#listener.onZeros?.(offset, length);
  }

  /** @param {unknown} error */
  #stop(error) {
    if (this.#isStopped) return;
    this.close();
    this.#listener.onStopped?.(error);
  }
}

/**
 * A disk for v86 that is read from the gateway on demand and written in memory.
 *
 * v86 takes any object with `get`, `set` and `load` as a disk; its own are in v86's `src/buffer.js`. Its drives call
 * `get_and_cache` for the first sector, `get_from_cache` for the same right afterwards, then `get` and `set`.
 */

import { ImageBlocks } from "./image_blocks.js";
import { Patience } from "./patience.js";
import { browserClock } from "./waiting.js";

/** Drivers give up on a disk after 10 seconds (Windows) or 30 (Linux, SeaBIOS). */
const PATIENCE_MS = 4000;
const NO_STATES = "A saved state of v86 cannot have this disk in it: what the guest writes is kept elsewhere.";

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
 * @property {string | null} etag The version of the image; with null only `requests` checks what is read.
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
  #blocks;
  #overlay;
  #listener;
  #patience;
  #isStopped = false;

  /** @param {DiskOptions} options */
  constructor(options) {
    const { size, listener = {} } = options;
    /** Whole sectors: what the image lacks in its last one is read as zeros. */
    this.byteLength = Math.ceil(size / options.sectorSize) * options.sectorSize;
    this.#size = size;
    this.#overlay = options.overlay;
    this.#listener = listener;
    this.#patience = new Patience(options.clock ?? browserClock, PATIENCE_MS, (isSlow) => listener.onSlow?.(isSlow));
    const { onWaiting, onReceived, onRequest } = listener;
    const onLoaded = this.#noteLoaded.bind(this);
    this.#blocks = new ImageBlocks({ ...options, onWaiting, onReceived, onRequest, onLoaded });
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

  /**
   * Read from the image, without what was written over it.
   *
   * @param {number} offset
   * @param {number} length
   * @returns {Promise<Uint8Array>}
   */
  async readImage(offset, length) {
    const bytes = new Uint8Array(length);
    const indexes = this.#blocks.pieces(offset, length).map((piece) => piece.index);
    await this.#blocks.read(indexes, offset, bytes);
    return bytes;
  }

  /**
   * @param {number} offset
   * @param {number} length
   * @returns {Uint8Array | undefined} What `readImage` would give, if it is in memory.
   */
  findImage(offset, length) {
    const blocks = this.#blocks.find(this.#blocks.pieces(offset, length).map((piece) => piece.index));
    if (blocks === undefined) return undefined;
    const bytes = new Uint8Array(length);
    this.#blocks.copy(blocks, offset, bytes);
    return bytes;
  }

  /**
   * Note that the image has other bytes now, so that no older ones are read.
   *
   * @param {number} offset
   * @param {Uint8Array} data Within one block; it must not change afterwards.
   */
  changeImage(offset, data) {
    this.#blocks.change(offset, data);
  }

  /**
   * Begin something for which the guest waits, besides a read: it counts for `onSlow` as one.
   *
   * @returns {() => void} To be called at its end.
   */
  beginWait() {
    return this.#patience.begin();
  }

  /** @returns {[[number, Uint8Array][]]} What was written, for a saved state of v86. */
  get_state() {
    if (this.#overlay.entries === undefined) throw new Error(NO_STATES);
    return [this.#overlay.entries()];
  }

  /** @param {[[number, Uint8Array][]]} state */
  set_state([entries]) {
    if (this.#overlay.clear === undefined) throw new Error(NO_STATES);
    this.#overlay.clear();
    for (const [offset, data] of entries) this.#overlay.write(offset, data);
  }

  /**
   * Read what the guest will want, in this order.
   *
   * @param {number[]} offsets Byte offsets.
   */
  readAhead(offsets) {
    this.#blocks.readAhead(offsets);
  }

  /** Try what waits at once: the network is back. */
  wake() {
    this.#blocks.wake();
  }

  /** End all reads; the guest gets no more bytes. */
  close() {
    this.#isStopped = true;
    this.#blocks.close();
  }

  /** @returns {number} Bytes of the image in memory. */
  get cachedBytes() {
    return this.#blocks.bytes;
  }

  /**
   * @param {number} offset
   * @param {number} length
   */
  #findInMemory(offset, length) {
    const blocks = this.#blocks.find(this.#blocksOf(offset, length));
    if (blocks === undefined) return undefined;
    const bytes = new Uint8Array(length);
    this.#blocks.copy(blocks, offset, bytes);
    this.#overlay.read(offset, bytes);
    return bytes;
  }

  /**
   * @param {number} offset
   * @param {number} length
   */
  async #read(offset, length) {
    const bytes = new Uint8Array(length);
    // What was written may have been committed, and be gone from the overlay, when the blocks that it lacks are there.
    this.#overlay.read(offset, bytes);
    await this.#blocks.read(this.#blocksOf(offset, length), offset, bytes);
    this.#overlay.read(offset, bytes);
    return bytes;
  }

  /**
   * Return the blocks that a read needs: none behind the image's end, nor where all was written.
   *
   * @param {number} offset
   * @param {number} length
   */
  #blocksOf(offset, length) {
    const pieces = this.#blocks.pieces(offset, length);
    return pieces.filter(({ start, stop }) => !this.#overlay.covers(start, stop - start)).map(({ index }) => index);
  }

  /**
   * @param {number} offset
   * @param {Uint8Array} bytes
   * @param {boolean} isAhead
   */
  #noteLoaded(offset, bytes, isAhead) {
    if (isAhead) this.#listener.onReadAhead?.(offset, bytes.length);
    if (bytes.every((byte) => byte === 0)) this.#listener.onZeros?.(offset, bytes.length);
  }

  /** @param {unknown} error */
  #stop(error) {
    if (this.#isStopped) return;
    this.close();
    this.#listener.onStopped?.(error);
  }
}

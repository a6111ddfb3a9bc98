/**
 * Decides when what the guest has written is committed, and does it, layer by layer.
 */

import { encodeSegment } from "./segment.js";

const PERIOD_MS = 1000;

/**
 * @typedef {object} SaverOptions
 * @property {import("./write_layers.js").WriteLayers} layers
 * @property {import("./committer.js").Committer} committer
 * @property {import("../open/leased_disk.js").LeasedDisk} disk The committed state of the disk.
 * @property {number} blockSize
 * @property {number} size Bytes of the disk.
 * @property {import("../open/waiting.js").Clock} clock
 * @property {() => boolean} isHidden Whether the page is in the background, where timers come late.
 * @property {() => void} onSaved Called after each commit.
 * @property {(error: unknown) => void} onStopped Nothing can be committed any more.
 */

/** @typedef {{ last: number, resolve: () => void, reject: (error: unknown) => void }} FlushWaiter */

export class Saver {
  #options;
  /** Of layers that were committed. */
  #saved = 0;
  /** @type {FlushWaiter[]} */
  #waiters = [];
  #isRunning = false;
  /** @type {any} */
  #timer = null;
  /** @type {{ error: unknown } | null} */
  #stopped = null;

  /** @param {SaverOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** The guest has written: commit it within a second. */
  noteWrite() {
    this.#schedule();
  }

  /** Begin to commit at once what was written. */
  saveNow() {
    this.#options.layers.seal();
    void this.#run();
  }

  /**
   * Commit what was written so far. Rejects if that cannot be done any more.
   *
   * @returns {Promise<void>}
   */
  flush() {
    if (this.#stopped) return Promise.reject(this.#stopped.error);
    const { layers } = this.#options;
    layers.seal();
    if (layers.next === null) return Promise.resolve();
    const last = this.#saved + layers.sealedCount;
    /** @type {Promise<void>} */
    const flushed = new Promise((resolve, reject) => this.#waiters.push({ last, resolve, reject }));
    void this.#run();
    return flushed;
  }

  /**
   * Commit nothing more.
   *
   * @param {unknown} error What those get who wait.
   */
  stop(error) {
    if (this.#stopped) return;
    this.#stopped = { error };
    this.#options.clock.clearTimeout(this.#timer);
    this.#options.committer.close();
    for (const { reject } of this.#waiters.splice(0)) reject(error);
  }

  /** The page goes away: let the last request go on without it. */
  leave() {
    const { layers, committer } = this.#options;
    committer.leave(() => {
      layers.seal();
      const layer = layers.next;
      return layer !== null && this.#fillNow(layer) ? this.#encode(layer) : null;
    });
  }

  #schedule() {
    const { layers, clock, isHidden } = this.#options;
    if (this.#stopped || this.#isRunning || layers.oldest === null) return;
    if (layers.next !== null || this.#isDue() || isHidden()) return void this.#run();
    this.#timer ??= clock.setTimeout(() => void this.#run(), layers.oldest + PERIOD_MS - clock.now());
  }

  #isDue() {
    const { layers, clock } = this.#options;
    return layers.oldest !== null && clock.now() - layers.oldest >= PERIOD_MS;
  }

  async #run() {
    if (this.#isRunning || this.#stopped) return;
    this.#isRunning = true;
    this.#options.clock.clearTimeout(this.#timer);
    this.#timer = null;
    try {
      for (let layer = this.#nextLayer(); layer !== null; layer = this.#nextLayer()) await this.#save(layer);
    } catch (error) {
      if (!this.#stopped) this.#options.onStopped(error);
    } finally {
      this.#isRunning = false;
    }
    this.#schedule();
  }

  #nextLayer() {
    const { layers, isHidden } = this.#options;
    if (this.#stopped) return null;
    if (layers.next === null && (this.#isDue() || isHidden())) layers.seal();
    return layers.next;
  }

  /** @param {import("./write_layers.js").Layer} layer */
  async #save(layer) {
    const { committer, disk, layers, blockSize, onSaved } = this.#options;
    await this.#fill(layer);
    await committer.commit(this.#encode(layer));
    if (this.#stopped) return;
    for (const [number, { data }] of layer.blocks) disk.changeImage(number * blockSize, data);
    layers.removeNext();
    this.#saved += 1;
    const waiters = this.#waiters.filter(({ last }) => last <= this.#saved);
    this.#waiters = this.#waiters.filter(({ last }) => last > this.#saved);
    for (const { resolve } of waiters) resolve();
    onSaved();
  }

  /**
   * Read what the guest has not written of the blocks: commits have whole blocks.
   *
   * @param {import("./write_layers.js").Layer} layer
   */
  async #fill(layer) {
    const { disk, blockSize } = this.#options;
    const partial = [...layer.blocks].filter(([, block]) => !block.isWhole);
    await Promise.all(
      partial.map(async ([number, block]) => block.fill(await disk.readImage(number * blockSize, blockSize))),
    );
  }

  /**
   * @param {import("./write_layers.js").Layer} layer
   * @returns {boolean} Whether all that is missing was in memory.
   */
  #fillNow(layer) {
    const { disk, blockSize } = this.#options;
    for (const [number, block] of layer.blocks) {
      const bytes = block.isWhole ? null : disk.findImage(number * blockSize, blockSize);
      if (bytes === undefined) return false;
      if (bytes !== null) block.fill(bytes);
    }
    return true;
  }

  /** @param {import("./write_layers.js").Layer} layer */
  #encode(layer) {
    const { blockSize, size } = this.#options;
    // The last block is padded with zeros, whatever the guest has written behind the disk's end.
    layer.blocks.get(Math.floor(size / blockSize))?.data.fill(0, size % blockSize);
    return encodeSegment(blockSize, new Map([...layer.blocks].map(([number, { data }]) => [number, data])));
  }
}

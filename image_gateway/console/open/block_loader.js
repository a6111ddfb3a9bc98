/**
 * Loads blocks into the cache: each once, adjacent ones by one request, a few requests at a time, and what the guest
 * waits for before what is read ahead.
 */

/** Browsers have six connections to a host of HTTP/1.1; renewals of the lease need one. */
const PARALLEL = 4;
/** What is read ahead must not push itself out of the cache before it is used. */
const SHARE_FOR_READING_AHEAD = 0.75;

/**
 * @typedef {object} LoaderOptions
 * @property {{ fetch: (first: number, count: number) => Promise<Uint8Array[]> }} fetcher
 * @property {import("./block_cache.js").BlockCache} cache
 * @property {number} blockSize
 * @property {number} blockCount
 * @property {number} mostBlocks The number of blocks of one request.
 * @property {number} [parallel] The number of requests at a time.
 * @property {(index: number, block: Uint8Array, isAhead: boolean) => void} [onLoaded]
 */

/** @typedef {{ resolve: (block: Uint8Array) => void, reject: (error: unknown) => void }} Waiter */

export class BlockLoader {
  #options;
  #parallel;
  /** @type {Map<number, Waiter[]>} Who waits for a block that is on its way; nobody for one that is read ahead. */
  #pending = new Map();
  /** @type {Set<number>} */
  #wanted = new Set();
  /** @type {number[]} */
  #ahead = [];
  #running = 0;
  #runningAhead = 0;
  #isStarting = false;
  /** @type {{ error: unknown } | null} */
  #stopped = null;

  /** @param {LoaderOptions} options */
  constructor(options) {
    this.#options = options;
    this.#parallel = options.parallel ?? PARALLEL;
  }

  /**
   * Return a block from the cache or the gateway.
   *
   * @param {number} index
   * @returns {Promise<Uint8Array>}
   */
  load(index) {
    const cached = this.#options.cache.get(index);
    if (cached !== undefined) return Promise.resolve(cached);
    if (this.#stopped) return Promise.reject(this.#stopped.error);
    let waiters = this.#pending.get(index);
    if (waiters === undefined) {
      waiters = [];
      this.#pending.set(index, waiters);
      this.#wanted.add(index);
      this.#startSoon();
    }
    const joined = waiters;
    return new Promise((resolve, reject) => joined.push({ resolve, reject }));
  }

  /**
   * Return whether a block is on its way, or waits to be asked for.
   *
   * @param {number} index
   */
  isLoading(index) {
    return this.#pending.has(index);
  }

  /**
   * Load blocks in this order while the guest waits for nothing else.
   *
   * @param {number[]} indexes
   */
  loadAhead(indexes) {
    const { cache, blockSize, blockCount } = this.#options;
    const most = Math.floor((cache.capacity * SHARE_FOR_READING_AHEAD) / blockSize);
    this.#ahead = indexes.filter((index) => index >= 0 && index < blockCount).slice(0, most);
    this.#startSoon();
  }

  /** Start after the caller has named all blocks that it needs, so that adjacent ones become one request. */
  #startSoon() {
    if (this.#isStarting) return;
    this.#isStarting = true;
    queueMicrotask(() => {
      this.#isStarting = false;
      this.#start();
    });
  }

  #start() {
    while (this.#stopped === null && this.#running < this.#parallel) {
      const wanted = this.#nextWanted();
      if (wanted.length > 0) void this.#run(wanted, false);
      else {
        // The last connection stays free for what the guest wants next.
        const ahead = this.#runningAhead < Math.max(1, this.#parallel - 1) ? this.#nextAhead() : [];
        if (ahead.length === 0) return;
        void this.#run(ahead, true);
      }
    }
  }

  /** @returns {number[]} Adjacent blocks. */
  #nextWanted() {
    const run = [];
    for (const first of this.#wanted) {
      for (let index = first; run.length < this.#options.mostBlocks && this.#wanted.delete(index); index += 1) {
        run.push(index);
      }
      break;
    }
    return run;
  }

  /** @returns {number[]} Adjacent blocks that are neither cached nor on their way. */
  #nextAhead() {
    /** @type {number[]} */
    const run = [];
    while (this.#ahead.length > 0 && run.length < this.#options.mostBlocks) {
      const index = this.#ahead[0];
      const isNeeded = !this.#options.cache.has(index) && !this.#pending.has(index);
      if (isNeeded && run.length > 0 && index !== run[run.length - 1] + 1) break;
      this.#ahead.shift();
      if (isNeeded) run.push(index);
    }
    for (const index of run) this.#pending.set(index, []);
    return run;
  }

  /**
   * @param {number[]} run
   * @param {boolean} isAhead
   */
  async #run(run, isAhead) {
    this.#running += 1;
    this.#runningAhead += isAhead ? 1 : 0;
    try {
      const blocks = await this.#options.fetcher.fetch(run[0], run.length);
      run.forEach((index, at) => this.#arrived(index, blocks[at], isAhead));
    } catch (error) {
      this.#stop(error);
    } finally {
      this.#running -= 1;
      this.#runningAhead -= isAhead ? 1 : 0;
    }
    this.#start();
  }

  /**
   * @param {number} index
   * @param {Uint8Array} block
   * @param {boolean} isAhead
   */
  #arrived(index, block, isAhead) {
    this.#options.cache.put(index, block);
    this.#options.onLoaded?.(index, block, isAhead);
    const waiters = this.#pending.get(index) ?? [];
    this.#pending.delete(index);
    for (const { resolve } of waiters) resolve(block);
  }

  /** @param {unknown} error */
  #stop(error) {
    this.#stopped ??= { error };
    this.#ahead = [];
    this.#wanted.clear();
    const waiters = [...this.#pending.values()].flat();
    this.#pending.clear();
    for (const { reject } of waiters) reject(error);
  }
}

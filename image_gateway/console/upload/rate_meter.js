/**
 * The rate of a transfer over the last seconds.
 */

const WINDOW = 15_000;
const BUCKET = 500;

/** Counts bytes in a window that slides. */
export class RateMeter {
  /** @type {{ at: number, bytes: number }[]} */
  #buckets = [];
  #now;
  #startedAt = 0;

  /** @param {() => number} now Milliseconds. */
  constructor(now) {
    this.#now = now;
  }

  /** Begin anew: what comes was not sent before this moment. */
  start() {
    this.#startedAt = this.#now();
    this.#buckets = [];
  }

  /**
   * Count bytes that were sent.
   *
   * @param {number} bytes
   */
  add(bytes) {
    const at = this.#now();
    const last = this.#buckets.at(-1);
    if (last !== undefined && at >= last.at && at - last.at < BUCKET) last.bytes += bytes;
    else this.#buckets.push({ at, bytes });
    this.#drop(at);
  }

  /**
   * Return bytes per second over the window, or since the start if that is later; 0 without any.
   *
   * @returns {number}
   */
  get rate() {
    const now = this.#now();
    this.#drop(now);
    const since = Math.max(this.#startedAt, now - WINDOW);
    // The first moments say nothing.
    const seconds = Math.max(now - since, 2 * BUCKET) / 1000;
    return this.#buckets.reduce((sum, { bytes }) => sum + bytes, 0) / seconds;
  }

  /** @param {number} now */
  #drop(now) {
    // A clock that was set back makes buckets of the future, which say nothing either.
    this.#buckets = this.#buckets.filter(({ at }) => at > now - WINDOW && at <= now);
  }
}

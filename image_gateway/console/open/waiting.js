/**
 * Clocks and waits for what has to be tried again later.
 */

/**
 * What the modules of this page need of a clock; tests have one of their own.
 *
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds since the epoch.
 * @property {(call: () => void, milliseconds: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** @type {Clock} */
export const browserClock = {
  now: () => Date.now(),
  setTimeout: (call, milliseconds) => setTimeout(call, milliseconds),
  clearTimeout: (timer) => clearTimeout(timer),
};

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/**
 * Return how long to wait before the next attempt: twice as long each time, up to 15 seconds, and a random part less,
 * so that many readers do not come back at once.
 *
 * @param {number} attempt The number of attempts that failed, from 1.
 * @param {number | null} [atLeastSeconds] What the server asked for by Retry-After; more than a minute is not believed.
 * @param {() => number} [random]
 * @returns {number} Milliseconds.
 */
export function delayBefore(attempt, atLeastSeconds = null, random = Math.random) {
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 10));
  const asked = Math.min(60, atLeastSeconds ?? 0) * 1000;
  return Math.max(asked, longest / 2 + (longest / 2) * random());
}

/** Waits that end when their time is over, or together when there is a reason to try again at once. */
export class Waits {
  /** @type {Set<(wasWoken: boolean) => void>} */
  #pending = new Set();
  #clock;

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * @param {number} milliseconds
   * @returns {Promise<boolean>} Whether the wait was ended by `wake`: then there is hope, and the next waits can be
   *   short.
   */
  wait(milliseconds) {
    return new Promise((resolve) => {
      const end = (/** @type {boolean} */ wasWoken) => {
        this.#clock.clearTimeout(timer);
        this.#pending.delete(end);
        resolve(wasWoken);
      };
      const timer = this.#clock.setTimeout(() => end(false), milliseconds);
      this.#pending.add(end);
    });
  }

  /** End all waits now. */
  wake() {
    for (const end of [...this.#pending]) end(true);
  }
}

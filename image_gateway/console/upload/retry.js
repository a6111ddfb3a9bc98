/**
 * Tries requests again until they succeed: exponential backoff with jitter, Retry-After, and the browser's own word on
 * whether there is a network. Nothing is given up because of time.
 */

import { Retryable } from "./errors.js";

/** @typedef {import("./errors.js").WaitReason} WaitReason */

/**
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds.
 * @property {(call: () => void, milliseconds: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * @typedef {object} Network
 * @property {boolean} isOnline What the browser says; it may be wrong in both directions.
 * @property {(listener: () => void) => () => void} onOnline Calls back when the network returns; returns how to stop that.
 */

/** @type {Clock} */
export const systemClock = {
  // A clock that counts the time in which the machine slept, unlike performance.now() in some browsers.
  now: () => Date.now(),
  setTimeout: (call, milliseconds) => globalThis.setTimeout(call, milliseconds),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

/** @type {Network} */
export const browserNetwork = {
  get isOnline() {
    return globalThis.navigator?.onLine ?? true;
  },
  onOnline(listener) {
    globalThis.addEventListener("online", listener);
    return () => globalThis.removeEventListener("online", listener);
  },
};

export const BASE_DELAY = 500;
export const MAX_DELAY = 30_000;

/**
 * Return how long to wait before another attempt, in milliseconds: between half and the whole of a time that doubles
 * with each attempt up to MAX_DELAY, after what the server asked for.
 *
 * @param {number} attempt 0 after the first failure.
 * @param {number} retryAfter Seconds.
 * @param {() => number} random From 0 up to 1.
 * @returns {number}
 */
export function backoff(attempt, retryAfter, random) {
  // The exponent is capped, as 2 ** 2000 is Infinity.
  const longest = Math.min(MAX_DELAY, BASE_DELAY * 2 ** Math.min(attempt, 16));
  return retryAfter * 1000 + longest * (0.5 + random() / 2);
}

/** Tries again what failed with Retryable. */
export class Retrier {
  #clock;
  #network;
  #random;
  /** @type {Set<() => void>} */
  #waitingForSignIn = new Set();
  #signIns = 0;
  #onSignedOut;

  /**
   * @param {{ clock: Clock, network: Network, random: () => number, onSignedOut?: () => void }} parts
   *   `onSignedOut` is called when the gateway wants the person to sign in again, once until `signedIn()`.
   */
  constructor({ clock, network, random, onSignedOut = () => {} }) {
    this.#clock = clock;
    this.#network = network;
    this.#random = random;
    this.#onSignedOut = onSignedOut;
  }

  /** Whether requests wait for `signedIn()`. */
  get isSignedOut() {
    return this.#waitingForSignIn.size > 0;
  }

  /** Let go on what waits for a new session. */
  signedIn() {
    this.#signIns += 1;
    for (const goOn of [...this.#waitingForSignIn]) goOn();
  }

  /**
   * Call `work` until it succeeds or fails for good, and return its result.
   *
   * @template T
   * @param {() => Promise<T>} work Throws Retryable for what passes by itself.
   * @param {AbortSignal} signal Stops waiting.
   * @param {(reason: WaitReason | null) => void} onWait Called with a reason when waiting begins, and with null when
   *   that is over because an attempt succeeded or failed for good.
   * @returns {Promise<T>}
   */
  async call(work, signal, onWait) {
    try {
      for (let attempt = 0; ; attempt += 1) {
        signal.throwIfAborted();
        const signIns = this.#signIns;
        try {
          return await work();
        } catch (error) {
          if (!(error instanceof Retryable)) throw error;
          // The request may have been sent before the person signed in, and been answered afterwards.
          const isOutdated = error.reason === "signed-out" && signIns !== this.#signIns;
          if (!isOutdated) await this.#wait(error, attempt, signal, onWait);
        }
      }
    } finally {
      onWait(null);
    }
  }

  /**
   * @param {Retryable} failure
   * @param {number} attempt
   * @param {AbortSignal} signal
   * @param {(reason: WaitReason) => void} onWait
   */
  async #wait(failure, attempt, signal, onWait) {
    if (failure.reason === "signed-out") {
      onWait("signed-out");
      return this.#awaitSignIn(signal);
    }
    const isOffline = !this.#network.isOnline;
    onWait(isOffline ? "offline" : failure.reason);
    const listen = failure.reason === "busy" ? ignore : this.#network.onOnline;
    // Browsers are wrong at times about having no network: ask at long intervals even then.
    const delay = isOffline ? MAX_DELAY : backoff(attempt, failure.retryAfter, this.#random);
    await waitFor((goOn) => {
      const timer = this.#clock.setTimeout(goOn, delay);
      const stopListening = listen(goOn);
      return () => {
        this.#clock.clearTimeout(timer);
        stopListening();
      };
    }, signal);
  }

  /** @param {AbortSignal} signal */
  async #awaitSignIn(signal) {
    const isFirst = !this.isSignedOut;
    const signedIn = waitFor((goOn) => {
      this.#waitingForSignIn.add(goOn);
      return () => void this.#waitingForSignIn.delete(goOn);
    }, signal);
    if (isFirst) this.#onSignedOut();
    await signedIn;
  }
}

/** @returns {() => void} */
function ignore() {
  return () => {};
}

/**
 * Wait until something calls back, or reject with the signal's reason.
 *
 * @param {(goOn: () => void) => () => void} begin Arranges for the call, and returns what undoes that.
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function waitFor(begin, signal) {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      undo();
      reject(signal.reason);
    };
    const undo = begin(() => {
      undo();
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort);
  });
}

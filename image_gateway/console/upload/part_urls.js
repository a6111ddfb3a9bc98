/**
 * Presigned URLs of parts: fetched in batches, and fetched again before they expire by the server's clock.
 */

import { Retryable } from "./errors.js";

const EXPIRY_MARGIN = 30_000;

/** @typedef {{ urls: { partNumber: number, url: string }[], expiresAt: string, serverTime: string }} SignedParts */

/** Keeps the URLs of the parts that are still to be sent. */
export class PartUrls {
  /** @type {Set<number>} */
  #unsent;
  /** @type {Map<number, { url: string, usableUntil: number, call: number }>} */
  #urls = new Map();
  /** @type {Promise<void> | null} */
  #fetching = null;
  #calls = 0;
  #sign;
  #batch;
  #now;

  /**
   * @param {Iterable<number>} numbers The parts to send, in their order.
   * @param {{ sign: (numbers: number[]) => Promise<SignedParts>, batch: number, now: () => number }} parts `sign` asks
   *   the gateway for URLs, `batch` is for how many at once, `now` is in milliseconds by any clock.
   */
  constructor(numbers, { sign, batch, now }) {
    this.#unsent = new Set(numbers);
    this.#sign = sign;
    this.#batch = batch;
    this.#now = now;
  }

  /**
   * Return a URL for a part that has not expired.
   *
   * @param {number} number
   * @returns {Promise<string>}
   */
  async take(number) {
    for (;;) {
      const known = this.#fresh(number);
      if (known !== null) return known;
      if (this.#fetching === null) {
        await this.#fetch(number);
        const fetched = this.#urls.get(number);
        // Also if it has expired at once: then the store decides.
        if (fetched !== undefined) return fetched.url;
        throw new Retryable("gateway");
      }
      // The other one may fetch this URL, too; if it fails, this one asks.
      await this.#fetching.catch(() => null);
    }
  }

  /**
   * Forget a URL that did not work. Those that are as old have probably expired, too: each attempt with one of them
   * could cost a whole part.
   *
   * @param {number} number
   * @param {string} url The one that was used; the part may have a newer one by now.
   */
  drop(number, url) {
    const used = this.#urls.get(number);
    if (used === undefined || used.url !== url) return;
    for (const [other, known] of this.#urls) if (known.call <= used.call) this.#urls.delete(other);
  }

  /**
   * Note that a part needs no URL any more.
   *
   * @param {number} number
   */
  done(number) {
    this.#unsent.delete(number);
    this.#urls.delete(number);
  }

  /**
   * @param {number} number
   * @returns {string | null}
   */
  #fresh(number) {
    const known = this.#urls.get(number);
    return known !== undefined && known.usableUntil > this.#now() ? known.url : null;
  }

  /** @param {number} number */
  async #fetch(number) {
    this.#fetching = this.#fetchBatch(number);
    try {
      await this.#fetching;
    } finally {
      this.#fetching = null;
    }
  }

  /** @param {number} number */
  async #fetchBatch(number) {
    const numbers = [number];
    for (const other of this.#unsent) {
      if (numbers.length >= this.#batch) break;
      if (other !== number && this.#fresh(other) === null) numbers.push(other);
    }
    numbers.sort((one, other) => one - other);
    // Taken before the request, so that the lifetime is never taken for longer than it is.
    const askedAt = this.#now();
    const call = (this.#calls += 1);
    const { urls, expiresAt, serverTime } = await this.#sign(numbers);
    const lifetime = Date.parse(expiresAt) - Date.parse(serverTime);
    const usableUntil = askedAt + lifetime - Math.min(EXPIRY_MARGIN, lifetime / 4);
    for (const { partNumber, url } of urls) this.#urls.set(partNumber, { url, usableUntil, call });
  }
}

/**
 * Gets blocks of an image from the gateway, and tries again for as long as the fault may pass.
 */

import { DiskStopped, faultOf, PassingFault } from "./faults.js";
import { browserClock, delayBefore, Waits } from "./waiting.js";

/** An attempt ends when no byte has come for so long. */
const STALLED_MS = 20_000;

/**
 * The lease by which blocks are read.
 *
 * @typedef {object} ReadingLease
 * @property {import("./block_requests.js").LeaseDocument} current
 * @property {(stale: import("./block_requests.js").LeaseDocument) => Promise<void>} refresh Renews or replaces a lease
 *   that cannot be read with any more; rejects if that cannot be done.
 */

/**
 * @typedef {object} FetcherOptions
 * @property {import("./block_requests.js").BlockRequests} requests
 * @property {ReadingLease} lease
 * @property {string | null} etag The version of the image; with null only `requests` checks what is read.
 * @property {typeof fetch} [fetch]
 * @property {import("./waiting.js").Clock} [clock]
 * @property {() => number} [random]
 * @property {(reason: string | null) => void} [onWaiting] Called with the reason when reads begin to wait, and with
 *   null when none waits any more.
 * @property {(bytes: number) => void} [onReceived] Called for bytes as they come.
 * @property {() => void} [onRequest]
 */

export class BlockFetcher {
  #options;
  #clock;
  #waits;
  #closing = new AbortController();
  /** @type {Set<object>} */
  #waiting = new Set();
  #verifiedLease;

  /** @param {FetcherOptions} options */
  constructor(options) {
    this.#options = options;
    this.#clock = options.clock ?? browserClock;
    this.#waits = new Waits(this.#clock);
    this.#verifiedLease = options.lease.current.leaseId;
  }

  /**
   * Return adjacent blocks. Rejects with DiskStopped if the image can be read no more, and with an AbortError when the
   * fetcher was closed.
   *
   * @param {number} first
   * @param {number} count
   * @returns {Promise<Uint8Array[]>}
   */
  async fetch(first, count) {
    const run = {};
    try {
      for (let attempt = 1; ; attempt += 1) {
        const lease = this.#options.lease.current;
        try {
          await this.#verifyVersion(lease);
          return split(await this.#read(lease, first, count), this.#options.requests.blockSize);
        } catch (error) {
          this.#closing.signal.throwIfAborted();
          if (!(error instanceof PassingFault)) throw error;
          const wasWoken = await this.#recover(run, error, lease, attempt);
          if (wasWoken) attempt = 0;
        }
      }
    } finally {
      this.#endWaiting(run);
    }
  }

  /** Try again at once: the network is back, or the page was woken up. */
  wake() {
    this.#waits.wake();
  }

  /** End all reads and waits. */
  close() {
    this.#closing.abort();
    this.#waits.wake();
  }

  /**
   * @param {object} run
   * @param {PassingFault} fault
   * @param {import("./block_requests.js").LeaseDocument} lease
   * @param {number} attempt
   * @returns {Promise<boolean>} Whether there was a reason to try again before the time.
   */
  async #recover(run, fault, lease, attempt) {
    this.#waiting.add(run);
    this.#options.onWaiting?.(fault.message);
    if (fault.needsCheck) this.#verifiedLease = "";
    if (fault.needsLease) await this.#options.lease.refresh(lease);
    // With a renewed lease the first attempt comes at once.
    const delay = delayBefore(attempt, fault.afterSeconds, this.#options.random);
    const wasWoken = (!fault.needsLease || attempt > 1) && (await this.#waits.wait(delay));
    this.#closing.signal.throwIfAborted();
    return wasWoken;
  }

  /** @param {object} run */
  #endWaiting(run) {
    if (this.#waiting.delete(run) && this.#waiting.size === 0) this.#options.onWaiting?.(null);
  }

  /**
   * Compare the image's version, where the requests for blocks do not do that themselves: under a new lease, and after
   * the gateway could not read the image.
   *
   * @param {import("./block_requests.js").LeaseDocument} lease
   */
  async #verifyVersion(lease) {
    const { etag, requests } = this.#options;
    if (etag === null || requests.pinsVersion || lease.leaseId === this.#verifiedLease) return;
    const attempt = this.#beginAttempt();
    try {
      const headers = { Range: "bytes=0-0", "If-Match": etag };
      const response = await this.#send(lease.url, { headers, cache: "no-store" }, attempt.signal);
      if (!response.ok) throw await faultOf(response);
      this.#requireVersion(response);
      this.#verifiedLease = lease.leaseId;
    } finally {
      attempt.end();
    }
  }

  /**
   * @param {import("./block_requests.js").LeaseDocument} lease
   * @param {number} first
   * @param {number} count
   * @returns {Promise<Uint8Array>}
   */
  async #read(lease, first, count) {
    const { requests, etag } = this.#options;
    const request = requests.describe(lease, first, count);
    const headers = { ...request.headers, ...(requests.pinsVersion && etag !== null ? { "If-Match": etag } : {}) };
    const attempt = this.#beginAttempt();
    try {
      const response = await this.#send(request.url, { headers, cache: request.cache }, attempt.signal);
      if (!response.ok) throw await faultOf(response);
      if (requests.pinsVersion) this.#requireVersion(response);
      requests.check(response, request);
      return await this.#receive(response, request.bytes, attempt);
    } finally {
      attempt.end();
    }
  }

  /**
   * @param {string} url
   * @param {RequestInit} init
   * @param {AbortSignal} signal
   */
  async #send(url, init, signal) {
    this.#options.onRequest?.();
    try {
      return await (this.#options.fetch ?? fetch)(url, { ...init, signal, credentials: "omit", redirect: "follow" });
    } catch {
      throw new PassingFault("The gateway cannot be reached.");
    }
  }

  /**
   * @param {Response} response
   * @param {number} bytes
   * @param {{ progress: () => void }} attempt
   */
  async #receive(response, bytes, attempt) {
    const received = new Uint8Array(bytes);
    let at = 0;
    const reader = response.body?.getReader();
    try {
      for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
        if (at + next.value.length > bytes) throw new PassingFault("The answer is longer than what was asked for.");
        received.set(next.value, at);
        at += next.value.length;
        attempt.progress();
        this.#options.onReceived?.(next.value.length);
      }
    } catch (error) {
      throw error instanceof PassingFault ? error : new PassingFault("The connection to the gateway broke.");
    }
    if (at !== bytes) throw new PassingFault("The answer was cut.");
    return received;
  }

  /** @param {Response} response */
  #requireVersion(response) {
    const sent = response.headers.get("ETag")?.replace(/^W\//, "") ?? null;
    if (sent === null || this.#options.etag === null || sent === this.#options.etag) return;
    throw new DiskStopped(
      "The image was replaced by another version while the machine was reading it.",
      "PRECONDITION_FAILED",
      response.headers.get("X-Request-Id"),
    );
  }

  /** Begin to watch an attempt: it is aborted when it stalls, and at its end whatever is left of it. */
  #beginAttempt() {
    const controller = new AbortController();
    const abort = () => controller.abort();
    let timer = this.#clock.setTimeout(abort, STALLED_MS);
    this.#closing.signal.addEventListener("abort", abort);
    return {
      signal: controller.signal,
      progress: () => {
        this.#clock.clearTimeout(timer);
        timer = this.#clock.setTimeout(abort, STALLED_MS);
      },
      end: () => {
        this.#clock.clearTimeout(timer);
        this.#closing.signal.removeEventListener("abort", abort);
        abort();
      },
    };
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} blockSize
 */
function split(bytes, blockSize) {
  const blocks = [];
  // Copies, so that the cache can drop one without the others.
  for (let at = 0; at < bytes.length; at += blockSize) blocks.push(bytes.slice(at, at + blockSize));
  return blocks;
}

/**
 * Downloads an image piece by piece into a file: it can be paused, waits while the network is away, and goes on with
 * the byte where it stopped. Bytes of two versions of the image are never mixed.
 */

import { ApiError } from "../lib/api.js";
import { Waits, browserClock, delayBefore } from "../open/waiting.js";

/** @typedef {import("../open/block_requests.js").LeaseDocument} LeaseDocument */
/** @typedef {"running" | "waiting" | "paused" | "done" | "failed" | "cancelled"} DownloadState */

/**
 * Where the bytes go, in their order.
 *
 * @typedef {object} Sink
 * @property {(bytes: Uint8Array<ArrayBuffer>) => Promise<void>} write
 * @property {() => Promise<void>} close
 * @property {() => Promise<void>} abort
 */

/**
 * What the lease must offer.
 *
 * @typedef {{ current: LeaseDocument, refresh: (stale: LeaseDocument) => Promise<void> }} DownloadLease
 */

/** A connection that is silent for so long is given up. */
export const STALL_MS = 20_000;

/** A problem that passes. */
class Temporary extends Error {
  /**
   * @param {string} message
   * @param {number | null} [afterSeconds] What the gateway asked to wait.
   */
  constructor(message, afterSeconds = null) {
    super(message);
    this.afterSeconds = afterSeconds;
  }
}

export class Download {
  #lease;
  #sink;
  #fetch;
  #onChange;
  #random;
  #clock;
  #waits;
  #controller = new AbortController();
  /** @type {string | null} */
  #etag = null;
  #attempt = 0;
  #last = Promise.resolve();

  /**
   * @param {object} options
   * @param {DownloadLease} options.lease
   * @param {number} options.size Of the image, in bytes.
   * @param {Sink} options.sink
   * @param {() => void} options.onChange Called when the state or the number of bytes has changed.
   * @param {typeof fetch} [options.fetch]
   * @param {import("../open/waiting.js").Clock} [options.clock]
   * @param {() => number} [options.random]
   */
  constructor({ lease, size, sink, onChange, fetch: send, clock = browserClock, random = Math.random }) {
    this.#lease = lease;
    this.#sink = sink;
    this.#onChange = onChange;
    this.#fetch = send ?? ((url, init) => fetch(url, init));
    this.#random = random;
    this.#clock = clock;
    this.#waits = new Waits(clock);
    this.size = size;
    /** Bytes that are written. */
    this.received = 0;
    /** @type {DownloadState} */
    this.state = "paused";
    /** @type {Error | null} Why it waits or has failed. */
    this.problem = null;
  }

  /** Begin, or go on after a pause or a failure; ends when the download is over or paused. */
  async run() {
    if (!["paused", "failed"].includes(this.state)) return;
    this.#controller = new AbortController();
    this.#attempt = 0;
    this.#become("running");
    // What was paused may still be writing its last bytes.
    this.#last = this.#runAfter(this.#last, this.#controller.signal);
    await this.#last;
  }

  /**
   * @param {Promise<void>} before
   * @param {AbortSignal} signal
   */
  async #runAfter(before, signal) {
    await before;
    try {
      while (this.received < this.size && !signal.aborted) await this.#goOn(signal);
      if (signal.aborted) return;
      await this.#sink.close();
      this.#become("done");
    } catch (error) {
      if (!signal.aborted) this.#become("failed", error instanceof Error ? error : new Error(String(error)));
    }
  }

  pause() {
    this.#stop("paused");
  }

  /** Give up, and discard what was written. */
  async cancel() {
    this.#stop("cancelled");
    await this.#last;
    await this.#sink.abort();
  }

  /** Try again at once: the network is back. */
  wake() {
    this.#waits.wake();
  }

  /** @param {"paused" | "cancelled"} state */
  #stop(state) {
    if (this.state === "done") return;
    this.#controller.abort();
    this.#waits.wake();
    this.#become(state);
  }

  /**
   * Transfer as much as one answer has, or wait before the next attempt.
   *
   * @param {AbortSignal} signal
   */
  async #goOn(signal) {
    try {
      await this.#transfer(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Temporary)) throw error;
      this.#attempt += 1;
      this.#become("waiting", error);
      await this.#waits.wait(delayBefore(this.#attempt, error.afterSeconds, this.#random));
      if (!signal.aborted) this.#become("running");
    }
  }

  /** @param {AbortSignal} signal */
  async #transfer(signal) {
    const lease = this.#lease.current;
    /** @type {Record<string, string>} */
    const headers = { Range: `bytes=${this.received}-` };
    if (this.#etag !== null) headers["If-Range"] = this.#etag;
    const response = await passing(this.#fetch(lease.url, { headers, signal, cache: "no-store", credentials: "omit" }));
    if (response.status !== 206) await this.#explain(response, lease);
    this.#check(response);
    await this.#write(response, signal);
    if (this.received < this.size && !signal.aborted) throw new Temporary("The connection has ended early.");
  }

  /**
   * Write the body of an answer as it comes.
   *
   * @param {Response} response
   * @param {AbortSignal} signal
   */
  async #write(response, signal) {
    const reader = response.body?.getReader();
    while (reader && !signal.aborted) {
      const { done, value } = await this.#readPart(reader);
      if (done) return;
      if (this.received + value.length > this.size) throw new Error("The gateway sent more than the image has.");
      await this.#sink.write(value);
      this.received += value.length;
      this.#attempt = 0;
      this.#onChange();
    }
  }

  /** @param {ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>} reader */
  async #readPart(reader) {
    let hasStalled = false;
    const timer = this.#clock.setTimeout(() => {
      hasStalled = true;
      // Ends the read below.
      void reader.cancel();
    }, STALL_MS);
    try {
      const part = await passing(reader.read());
      if (hasStalled) throw new Temporary("Nothing has come for a while.");
      return part;
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }

  /**
   * Check that the answer goes on with the same version where the bytes before ended.
   *
   * @param {Response} response
   */
  #check(response) {
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "") ?? [];
    const etag = response.headers.get("ETag");
    const isSame = this.#etag === null || etag === this.#etag;
    if (Number(start) !== this.received || Number(total) !== this.size || !isSame) throw replaced();
    this.#etag = etag;
  }

  /**
   * Throw what an answer without the wanted bytes means.
   *
   * @param {Response} response
   * @param {LeaseDocument} lease With which it was asked for.
   */
  async #explain(response, lease) {
    const { status, headers } = response;
    if (status === 200) throw replaced();
    if (status === 401) {
      await this.#lease.refresh(lease);
      throw new Temporary("The access was renewed.");
    }
    const after = Number(headers.get("Retry-After")) || null;
    if (status >= 500 || status === 429 || status === 408)
      throw new Temporary(`The gateway answered ${status}.`, after);
    const { code = "UNKNOWN", message = `The gateway answered ${status}.` } = (await jsonOf(response))?.error ?? {};
    throw new ApiError(message, status, code, headers.get("X-Request-Id"));
  }

  /**
   * @param {DownloadState} state
   * @param {Error | null} [problem]
   */
  #become(state, problem = null) {
    this.state = state;
    this.problem = problem;
    this.#onChange();
  }
}

function replaced() {
  return new Error("The image was replaced meanwhile. Open the link again, and download it from its beginning.");
}

/** @param {Response} response */
function jsonOf(response) {
  return response.json().catch(() => null);
}

/**
 * Return what a request gives; a broken connection passes.
 *
 * @template T
 * @param {Promise<T>} request
 * @returns {Promise<T>}
 */
async function passing(request) {
  try {
    return await request;
  } catch (error) {
    if (error instanceof TypeError) throw new Temporary("The network is away.");
    throw error;
  }
}

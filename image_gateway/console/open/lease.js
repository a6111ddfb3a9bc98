/**
 * Keeps a lease valid for as long as it is needed.
 *
 * It is renewed when half of its lifetime is over, or at once when a timer came late because the computer slept. When
 * it cannot be renewed any more, another one is made in its place, where the person may do that.
 */

import { ApiError } from "../lib/api.js";
import { browserClock, delayBefore, Waits } from "./waiting.js";

/** Timers do not count while the computer sleeps: look at the clock this often. */
const LONGEST_TIMER_MS = 15_000;

/** @typedef {import("./block_requests.js").LeaseDocument} LeaseDocument */
/** @typedef {import("./lease_requests.js").IssuedLease} IssuedLease */

/** The lease has ended for good, and no other one can be had; the message says why. */
export class LeaseEnded extends Error {
  /**
   * @param {string} message
   * @param {string} code The gateway's error code.
   * @param {string | null} requestId
   */
  constructor(message, code, requestId) {
    super(message);
    this.name = "LeaseEnded";
    this.code = code;
    this.requestId = requestId;
  }
}

/**
 * A problem that passes: the lease is going to be renewed when it is over.
 *
 * @typedef {{ message: string, isSignedOut: boolean }} Problem
 */

/**
 * @typedef {object} LeaseListener
 * @property {(lease: LeaseDocument) => void} [onRenewed] Also called for a lease that takes the place of this one.
 * @property {(problem: Problem | null) => void} [onProblem] Called with null when it is over.
 * @property {(error: LeaseEnded) => void} [onEnded]
 */

export class Lease {
  #requests;
  #listener;
  #clock;
  #random;
  #waits;
  /** @type {LeaseDocument} */
  #document;
  #renewAt = 0;
  /** @type {any} */
  #timer = null;
  /** @type {Promise<void> | null} */
  #refreshing = null;
  /** @type {LeaseEnded | null} */
  #ended = null;

  /**
   * @param {IssuedLease} issued
   * @param {import("./lease_requests.js").LeaseRequests} requests
   * @param {LeaseListener} [listener]
   * @param {{ clock?: import("./waiting.js").Clock, random?: () => number }} [options]
   */
  constructor(issued, requests, listener = {}, options = {}) {
    this.#requests = requests;
    this.#listener = listener;
    this.#clock = options.clock ?? browserClock;
    this.#random = options.random ?? Math.random;
    this.#waits = new Waits(this.#clock);
    this.#document = issued.document;
    this.#accept(issued);
  }

  get current() {
    return this.#document;
  }

  /** Renew at once if it is time: the page was woken up, or the network is back. */
  check() {
    if (this.#ended !== null) return;
    this.#waits.wake();
    if (this.#clock.now() >= this.#renewAt) void this.#refreshOnce();
    else this.#schedule();
  }

  /**
   * Renew or replace the lease because it could not be read with.
   *
   * @param {LeaseDocument} stale The lease that was used; nothing is done if there is a newer one.
   * @throws {LeaseEnded}
   */
  async refresh(stale) {
    // Whoever was refused has reached the gateway: a renewal that waits for the network need not wait any longer.
    this.#waits.wake();
    if (this.#ended === null && this.#document === stale) await this.#refreshOnce();
    if (this.#ended !== null) throw this.#ended;
  }

  /**
   * End the lease: it is renewed no more, and revoked.
   *
   * @param {{ isLeaving?: boolean }} [options] Whether the page goes away.
   */
  async release(options) {
    this.stop();
    await this.#requests.revoke(this.#document, options);
  }

  /** Renew the lease no more; it ends by itself. */
  stop() {
    this.#ended ??= new LeaseEnded("The lease was given back.", "LEASE_REVOKED", null);
    this.#clock.clearTimeout(this.#timer);
    this.#waits.wake();
  }

  #refreshOnce() {
    this.#refreshing ??= this.#refreshUntilDone().finally(() => {
      this.#refreshing = null;
      this.#schedule();
    });
    return this.#refreshing;
  }

  async #refreshUntilDone() {
    this.#clock.clearTimeout(this.#timer);
    let hasProblem = false;
    for (let attempt = 1; this.#ended === null; attempt += 1) {
      try {
        const issued = await this.#renewOrMake();
        if (this.#ended === null) this.#accept(issued);
        if (hasProblem) this.#listener.onProblem?.(null);
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (this.#ended !== null) return;
        const problem = this.#problemOf(error);
        if (problem === null) return this.#end(error);
        this.#listener.onProblem?.(problem);
        hasProblem = true;
        if (await this.#waits.wait(delayBefore(attempt, null, this.#random))) attempt = 0;
      }
    }
  }

  async #renewOrMake() {
    const { make, renew } = this.#requests;
    const document = this.#document;
    if (make === null) return renew(document);
    // At the end of its session a renewal would not prolong it.
    if (Date.parse(document.expiresAt) >= Date.parse(document.sessionEndsAt)) return make();
    try {
      return await renew(document);
    } catch (error) {
      const isLost = error instanceof ApiError && (error.code === "LEASE_EXPIRED" || error.status === 404);
      if (!isLost) throw error;
      return make();
    }
  }

  /** @param {IssuedLease} issued */
  #accept({ document, serverTime }) {
    const left = Math.max(0, Date.parse(document.expiresAt) - serverTime);
    const isLast = this.#requests.make === null && document.expiresAt === document.sessionEndsAt;
    this.#document = document;
    this.#renewAt = isLast ? Infinity : this.#clock.now() + left / 2;
    this.#schedule();
    this.#listener.onRenewed?.(document);
  }

  #schedule() {
    this.#clock.clearTimeout(this.#timer);
    if (this.#ended !== null || this.#refreshing !== null || this.#renewAt === Infinity) return;
    const left = Math.max(0, this.#renewAt - this.#clock.now());
    this.#timer = this.#clock.setTimeout(() => this.check(), Math.min(left, LONGEST_TIMER_MS));
  }

  /**
   * @param {ApiError} error
   * @returns {Problem | null} Null for a problem that does not pass.
   */
  #problemOf(error) {
    const isSignedOut = error.status === 401 && error.code === "UNAUTH" && this.#requests.make !== null;
    const passes = isSignedOut || error.status === 0 || error.status >= 500 || [408, 425, 429].includes(error.status);
    if (!passes) return null;
    const message = isSignedOut ? "You are signed out." : error.message;
    return { message, isSignedOut };
  }

  /** @param {ApiError} error */
  #end(error) {
    const isLink = this.#requests.make === null;
    const isOver = isLink && error.code === "LEASE_EXPIRED";
    const message = isOver
      ? "The access by this link has ended. Open the link again."
      : `The access to this image has ended: ${error.message}.`;
    this.#ended = new LeaseEnded(message, error.code, error.requestId);
    this.#listener.onEnded?.(this.#ended);
  }
}

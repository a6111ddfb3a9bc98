/**
 * Commits segments to a delta, one after the other, each until it was answered.
 *
 * A request whose answer was lost is sent again with the same Idempotency-Key and the same body, which gives the same
 * answer: no commit is applied twice.
 */

import { DiskStopped, PassingFault } from "../open/faults.js";
import { browserClock, delayBefore, Waits } from "../open/waiting.js";
import { commitFault } from "./commit_answers.js";
import { contentDigest, contentDigestNow } from "./content_digest.js";

/** Browsers let 64 KiB of requests go on after their page is gone (Fetch, "keepalive"); the headers count as well. */
export const MOST_KEEPALIVE_BYTES = 60 * 1024;
const ANSWER_MS = 30_000;
/** The slowest connection that is waited for: 32 KiB in a second. */
const BYTES_PER_MS = 32;

/**
 * @typedef {object} CommitterOptions
 * @property {string} url Of the delta's commits.
 * @property {import("./delta_lease.js").WriterState} state
 * @property {import("../open/block_fetcher.js").ReadingLease} lease
 * @property {typeof fetch} [fetch]
 * @property {import("../open/waiting.js").Clock} [clock]
 * @property {() => number} [random]
 * @property {(problem: string | null) => void} [onProblem] Called with the reason when a commit has to be sent again,
 *   and with null when it was answered.
 */

/** @typedef {{ body: Uint8Array<ArrayBuffer>, key: string, digest: string, generation: number }} Commit */

export class Committer {
  #options;
  #clock;
  #waits;
  #closing = new AbortController();
  #prefix = randomKey();
  #count = 0;
  /** @type {Commit | null} */
  #current = null;
  #isSending = false;

  /** @param {CommitterOptions} options */
  constructor(options) {
    this.#options = options;
    this.#clock = options.clock ?? browserClock;
    this.#waits = new Waits(this.#clock);
  }

  /**
   * Commit a segment. Rejects with DiskStopped, or LeaseEnded, if nothing can be committed any more, and with an
   * AbortError when the committer was closed.
   *
   * @param {Uint8Array<ArrayBuffer>} body
   */
  async commit(body) {
    const { state } = this.#options;
    const commit = this.#prepare(body, await contentDigest(body));
    this.#closing.signal.throwIfAborted();
    this.#current = commit;
    state.isUncertain = true;
    for (let attempt = 1; ; attempt += 1) {
      let lease = this.#options.lease.current;
      // No session is made meanwhile, which would fence this request.
      const sending = state.alone(() => {
        lease = this.#options.lease.current;
        return this.#send(commit, lease);
      });
      try {
        state.generation = await sending;
        break;
      } catch (error) {
        this.#closing.signal.throwIfAborted();
        if (!(error instanceof PassingFault)) throw error;
        this.#options.onProblem?.(error.message);
        if (error.needsLease) await this.#options.lease.refresh(lease);
        const delay = delayBefore(attempt, error.afterSeconds, this.#options.random);
        const isReady = error.needsLease && attempt === 1;
        if (!isReady && (await this.#waits.wait(delay))) attempt = 0;
        this.#closing.signal.throwIfAborted();
      }
    }
    this.#current = null;
    state.isUncertain = false;
    this.#options.onProblem?.(null);
  }

  /** Try again at once: the network is back. */
  wake() {
    this.#waits.wake();
  }

  /** Send nothing more. */
  close() {
    this.#closing.abort();
    this.#waits.wake();
  }

  /**
   * The page goes away: let one request go on, if it is small enough; nobody gets its answer. That is the commit that is
   * under way, or else one of the segment that `next` returns.
   *
   * @param {() => Uint8Array<ArrayBuffer> | null} next
   */
  leave(next) {
    if (this.#closing.signal.aborted) return;
    let commit = this.#current;
    if (commit === null) {
      const body = next();
      if (body !== null) commit = this.#prepare(body, contentDigestNow(body));
    }
    const isUnderWay = commit !== null && commit === this.#current && this.#isSending;
    if (commit !== null && !isUnderWay && commit.body.length <= MOST_KEEPALIVE_BYTES) {
      this.#request(commit, this.#options.lease.current, undefined).catch(() => {});
    }
  }

  /**
   * @param {Uint8Array<ArrayBuffer>} body
   * @param {string} digest
   * @returns {Commit}
   */
  #prepare(body, digest) {
    this.#count += 1;
    return { body, digest, key: `${this.#prefix}-${this.#count}`, generation: this.#options.state.generation };
  }

  /**
   * @param {Commit} commit
   * @param {import("../open/block_requests.js").LeaseDocument} lease
   * @returns {Promise<number>} The new generation.
   */
  async #send(commit, lease) {
    const controller = new AbortController();
    const abort = () => controller.abort();
    const timer = this.#clock.setTimeout(abort, ANSWER_MS + commit.body.length / BYTES_PER_MS);
    this.#closing.signal.addEventListener("abort", abort);
    this.#isSending = true;
    try {
      const response = await this.#request(commit, lease, controller.signal);
      if (!response.ok) throw await commitFault(response);
      return generationOf(await response.json(), commit);
    } catch (error) {
      const isKnown = error instanceof PassingFault || error instanceof DiskStopped;
      throw isKnown ? error : new PassingFault("The gateway cannot be reached.");
    } finally {
      this.#isSending = false;
      this.#clock.clearTimeout(timer);
      this.#closing.signal.removeEventListener("abort", abort);
    }
  }

  /**
   * @param {Commit} commit
   * @param {import("../open/block_requests.js").LeaseDocument} lease
   * @param {AbortSignal | undefined} signal
   */
  #request({ body, key, digest, generation }, lease, signal) {
    return (this.#options.fetch ?? fetch)(this.#options.url, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${lease.token}`,
        "Content-Type": "application/octet-stream",
        "Content-Digest": digest,
        "Idempotency-Key": key,
        "If-Match": `"${generation}"`,
      },
      body,
      signal,
      credentials: "omit",
      cache: "no-store",
      keepalive: body.length <= MOST_KEEPALIVE_BYTES,
    });
  }
}

/**
 * @param {any} answer
 * @param {Commit} commit
 * @returns {number}
 */
function generationOf(answer, commit) {
  if (Number.isSafeInteger(answer?.generation) && answer.generation > commit.generation) return answer.generation;
  throw new PassingFault("The gateway’s answer does not say that the commit was stored.");
}

/** Return a text that no other page uses; `crypto.randomUUID` needs a secure context. */
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

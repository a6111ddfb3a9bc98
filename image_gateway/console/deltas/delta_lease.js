/**
 * Makes, renews and ends the session by which a page is the writer of a delta.
 */

import { ApiError } from "../lib/api.js";
import { bearer, issue, pathOf, revoke, sendInTime } from "../open/lease_requests.js";
import { FENCED, fenced } from "./commit_answers.js";

/**
 * The answer to `POST /v1/deltas/{id}/sessions`.
 *
 * @typedef {import("../open/block_requests.js").LeaseDocument & {
 *   deltaId: string, generation: number, epoch: number, blockSize: number, sizeBytes: number,
 * }} SessionDocument
 */

/**
 * @typedef {object} Gateway
 * @property {string} origin Empty for that of the page.
 * @property {() => Promise<Record<string, string>>} authorize Returns the headers that say who the person is.
 */

/** What this page knows of the delta as its writer. */
export class WriterState {
  /** Whether a commit was sent that has no answer yet: the delta may have one more generation. */
  isUncertain = false;
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * @param {number} generation The newest that this page knows.
   * @param {number} epoch
   */
  constructor(generation, epoch) {
    this.generation = generation;
    this.epoch = epoch;
  }

  /**
   * Return whether a generation has nothing but what this page has committed.
   *
   * @param {number} generation
   */
  isOurs(generation) {
    return generation === this.generation || (this.isUncertain && generation === this.generation + 1);
  }

  /**
   * Do something while no other `alone` is under way.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  alone(work) {
    const done = this.#last.then(work, work);
    this.#last = done.catch(() => {});
    return done;
  }
}

/**
 * Become the writer of a delta; who was it before is fenced.
 *
 * @param {Gateway} gateway
 * @param {string} deltaId
 * @returns {Promise<{ document: SessionDocument, serverTime: number }>}
 */
export async function makeSession({ origin, authorize }, deltaId) {
  const path = `${origin}/v1/deltas/${encodeURIComponent(deltaId)}/sessions`;
  const { document, serverTime } = await issue(path, {}, await authorize());
  return { document: /** @type {SessionDocument} */ (document), serverTime };
}

/**
 * Return the requests that keep the session of a writer.
 *
 * @param {Gateway} gateway
 * @param {string} deltaId
 * @param {WriterState} state
 * @returns {import("../open/lease_requests.js").LeaseRequests}
 */
export function sessionRequests(gateway, deltaId, state) {
  /** @param {import("../open/block_requests.js").LeaseDocument} lease */
  const path = (lease) => gateway.origin + pathOf(lease);
  let lostAnswers = 0;

  async function requireWriter() {
    const url = `${gateway.origin}/v1/deltas/${encodeURIComponent(deltaId)}`;
    const { epoch } = await sendInTime("GET", url, undefined, { headers: await gateway.authorize() });
    // A session whose answer was lost has raised the epoch as well.
    if (epoch > state.epoch + lostAnswers) throw fencedError();
  }

  /** Make another session in place of one that has expired, unless somebody else has become the writer since. */
  async function make() {
    await requireWriter();
    lostAnswers += 1;
    const issued = await makeSession(gateway, deltaId);
    if (!state.isOurs(issued.document.generation)) throw fencedError();
    lostAnswers = 0;
    state.epoch = issued.document.epoch;
    return issued;
  }

  /**
   * Renew, and notice another writer, which the lease does not tell.
   *
   * @param {import("../open/block_requests.js").LeaseDocument} lease
   */
  async function renew(lease) {
    const { document, serverTime } = await issue(`${path(lease)}/renew`, undefined, bearer(lease));
    await requireWriter().catch((error) => {
      // What cannot be asked at the moment is told by the next commit.
      if (error.code === FENCED) throw error;
    });
    return { document: { ...lease, ...document }, serverTime };
  }

  return {
    make: () => state.alone(make),
    renew,
    revoke: (lease, { isLeaving = false } = {}) => revoke(path(lease), { keepalive: isLeaving, headers: bearer(lease) }),
  };
}

function fencedError() {
  return new ApiError(fenced().message, 409, FENCED, null);
}

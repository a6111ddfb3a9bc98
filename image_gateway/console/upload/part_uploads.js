/**
 * Sends the missing parts of one file, some of them at the same time.
 */

import { Retryable, UploadError } from "./errors.js";
import { PartRefused, StoreUnreachable } from "./part_sender.js";
import { together } from "./together.js";

/** @typedef {import("./errors.js").WaitReason} WaitReason */
/** @typedef {import("./part_sender.js").PartRequest} PartRequest */
/** @typedef {(part: PartRequest) => Promise<void>} SendPart */

// After so many refusals of fresh URLs in a row the URL is not merely too old.
const MAX_REFUSALS = 3;
// Behind a slow line or a proxy that buffers, the last bytes of a part may take long to arrive without any progress.
const MAX_PATIENCE = 8;

/**
 * @typedef {object} Transfer
 * @property {Blob} file
 * @property {import("./part_plan.js").PartPlan} plan
 * @property {import("./part_urls.js").PartUrls} urls
 * @property {number} parallel How many parts are sent at the same time.
 * @property {SendPart} sendPart
 * @property {import("./retry.js").Retrier} retrier
 * @property {import("./retry.js").Clock} clock
 * @property {number} stallMilliseconds For the first attempt at a part; doubled after each one that stalled.
 * @property {AbortSignal} signal
 * @property {PartProgress} progress
 */

/**
 * What hears how the parts get on.
 *
 * @typedef {object} PartProgress
 * @property {(number: number, sent: number) => void} sending So many bytes of a part are under way.
 * @property {(number: number) => void} stored
 * @property {(number: number) => void} interrupted Its bytes have to be sent again.
 * @property {(number: number, reason: WaitReason | null) => void} waiting
 */

/**
 * Send parts; resolves when the store has all of them.
 *
 * @param {number[]} numbers
 * @param {Transfer} transfer
 * @throws {UploadError} The store refused a part, or the file changed. No other part is under way then.
 */
export async function sendParts(numbers, transfer) {
  // One queue for all: whoever is free takes the next part.
  const queue = numbers.values();
  /** @param {AbortSignal} signal */
  const work = async (signal) => {
    for (const number of queue) await sendUntilStored(number, { ...transfer, signal });
  };
  await together(Array(Math.min(transfer.parallel, numbers.length)).fill(work), transfer.signal);
}

/**
 * @param {number} number
 * @param {Transfer} transfer
 */
async function sendUntilStored(number, transfer) {
  const { retrier, signal, progress, urls } = transfer;
  let [refusals, patience] = [0, 1];
  const attempt = async () => {
    try {
      await sendOnce(number, transfer, patience * transfer.stallMilliseconds);
    } catch (error) {
      progress.interrupted(number);
      if (error instanceof StoreUnreachable && error.isStalled) patience = Math.min(2 * patience, MAX_PATIENCE);
      refusals = error instanceof PartRefused ? refusals + 1 : 0;
      if (!(error instanceof PartRefused)) throw error;
      if (refusals > MAX_REFUSALS) throw refusedForGood(error);
      throw new Retryable("store");
    }
  };
  await retrier.call(attempt, signal, (reason) => progress.waiting(number, reason));
  urls.done(number);
  progress.stored(number);
}

/**
 * @param {number} number
 * @param {Transfer} transfer
 * @param {number} stallMilliseconds
 */
async function sendOnce(number, { file, plan, urls, sendPart, clock, signal, progress }, stallMilliseconds) {
  const url = await urls.take(number);
  signal.throwIfAborted();
  const { start, end } = plan.part(number);
  progress.sending(number, 0);
  const body = file.slice(start, end);
  /** @param {number} sent */
  const onProgress = (sent) => progress.sending(number, sent);
  try {
    await sendPart({ url, body, signal, onProgress, stallMilliseconds, clock });
  } catch (error) {
    const isBusy = error instanceof Retryable && error.reason === "busy";
    // On any other failure: browsers hide from pages that a store has refused an old URL.
    if (!isBusy) urls.drop(number, url);
    throw error;
  }
}

/** @param {PartRefused} error */
function refusedForGood({ status, code }) {
  const answer = code ? `${status} ${code}` : String(status);
  const message = `The store refuses the file's parts (${answer}). Tell the people who run this gateway.`;
  return new UploadError("store", message, { status, code });
}

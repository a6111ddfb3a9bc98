/**
 * Keeps the list of images current while some of them are being uploaded or processed.
 */

import { get } from "../lib/api.js";
import { errorBox } from "../lib/dom.js";
import { pause } from "../lib/pause.js";

/** @typedef {import("./types.js").Image} Image */
/** @typedef {import("./types.js").Job} Job */
/** @typedef {{ done: number, total: number | null }} Progress */

/**
 * What is refreshed: the list of the page.
 *
 * @typedef {object} RefreshedList
 * @property {Image[]} images
 * @property {Map<string, Progress>} progress By image.
 * @property {HTMLElement} body Where errors are shown.
 * @property {string} firstPage The API's path of the first page.
 * @property {() => void} draw
 * @property {() => Promise<void>} showUsage
 */

const EVERY_MS = 4000;
/** An upload may have been left open by another browser: after as many rounds without any change it is not asked for. */
const QUIET_ROUNDS = 15;
const MOST_JOBS = 5;

/**
 * Refresh the list every few seconds until nothing moves any more; pauses while the page is not visible.
 *
 * @param {RefreshedList} list
 * @param {AbortSignal} signal Stops it.
 */
export async function keepCurrent(list, signal) {
  let quietRounds = 0;
  try {
    while (!signal.aborted && quietRounds < QUIET_ROUNDS) {
      const changed = await refreshOnce(list, signal);
      const { images } = list;
      quietRounds = changed || images.some(({ state }) => state === "processing") ? 0 : quietRounds + 1;
      if (!images.some(isMoving)) return void (await list.showUsage());
      await pause(EVERY_MS, signal);
    }
  } catch (error) {
    if (signal.aborted) return;
    const box = errorBox(error, () => {
      box.remove();
      void keepCurrent(list, signal);
    });
    list.body.prepend(box);
  }
}

/**
 * Return whether an image may change without the person's doing.
 *
 * @param {Image} image
 */
export function isMoving({ state }) {
  return state === "uploading" || state === "processing";
}

/**
 * @param {RefreshedList} list
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} Whether anything has changed.
 */
async function refreshOnce(list, signal) {
  const before = JSON.stringify([list.images, ...list.progress]);
  const page = await get(list.firstPage, signal);
  const progress = await progressOf(page.images, signal);
  if (signal.aborted) return false;
  list.images = mergePage(list.images, page.images, page.nextCursor !== undefined);
  list.progress.clear();
  for (const [imageId, value] of progress) list.progress.set(imageId, value);
  const changed = JSON.stringify([list.images, ...list.progress]) !== before;
  if (changed) list.draw();
  return changed;
}

/**
 * Return a list whose newest images were fetched anew.
 *
 * @param {Image[]} known Newest first.
 * @param {Image[]} fetched The newest images now, newest first.
 * @param {boolean} more Whether there are older ones than `fetched`.
 * @returns {Image[]}
 */
export function mergePage(known, fetched, more) {
  const last = fetched.at(-1);
  if (!more || last === undefined) return fetched;
  const ids = new Set(fetched.map(({ imageId }) => imageId));
  const isOlder = (/** @type {Image} */ image) => Date.parse(image.created) <= Date.parse(last.created);
  return [...fetched, ...known.filter((image) => isOlder(image) && !ids.has(image.imageId))];
}

/**
 * Return the progress of the jobs that make the disks of images; of a few, as each costs a request.
 *
 * @param {Image[]} images
 * @param {AbortSignal} signal
 * @returns {Promise<[string, Progress][]>}
 */
async function progressOf(images, signal) {
  const processing = images.filter(({ state, access }) => state === "processing" && access === "owner");
  return Promise.all(
    processing.slice(0, MOST_JOBS).map(async ({ imageId }) => {
      const { jobs } = await get(`/v1/images/${imageId}/jobs`, signal);
      const job = jobs.find((/** @type {Job} */ { state }) => state === "running" || state === "queued");
      return /** @type {[string, Progress]} */ ([
        imageId,
        { done: job?.bytesDone ?? 0, total: job?.bytesTotal ?? null },
      ]);
    }),
  );
}

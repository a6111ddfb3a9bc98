/**
 * Runs work at the same time, as one piece of work.
 */

/**
 * Run functions at the same time and return their results. The first failure aborts the signal of the others, and is
 * thrown when all have ended.
 *
 * @template T
 * @param {((signal: AbortSignal) => Promise<T>)[]} works
 * @param {AbortSignal} signal Ends all.
 * @returns {Promise<T[]>}
 */
export async function together(works, signal) {
  const stop = new AbortController();
  const shared = AbortSignal.any([signal, stop.signal]);
  const running = works.map(async (work) => {
    try {
      return await work(shared);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(running);
  signal.throwIfAborted();
  stop.signal.throwIfAborted();
  return Promise.all(running);
}

/**
 * Waits between the requests of pages that keep themselves current.
 */

/**
 * Wait, and then until the page is visible; ends at once when `signal` is aborted.
 *
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    let isOver = false;
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", check);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const check = () => {
      if (isOver && document.visibilityState === "visible") done();
    };
    const timer = setTimeout(() => {
      isOver = true;
      check();
    }, milliseconds);
    if (signal.aborted) return done();
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", done);
  });
}

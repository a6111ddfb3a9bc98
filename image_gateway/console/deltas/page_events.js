/**
 * Lets a disk know what happens to its page: hidden, left, back on the network.
 */

/**
 * Watch the page until the returned function is called. Before a page is left while something is not saved, the browser
 * asks the person.
 *
 * @param {import("./delta_disk.js").DeltaDisk} disk
 * @returns {() => void}
 */
export function watchPage(disk) {
  const watching = new AbortController();
  const { signal } = watching;
  const wake = () => disk.wake();
  window.addEventListener("online", wake, { signal });
  window.addEventListener("focus", wake, { signal });
  const onVisibility = () => (document.hidden ? disk.saveNow() : disk.wake());
  document.addEventListener("visibilitychange", onVisibility, { signal });
  const onUnload = (/** @type {BeforeUnloadEvent} */ event) => {
    if (disk.status.state !== "unsaved") return;
    disk.saveNow();
    event.preventDefault();
  };
  window.addEventListener("beforeunload", onUnload, { signal });
  window.addEventListener("pagehide", () => disk.leave(), { signal });
  // A page that comes back from the browser's cache has ended its session.
  window.addEventListener("pageshow", (event) => event.persisted && location.reload(), { signal });
  return () => watching.abort();
}

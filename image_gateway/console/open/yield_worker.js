/**
 * Tells v86 when to go on, after `t` milliseconds or at once. In a worker timers run on while the page is in the
 * background. It stands in for the one that v86 makes of a blob, which the page's Content-Security-Policy forbids.
 */

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

globalThis.onmessage = ({ data: { t, tick } }) => {
  clearTimeout(timer);
  if (t < 1) postMessage(tick);
  else timer = setTimeout(() => postMessage(tick), t);
};

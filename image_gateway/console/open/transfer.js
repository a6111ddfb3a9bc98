/**
 * Counts what was read from the gateway, and at what rate.
 */

const WINDOW_MS = 5000;

export class Transfer {
  bytes = 0;
  requests = 0;
  /** @type {{ time: number, bytes: number }[]} */
  #recent = [];

  /**
   * @param {number} bytes
   * @param {number} now Milliseconds.
   */
  received(bytes, now) {
    this.bytes += bytes;
    const last = this.#recent.at(-1);
    // One entry for a tenth of a second is exact enough.
    if (last !== undefined && now - last.time < 100) last.bytes += bytes;
    else this.#recent.push({ time: now, bytes });
  }

  /**
   * Return the rate of the last seconds.
   *
   * @param {number} now Milliseconds.
   * @returns {number} Bytes per second.
   */
  rate(now) {
    while (this.#recent.length > 0 && now - this.#recent[0].time > WINDOW_MS) this.#recent.shift();
    const bytes = this.#recent.reduce((sum, entry) => sum + entry.bytes, 0);
    return (bytes / WINDOW_MS) * 1000;
  }
}

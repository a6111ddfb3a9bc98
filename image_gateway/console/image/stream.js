/**
 * The URLs by which an image is read, as long as they are valid.
 */

import { ApiError, get } from "../lib/api.js";

/** @typedef {import("./snippets.js").Stream} Stream */

/** Do not hand out what expires in a moment. */
const RESERVE_MS = 60_000;

export class ImageStream {
  /**
   * @param {string} imageId
   * @param {AbortSignal} signal
   */
  constructor(imageId, signal) {
    this.imageId = imageId;
    this.signal = signal;
    /** @type {Stream | undefined} */
    this.answer = undefined;
    /** @type {Promise<Stream> | undefined} */
    this.asking = undefined;
    /** @type {string | undefined} */
    this.leasedUrl = undefined;
  }

  /**
   * Return valid URLs. The gateway reuses a recent lease of the same person, so visits do not make new ones.
   *
   * @returns {Promise<Stream>}
   */
  async current() {
    if (this.answer && isValid(this.answer)) return this.answer;
    this.asking ??= get(`/v1/images/${this.imageId}/stream-url`, this.signal);
    try {
      this.answer = await this.asking;
    } finally {
      this.asking = undefined;
    }
    return this.answer;
  }

  /**
   * Read bytes of the image.
   *
   * @param {number} start
   * @param {number} length
   * @returns {Promise<Uint8Array>}
   */
  async read(start, length) {
    const headers = { Range: `bytes=${start}-${start + length - 1}` };
    const response = await fetch(await this.readUrl(), { headers, signal: this.signal });
    const bytes = response.status === 206 ? new Uint8Array(await response.arrayBuffer()) : null;
    if (bytes?.length === length) return bytes;
    this.leasedUrl = undefined;
    const code = response.headers.get("X-Error-Code") ?? "UNKNOWN";
    const text = `Reading bytes of the image failed with status ${response.status}.`;
    throw new ApiError(text, response.status, code, response.headers.get("X-Request-Id"));
  }

  /** A URL that needs nothing else: where a CDN wants cookies, that of a lease. */
  async readUrl() {
    const { views } = await this.current();
    if (views) return views.raw.url;
    this.leasedUrl ??= (await get(`/v1/images/${this.imageId}/lease`, this.signal)).url;
    return /** @type {string} */ (this.leasedUrl);
  }
}

/** @param {Stream} answer */
function isValid({ expiresAt }) {
  return !expiresAt || Date.parse(expiresAt) - RESERVE_MS > Date.now();
}

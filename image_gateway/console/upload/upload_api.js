/**
 * The gateway's upload routes. Requests that fail for a reason that passes are sent again.
 */

import { isRetryable, Retryable, UploadError } from "./errors.js";

/** @typedef {import("./errors.js").WaitReason} WaitReason */
/** @typedef {import("./part_plan.js").StoredPart} StoredPart */
/** @typedef {import("./part_urls.js").SignedParts} SignedParts */

/**
 * Sends a request and returns the JSON of the answer. Throws an Error with `status` (0 without an answer), and where
 * known `code`, `requestId` and `retryAfter` in seconds. `send` of `../lib/api.js` is one.
 *
 * @typedef {(method: string, path: string, body?: object, options?: { signal?: AbortSignal }) => Promise<any>} Send
 */

/** @typedef {{ status?: number, code?: string, requestId?: string | null, retryAfter?: number | null }} Answer */
/** @typedef {{ filename: string, name: string, sizeBytes: number, format: string, kind?: string }} Declaration */
/** @typedef {{ imageId: string, uploadId: string }} UploadIds */
/** @typedef {UploadIds & { partSize: number, sizeBytes?: number }} OpenUpload */
/** @typedef {OpenUpload & { parts: StoredPart[], expiresAt: string }} UploadStatus */
/** @typedef {{ state?: string, size?: number | null, sizeBytes?: number | null }} ImageFacts */

const ANSWER_MILLISECONDS = 120_000;
// The store joins thousands of parts, and the gateway may hash the image.
const COMPLETE_MILLISECONDS = 1_800_000;

/** The routes, for one upload: the signal ends its requests, and `onWait` hears what they wait for. */
export class UploadApi {
  #send;
  #retrier;
  #clock;
  #signal;
  #onWait;

  /**
   * @param {object} parts
   * @param {Send} parts.send
   * @param {import("./retry.js").Retrier} parts.retrier
   * @param {import("./retry.js").Clock} parts.clock
   * @param {AbortSignal} parts.signal
   * @param {(reason: WaitReason | null) => void} parts.onWait
   */
  constructor({ send, retrier, clock, signal, onWait }) {
    this.#send = send;
    this.#retrier = retrier;
    this.#clock = clock;
    this.#signal = signal;
    this.#onWait = onWait;
  }

  /**
   * @param {Declaration} declared
   * @returns {Promise<OpenUpload>}
   */
  create(declared) {
    return this.#call("POST", "/v1/images", declared);
  }

  /**
   * Return the plan of an open upload and the parts that the store has.
   *
   * @param {string} imageId
   * @returns {Promise<UploadStatus>}
   */
  status(imageId) {
    return this.#call("GET", `${pathOf(imageId)}/upload`);
  }

  /**
   * @param {string} imageId
   * @returns {Promise<ImageFacts>}
   */
  image(imageId) {
    return this.#call("GET", pathOf(imageId));
  }

  /**
   * @param {UploadIds} upload
   * @param {number[]} partNumbers
   * @returns {Promise<SignedParts>}
   */
  sign({ imageId, uploadId }, partNumbers) {
    return this.#call("POST", `${pathOf(imageId)}/upload-urls`, { uploadId, partNumbers });
  }

  /**
   * Complete an upload from the parts that the store lists. May be repeated.
   *
   * @param {UploadIds} upload
   * @param {string | null} sha256 What the file's bytes hash to.
   * @returns {Promise<ImageFacts>}
   */
  complete({ imageId, uploadId }, sha256) {
    const body = sha256 === null ? { uploadId } : { uploadId, sha256 };
    return this.#call("POST", `${pathOf(imageId)}/complete`, body, COMPLETE_MILLISECONDS);
  }

  /**
   * Abort an upload and delete its parts. May be repeated.
   *
   * @param {string} imageId
   */
  abort(imageId) {
    return this.#call("DELETE", `${pathOf(imageId)}/upload`);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @param {number} [milliseconds] How long an answer may take.
   */
  #call(method, path, body, milliseconds = ANSWER_MILLISECONDS) {
    return this.#retrier.call(() => this.#attempt(method, path, body, milliseconds), this.#signal, this.#onWait);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object | undefined} body
   * @param {number} milliseconds
   */
  async #attempt(method, path, body, milliseconds) {
    const tooLate = new AbortController();
    const timer = this.#clock.setTimeout(() => tooLate.abort(), milliseconds);
    const signal = AbortSignal.any([this.#signal, tooLate.signal]);
    try {
      return await this.#send(method, path, body, { signal });
    } catch (error) {
      this.#signal.throwIfAborted();
      throw tooLate.signal.aborted ? new Retryable("gateway") : translate(error);
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }
}

/**
 * Return what an error of `send` means for the upload.
 *
 * @param {unknown} error
 * @returns {Error}
 */
function translate(error) {
  if (!(error instanceof Error)) return new UploadError("unexpected", String(error));
  const { status, code = "UNKNOWN", requestId = null, retryAfter } = /** @type {Error & Answer} */ (error);
  if (status === undefined) return error;
  if (status === 0) return new Retryable("gateway");
  if (status === 401) return new Retryable("signed-out");
  if (isRetryable(status)) return new Retryable("busy", retryAfter ?? 0);
  return new UploadError("refused", error.message, { status, code, requestId });
}

/** @param {string} imageId */
function pathOf(imageId) {
  return `/v1/images/${encodeURIComponent(imageId)}`;
}

/**
 * Sends one part to the store: a PUT of a slice of the file to a presigned URL. XMLHttpRequest and not fetch, because
 * only that tells how much was sent; the browser reads the slice from the disk while it sends it.
 */

import { fileChanged, isRetryable, Retryable, retryAfterSeconds } from "./errors.js";

/** @typedef {import("./retry.js").Clock} Clock */

/**
 * The store refused a part with an answer that the page can read. The URL may be too old.
 */
export class PartRefused extends Error {
  /**
   * @param {number} status
   * @param {string} code The store's error code, such as `AccessDenied`; empty without one.
   */
  constructor(status, code) {
    super(`the store answered ${status}${code && ` ${code}`} to a part`);
    this.name = "PartRefused";
    this.status = status;
    this.code = code;
  }
}

/** The store could not be reached, or refused the part in a way that the browser hides from pages. */
export class StoreUnreachable extends Retryable {
  /** @param {boolean} [isStalled] The part made no progress for the time that it was given. */
  constructor(isStalled = false) {
    super("store");
    this.name = "StoreUnreachable";
    this.isStalled = isStalled;
  }
}

// S3 answers 400 RequestTimeout when a body arrives too slowly.
const RETRYABLE_CODES = new Set(["RequestTimeout", "SlowDown", "InternalError", "OperationAborted"]);

/**
 * @typedef {object} PartRequest
 * @property {string} url A secret.
 * @property {Blob} body
 * @property {AbortSignal} signal
 * @property {(sent: number) => void} onProgress Called with the number of bytes sent so far.
 * @property {number} stallMilliseconds A request that makes no progress for so long is given up, to be sent again.
 * @property {Clock} clock
 */

/**
 * Send a part.
 *
 * @param {PartRequest} part
 * @returns {Promise<void>}
 * @throws {Retryable} It may succeed later.
 * @throws {PartRefused}
 * @throws {import("./errors.js").UploadError} The file cannot be read any more.
 */
export async function sendPart(part) {
  const { status, text, retryAfter, isStalled } = await put(part);
  if (status >= 200 && status < 300) return;
  if (status === 0) {
    // Browsers report a file that has changed as they report a lost connection.
    await requireReadable(part.body);
    throw new StoreUnreachable(isStalled);
  }
  const code = /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(text.slice(0, 4096))?.[1] ?? "";
  if (isRetryable(status) || RETRYABLE_CODES.has(code)) throw new Retryable("busy", retryAfterSeconds(retryAfter));
  throw new PartRefused(status, code);
}

/**
 * Check that a file, or a slice of it, is still what it was when it was picked.
 *
 * @param {Blob} blob
 * @throws {import("./errors.js").UploadError} It is not.
 */
export async function requireReadable(blob) {
  try {
    await blob.slice(0, 1).arrayBuffer();
  } catch {
    throw fileChanged();
  }
}

/**
 * @param {PartRequest} part
 * @returns {Promise<{ status: number, text: string, retryAfter: string | null, isStalled: boolean }>} Status 0 is no
 *   answer.
 */
function put({ url, body, signal, onProgress, stallMilliseconds, clock }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stalled = () => {
      end();
      request.abort();
      resolve({ status: 0, text: "", retryAfter: null, isStalled: true });
    };
    let timer = clock.setTimeout(stalled, stallMilliseconds);
    const onAbort = () => {
      // First, as abort() would report an end of its own.
      end();
      request.abort();
      reject(signal.reason);
    };
    const end = () => {
      clock.clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      request.onloadend = null;
      request.upload.onprogress = null;
    };
    request.upload.onprogress = ({ loaded }) => {
      clock.clearTimeout(timer);
      timer = clock.setTimeout(stalled, stallMilliseconds);
      onProgress(loaded);
    };
    request.onloadend = () => {
      end();
      // Asking for one header by name is an error in the console where the store's CORS rules do not expose it.
      const retryAfter = /^retry-after: *(\S+)/im.exec(request.getAllResponseHeaders())?.[1] ?? null;
      resolve({ status: request.status, text: request.responseText, retryAfter, isStalled: false });
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort);
    request.open("PUT", url);
    request.send(body);
  });
}

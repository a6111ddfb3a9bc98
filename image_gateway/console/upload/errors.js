/**
 * Why an upload cannot go on, and which failures pass by themselves.
 */

/**
 * - `refused`: the gateway refused a request; the message is the gateway's.
 * - `store`: the store refused a part again and again, with fresh URLs.
 * - `file-changed`: the file was changed or removed after it was picked.
 * - `format`: the file is nothing that the gateway takes as an upload, such as a compressed file.
 * - `in-use`: another tab of this browser, or another row of this page, uploads the same file.
 * - `worker`: the worker that hashes the file cannot be started.
 * - `unexpected`: an error in the page itself.
 *
 * @typedef {"refused" | "store" | "file-changed" | "format" | "in-use" | "worker" | "unexpected"} ErrorKind
 */

/**
 * Why a request is tried again later:
 *
 * - `offline`: the browser says that it has no network.
 * - `gateway`, `store`: that server does not answer.
 * - `busy`: a server says that it cannot answer now.
 * - `signed-out`: the gateway wants the person to sign in again.
 *
 * @typedef {"offline" | "gateway" | "store" | "busy" | "signed-out"} WaitReason
 */

/** An upload cannot go on without the person. Its message is for people, and never contains a URL of the store. */
export class UploadError extends Error {
  /**
   * @param {ErrorKind} kind
   * @param {string} message
   * @param {{ status?: number, code?: string, requestId?: string | null }} [answer] Of the server, if it was one.
   */
  constructor(kind, message, { status = 0, code = "", requestId = null } = {}) {
    super(message);
    this.name = "UploadError";
    this.kind = kind;
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

/** A request that may be sent again. */
export class Retryable extends Error {
  /**
   * @param {WaitReason} reason
   * @param {number} [retryAfter] Seconds that the server wants to be left alone.
   */
  constructor(reason, retryAfter = 0) {
    super(`to be tried again: ${reason}`);
    this.name = "Retryable";
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}

const RETRYABLE = new Set([408, 425, 429]);
const PERMANENT = new Set([501, 505]);

/**
 * Tell whether a request with this HTTP status may succeed later.
 *
 * @param {number} status
 * @returns {boolean}
 */
export function isRetryable(status) {
  return RETRYABLE.has(status) || (status >= 500 && !PERMANENT.has(status));
}

const MAX_RETRY_AFTER = 3600;

/**
 * Return the seconds of a Retry-After header, at most an hour; 0 without one, or if it is a date (RFC 9110 §10.2.3).
 *
 * @param {string | null} header
 * @returns {number}
 */
export function retryAfterSeconds(header) {
  return header !== null && /^\d+$/.test(header) ? Math.min(Number(header), MAX_RETRY_AFTER) : 0;
}

/**
 * Return an error as one of the upload.
 *
 * @param {unknown} error
 * @returns {UploadError}
 */
export function asUploadError(error) {
  if (error instanceof UploadError) return error;
  return new UploadError("unexpected", error instanceof Error ? error.message : String(error));
}

/** @returns {UploadError} */
export function fileChanged() {
  const message = "The file was changed, moved or removed after you picked it. Pick it again to upload what it is now.";
  return new UploadError("file-changed", message);
}

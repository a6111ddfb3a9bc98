/**
 * Tells faults that pass, after which a read is tried again, from those after which the disk can be read no more.
 */

/** A fault that passes: a lost network, an overloaded gateway, a lease that has to be renewed. */
export class PassingFault extends Error {
  /**
   * @param {string} message For the person at the page.
   * @param {{ afterSeconds?: number | null, needsLease?: boolean, needsCheck?: boolean }} [hints] What Retry-After
   *   said; whether a renewed lease ends the fault; whether the image may have changed.
   */
  constructor(message, hints = {}) {
    super(message);
    this.name = "PassingFault";
    this.afterSeconds = hints.afterSeconds ?? null;
    this.needsLease = hints.needsLease ?? false;
    this.needsCheck = hints.needsCheck ?? false;
  }
}

/** The disk can be read no more; the message says why. */
export class DiskStopped extends Error {
  /**
   * @param {string} message For the person at the page.
   * @param {string} code The gateway's error code.
   * @param {string | null} [requestId]
   */
  constructor(message, code, requestId = null) {
    super(message);
    this.name = "DiskStopped";
    this.code = code;
    this.requestId = requestId;
  }
}

/** @type {Record<string, string>} */
const REASONS = {
  LEASE_REVOKED: "The access to this image was revoked.",
  NOT_FOUND: "The image is no longer there.",
  PRECONDITION_FAILED: "The image was replaced by another version while the machine was reading it.",
  FORBIDDEN: "This lease cannot read the image any more.",
};

/**
 * Return the error for an answer with an error status.
 *
 * @param {Response} response
 * @returns {Promise<PassingFault | DiskStopped>}
 */
export async function faultOf(response) {
  const { status, headers } = response;
  // Routes of views send no body, and name the code in a header.
  const isJson = headers.get("Content-Type")?.startsWith("application/json") ?? false;
  const error = isJson ? (await response.json().catch(() => null))?.error : null;
  const code = error?.code ?? headers.get("X-Error-Code") ?? `HTTP ${status}`;
  const afterSeconds = secondsOf(headers.get("Retry-After"));
  if (status === 401 || code === "LEASE_LAPSED") {
    return new PassingFault("The lease has to be renewed.", { afterSeconds, needsLease: true });
  }
  if (status === 429) return new PassingFault("The gateway asks to read more slowly.", { afterSeconds });
  if (status >= 500 || status === 408 || status === 425) {
    const needsCheck = status === 502;
    return new PassingFault(`The gateway cannot read the image at the moment (${code}).`, { afterSeconds, needsCheck });
  }
  if (status < 400) return new PassingFault(`The gateway's answer has the status ${status} in place of the bytes.`);
  const reason = REASONS[code] ?? `The gateway refuses to read the image (${code}).`;
  const details = error?.message && !(code in REASONS) ? ` ${error.message}` : "";
  return new DiskStopped(reason + details, code, headers.get("X-Request-Id"));
}

/**
 * @param {string | null} header
 * @returns {number | null}
 */
function secondsOf(header) {
  return header !== null && /^[0-9]{1,6}$/.test(header) ? Number(header) : null;
}

/**
 * What an answer to a commit that is no success means: try again, or stop for good.
 */

import { DiskStopped, PassingFault } from "../open/faults.js";

/** The code of a DiskStopped after another session has become the writer of the delta. */
export const FENCED = "FENCED";

const FENCED_TEXT = "This delta was opened somewhere else, which ended the access from here. Nothing more is written.";

/**
 * Return the error of a writer that is the writer no longer.
 *
 * @param {string | null} [requestId]
 */
export function fenced(requestId = null) {
  return new DiskStopped(FENCED_TEXT, FENCED, requestId);
}

/**
 * Return the error for an answer with an error status.
 *
 * @param {Response} response
 * @returns {Promise<PassingFault | DiskStopped>}
 */
export async function commitFault(response) {
  const { status, headers } = response;
  const requestId = headers.get("X-Request-Id");
  const error = (await response.json().catch(() => null))?.error;
  const code = error?.code ?? `HTTP ${status}`;
  const asked = headers.get("Retry-After") ?? "";
  const afterSeconds = /^[0-9]{1,6}$/.test(asked) ? Number(asked) : null;
  if (code === FENCED || status === 412) return fenced(requestId);
  if (status === 401 || code === "LEASE_LAPSED") {
    return new PassingFault("The lease has to be renewed.", { afterSeconds, needsLease: true });
  }
  // The person can make room for it meanwhile.
  if (code === "QUOTA_EXCEEDED") return new PassingFault(`The gateway says: ${error.message}.`, { afterSeconds });
  if (status >= 500 || [408, 425, 429].includes(status)) {
    return new PassingFault(`The gateway cannot save at the moment (${code}).`, { afterSeconds });
  }
  const details = error?.message ? ` ${error.message}` : "";
  return new DiskStopped(`The gateway refuses to save what the machine writes (${code}).${details}`, code, requestId);
}

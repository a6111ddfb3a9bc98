/**
 * What the page Upload says of an upload.
 */

import { duration, rate, size } from "../lib/format.js";

/** @typedef {import("../upload/engine.js").FileUpload} FileUpload */
/** @typedef {import("../upload/engine.js").Totals} Totals */
/** @typedef {import("../upload/engine.js").UploadState} UploadState */

/** @type {Record<UploadState, [label: string, kind: string]>} */
export const STATES = {
  queued: ["In the queue", ""],
  preparing: ["Preparing", "busy"],
  uploading: ["Uploading", "busy"],
  hashing: ["Checking", "busy"],
  completing: ["Completing", "busy"],
  cancelling: ["Cancelling", "busy"],
  waiting: ["Waiting", "busy"],
  "signed-out": ["Signed out", "bad"],
  paused: ["Paused", ""],
  done: ["Uploaded", "good"],
  failed: ["Failed", "bad"],
  cancelled: ["Cancelled", ""],
};

/** @type {Record<string, string>} */
const WAITS = {
  offline: "There is no network. The upload goes on by itself when it is back.",
  gateway: "The gateway does not answer. The upload goes on by itself when it does.",
  store:
    "The store does not answer. The upload goes on by itself when it does. If it never does, the bucket may not allow " +
    "uploads from this address (CORS).",
  busy: "The server is busy. The upload goes on by itself.",
};

/** @param {Pick<FileUpload, "size" | "sentBytes">} upload */
export function percentOf({ size: bytes, sentBytes }) {
  return bytes > 0 ? Math.floor((100 * sentBytes) / bytes) : 0;
}

/**
 * Return the numbers of an upload on one line: format, bytes, rate, time left.
 *
 * @param {FileUpload} upload
 * @returns {string}
 */
export function factsOf(upload) {
  const isWhole = upload.isOver || upload.sentBytes === 0;
  const bytes = isWhole
    ? size(upload.size)
    : `${size(upload.sentBytes)} of ${size(upload.size)} (${percentOf(upload)} %)`;
  return joined(upload.formatLabel, bytes, speedOf(upload));
}

/**
 * Return what is to be said of an upload's state beside its name; empty if the numbers say it all.
 *
 * @param {FileUpload} upload
 * @returns {string}
 */
export function detailOf(upload) {
  const { state, error, isResumed, keptBytes, format } = upload;
  if (state === "failed") return error?.message ?? "";
  if (state === "waiting") return WAITS[upload.waitReason ?? "gateway"];
  if (state === "signed-out") return "Your session has ended. Sign in again, and the upload goes on by itself.";
  if (state === "hashing") return `All is stored. Computing the file's SHA-256: ${hashedPercent(upload)} %`;
  if (state === "completing") return "All is stored. The store joins the parts.";
  if (state === "cancelled") return "Nothing of it is left in the store.";
  if (state === "done") return format === "raw" ? "" : "The gateway converts it to a raw disk now.";
  if (state === "uploading" && isResumed && keptBytes > 0) {
    return `Goes on where it was: ${size(keptBytes)} were in the store already.`;
  }
  if (state === "uploading" && !upload.isRemembered) {
    return "This browser keeps no data for this page: if you close it, the upload has to begin anew.";
  }
  return "";
}

/**
 * Return the numbers of all uploads on one line.
 *
 * @param {Totals} totals
 * @returns {string}
 */
export function totalsText(totals) {
  const files = totals.files === 1 ? "1 file" : `${totals.files} files`;
  const bytes = `${size(totals.sentBytes)} of ${size(totals.bytes)}`;
  return joined(`${totals.done} of ${files} uploaded`, bytes, speedOf(totals));
}

/** @param {{ rate: number, secondsLeft: number | null }} progress */
function speedOf({ rate: bytesPerSecond, secondsLeft }) {
  if (bytesPerSecond <= 0 || secondsLeft === null) return "";
  return joined(rate(bytesPerSecond), `${duration(secondsLeft)} left`);
}

/** @param {FileUpload} upload */
function hashedPercent({ hashedBytes, size: bytes }) {
  return percentOf({ size: bytes, sentBytes: hashedBytes });
}

/** @param {...string} texts */
function joined(...texts) {
  return texts.filter((text) => text !== "").join(" · ");
}

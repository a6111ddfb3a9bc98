/**
 * The console's one upload engine. It lives as long as the document, so that uploads go on while the person visits
 * other pages of the console.
 *
 * It dispatches `image-gateway:uploads` on the window, with a `UploadsSummary` as detail, whenever that changes. After
 * the session has ended, it goes on when `document` gets `session-renewed`, or when it finds itself that the person has
 * signed in again.
 */

import { send } from "../lib/api.js";
import { UploadEngine } from "./engine.js";

/**
 * @typedef {object} UploadsSummary
 * @property {boolean} isBusy
 * @property {boolean} isSignedOut Uploads wait for the person to sign in again.
 * @property {number} files
 * @property {number} done
 * @property {number} percent Of the bytes of all files, rounded down.
 */

export const SUMMARY_EVENT = "image-gateway:uploads";
const SIGN_IN_CHECK_MILLISECONDS = 20_000;

/** @type {UploadEngine | null} */
let engine = null;

/**
 * Return the engine; the first call makes it.
 *
 * @param {string} account The user who is signed in.
 * @returns {UploadEngine}
 */
export function uploadsOf(account) {
  if (engine === null) {
    engine = new UploadEngine({ send, account });
    announce(engine);
    guard(engine);
    watchSignIn(engine, account);
  }
  return engine;
}

/** @param {UploadEngine} uploads */
function announce(uploads) {
  const dispatch = () => {
    const { files, done, bytes, sentBytes } = uploads.totals;
    const percent = bytes > 0 ? Math.floor((100 * sentBytes) / bytes) : 0;
    /** @type {UploadsSummary} */
    const detail = { isBusy: uploads.isBusy, isSignedOut: uploads.isSignedOut, files, done, percent };
    window.dispatchEvent(new CustomEvent(SUMMARY_EVENT, { detail }));
  };
  uploads.addEventListener("change", dispatch);
  uploads.addEventListener("progress", dispatch);
}

/**
 * Let the browser ask before it leaves the document, and let it not leave for a file that was dropped beside the mark.
 *
 * @param {UploadEngine} uploads
 */
function guard(uploads) {
  window.addEventListener("beforeunload", (event) => {
    if (uploads.isBusy) event.preventDefault();
  });
  for (const name of /** @type {const} */ (["dragover", "drop"])) {
    window.addEventListener(name, (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
  }
}

/**
 * Go on when the person has signed in again, be it in another tab.
 *
 * @param {UploadEngine} uploads
 * @param {string} account
 */
function watchSignIn(uploads, account) {
  const check = async () => {
    if (uploads.isSignedOut && (await currentUser()) === account) uploads.signedIn();
  };
  document.addEventListener("session-renewed", check);
  window.addEventListener("focus", check);
  document.addEventListener("visibilitychange", check);
  uploads.addEventListener("signed-out", () => {
    const timer = setInterval(() => (uploads.isSignedOut ? check() : clearInterval(timer)), SIGN_IN_CHECK_MILLISECONDS);
  });
}

/**
 * Return who is signed in, or null. Not by `send`, which tells the page about each answer without a session.
 *
 * @returns {Promise<string | null>}
 */
async function currentUser() {
  const response = await fetch("/v1/me", { headers: { Accept: "application/json" } }).catch(() => null);
  return response?.ok ? (await response.json()).user : null;
}

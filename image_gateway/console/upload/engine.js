/**
 * Uploads disk images from a page: the parts of each file go straight to the store, and whatever interrupts them, they
 * go on. This module and those that it imports need nothing else of the console.
 */

import { FileUpload } from "./file_upload.js";
import { startHashWorker } from "./file_hash.js";
import { sendPart } from "./part_sender.js";
import { browserNetwork, Retrier, systemClock } from "./retry.js";
import { Unfinished } from "./unfinished.js";
import { browserLocks } from "./upload_lock.js";
import { memoryStorage, UploadRecords } from "./upload_records.js";

export { UploadError } from "./errors.js";
export { FileUpload } from "./file_upload.js";
export { detectFormat } from "./image_format.js";

/** @typedef {import("./file_upload.js").UploadOptions} UploadOptions */
/** @typedef {import("./file_upload.js").UploadState} UploadState */
/** @typedef {import("./upload_records.js").UploadRecord} UploadRecord */

/**
 * @typedef {object} EngineOptions
 * @property {import("./upload_api.js").Send} send Sends a request to the gateway, with the identity of the person.
 * @property {string} [account] Who uploads. Unfinished uploads of others in the same browser are not shown.
 * @property {number} [parallelFiles] How many files are uploaded at the same time; 2 by default.
 * @property {number} [parallelParts] How many parts of each; 3 by default. Browsers open 6 connections to a host.
 * @property {number} [urlsPerCall] How many presigned URLs are fetched at once; 32 by default, at most 1,000.
 * @property {boolean} [hash] Whether files are hashed; true by default.
 * @property {number} [stallSeconds] A part that makes no progress for so long is sent again; 60 by default.
 * @property {import("./upload_records.js").RecordStorage} [storage] Where unfinished uploads are remembered; by default
 *   `localStorage`.
 * @property {import("./part_uploads.js").SendPart} [sendPart]
 * @property {() => import("./file_hash.js").HashWorker} [startHashWorker]
 * @property {import("./upload_lock.js").Locks} [locks]
 * @property {import("./retry.js").Clock} [clock]
 * @property {import("./retry.js").Network} [network]
 * @property {() => number} [random]
 */

/**
 * What the uploads of an engine share.
 *
 * @typedef {object} EngineParts
 * @property {import("./upload_api.js").Send} send
 * @property {number} parallelParts
 * @property {number} urlsPerCall
 * @property {boolean} hash
 * @property {number} stallMilliseconds
 * @property {UploadRecords} records
 * @property {import("./part_uploads.js").SendPart} sendPart
 * @property {() => import("./file_hash.js").HashWorker} startHashWorker
 * @property {import("./upload_lock.js").Locks} locks
 * @property {import("./retry.js").Clock} clock
 * @property {Retrier} retrier
 * @property {(upload: FileUpload) => void} onChange
 * @property {(upload: FileUpload) => void} onProgress
 */

/**
 * @typedef {object} Totals All files that were not cancelled and have not failed.
 * @property {number} files
 * @property {number} done How many of them are done.
 * @property {number} bytes
 * @property {number} sentBytes
 * @property {number} rate Bytes per second.
 * @property {number | null} secondsLeft At that rate; null if nothing is sent.
 */

const PROGRESS_MILLISECONDS = 250;

/**
 * Uploads files, some at the same time, the others in their order.
 *
 * Events: `change` with the FileUpload as `detail`, when one was added, removed, or has another state; `progress`, at
 * most four times a second; `signed-out` when the gateway wants the person to sign in again: call `signedIn()` then.
 */
export class UploadEngine extends EventTarget {
  /** @type {FileUpload[]} */
  #uploads = [];
  /** @type {EngineParts} */
  #parts;
  #parallelFiles;
  #hasProgressTimer = false;
  #inspecting = Promise.resolve();

  /** @param {EngineOptions} options */
  constructor(options) {
    super();
    const { clock = systemClock, network = browserNetwork, random = Math.random, storage = defaultStorage() } = options;
    const onSignedOut = () => void this.dispatchEvent(new Event("signed-out"));
    this.#parallelFiles = options.parallelFiles ?? 2;
    this.#parts = {
      send: options.send,
      parallelParts: options.parallelParts ?? 3,
      urlsPerCall: options.urlsPerCall ?? 32,
      hash: options.hash ?? true,
      stallMilliseconds: (options.stallSeconds ?? 60) * 1000,
      records: new UploadRecords(storage, options.account ?? ""),
      sendPart: options.sendPart ?? sendPart,
      startHashWorker: options.startHashWorker ?? startHashWorker,
      locks: options.locks ?? browserLocks(),
      clock,
      retrier: new Retrier({ clock, network, random, onSignedOut }),
      onChange: (upload) => this.#changed(upload),
      onProgress: () => this.#progressed(),
    };
    /** Uploads that were begun before this page was opened, or in another tab. */
    this.unfinished = new Unfinished(this.#parts, () => this.#uploads);
  }

  /** The files, in the order in which they were added. */
  get uploads() {
    return [...this.#uploads];
  }

  /** Whether a file is under way or waits for its turn: closing the page would interrupt it. */
  get isBusy() {
    return this.#uploads.some((upload) => upload.isBusy || upload.state === "queued");
  }

  /** Whether uploads wait for `signedIn()`. */
  get isSignedOut() {
    return this.#parts.retrier.isSignedOut;
  }

  /** @returns {Totals} */
  get totals() {
    const counted = this.#uploads.filter(({ state }) => state !== "failed" && state !== "cancelled");
    /** @param {(upload: FileUpload) => number} value */
    const sum = (value) => counted.reduce((total, upload) => total + value(upload), 0);
    const [bytes, sentBytes, rate] = [sum(({ size }) => size), sum((each) => each.sentBytes), sum((each) => each.rate)];
    return {
      files: counted.length,
      done: counted.filter(({ state }) => state === "done").length,
      ...{ bytes, sentBytes, rate },
      secondsLeft: rate > 0 ? (bytes - sentBytes) / rate : null,
    };
  }

  /**
   * Upload a file, as soon as it is its turn. A file whose upload is unfinished goes on where it was.
   *
   * @param {File} file
   * @param {UploadOptions} [options]
   * @returns {FileUpload}
   */
  add(file, options = {}) {
    const upload = new FileUpload(file, options, this.#parts);
    this.#uploads.push(upload);
    // One file after the other, however many were dropped at once.
    this.#inspecting = this.#inspecting.then(() => upload.inspect());
    this.#changed(upload);
    return upload;
  }

  /**
   * Take an upload that is over off the list.
   *
   * @param {FileUpload} upload
   */
  remove(upload) {
    if (!upload.isOver) return;
    this.#uploads = this.#uploads.filter((other) => other !== upload);
    this.#changed(upload);
  }

  /** Pause all files, also those that wait for their turn. */
  pauseAll() {
    // The last first: otherwise each would make room for the next.
    for (const upload of this.uploads.reverse()) upload.pause();
  }

  /** Go on with all paused files. */
  resumeAll() {
    for (const upload of this.#uploads) if (upload.state === "paused") upload.resume();
  }

  /** Cancel all files that are not over. */
  async cancelAll() {
    const open = this.uploads.reverse().filter((upload) => !upload.isOver);
    await Promise.all(open.map((upload) => upload.cancel()));
  }

  /** Go on after the person has signed in again. */
  signedIn() {
    this.#parts.retrier.signedIn();
  }

  /** @param {FileUpload} upload */
  #changed(upload) {
    this.dispatchEvent(new CustomEvent("change", { detail: upload }));
    this.#startNext();
  }

  #startNext() {
    const busy = this.#uploads.filter((upload) => upload.isBusy).length;
    const next = this.#uploads.find(({ state }) => state === "queued");
    // This changes its state, which comes back here for the next one.
    if (next !== undefined && busy < this.#parallelFiles) void next.run();
  }

  #progressed() {
    if (this.#hasProgressTimer) return;
    this.#hasProgressTimer = true;
    this.#parts.clock.setTimeout(() => {
      this.#hasProgressTimer = false;
      this.dispatchEvent(new Event("progress"));
    }, PROGRESS_MILLISECONDS);
  }
}

/** @returns {import("./upload_records.js").RecordStorage} */
function defaultStorage() {
  try {
    return globalThis.localStorage ?? memoryStorage();
  } catch (error) {
    // The browser keeps nothing for this page.
    if (error instanceof DOMException) return memoryStorage();
    throw error;
  }
}

/**
 * The upload of one file, as a page shows it: its state, its progress, and what a person can do with it.
 */

import { asUploadError, UploadError } from "./errors.js";
import { FileHash } from "./file_hash.js";
import { fingerprint } from "./fingerprint.js";
import { detectFormat } from "./image_format.js";
import { printable } from "./printable.js";
import { lockName } from "./upload_lock.js";
import { UploadProgress } from "./upload_progress.js";
import { identityOf, UploadRun } from "./upload_run.js";

/** @typedef {import("./engine.js").EngineParts} EngineParts */
/** @typedef {import("./upload_run.js").UploadFacts} UploadFacts */

/**
 * - `queued`: waits until fewer files are uploaded.
 * - `preparing`: looks at the file, and at what the store has of it.
 * - `uploading`, `hashing` (all parts are stored, the hash of the file is not known yet), `completing`, `cancelling`.
 * - `waiting`: for the network or a server, see `waitReason`; goes on by itself.
 * - `signed-out`: goes on when the person has signed in again.
 * - `paused`, `done`, `failed` (see `error`), `cancelled`.
 *
 * @typedef {"queued" | "preparing" | "uploading" | "hashing" | "completing" | "cancelling" | "waiting" | "signed-out"
 *   | "paused" | "done" | "failed" | "cancelled"} UploadState
 */

/**
 * @typedef {object} UploadOptions
 * @property {string} [name] The image's name; by default the file's.
 * @property {string} [format] By default it is found out from the file's bytes.
 * @property {boolean} [hash] Whether to hash the file; by default as the engine does.
 */

const BUSY = new Set(["preparing", "uploading", "hashing", "completing", "cancelling"]);
const OVER = new Set(["done", "failed", "cancelled"]);

/** One file on its way to the gateway. `UploadEngine.add` makes it; listen to the engine for its changes. */
export class FileUpload {
  /** @type {UploadState} */
  #phase = "queued";
  /** @type {UploadState} */
  #announced = "queued";
  /** @type {AbortController | null} */
  #stop = null;
  /** @type {Promise<void>} */
  #running = Promise.resolve();
  /** @type {Promise<void> | null} */
  #inspection = null;
  #parts;
  /** @type {UploadFacts} */
  #facts;

  /**
   * @param {File} file
   * @param {UploadOptions} options
   * @param {EngineParts} parts
   */
  constructor(file, options, parts) {
    const { name = printable(file.name), format = "", hash = parts.hash } = options;
    /** What the file is, for people; empty until it was looked at. */
    this.formatLabel = format;
    /** @type {UploadError | null} */
    this.error = null;
    this.#parts = parts;
    this.#facts = {
      ...{ file, lastModified: file.lastModified, fingerprint: "", name, format },
      ...{ imageId: null, isResumed: false, isRemembered: false },
      progress: new UploadProgress(parts.clock.now),
      hash: hash ? new FileHash(file, parts.startHashWorker) : null,
    };
  }

  get file() {
    return this.#facts.file;
  }

  /** The image's name. */
  get name() {
    return this.#facts.name;
  }

  /** Bytes of the file. */
  get size() {
    return this.#facts.file.size;
  }

  /** The format as the HTTP API names it; empty until the file was looked at. */
  get format() {
    return this.#facts.format;
  }

  /** The image at the gateway, or null until there is one. */
  get imageId() {
    return this.#facts.imageId;
  }

  /** Whether it goes on with an upload that was begun before this page was opened. */
  get isResumed() {
    return this.#facts.isResumed;
  }

  /** Whether it can go on after the page was closed. */
  get isRemembered() {
    return this.#facts.isRemembered;
  }

  /** @returns {UploadState} */
  get state() {
    const reason = this.waitReason;
    if (!this.isBusy || reason === null) return this.#phase;
    return reason === "signed-out" ? "signed-out" : "waiting";
  }

  /** Why the state is `waiting`, or null. */
  get waitReason() {
    return this.#facts.progress.waitReason;
  }

  /** Whether it takes one of the places of files that are uploaded at the same time. */
  get isBusy() {
    return BUSY.has(this.#phase);
  }

  /** Whether nothing will happen any more, unless the person tries again. */
  get isOver() {
    return OVER.has(this.#phase);
  }

  /** Bytes that are stored or under way. */
  get sentBytes() {
    return this.#phase === "done" ? this.size : this.#facts.progress.sent;
  }

  /** Bytes that the store had before this page sent any. */
  get keptBytes() {
    return this.#facts.progress.kept;
  }

  /** Bytes that have been hashed. */
  get hashedBytes() {
    return this.#facts.hash?.hashed ?? 0;
  }

  /** Bytes per second; 0 unless it is uploading. */
  get rate() {
    return this.state === "uploading" ? this.#facts.progress.rate : 0;
  }

  /** Seconds until all is sent at the current rate, or null if nobody knows. */
  get secondsLeft() {
    return this.rate > 0 ? (this.size - this.sentBytes) / this.rate : null;
  }

  /** Stop for now. Parts that are under way are sent again later. */
  pause() {
    if (this.#phase === "queued") this.#enter("paused");
    else if (this.isBusy && this.#phase !== "cancelling") this.#stop?.abort();
  }

  /** Go on after a pause, or try again after a failure. */
  resume() {
    if (this.#phase !== "paused" && this.#phase !== "failed") return;
    this.error = null;
    this.#inspection = null;
    this.#enter("queued");
  }

  /** Give the upload up, and delete what the store has of it. */
  async cancel() {
    if (["done", "cancelled", "cancelling"].includes(this.#phase)) return;
    this.#enter("cancelling");
    this.#stop?.abort();
    await this.#running;
    // Unless the gateway had completed it.
    if (this.#phase === "cancelling") await this.#start((run) => this.#discard(run));
  }

  /** Look at the file's bytes. A file that is none for the gateway becomes a failed upload. */
  inspect() {
    this.#inspection ??= this.#inspect();
    return this.#inspection;
  }

  /** Upload until that is done, fails or is interrupted. For the engine, which knows when it is this file's turn. */
  async run() {
    this.#enter("preparing");
    await this.#start((run, signal) => this.#upload(run, signal));
  }

  /** @param {(run: UploadRun, signal: AbortSignal) => Promise<UploadState>} work Returns the state after it. */
  #start(work) {
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const listener = {
      /** @param {UploadState} phase */
      enter: (phase) => void (this.#phase === "cancelling" || this.#enter(phase)),
      notice: () => this.#notice(),
    };
    const run = new UploadRun(this.#facts, this.#parts, signal, listener);
    this.#running = this.#finish(work(run, signal), signal);
    return this.#running;
  }

  /**
   * @param {Promise<UploadState>} working
   * @param {AbortSignal} signal
   */
  async #finish(working, signal) {
    /** @type {UploadState} */
    let next = "paused";
    try {
      next = await working;
    } catch (error) {
      if (!signal.aborted) next = this.#failed(error);
    }
    this.#facts.progress.end();
    // Whoever cancels waits for the interrupted run, and goes on.
    const isCancelled = this.#phase === "cancelling" && signal.aborted;
    if (!isCancelled || next === "done") this.#enter(next);
    if (this.isOver) this.#facts.hash?.close();
  }

  /**
   * @param {UploadRun} run
   * @param {AbortSignal} signal
   * @returns {Promise<UploadState>}
   */
  async #upload(run, signal) {
    await this.inspect();
    signal.throwIfAborted();
    if (this.error !== null) throw this.error;
    this.#facts.fingerprint ||= await fingerprint(this.file);
    signal.throwIfAborted();
    await this.#parts.locks.hold(lockName(identityOf(this.#facts)), () => run.upload());
    return "done";
  }

  /**
   * @param {UploadRun} run
   * @returns {Promise<UploadState>}
   */
  async #discard(run) {
    return (await run.discard()) ? "cancelled" : "done";
  }

  async #inspect() {
    if (this.format !== "") return;
    try {
      const { format, label, refusal } = await detectFormat(this.file);
      this.formatLabel = label;
      if (refusal !== null) throw new UploadError("format", refusal);
      this.#facts.format = format;
      this.#parts.onChange(this);
    } catch (error) {
      const state = this.#failed(error);
      if (this.#phase === "queued") this.#enter(state);
    }
  }

  /**
   * @param {unknown} error
   * @returns {UploadState}
   */
  #failed(error) {
    this.error = asUploadError(error);
    return "failed";
  }

  /** @param {UploadState} phase */
  #enter(phase) {
    this.#phase = phase;
    this.#notice();
  }

  #notice() {
    const { state } = this;
    if (state === this.#announced) return this.#parts.onProgress(this);
    this.#announced = state;
    this.#parts.onChange(this);
  }
}

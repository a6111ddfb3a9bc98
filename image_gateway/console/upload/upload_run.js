/**
 * Uploads one file from wherever it is to the end: asks what the store has, sends the rest, hashes, completes.
 */

import { fileChanged, Retryable, UploadError } from "./errors.js";
import { completeUpload, createUpload, isOver, resumeUpload } from "./open_upload.js";
import { requireReadable } from "./part_sender.js";
import { sendParts } from "./part_uploads.js";
import { PartUrls } from "./part_urls.js";
import { printable } from "./printable.js";
import { together } from "./together.js";
import { UploadApi } from "./upload_api.js";

/** @typedef {import("./open_upload.js").Opened} Opened */
/** @typedef {import("./engine.js").EngineParts} EngineParts */
/** @typedef {import("./errors.js").WaitReason} WaitReason */

/**
 * What is known of a file's upload. A run changes it, and the next run goes on with it.
 *
 * @typedef {object} UploadFacts
 * @property {File} file
 * @property {number} lastModified Of the file, when it was picked.
 * @property {string} fingerprint
 * @property {string} name The image's.
 * @property {string} format
 * @property {string | null} imageId Set while there is an upload at the gateway.
 * @property {boolean} isResumed The upload was begun before this page was opened.
 * @property {boolean} isRemembered It can go on after the page was closed.
 * @property {import("./upload_progress.js").UploadProgress} progress
 * @property {import("./file_hash.js").FileHash | null} hash Null: the file is not hashed.
 */

/** @typedef {"uploading" | "hashing" | "completing"} RunPhase */

/**
 * @typedef {object} RunListener
 * @property {(phase: RunPhase) => void} enter
 * @property {() => void} notice Something of the facts, the progress or the hash has changed.
 */

const MAX_WORKER_STARTS = 3;
// How often parts that the store has lost are sent again.
const MAX_ROUNDS = 3;

/** One run. */
export class UploadRun {
  #facts;
  #parts;
  #signal;
  #listener;
  #api;

  /**
   * @param {UploadFacts} facts
   * @param {EngineParts} parts
   * @param {AbortSignal} signal Interrupts it; the store keeps the parts that it has.
   * @param {RunListener} listener
   */
  constructor(facts, parts, signal, listener) {
    this.#facts = facts;
    this.#parts = parts;
    this.#signal = signal;
    this.#listener = listener;
    const { send, retrier, clock } = parts;
    this.#api = new UploadApi({ send, retrier, clock, signal, onWait: (reason) => this.#waiting("gateway", reason) });
  }

  /**
   * Upload until the gateway has the whole image.
   *
   * @throws {UploadError} The person has to do something.
   */
  async upload() {
    let opened = await this.#open();
    for (let round = 0; opened !== "complete"; round += 1) {
      if (round === MAX_ROUNDS) throw new UploadError("store", "The store loses parts of the file that it had taken.");
      const sha256 = await this.#transfer(opened);
      await this.#requireUnchanged();
      this.#listener.enter("completing");
      opened = await completeUpload(this.#api, opened, sha256, () => this.#giveUp());
    }
    this.#forget();
  }

  /**
   * Abort the upload, and delete what the store has of it. An image that is complete stays.
   *
   * @returns {Promise<boolean>} False if the image is complete already.
   */
  async discard() {
    const { imageId } = this.#facts;
    if (imageId === null) return true;
    try {
      await this.#api.abort(imageId);
    } catch (error) {
      if (!isOver(error)) throw error;
      if (error.status === 409) return false;
    }
    this.#giveUp();
    return true;
  }

  /** @returns {Promise<Opened | "complete">} */
  async #open() {
    const facts = this.#facts;
    if (facts.imageId !== null) return this.#resume(facts.imageId);
    const known = this.#parts.records.find(identityOf(facts));
    if (known !== null) {
      try {
        facts.isResumed = true;
        return await this.#resume(known.imageId);
      } catch (error) {
        if (!isOver(error)) throw error;
        facts.isResumed = false;
      }
    }
    const { file, name, format } = facts;
    /** @type {import("./upload_api.js").Declaration} */
    const declared = { filename: printable(file.name), name, sizeBytes: file.size, format };
    if (format === "iso") declared.kind = "iso";
    return this.#remember(await createUpload(this.#api, declared));
  }

  /** @param {string} imageId */
  async #resume(imageId) {
    const facts = this.#facts;
    facts.imageId = imageId;
    const opened = await this.#whileOpen(resumeUpload(this.#api, imageId, facts.file.size));
    return opened === "complete" ? opened : this.#remember(opened);
  }

  /**
   * @template T
   * @param {Promise<T>} answer Of a request that fails with 404 or 409 only if the upload is over.
   * @returns {Promise<T>}
   */
  async #whileOpen(answer) {
    try {
      return await answer;
    } catch (error) {
      if (isOver(error)) this.#giveUp();
      throw error;
    }
  }

  /** @param {Opened} opened */
  #remember(opened) {
    const facts = this.#facts;
    const { imageId, uploadId } = opened;
    facts.imageId = imageId;
    const { name, format } = facts;
    const record = { imageId, uploadId, name, format, lastUsed: this.#parts.clock.now(), ...identityOf(facts) };
    facts.isRemembered = this.#parts.records.put(record);
    this.#listener.notice();
    return opened;
  }

  /** The next run begins a new upload. */
  #giveUp() {
    this.#forget();
    this.#facts.imageId = null;
  }

  #forget() {
    if (this.#facts.imageId !== null) this.#parts.records.remove(this.#facts.imageId);
  }

  /**
   * Send the missing parts and hash the file at the same time.
   *
   * @param {Opened} opened
   * @returns {Promise<string | null>} The hash.
   */
  async #transfer(opened) {
    const { plan, missing } = opened;
    const { progress, isResumed } = this.#facts;
    const stored = plan.storedBytes(missing);
    progress.begin(stored);
    if (isResumed) progress.kept ||= stored;
    this.#listener.enter("uploading");
    const [, sha256] = await together(
      [(signal) => this.#send(opened, signal), (signal) => this.#hash(signal)],
      this.#signal,
    );
    return sha256;
  }

  /**
   * @param {Opened} opened
   * @param {AbortSignal} signal
   */
  async #send(opened, signal) {
    const { plan, missing } = opened;
    const { sendPart, retrier, clock, parallelParts: parallel, urlsPerCall: batch, stallMilliseconds } = this.#parts;
    const urls = new PartUrls(missing, {
      sign: (numbers) => this.#whileOpen(this.#api.sign(opened, numbers)),
      batch,
      now: clock.now,
    });
    const { file, progress, hash } = this.#facts;
    await sendParts(missing, {
      ...{ file, plan, urls, parallel, sendPart, retrier, clock, stallMilliseconds, signal },
      progress: {
        sending: (number, sent) => this.#noticeAfter(() => progress.sending(number, sent)),
        stored: (number) => this.#noticeAfter(() => progress.stored(number, plan.length(number))),
        interrupted: (number) => this.#noticeAfter(() => progress.interrupted(number)),
        waiting: (number, reason) => this.#waiting(number, reason),
      },
    });
    if (hash !== null && hash.hashed < file.size) this.#listener.enter("hashing");
    return null;
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<string | null>}
   */
  async #hash(signal) {
    const { hash } = this.#facts;
    if (hash === null) return null;
    let starts = 0;
    const attempt = async () => {
      try {
        return await hash.run(signal, this.#listener.notice);
      } catch (error) {
        starts += 1;
        const isWorker = error instanceof UploadError && error.kind === "worker";
        // The worker's script comes from the network, too.
        throw isWorker && starts < MAX_WORKER_STARTS ? new Retryable("gateway") : error;
      }
    };
    return this.#parts.retrier.call(attempt, signal, () => {});
  }

  async #requireUnchanged() {
    const { file, lastModified } = this.#facts;
    await requireReadable(file);
    if (file.lastModified !== lastModified) throw fileChanged();
  }

  /**
   * @param {number | string} what
   * @param {WaitReason | null} reason
   */
  #waiting(what, reason) {
    this.#noticeAfter(() => this.#facts.progress.waiting(what, reason));
  }

  /** @param {() => void} change */
  #noticeAfter(change) {
    change();
    this.#listener.notice();
  }
}

/**
 * @param {UploadFacts} facts
 * @returns {import("./upload_records.js").FileIdentity}
 */
export function identityOf({ file, lastModified, fingerprint }) {
  return { fileName: file.name, size: file.size, lastModified, fingerprint };
}

/**
 * Uploads that are unfinished: the file has to be picked again to go on with them.
 */

import { isOver } from "./open_upload.js";
import { PartPlan } from "./part_plan.js";
import { UploadApi } from "./upload_api.js";
import { lockName } from "./upload_lock.js";

/** @typedef {import("./upload_records.js").UploadRecord} UploadRecord */
/** @typedef {import("./engine.js").EngineParts} EngineParts */

/**
 * @typedef {object} UnfinishedUpload
 * @property {UploadRecord} record
 * @property {number} storedBytes
 * @property {string} expiresAt When the gateway aborts it, unless it goes on; ISO 8601.
 * @property {boolean} isInUse Another tab goes on with it at the moment.
 */

/** The unfinished uploads that this browser remembers. */
export class Unfinished {
  #parts;
  #uploads;

  /**
   * @param {EngineParts} parts
   * @param {() => import("./file_upload.js").FileUpload[]} uploads Those of this page, which are not listed.
   */
  constructor(parts, uploads) {
    this.#parts = parts;
    this.#uploads = uploads;
  }

  /**
   * Return them as the gateway knows them. Those that are over are forgotten.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<UnfinishedUpload[]>}
   */
  async list(signal) {
    const held = await this.#parts.locks.held();
    const found = [];
    for (const record of this.#parts.records.list()) {
      if (this.#uploads().some(({ imageId }) => imageId === record.imageId)) continue;
      const upload = await this.#look(record, held.has(lockName(record)), signal);
      if (upload !== null) found.push(upload);
    }
    return found;
  }

  /**
   * Abort one, and delete what the store has of it.
   *
   * @param {UploadRecord} record
   * @param {AbortSignal} signal
   */
  async discard(record, signal) {
    try {
      await this.#api(signal).abort(record.imageId);
    } catch (error) {
      if (!isOver(error)) throw error;
    }
    this.#parts.records.remove(record.imageId);
  }

  /**
   * @param {UploadRecord} record
   * @param {boolean} isInUse
   * @param {AbortSignal} signal
   * @returns {Promise<UnfinishedUpload | null>}
   */
  async #look(record, isInUse, signal) {
    try {
      const { partSize, parts, expiresAt } = await this.#api(signal).status(record.imageId);
      const plan = new PartPlan(record.size, partSize);
      const storedBytes = plan.storedBytes(plan.missing(parts));
      return { record, storedBytes, expiresAt, isInUse };
    } catch (error) {
      if (!isOver(error)) throw error;
      this.#parts.records.remove(record.imageId);
      return null;
    }
  }

  /** @param {AbortSignal} signal */
  #api(signal) {
    const { send, retrier, clock } = this.#parts;
    return new UploadApi({ send, retrier, clock, signal, onWait: () => {} });
  }
}

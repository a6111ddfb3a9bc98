/**
 * How far one upload is: bytes, rate, time left, and whether it waits for something.
 */

import { RateMeter } from "./rate_meter.js";

/** @typedef {import("./errors.js").WaitReason} WaitReason */

/** Counts the bytes of one file. */
export class UploadProgress {
  /** @type {Map<number, number>} Bytes of the parts that are under way. */
  #underWay = new Map();
  /** @type {Map<number | string, WaitReason>} */
  #waits = new Map();
  #meter;
  #stored = 0;
  /** The bytes that the store had before this page sent any. */
  kept = 0;

  /** @param {() => number} now Milliseconds. */
  constructor(now) {
    this.#meter = new RateMeter(now);
  }

  /**
   * Begin, or go on, with what the store has.
   *
   * @param {number} stored Bytes.
   */
  begin(stored) {
    this.#underWay.clear();
    this.#stored = stored;
    this.#meter.start();
  }

  /**
   * @param {number} part
   * @param {number} sent Bytes of the part so far.
   */
  sending(part, sent) {
    const before = this.#underWay.get(part) ?? 0;
    this.#underWay.set(part, sent);
    if (sent <= before) return;
    this.#meter.add(sent - before);
    this.#waits.delete(part);
  }

  /**
   * @param {number} part
   * @param {number} length Bytes of the whole part.
   */
  stored(part, length) {
    this.sending(part, length);
    this.#underWay.delete(part);
    this.#stored += length;
  }

  /** @param {number} part Its bytes have to be sent again. */
  interrupted(part) {
    this.#underWay.delete(part);
  }

  /**
   * @param {number | string} what A part, or another request.
   * @param {WaitReason | null} reason Null: it does not wait any more.
   */
  waiting(what, reason) {
    if (reason === null) this.#waits.delete(what);
    else this.#waits.set(what, reason);
  }

  /** Nothing is under way any more, and nothing waits. */
  end() {
    this.#underWay.clear();
    this.#waits.clear();
  }

  /** Bytes that are stored or under way. */
  get sent() {
    return Array.from(this.#underWay.values()).reduce((sum, bytes) => sum + bytes, this.#stored);
  }

  /** Bytes per second. */
  get rate() {
    return this.#meter.rate;
  }

  /**
   * Why nothing is sent, or null: then something is under way, or nothing has failed.
   *
   * @returns {WaitReason | null}
   */
  get waitReason() {
    const reasons = Array.from(this.#waits.values());
    if (reasons.includes("signed-out")) return "signed-out";
    const isMoving = Array.from(this.#underWay.keys()).some((part) => !this.#waits.has(part));
    return isMoving ? null : (reasons.at(-1) ?? null);
  }
}

/**
 * A disk for v86 whose writes are kept in a delta of the gateway.
 *
 * Reads give base and delta, and over them what was not committed yet. Writes are committed when the guest flushes, and
 * within a second in any case.
 */

import { LeasedDisk } from "../open/leased_disk.js";
import { browserClock } from "../open/waiting.js";
import { Committer } from "./committer.js";
import { deltaRequests } from "./delta_requests.js";
import { Saver } from "./saver.js";
import { WriteLayers } from "./write_layers.js";

const LIMIT_BYTES = 64 * 1024 * 1024;
const SECTOR = 512;

/**
 * What is not safe yet.
 *
 * @typedef {object} SaveStatus
 * @property {"saved" | "unsaved" | "stopped"} state `stopped` when nothing is saved any more.
 * @property {number} unsavedBytes What the guest has written and is not committed, in whole blocks.
 * @property {number | null} unsavedSince When the oldest of it was written, in milliseconds since the epoch.
 * @property {string | null} problem Why a commit has to be sent again.
 * @property {number} generation Of the delta, with the newest commit.
 */

/**
 * @typedef {import("../open/leased_disk.js").DiskListener & import("../open/lease.js").LeaseListener & {
 *   onStatus?: (status: SaveStatus) => void,
 *   onFull?: (isFull: boolean) => void,
 * }} DeltaListener `onStatus` is called when `state` or `problem` changes, and after each commit. `onFull` is called
 *   when so much is not committed that the guest should be paused, and, with false, when it should go on.
 */

/** As v86 wants a disk: see `LeasedDisk`. */
export class DeltaDisk {
  /** @type {((event: object) => void) | undefined} Set by v86, which waits for it. */
  onload = undefined;
  /** @type {((event: object) => void) | undefined} Set by v86; nothing is loaded beforehand. */
  onprogress = undefined;

  #listener;
  #limit;
  #lease;
  #state;
  #layers;
  #disk;
  #committer;
  #saver;
  /** @type {(() => void)[]} Ends of writes that wait for commits. */
  #held = [];
  #isFull = false;
  /** @type {string | null} */
  #problem = null;
  #isStopped = false;
  /** @type {SaveStatus["state"]} */
  #told = "saved";

  /**
   * Use `openDelta` of `open_delta.js`.
   *
   * @param {import("./delta_lease.js").SessionDocument} session
   * @param {import("../open/lease.js").Lease} lease
   * @param {import("./delta_lease.js").WriterState} state
   * @param {import("./open_delta.js").DeltaOptions} options
   */
  constructor(session, lease, state, options) {
    const { blockSize, sizeBytes: size } = session;
    const { listener = {}, limitBytes, clock = browserClock, isHidden = () => globalThis.document?.hidden } = options;
    this.byteLength = Math.ceil(size / SECTOR) * SECTOR;
    this.#listener = listener;
    this.#limit = limitBytes ?? LIMIT_BYTES;
    this.#lease = lease;
    this.#state = state;
    this.#layers = new WriteLayers(blockSize, () => clock.now());
    const common = { fetch: options.fetch, random: options.random, clock, lease };
    this.#disk = new LeasedDisk({
      ...common,
      size,
      sectorSize: SECTOR,
      requests: deltaRequests(session, state),
      etag: null,
      overlay: this.#layers,
      listener: { ...listener, onStopped: (error) => this.stop(error) },
    });
    const url = `${options.origin ?? ""}/v1/deltas/${encodeURIComponent(session.deltaId)}/commits`;
    this.#committer = new Committer({ ...common, url, state, onProblem: (problem) => this.#noteProblem(problem) });
    this.#saver = new Saver({
      layers: this.#layers,
      committer: this.#committer,
      disk: this.#disk,
      blockSize,
      size,
      clock,
      isHidden,
      onSaved: () => this.#noteSaved(),
      onStopped: (error) => this.stop(error),
    });
  }

  load() {
    this.onload?.({});
  }

  /** @type {LeasedDisk["get"]} */
  get(offset, length, done, options) {
    this.#disk.get(offset, length, done, options);
  }

  /** @type {LeasedDisk["get"]} */
  get_and_cache(offset, length, done, options) {
    this.#disk.get(offset, length, done, options);
  }

  /** @type {LeasedDisk["get_from_cache"]} */
  get_from_cache(offset, length) {
    return this.#disk.get_from_cache(offset, length);
  }

  /**
   * Write. `done` is called at once, or, while too much is not committed, when there is room again; never after the
   * disk has stopped.
   *
   * @param {number} offset
   * @param {Uint8Array} data
   * @param {() => void} done
   */
  set(offset, data, done) {
    if (this.#isStopped) return;
    this.#disk.set(offset, data, () => {});
    this.#saver.noteWrite();
    this.#tell(false);
    if (this.#layers.bytes <= this.#limit) return done();
    const end = this.#disk.beginWait();
    this.#held.push(() => {
      done();
      end();
    });
    this.#noteFull(true);
    this.#saver.saveNow();
  }

  /** @type {LeasedDisk["get_buffer"]} */
  get_buffer(done) {
    this.#disk.get_buffer(done);
  }

  /** Saved states of v86 cannot have this disk in them: throws an error that says so. */
  get_state() {
    return this.#disk.get_state();
  }

  /** @type {LeasedDisk["set_state"]} */
  set_state(state) {
    this.#disk.set_state(state);
  }

  /** @type {LeasedDisk["readAhead"]} */
  readAhead(offsets) {
    this.#disk.readAhead(offsets);
  }

  /**
   * Commit what the guest has written so far. Rejects if that cannot be done any more.
   *
   * @returns {Promise<void>}
   */
  flush() {
    return this.#saver.flush();
  }

  /**
   * As `flush`, for a guest that waits for it: counts for `onSlow`, and never ends once the disk has stopped.
   *
   * @param {() => void} done
   */
  flushForGuest(done) {
    const end = this.#disk.beginWait();
    this.#saver.flush().then(
      () => {
        done();
        end();
      },
      // Who stopped the disk has been told why.
      () => end(),
    );
  }

  /** @returns {SaveStatus} */
  get status() {
    const unsavedBytes = this.#layers.bytes;
    return {
      state: this.#isStopped ? "stopped" : unsavedBytes > 0 ? "unsaved" : "saved",
      unsavedBytes,
      unsavedSince: this.#layers.oldest,
      problem: this.#problem,
      generation: this.#state.generation,
    };
  }

  /** @returns {import("../open/block_requests.js").LeaseDocument} */
  get lease() {
    return this.#lease.current;
  }

  /** Begin to commit at once: the page may soon be gone. */
  saveNow() {
    if (!this.#isStopped) this.#saver.saveNow();
  }

  /** Try what waits at once: the network is back, or the page was woken up. */
  wake() {
    this.#lease.check();
    this.#disk.wake();
    this.#committer.wake();
  }

  /** The page goes away. The last commit goes on without it, if it is at most 60 KiB. */
  leave() {
    if (this.#isStopped) return;
    this.#saver.leave();
    const isSaved = this.#layers.bytes === 0;
    this.#endAccess();
    if (isSaved) void this.#lease.release({ isLeaving: true }).catch(() => {});
  }

  /** Commit what is left, then end the session. Rejects if that cannot be done. */
  async close() {
    await this.flush();
    await this.end();
  }

  /** End the session; what is not committed is lost. */
  async end() {
    const isEnded = this.#isStopped;
    this.stop(new Error("The disk was closed."), { isTold: false });
    if (!isEnded) await this.#lease.release();
  }

  /**
   * Stop for good: nothing more is read or committed.
   *
   * @param {unknown} error
   * @param {{ isTold?: boolean }} [options] Whether `onStopped` is called.
   */
  stop(error, { isTold = true } = {}) {
    if (this.#isStopped) return;
    this.#endAccess();
    this.#saver.stop(error);
    if (isTold) this.#listener.onStopped?.(error);
    this.#tell(true);
  }

  #endAccess() {
    this.#isStopped = true;
    this.#lease.stop();
    this.#disk.close();
  }

  #noteSaved() {
    if (this.#layers.bytes <= this.#limit) {
      for (const end of this.#held.splice(0)) end();
      this.#noteFull(false);
    }
    this.#tell(true);
  }

  /** @param {boolean} isFull */
  #noteFull(isFull) {
    if (this.#isFull === isFull) return;
    this.#isFull = isFull;
    this.#listener.onFull?.(isFull);
  }

  /** @param {string | null} problem */
  #noteProblem(problem) {
    if (this.#problem === problem) return;
    this.#problem = problem;
    this.#tell(true);
  }

  /** @param {boolean} isNews Whether something else than the state has changed. */
  #tell(isNews) {
    const { status } = this;
    if (!isNews && status.state === this.#told) return;
    this.#told = status.state;
    this.#listener.onStatus?.(status);
  }
}

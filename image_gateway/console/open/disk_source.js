/**
 * Where the machine's disk comes from: the image with writes in memory, or a delta that keeps them.
 */

import { size } from "../lib/format.js";
import { openDelta } from "../deltas/open_delta.js";
import { watchPage } from "../deltas/page_events.js";
import { partRequests, rangeRequests } from "./block_requests.js";
import { versionOf } from "./image.js";
import { deltaOf } from "./keep_choice.js";
import { LeasedDisk } from "./leased_disk.js";
import { SavingView } from "./saving_view.js";

/** @typedef {import("./leased_disk.js").DiskListener & import("./lease.js").LeaseListener} SourceListener */

/**
 * @typedef {object} DiskSource
 * @property {(listener: SourceListener & { onFull: (isFull: boolean) => void }) => Promise<V86Disk>} open
 * @property {() => import("./block_requests.js").LeaseDocument} lease The lease to read with, once it is open.
 * @property {HTMLElement | null} element What the person sees of it.
 * @property {() => string[]} written The name and the value of a number: what was written.
 * @property {(place: HTMLElement) => Promise<void>} settle Bring to an end what is under way, before `end`.
 * @property {() => Promise<void>} end Read and write nothing more, and give back the lease.
 * @property {() => void} fail Read and write nothing more: the disk has stopped.
 * @property {() => void} wake
 * @property {() => void} leave The page goes away.
 */

/** @typedef {LeasedDisk | import("../deltas/delta_disk.js").DeltaDisk} V86Disk */

/** @implements {DiskSource} */
export class DiscardedWrites {
  element = null;
  #image;
  #settings;
  #overlay;
  /** @type {import("./lease.js").Lease | null} */
  #lease = null;
  /** @type {LeasedDisk | null} */
  #disk = null;
  #isOver = false;

  /**
   * @param {import("./image.js").OpenedImage} image
   * @param {import("./settings.js").Settings} settings
   * @param {import("./overlay.js").Overlay} overlay
   */
  constructor(image, settings, overlay) {
    this.#image = image;
    this.#settings = settings;
    this.#overlay = overlay;
  }

  /** @type {DiskSource["open"]} */
  async open(listener) {
    const onRenewed = () => this.#disk?.wake();
    const lease = await this.#image.lease({ ...listener, onRenewed });
    this.#lease = lease;
    if (this.#isOver) await this.#giveBackLease(false);
    const etag = await versionOf(lease.current);
    const view = this.#settings.readBy === "parts" ? lease.current.views?.v86 : undefined;
    const requests = view === undefined ? rangeRequests(this.#image.size) : partRequests(view.fixed_chunk_size);
    const sectorSize = this.#settings.isCd ? 2048 : 512;
    const overlay = this.#overlay;
    this.#disk = new LeasedDisk({ size: this.#image.size, sectorSize, requests, lease, etag, overlay, listener });
    return this.#disk;
  }

  lease() {
    if (this.#lease === null) throw new TypeError("the disk is not open");
    return this.#lease.current;
  }

  written() {
    return ["Written, in this page only", size(this.#overlay.bytes)];
  }

  async settle() {}

  async end() {
    this.#isOver = true;
    this.#disk?.close();
    await this.#giveBackLease(false);
  }

  fail() {
    this.#disk?.close();
    this.#lease?.stop();
  }

  wake() {
    this.#lease?.check();
    this.#disk?.wake();
  }

  leave() {
    this.#disk?.close();
    void this.#giveBackLease(true);
  }

  /** @param {boolean} isLeaving */
  async #giveBackLease(isLeaving) {
    // The lease of a link is kept for a reload of the page: another one would be another use of the link.
    if (this.#image.isByLink) this.#lease?.stop();
    else await this.#lease?.release({ isLeaving });
  }
}

/** @implements {DiskSource} */
export class KeptWrites {
  #imageId;
  #settings;
  #view = new SavingView();
  /** @type {import("../deltas/delta_disk.js").DeltaDisk | null} */
  #disk = null;
  #unwatch = () => {};
  #isOver = false;

  /**
   * @param {string} imageId
   * @param {import("./settings.js").Settings} settings Get the id of a delta that is made.
   */
  constructor(imageId, settings) {
    this.#imageId = imageId;
    this.#settings = settings;
    this.element = this.#view.element;
  }

  /** @type {DiskSource["open"]} */
  async open(listener) {
    if (this.#settings.keep === null) throw new TypeError("no delta was chosen");
    const deltaId = await deltaOf(this.#imageId, this.#settings.keep);
    // The next start goes on with it.
    this.#settings.keep = { deltaId };
    const onStatus = () => this.#view.show();
    // The lease's end stops the disk, which tells it.
    const disk = await openDelta({ deltaId, listener: { ...listener, onStatus, onEnded: undefined } });
    this.#disk = disk;
    if (this.#isOver) await disk.end();
    else {
      this.#unwatch = watchPage(disk);
      this.#view.start(disk);
    }
    return disk;
  }

  lease() {
    if (this.#disk === null) throw new TypeError("the disk is not open");
    return this.#disk.lease;
  }

  written() {
    return ["Not saved yet", size(this.#disk?.status.unsavedBytes ?? 0)];
  }

  /** @type {DiskSource["settle"]} */
  async settle(place) {
    if (this.#disk?.status.state === "unsaved") await this.#view.settle(place, this.#disk);
  }

  async end() {
    this.#isOver = true;
    this.#unwatch();
    this.#view.stop();
    await this.#disk?.end();
  }

  fail() {
    this.#unwatch();
    this.#view.stop();
  }

  wake() {
    this.#disk?.wake();
  }

  // The disk watches the page itself.
  leave() {}
}

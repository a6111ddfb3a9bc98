/**
 * Keeps what the guest writes, over the image, which never changes.
 */

const SECTOR = 512;
const PAGE = 4096;
const SECTORS = PAGE / SECTOR;
const ALL = 2 ** SECTORS - 1;

/**
 * What a disk needs of the place that keeps writes.
 *
 * @typedef {object} Overlay
 * @property {number} bytes The memory that the writes take.
 * @property {(offset: number, data: Uint8Array) => void} write Whole sectors.
 * @property {(offset: number, target: Uint8Array) => void} read Puts what was written there over the bytes of `target`.
 * @property {(offset: number, length: number) => boolean} covers Whether each of these bytes was written.
 * @property {() => [number, Uint8Array][]} [entries] What was written: byte offsets and sectors. Without it the disk
 *   cannot be part of a saved state.
 * @property {() => void} [clear]
 */

/**
 * Writes in memory: pages of 4 KiB, in which a bit tells whether a sector was written.
 *
 * @implements {Overlay}
 */
export class MemoryOverlay {
  /** @type {Map<number, { data: Uint8Array, written: number }>} */
  #pages = new Map();

  get bytes() {
    return this.#pages.size * PAGE;
  }

  /**
   * @param {number} offset
   * @param {Uint8Array} data
   */
  write(offset, data) {
    if (offset % SECTOR || data.length % SECTOR) throw new RangeError("a write must have whole sectors");
    for (let at = 0; at < data.length; at += SECTOR) {
      const number = Math.floor((offset + at) / PAGE);
      const within = (offset + at) % PAGE;
      let page = this.#pages.get(number);
      if (page === undefined) {
        page = { data: new Uint8Array(PAGE), written: 0 };
        this.#pages.set(number, page);
      }
      page.data.set(data.subarray(at, at + SECTOR), within);
      page.written |= 1 << (within / SECTOR);
    }
  }

  /**
   * @param {number} offset
   * @param {Uint8Array} target
   */
  read(offset, target) {
    if (this.#pages.size === 0) return;
    this.#eachSector(offset, target.length, (page, from, until, at) => {
      if (page) target.set(page.subarray(from, until), at);
      return true;
    });
  }

  /**
   * @param {number} offset
   * @param {number} length
   */
  covers(offset, length) {
    return this.#pages.size > 0 && this.#eachSector(offset, length, (page) => page !== null);
  }

  entries() {
    /** @type {[number, Uint8Array][]} */
    const found = [];
    for (const [number, { data, written }] of this.#pages) {
      if (written === ALL) found.push([number * PAGE, data.slice()]);
      else {
        for (let sector = 0; sector < SECTORS; sector += 1) {
          const within = sector * SECTOR;
          if (written & (1 << sector)) found.push([number * PAGE + within, data.slice(within, within + SECTOR)]);
        }
      }
    }
    return found;
  }

  clear() {
    this.#pages.clear();
  }

  /**
   * Call for each sector of a range, also for those at its ends of which the range has only a part.
   *
   * @param {number} offset
   * @param {number} length
   * @param {(page: Uint8Array | null, from: number, until: number, at: number) => boolean} call Gets the page, or null
   *   for a sector that was not written, the bytes of the page that belong to the range, and their place in the range.
   *   Returns whether to go on.
   * @returns {boolean} Whether no call returned false.
   */
  #eachSector(offset, length, call) {
    for (let at = 0; at < length; ) {
      const place = offset + at;
      const from = place % PAGE;
      const until = Math.min(from - (from % SECTOR) + SECTOR, from + length - at);
      const page = this.#pages.get(Math.floor(place / PAGE));
      const isWritten = page !== undefined && (page.written & (1 << Math.floor(from / SECTOR))) !== 0;
      if (!call(isWritten ? page.data : null, from, until, at)) return false;
      at += until - from;
    }
    return true;
  }
}

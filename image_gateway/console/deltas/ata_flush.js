/**
 * Lets a guest of v86 flush its disk.
 *
 * v86 answers FLUSH CACHE itself, at once, and says to guests that its disks have no write cache, so that most never send
 * it. This module sits between v86's WebAssembly and its devices, at the ports of the first disk: it announces a write
 * cache, and holds the answer to a flush until all is committed. (ATA/ATAPI-6, 8.10 to 8.12 and 8.15)
 */

const DATA = 0x1f0;
const DEVICE = 0x1f6;
const COMMAND = 0x1f7;
const CONTROL = 0x3f6;
const IDENTIFY_DEVICE = 0xec;
/** STANDBY IMMEDIATE, FLUSH CACHE and FLUSH CACHE EXT. */
const FLUSHES = [0xe0, 0xe7, 0xea];
const IS_SLAVE = 0x10;
const SOFT_RESET = 0x04;
const BUSY = 0x80;
/** The words of IDENTIFY DEVICE that say whether there is a write cache, and whether it is on. */
const CACHE_WORDS = [82, 85];
const WRITE_CACHE = 0x20;
const IDENTIFY_WORDS = 256;

/**
 * Return the imports of v86's WebAssembly with a disk that can be flushed. Use it in v86's option `wasm_fn`.
 *
 * @param {WebAssembly.Imports} imports
 * @param {(done: () => void) => void} flush Calls `done` when all that was written is safe.
 * @returns {WebAssembly.Imports}
 */
export function withFlush(imports, flush) {
  const ports = /** @type {Record<string, (port: number, value?: number) => number>} */ (imports.env);
  const { io_port_read8, io_port_read16, io_port_read32, io_port_write8 } = ports;
  for (const call of [io_port_read8, io_port_read16, io_port_read32, io_port_write8]) {
    if (typeof call !== "function") throw new Error("This version of v86 has other imports: flushes cannot be seen.");
  }
  let isSlave = false;
  /** @type {object | null} The flush that is held. */
  let held = null;
  let nextWord = IDENTIFY_WORDS;

  /** @param {number} command */
  function hold(command) {
    const current = {};
    held = current;
    flush(() => {
      // Unless the guest has reset the drive.
      if (held !== current) return;
      held = null;
      io_port_write8(COMMAND, command);
    });
  }

  /** @param {number} count Of words that the guest reads; returns the bits to add to them. */
  function identifyBits(count) {
    let bits = 0;
    for (let index = 0; index < count; index += 1, nextWord += 1) {
      if (CACHE_WORDS.includes(nextWord)) bits |= WRITE_CACHE << (16 * index);
    }
    return bits;
  }

  const isBusy = () => held !== null && !isSlave;
  const isIdentity = (/** @type {number} */ port) => port === DATA && !isSlave && nextWord < IDENTIFY_WORDS;
  const env = {
    ...imports.env,
    io_port_read8: (/** @type {number} */ port) =>
      (port === COMMAND || port === CONTROL) && isBusy() ? BUSY : io_port_read8(port),
    io_port_read16: (/** @type {number} */ port) =>
      io_port_read16(port) | (isIdentity(port) ? identifyBits(1) : 0),
    io_port_read32: (/** @type {number} */ port) =>
      io_port_read32(port) | (isIdentity(port) ? identifyBits(2) : 0),
    io_port_write8: (/** @type {number} */ port, /** @type {number} */ value) => {
      if (port === DEVICE) isSlave = (value & IS_SLAVE) !== 0;
      if (port === CONTROL && value & SOFT_RESET) held = null;
      if (port === COMMAND && !isSlave) {
        if (held !== null) return;
        nextWord = value === IDENTIFY_DEVICE ? 0 : IDENTIFY_WORDS;
        if (FLUSHES.includes(value)) return hold(value);
      }
      io_port_write8(port, value);
    },
  };
  return { ...imports, env };
}

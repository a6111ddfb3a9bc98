/**
 * A machine in v86, without anything that needs more than the page's Content-Security-Policy allows:
 *
 * - v86 makes a worker of a blob for its timer: the same is a file here.
 * - Its sound needs a worklet made of a blob: it is off.
 */

import { withFlush } from "../deltas/ata_flush.js";
import { machineClock } from "./machine_clock.js";

const MIB = 1024 * 1024;
const VGA_MEMORY = 8 * MIB;
const TIMER = new URL("./yield_worker.js", import.meta.url);
// Set 1 scan codes: press Ctrl, Alt and Delete, then release them.
const CTRL_ALT_DEL = [0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d];

/** @typedef {import("./v86_files.js").V86Files} V86Files */
/** @typedef {"user" | "network" | "saving" | "overlay" | "stopped"} PauseReason Who has paused the machine. */

/**
 * @typedef {object} MachineOptions
 * @property {import("./disk_source.js").V86Disk} disk
 * @property {boolean} isCd
 * @property {number} memoryMib
 * @property {HTMLElement} screen An element with a div and a canvas.
 * @property {(byte: number) => void} onSerial
 */

export class Machine {
  #emulator;
  #disk;
  /** @type {Set<PauseReason>} */
  #pauses = new Set();
  /** Whether v86 has made its devices, among them the keyboard. */
  #hasDevices = false;
  #isLoaded = false;
  #isGone = false;

  /**
   * @param {V86Files} files
   * @param {MachineOptions} options
   */
  constructor(files, options) {
    useFileAsTimer();
    machineClock.run();
    this.#disk = options.disk;
    this.#emulator = new files.V86({
      wasm_fn: (/** @type {WebAssembly.Imports} */ imports) => this.#loadWasm(files, imports),
      bios: { buffer: files.bios },
      vga_bios: files.vgaBios === null ? undefined : { buffer: files.vgaBios },
      screen_container: options.screen,
      memory_size: options.memoryMib * MIB,
      vga_memory_size: VGA_MEMORY,
      [options.isCd ? "cdrom" : "hda"]: options.disk,
      disable_speaker: true,
      autostart: false,
    });
    this.#emulator.add_listener("serial0-output-byte", options.onSerial);
    this.#emulator.add_listener("emulator-loaded", () => {
      this.#isLoaded = true;
      void this.#apply();
    });
  }

  /** @param {PauseReason} reason */
  isPaused(reason) {
    return this.#pauses.has(reason);
  }

  /** @param {PauseReason} reason */
  pause(reason) {
    this.#pauses.add(reason);
    void this.#apply();
  }

  /**
   * Let the machine run on, unless there is another reason for the pause.
   *
   * @param {PauseReason} reason
   */
  resume(reason) {
    if (this.#pauses.delete(reason)) void this.#apply();
  }

  reset() {
    if (this.#isLoaded) this.#emulator.restart();
  }

  sendCtrlAltDel() {
    void this.#emulator.keyboard_send_scancodes(CTRL_ALT_DEL);
  }

  /** @param {Uint8Array} bytes */
  sendSerial(bytes) {
    this.#emulator.serial_send_bytes(0, bytes);
  }

  /**
   * Say whether keys go to the machine. Those that are held down are released in it when they no longer do.
   *
   * @param {boolean} isCaptured
   */
  captureKeyboard(isCaptured) {
    if (!this.#hasDevices) return;
    // v86 releases all keys when the window loses the focus.
    if (!isCaptured) window.dispatchEvent(new FocusEvent("blur"));
    this.#emulator.keyboard_set_enabled(isCaptured);
  }

  /** Switch the machine off. */
  async destroy() {
    this.#isGone = true;
    if (this.#hasDevices) await this.#emulator.destroy();
  }

  /**
   * @param {V86Files} files
   * @param {WebAssembly.Imports} imports
   */
  async #loadWasm(files, imports) {
    const disk = this.#disk;
    const exports = await files.wasm("flushForGuest" in disk ? withFlush(imports, disk.flushForGuest.bind(disk)) : imports);
    // Right after v86 has got these it makes its devices, and takes all keys of the page from then on.
    setTimeout(() => {
      this.#hasDevices = true;
      if (this.#isGone) void this.#emulator.destroy();
      else this.captureKeyboard(false);
    });
    return exports;
  }

  async #apply() {
    if (!this.#isLoaded || this.#isGone) return;
    if (this.#pauses.size === 0) {
      machineClock.run();
      await this.#emulator.run();
    } else {
      await this.#emulator.stop();
      if (this.#pauses.size > 0 && !this.#isGone) machineClock.stop();
    }
  }
}

let hasFileAsTimer = false;

/** Give v86 our own worker in place of the one that it makes of a blob. */
function useFileAsTimer() {
  if (hasFileAsTimer) return;
  hasFileAsTimer = true;
  window.Worker = class extends window.Worker {
    /**
     * @param {string | URL} url
     * @param {WorkerOptions} [options]
     */
    constructor(url, options) {
      super(String(url).startsWith("blob:") ? TIMER : url, options);
    }
  };
}

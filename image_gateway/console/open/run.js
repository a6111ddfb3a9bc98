/**
 * One run of a machine: its disk, and what the person sees of them.
 */

import { element, errorBox, replace, say } from "../lib/dom.js";
import { DiscardedWrites, KeptWrites } from "./disk_source.js";
import { bootTrace } from "./image.js";
import { Machine } from "./machine.js";
import { DiskReport } from "./report.js";
import { Screen } from "./screen.js";
import { SerialConsole } from "./serial.js";
import { loadV86 } from "./v86_files.js";

const OVERLAY_STEP = 256 * 1024 * 1024;

/**
 * @typedef {object} RunOptions
 * @property {import("./image.js").OpenedImage} image
 * @property {import("./settings.js").Settings} settings
 * @property {import("./overlay.js").Overlay} overlay
 * @property {HTMLElement} place The element that the run fills.
 * @property {(error: unknown) => void} onStopped Called when the person has stopped the machine, with the reason if
 *   not all could be saved.
 * @property {() => void} onSignIn Called when a person whose session has ended wants to sign in again.
 */

export class Run {
  #options;
  #screen = new Screen((isCaptured) => this.#machine?.captureKeyboard(isCaptured));
  #serial = new SerialConsole((bytes) => this.#machine?.sendSerial(bytes));
  #status = element("p", { role: "status", class: "status" }, "Loading the emulator …");
  #notice = element("div");
  #leaseNotice = element("div");
  #pauseButton = button("Pause", () => this.#pauseOrContinue());
  #report;
  /** @type {import("./disk_source.js").DiskSource} */
  #source;
  /** @type {Machine | null} */
  #machine = null;
  #overlayLimit = OVERLAY_STEP;
  /** @type {string | null} */
  #waitsFor = null;
  /** @type {unknown} */
  #failure = undefined;
  #isOver = false;

  /** @param {RunOptions} options */
  constructor(options) {
    this.#options = options;
    const { image, settings, overlay } = options;
    const isKept = settings.keep !== null;
    this.#source = isKept ? new KeptWrites(image.imageId, settings) : new DiscardedWrites(image, settings, overlay);
    this.#report = new DiskReport(image, () => this.#source.written());
    replace(
      options.place,
      this.#status,
      this.#source.element,
      this.#notice,
      this.#leaseNotice,
      element(
        "div",
        { class: "toolbar", role: "group", "aria-label": "Machine" },
        this.#screen.buttons,
        button("Ctrl+Alt+Del", () => this.#machine?.sendCtrlAltDel()),
        this.#pauseButton,
        button("Reset", () => this.#machine?.reset()),
        button("Stop", () => void this.#stop()),
      ),
      this.#screen.frame,
      this.#serial.element,
      this.#report.element,
    );
  }

  /** Start the machine; rejects if that fails, and then leaves nothing behind. */
  async start() {
    try {
      const [files, disk] = await Promise.all([loadV86(), this.#openDisk()]);
      if (!this.#isOver) this.#startMachine(files, disk);
    } catch (error) {
      const wasStopped = this.#isOver;
      await this.#end();
      if (!wasStopped) throw error;
    }
  }

  #openDisk() {
    return this.#source.open({
      ...this.#report.listener,
      onWritten: (offset, length) => this.#noteWritten(offset, length),
      onWaiting: (reason) => this.#noteWaiting(reason),
      onSlow: (isSlow) => this.#noteSlow("network", isSlow),
      onFull: (isFull) => this.#noteSlow("saving", isFull),
      onProblem: (problem) => this.#showLeaseProblem(problem),
      onEnded: (error) => this.#fail(error),
      onStopped: (error) => this.#fail(error),
    });
  }

  /**
   * @param {import("./v86_files.js").V86Files} files
   * @param {import("./disk_source.js").V86Disk} disk
   */
  #startMachine(files, disk) {
    const { settings } = this.#options;
    this.#machine = new Machine(files, {
      disk,
      isCd: settings.isCd,
      memoryMib: settings.memoryMib,
      screen: this.#screen.container,
      onSerial: (byte) => this.#serial.receive(byte),
    });
    this.#report.start();
    this.#showStatus();
    if (files.vgaBios === null) say("vgabios.bin is not installed: the screen stays dark, only the serial port works.");
    void bootTrace(this.#source.lease()).then((offsets) => disk.readAhead(offsets));
  }

  /** The page was woken up, or the network is back. */
  wake() {
    this.#source.wake();
  }

  /** The page goes away: what it holds at the gateway is given back. */
  leave() {
    this.#source.leave();
  }

  async #stop() {
    const before = this.#failure;
    this.#machine?.pause("stopped");
    await this.#source.settle(this.#notice);
    await this.#end();
    // One that was there before has been read.
    this.#options.onStopped(this.#failure === before ? undefined : this.#failure);
  }

  async #end() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#report.stop();
    this.#screen.destroy();
    await this.#machine?.destroy();
    const lost = () => say("The lease could not be revoked. It ends by itself within minutes.");
    await this.#source.end().catch(lost);
  }

  #pauseOrContinue() {
    if (this.#machine?.isPaused("user")) this.#machine.resume("user");
    else this.#machine?.pause("user");
    this.#pauseButton.textContent = this.#machine?.isPaused("user") ? "Continue" : "Pause";
    this.#showStatus();
  }

  #showStatus() {
    const machine = this.#machine;
    if (machine === null) return;
    const isHeld = machine.isPaused("network") || machine.isPaused("saving");
    const isWaiting = (isHeld || this.#waitsFor !== null) && !machine.isPaused("stopped");
    this.#status.classList.toggle("waiting", isWaiting);
    const held = machine.isPaused("saving") ? "Too much is not saved yet." : "The bytes of the disk come slowly.";
    const reason = this.#waitsFor ?? held;
    const next = isHeld ? "The machine is paused until then." : "The machine goes on by itself.";
    const isPaused = machine.isPaused("user") || machine.isPaused("overlay");
    if (machine.isPaused("stopped")) this.#status.textContent = "The machine is stopped.";
    else if (isWaiting) this.#status.textContent = `Waiting for the network. ${reason} ${next}`;
    else this.#status.textContent = isPaused ? "Paused." : "Running.";
  }

  /** @param {string | null} reason */
  #noteWaiting(reason) {
    this.#waitsFor = reason;
    this.#showStatus();
  }

  /**
   * @param {"network" | "saving"} reason
   * @param {boolean} isSlow Whether the machine has to wait: its drivers might give up on the disk, or too much of what
   *   it has written is not saved.
   */
  #noteSlow(reason, isSlow) {
    if (isSlow) this.#machine?.pause(reason);
    else this.#machine?.resume(reason);
    this.#showStatus();
  }

  /**
   * @param {number} offset
   * @param {number} length
   */
  #noteWritten(offset, length) {
    this.#report.listener.onWritten(offset, length);
    if (this.#options.overlay.bytes > this.#overlayLimit) this.#askForMemory();
  }

  /** The machine has written as much as this page may keep: it goes on when the person allows more. */
  #askForMemory() {
    if (this.#machine?.isPaused("overlay")) return;
    this.#machine?.pause("overlay");
    this.#showStatus();
    const allow = () => {
      this.#overlayLimit = this.#options.overlay.bytes + OVERLAY_STEP;
      replace(this.#notice);
      this.#machine?.resume("overlay");
      this.#showStatus();
    };
    replace(
      this.#notice,
      element(
        "div",
        { class: "error", role: "alert" },
        element("p", {}, "The machine has written so much that this page’s memory may not suffice. It is paused."),
        button("Allow 256 MiB more", allow),
      ),
    );
  }

  /** @param {import("./lease.js").Problem | null} problem */
  #showLeaseProblem(problem) {
    if (problem === null) return replace(this.#leaseNotice);
    if (!problem.isSignedOut || this.#leaseNotice.hasChildNodes()) return;
    const text = element("p", {}, "You are signed out. The machine goes on when you have signed in again.");
    const signIn = button("Sign in again", this.#options.onSignIn);
    replace(this.#leaseNotice, element("div", { class: "error", role: "alert" }, text, signIn));
  }

  /** @param {unknown} error Why the disk can be read no more. */
  #fail(error) {
    if (this.#isOver || this.#failure !== undefined) return;
    this.#failure = error;
    this.#source.fail();
    this.#machine?.pause("stopped");
    this.#screen.leave();
    replace(this.#leaseNotice);
    replace(this.#notice, errorBox(error));
    this.#showStatus();
  }
}

/**
 * @param {string} text
 * @param {() => void} onclick
 */
function button(text, onclick) {
  return element("button", { type: "button", onclick }, text);
}

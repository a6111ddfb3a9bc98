/**
 * The section of the page Image that publishes an image as chunks and verifies them.
 */

import { get, send } from "../lib/api.js";
import { element, errorBox, field, replace, whileBusy } from "../lib/dom.js";
import { size as sizeText, time } from "../lib/format.js";
import { section } from "./head.js";
import { JobView, followJob, isActive } from "./jobs.js";

/** @typedef {import("./settings_section.js").Versioned} Versioned */
/** @typedef {import("../images/types.js").Job} Job */

const KIB = 1024;
const MIB = 1024 * KIB;
const SECTOR = 512;
const MOST_CHUNKS = 500_000;
const CHUNK_SIZES = [256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB];
const DEFAULT_CHUNK_SIZE = 4 * MIB;
const SAMPLES = [100, 1000, 10_000];

/**
 * Return the section, for the owner of a complete image.
 *
 * @param {Versioned} current
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} refresh Fetches the current record.
 * @returns {HTMLElement}
 */
export function chunkSection(current, signal, refresh) {
  const chunks = new Chunks(current, signal, refresh);
  void chunks.load();
  return section("Chunks", chunks.body);
}

class Chunks {
  /**
   * @param {Versioned} current
   * @param {AbortSignal} signal
   * @param {() => Promise<void>} refresh
   */
  constructor(current, signal, refresh) {
    this.current = current;
    this.path = `/v1/images/${current.image.imageId}`;
    this.signal = signal;
    this.refresh = refresh;
    this.body = element("div", { class: "stack" });
  }

  /** Show the job that is running, or what can be done. */
  async load() {
    try {
      const { jobs } = await get(`${this.path}/jobs`, this.signal);
      const ours = jobs.filter((/** @type {Job} */ { kind }) => kind === "publish" || kind === "verify");
      const running = ours.find(isActive);
      if (running) await this.follow(running);
      else this.offer(ours[0]);
    } catch (error) {
      if (!this.signal.aborted)
        replace(
          this.body,
          errorBox(error, () => void this.load()),
        );
    }
  }

  /** @param {Job} [last] The newest job, which has ended. */
  offer(last) {
    const { chunked, size } = this.current.image;
    if (chunked) return replace(this.body, ...this.verifyForm(), last && outcome(last));
    if (!size || size % SECTOR) {
      return replace(this.body, element("p", {}, "Only disks of a multiple of 512 bytes can be published as chunks."));
    }
    replace(this.body, ...this.publishForm(size), last && outcome(last));
  }

  /** @param {number} size */
  publishForm(size) {
    const possible = CHUNK_SIZES.filter((bytes) => size / bytes <= MOST_CHUNKS);
    const options = possible.map((bytes) => {
      const count = Math.ceil(size / bytes);
      const text = `${sizeText(bytes)} (${count.toLocaleString()} ${count === 1 ? "chunk" : "chunks"})`;
      return element("option", { value: bytes, selected: bytes === DEFAULT_CHUNK_SIZE }, text);
    });
    const select = element("select", {}, ...options);
    const publish = () => this.begin("publish", { chunkSize: Number(select.value) });
    return [
      element(
        "p",
        { class: "quiet" },
        "Chunks are files of equal size, each read by a plain GET: CDNs and browsers cache them better than ranges. ",
        "Publishing takes as much space again. The chunk size cannot be changed later.",
      ),
      form("Chunk size", select, "Publish", publish),
    ];
  }

  verifyForm() {
    const samples = SAMPLES.map((count) =>
      element("option", { value: count }, `${count.toLocaleString()} chosen by chance`),
    );
    const select = element("select", {}, element("option", { value: "" }, "All"), ...samples);
    const verify = () => {
      const sample = Number(select.value) || null;
      return this.begin("verify", sample === null ? {} : { sample, seed: Math.floor(Math.random() * 2 ** 31) });
    };
    return [
      element("p", {}, "The image is published as chunks."),
      form("Chunks to compare with the manifest", select, "Verify", verify),
    ];
  }

  /**
   * @param {"publish" | "verify"} action
   * @param {object} body
   */
  async begin(action, body) {
    try {
      await this.follow(await send("POST", `${this.path}/${action}`, body));
    } catch (error) {
      if (!this.signal.aborted) this.body.append(errorBox(error, () => void this.load()));
    }
  }

  /** @param {Job} job */
  async follow(job) {
    const view = new JobView(job);
    const heading = job.kind === "publish" ? "The image is being published." : "The chunks are being verified.";
    replace(this.body, element("p", {}, heading), view.element);
    const ended = await followJob(job, (current) => view.update(current), this.signal);
    if (ended.kind === "publish") await this.refresh();
    this.offer(ended);
  }
}

/**
 * @param {string} label
 * @param {HTMLSelectElement} select
 * @param {string} action
 * @param {() => Promise<void>} act
 */
function form(label, select, action, act) {
  const button = element("button", { type: "submit" }, action);
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void whileBusy(button, act);
  };
  return element("form", { class: "row", onsubmit: submit }, field(label, select), button);
}

/**
 * Say how a job ended.
 *
 * @param {Job} job
 */
function outcome(job) {
  const { kind, state, finished, error, result } = job;
  const name = kind === "publish" ? "Publishing" : "Verification";
  const when = time(finished);
  if (state === "cancelled") return element("p", { class: "quiet" }, `${name} was cancelled, ${when}.`);
  if (state === "failed") return failure(`${name} failed, ${when}: ${error?.message ?? ""}`, result?.problems ?? []);
  if (kind === "publish" || !result) return null;
  const { checkedChunks, chunks, checkedBytes, diskCompared } = result;
  const compared = diskCompared ? ", and with the disk" : "";
  const text =
    `Verified, ${when}: ${checkedChunks.toLocaleString()} of ${chunks.toLocaleString()} chunks ` +
    `(${sizeText(checkedBytes)}) agree with the manifest${compared}.`;
  return element("p", { role: "status" }, text);
}

/**
 * @param {string} text
 * @param {string[]} problems
 */
function failure(text, problems) {
  const list = problems.map((problem) => element("li", {}, problem));
  return element("div", { class: "error", role: "alert" }, element("p", {}, text), element("ul", {}, ...list));
}

/**
 * Shows background jobs while they run.
 */

import { get, send } from "../lib/api.js";
import { element, errorBox, replace, stateBadge, whileBusy } from "../lib/dom.js";
import { size } from "../lib/format.js";
import { pause } from "../lib/pause.js";

/** @typedef {import("../images/types.js").Job} Job */

const FIRST_PAUSE_MS = 700;
const LONGEST_PAUSE_MS = 4000;

export const JOB_KINDS = {
  compact: "Compaction",
  convert: "Conversion",
  flatten: "Flattening",
  import: "Import",
  publish: "Publishing",
  verify: "Verification",
};

/**
 * Return whether a job has not ended.
 *
 * @param {Job} job
 */
export function isActive({ state }) {
  return state === "queued" || state === "running";
}

/**
 * Ask for a job until it has ended, less and less often; pauses while the page is not visible.
 *
 * @param {Job} job
 * @param {(job: Job) => void} onChange Called with each answer.
 * @param {AbortSignal} signal
 * @returns {Promise<Job>} The job as it ended.
 */
export async function followJob(job, onChange, signal) {
  let current = job;
  let wait = FIRST_PAUSE_MS;
  while (isActive(current)) {
    await pause(wait, signal);
    current = await get(`/v1/jobs/${job.jobId}`, signal);
    onChange(current);
    wait = Math.min(1.3 * wait, LONGEST_PAUSE_MS);
  }
  return current;
}

/** A job with its progress and a button that cancels it; `update` shows its current state. */
export class JobView {
  /** @param {Job} job */
  constructor(job) {
    this.state = element("span", { role: "status" });
    this.progress = element("progress", { "aria-label": `Progress of: ${JOB_KINDS[job.kind]}` });
    this.text = element("span", { class: "quiet small-text" });
    this.problem = element("div");
    const cancel = async () => {
      try {
        this.update(await send("DELETE", `/v1/jobs/${job.jobId}`));
      } catch (error) {
        replace(this.problem, errorBox(error));
      }
    };
    const press = () => void whileBusy(this.cancel, cancel);
    this.cancel = element("button", { type: "button", class: "small", onclick: press }, "Cancel");
    this.element = element(
      "div",
      { class: "job" },
      element("div", { class: "row center" }, this.state, this.text, this.cancel),
      this.progress,
      this.problem,
    );
    this.shownState = "";
    this.update(job);
  }

  /** @param {Job} job */
  update(job) {
    if (job.state !== this.shownState) replace(this.state, stateBadge(job.state));
    this.shownState = job.state;
    this.progress.hidden = this.cancel.hidden = !isActive(job);
    this.progress.max = job.bytesTotal || 1;
    if (job.bytesTotal === null || job.state === "queued") this.progress.removeAttribute("value");
    else this.progress.value = job.bytesDone;
    this.text.textContent = isActive(job) ? progressText(job) : "";
    if (job.error) replace(this.problem, element("p", { class: "error" }, reasonOf(job)));
  }
}

/** @param {Job} job */
function progressText(job) {
  if (job.state === "queued")
    return job.attempt > 1 ? `It is tried again (attempt ${job.attempt})` : "A worker takes it soon";
  if (job.bytesTotal === null) return `${size(job.bytesDone)} so far`;
  return `${size(job.bytesDone)} of ${size(job.bytesTotal)}`;
}

/**
 * Return why a job has failed.
 *
 * @param {Job} job
 */
export function reasonOf({ error }) {
  return error ? `${error.message} (${error.code})` : "";
}

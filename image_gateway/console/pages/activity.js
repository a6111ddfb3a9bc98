/**
 * The page that shows an image's jobs, and what happened to it.
 */

import { sentenceOf } from "../activity/sentences.js";
import { imageHead, section } from "../image/head.js";
import { JOB_KINDS, JobView, isActive, reasonOf } from "../image/jobs.js";
import { get } from "../lib/api.js";
import { element, errorBox, replace, stateBadge, table, whileBusy } from "../lib/dom.js";
import { duration, size, time } from "../lib/format.js";
import { pause } from "../lib/pause.js";

/** @typedef {import("../images/types.js").Job} Job */
/** @typedef {import("../activity/sentences.js").Entry} Entry */

export const title = "Activity";

const PAGE = 50;
const REFRESH_MS = 2000;

/**
 * @param {HTMLElement} main
 * @param {import("../app.js").Parameters} parameters
 */
export async function show(main, { path, signal }) {
  const image = await get(`/v1/images/${path.imageId}`, signal);
  document.title = `Activity of ${image.name} – image-gateway`;
  replace(main, ...imageHead(image, "activity"));
  if (image.access !== "owner") {
    main.append(element("p", {}, "Only the owner of an image sees what happened to it."));
    return;
  }
  const [jobs, entries] = [element("div"), element("div")];
  main.append(section("Jobs", jobs), section("What happened", entries));
  const api = `/v1/images/${path.imageId}`;
  void keepJobs(jobs, api, signal, () => void showEntries(entries, api, signal));
  void showEntries(entries, api, signal);
}

/**
 * Show the jobs, and their progress until none is active any more.
 *
 * @param {HTMLElement} body
 * @param {string} api The API's path of the image.
 * @param {AbortSignal} signal
 * @param {() => void} onEnded Called when a job has ended meanwhile.
 */
async function keepJobs(body, api, signal, onEnded) {
  try {
    /** @type {Map<string, JobView>} The views of active jobs, which stay so that their buttons keep the focus. */
    const views = new Map();
    for (;;) {
      /** @type {{ jobs: Job[] }} */
      const { jobs } = await get(`${api}/jobs`, signal);
      const active = jobs.filter(isActive);
      const isSame = active.length === views.size && active.every(({ jobId }) => views.has(jobId));
      if (!isSame || active.length === 0) {
        if (views.size > active.length) onEnded();
        drawJobs(body, jobs, views);
      }
      for (const job of active) views.get(job.jobId)?.update(job);
      if (active.length === 0) return;
      await pause(REFRESH_MS, signal);
    }
  } catch (error) {
    if (!signal.aborted)
      replace(
        body,
        errorBox(error, () => void keepJobs(body, api, signal, onEnded)),
      );
  }
}

/**
 * @param {HTMLElement} body
 * @param {Job[]} jobs
 * @param {Map<string, JobView>} views Filled with those of the active jobs.
 */
function drawJobs(body, jobs, views) {
  views.clear();
  for (const job of jobs.filter(isActive)) views.set(job.jobId, new JobView(job));
  if (jobs.length === 0) {
    const text = "There are none. Conversions, imports, publishing and verifications of the image come here.";
    replace(body, element("p", { class: "quiet" }, text));
    return;
  }
  replace(
    body,
    table(
      "Jobs",
      [
        { label: "Job", cell: ({ kind }) => JOB_KINDS[kind] },
        { label: "State", cell: (job) => views.get(job.jobId)?.element ?? endedState(job) },
        { label: "Read or written", class: "number", cell: ({ bytesDone }) => size(bytesDone) },
        { label: "Attempt", class: "number", cell: ({ attempt }) => String(attempt) },
        { label: "Asked for", cell: ({ created }) => element("time", { datetime: created }, time(created)) },
        { label: "Took", cell: (job) => durationOf(job) },
      ],
      jobs,
    ),
  );
}

/** @param {Job} job */
function endedState(job) {
  const reason = reasonOf(job);
  return [stateBadge(job.state), reason && element("p", { class: "small-text" }, reason)];
}

/** @param {Job} job */
function durationOf({ started, finished }) {
  if (!started || !finished) return "–";
  return duration((Date.parse(finished) - Date.parse(started)) / 1000);
}

/**
 * Show the newest entries of the audit log, with a button for older ones.
 *
 * @param {HTMLElement} body
 * @param {string} api
 * @param {AbortSignal} signal
 */
async function showEntries(body, api, signal) {
  const list = element("ol", { class: "entries" });
  const more = element("button", { type: "button", hidden: true });
  const problem = element("div");
  let cursor = "";
  const load = async () => {
    try {
      const query = new URLSearchParams({ limit: String(PAGE), ...(cursor && { cursor }) });
      const page = await get(`${api}/activity?${query}`, signal);
      replace(problem);
      list.append(...page.entries.map(entryItem));
      cursor = page.nextCursor ?? "";
      more.hidden = !cursor;
      if (!list.hasChildNodes()) replace(problem, element("p", { class: "quiet" }, "Nothing is recorded yet."));
    } catch (error) {
      if (!signal.aborted)
        replace(
          problem,
          problemOf(error, () => void load()),
        );
    }
  };
  more.textContent = "Show older entries";
  more.addEventListener("click", () => void whileBusy(more, load));
  await load();
  replace(body, list, problem, more);
}

/** @param {Entry} entry */
function entryItem(entry) {
  return element(
    "li",
    {},
    element("time", { datetime: entry.created, class: "quiet small-text" }, time(entry.created)),
    element("span", {}, sentenceOf(entry)),
  );
}

/**
 * @param {unknown} error
 * @param {() => void} retry
 */
function problemOf(error, retry) {
  const isMissing = error instanceof Error && "status" in error && error.status === 404;
  if (!isMissing) return errorBox(error, retry);
  return element("p", { class: "quiet" }, "This gateway does not record what happens to images.");
}

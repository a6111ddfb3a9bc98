/**
 * The page Images: the person's own images, or those that others share with the person. Of its modules only those are
 * loaded at once that the first view needs.
 */

import { get } from "../lib/api.js";
import { element, emptyBox, errorBox, field, replace, stateBadge, table, tableRow, whileBusy } from "../lib/dom.js";
import { ACCESS, READERS, STATES, size, time } from "../lib/format.js";

/** @typedef {import("../images/types.js").Image} Image */
/** @typedef {import("../images/refresh.js").Progress} Progress */

export const title = "Images";

const FIRST_PAGE = 50;
const NEXT_PAGE = 200;
const TYPING_MS = 300;
const REFRESH_MS = 3000;

/**
 * @param {HTMLElement} main
 * @param {import("../app.js").Parameters} parameters
 */
export function show(main, { query, signal }) {
  const list = new ImageList(query, signal);
  const tab = (/** @type {string} */ href, /** @type {string} */ label, /** @type {boolean} */ isCurrent) =>
    element("a", { href, "aria-current": isCurrent && "page" }, label);
  main.append(
    element(
      "div",
      { class: "head" },
      element("h1", {}, "Images"),
      element("a", { class: "button primary", href: "/upload" }, "Upload"),
    ),
    list.quota,
    element(
      "nav",
      { class: "tabs", "aria-label": "Whose images" },
      tab("/", "Yours", !list.shared),
      tab("/?shared=true", "Shared with you", list.shared),
    ),
    list.makeFilters(),
    list.status,
    list.body,
  );
  void list.load();
  void list.showUsage();
}

class ImageList {
  /**
   * @param {URLSearchParams} query The filters, as in the page's address.
   * @param {AbortSignal} leaving
   */
  constructor(query, leaving) {
    this.leaving = leaving;
    this.shared = query.get("shared") === "true";
    this.name = query.get("name") ?? "";
    this.state = query.get("state") ?? "";
    /** @type {Image[]} */
    this.images = [];
    /** @type {string | undefined} */
    this.nextCursor = undefined;
    /** @type {import("../images/sorting.js").Order | null} Null is newest first, as the gateway lists. */
    this.order = null;
    /** @type {typeof import("../images/sorting.js") | undefined} Loaded when it is needed. */
    this.sorting = undefined;
    /** @type {Map<string, Progress>} */
    this.progress = new Map();
    this.columns = columns(this.shared, this.progress);
    this.quota = element("div");
    this.status = element("p", { class: "quiet small-text", role: "status" });
    this.body = element("div");
    this.loading = new AbortController();
    leaving.addEventListener("abort", () => this.loading.abort());
  }

  makeFilters() {
    const search = element("input", { type: "search", value: this.name, maxlength: 255 });
    const options = Object.entries({ "": "All", ...STATES }).map(([value, label]) =>
      element("option", { value, selected: value === this.state }, label),
    );
    const state = element("select", {}, ...options);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let typing;
    const apply = () => {
      clearTimeout(typing);
      if (this.leaving.aborted) return;
      this.name = search.value.trim();
      this.state = state.value;
      void this.load();
    };
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(apply, TYPING_MS);
    });
    state.addEventListener("change", apply);
    this.clearFilters = () => {
      search.value = state.value = "";
      search.focus();
      apply();
    };
    return element(
      "div",
      { class: "row filters", role: "search" },
      field("Search by name", search, "grow"),
      field("State", state),
    );
  }

  /** @param {Record<string, string | number | undefined>} more Parameters beside the filters. */
  query(more = {}) {
    const wanted = { shared: this.shared && "true", name: this.name, state: this.state, ...more };
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(wanted)) if (value) query.set(name, String(value));
    return query;
  }

  get firstPage() {
    return `/v1/images?${this.query({ limit: FIRST_PAGE })}`;
  }

  /** Load the first page anew, and note the filters in the address. */
  async load() {
    this.loading.abort();
    this.loading = new AbortController();
    await this.attempt(async (signal) => {
      const page = await get(this.firstPage, signal);
      this.images = page.images;
      this.nextCursor = page.nextCursor;
      const query = this.query();
      history.replaceState(null, "", query.size ? `/?${query}` : "/");
      if (this.order) await this.sorting?.loadAll(this, signal);
      this.refreshLater(signal);
    });
  }

  /**
   * Do something and draw the list; an error is shown above it.
   *
   * @param {(signal: AbortSignal) => Promise<void>} work
   */
  async attempt(work) {
    const { signal } = this.loading;
    try {
      await work(signal);
      this.draw();
    } catch (error) {
      if (signal.aborted) return;
      this.body.querySelector(".error")?.remove();
      this.body.prepend(errorBox(error, () => void this.attempt(work)));
    }
  }

  /** @param {AbortSignal} signal */
  async loadMore(signal) {
    const page = await get(`/v1/images?${this.query({ limit: NEXT_PAGE, cursor: this.nextCursor })}`, signal);
    this.images = [...this.images, ...page.images];
    this.nextCursor = page.nextCursor;
  }

  /** @param {string} key */
  async sortBy(key) {
    await this.attempt(async (signal) => {
      this.sorting = await import("../images/sorting.js");
      await this.sorting.loadAll(this, signal);
      this.order = this.sorting.orderBy(key, this.order);
    });
  }

  draw() {
    const count = this.images.length;
    this.body.querySelector(".error")?.remove();
    if (count === 0) replace(this.body, this.emptyState());
    else if (!this.body.querySelector("table")) this.drawFrame();
    const body = this.body.querySelector("tbody");
    const focused = body?.contains(document.activeElement) && document.activeElement?.id;
    const rows = (this.order && this.sorting?.sortImages(this.images, this.order)) ?? this.images;
    if (body) replace(body, ...rows.map((image) => tableRow(this.columns, image)));
    if (focused) document.getElementById(focused)?.focus();
    this.body.querySelectorAll("thead th").forEach((head, index) => {
      const direction = this.order?.descending ? "descending" : "ascending";
      head.setAttribute("aria-sort", this.order?.key === this.columns[index].key ? direction : "none");
    });
    this.body.querySelector(".more")?.toggleAttribute("hidden", this.nextCursor === undefined);
    const images = count === 1 ? "1 image" : `${count} images`;
    this.status.textContent = count === 0 ? "" : this.nextCursor ? `The newest ${images}; there are more` : images;
  }

  /** The table without its rows, and the button for more. */
  drawFrame() {
    const sort = (/** @type {string} */ key) => () => void this.sortBy(key);
    const heads = this.columns.map(({ key, ...column }) => ({
      ...column,
      head: element("button", { type: "button", class: "plain", onclick: sort(key) }, column.label),
    }));
    const load = () => void whileBusy(more, () => this.attempt((signal) => this.loadMore(signal)));
    const more = element("button", { type: "button", class: "more", onclick: load }, "Load more");
    replace(this.body, element("div", { class: "card flush" }, table("Images", heads, [])), more);
  }

  emptyState() {
    if (this.name || this.state) {
      const clear = element("button", { type: "button", onclick: () => this.clearFilters?.() }, "Show all images");
      return emptyBox("No image matches", "Search for another name, or choose another state.", clear);
    }
    if (this.shared) return emptyBox("Nothing is shared with you yet", "Images that others share with you come here.");
    const upload = element("a", { class: "button primary", href: "/upload" }, "Upload your first image");
    const steps = "Upload a disk image, import one from a URL, or make an empty disk. Then open it, or share it.";
    return emptyBox("You have no images yet", steps, upload);
  }

  async showUsage() {
    try {
      replace(this.quota, quota(await get("/v1/usage", this.leaving)));
    } catch (error) {
      const retry = () => void this.showUsage();
      if (!this.leaving.aborted) replace(this.quota, errorBox(error, retry));
    }
  }

  /**
   * Keep the list current while an image is uploaded or processed. The code is only loaded then.
   *
   * @param {AbortSignal} signal
   */
  refreshLater(signal) {
    if (!this.images.some(({ state }) => state === "uploading" || state === "processing")) return;
    const timer = setTimeout(async () => {
      const { keepCurrent } = await import("../images/refresh.js");
      await keepCurrent(this, signal);
    }, REFRESH_MS);
    signal.addEventListener("abort", () => clearTimeout(timer));
  }
}

/**
 * @param {boolean} shared
 * @param {Map<string, Progress>} progress
 * @returns {(import("../lib/dom.js").Column<Image> & { key: string })[]}
 */
function columns(shared, progress) {
  return [
    { key: "name", label: "Name", cell: nameCell },
    { key: "kind", label: "Kind", cell: ({ kind }) => (kind === "iso" ? "CD/DVD" : "Disk") },
    { key: "format", label: "Format", cell: ({ format }) => format },
    { key: "size", label: "Size", class: "number", cell: (image) => size(image.size ?? image.sizeBytes) },
    { key: "state", label: "State", cell: (image) => stateCell(image, progress.get(image.imageId)) },
    shared
      ? { key: "access", label: "You may", cell: ({ access }) => ACCESS[access] }
      : { key: "access", label: "Who may read", cell: ({ visibility }) => READERS[visibility] },
    { key: "created", label: "Created", cell: ({ created }) => element("time", { datetime: created }, time(created)) },
  ];
}

/** @param {Image} image */
function nameCell({ name, imageId }) {
  return element("a", { id: `image-${imageId}`, href: `/images/${imageId}` }, name);
}

/**
 * @param {Image} image
 * @param {Progress | undefined} progress
 */
function stateCell({ name, state }, progress) {
  if (progress === undefined) return stateBadge(state);
  const { done, total } = progress;
  const bar = { max: total ?? 1, value: total === null ? null : done, "aria-label": `Progress of ${name}` };
  return [stateBadge(state), element("progress", bar)];
}

/** @param {import("../images/types.js").Usage} usage */
function quota({ images, bytes }) {
  const ofBytes = bytes.limit === null ? "" : ` of ${size(bytes.limit)}`;
  const ofImages = images.limit === null ? "" : ` of ${images.limit}`;
  const text = `${size(bytes.used)}${ofBytes} used, ${images.used}${ofImages} images`;
  const bars = [usageBar("Storage used", bytes), usageBar("Images used", images)];
  return element("div", { class: "quota" }, element("p", { class: "quiet small-text" }, text), ...bars);
}

/**
 * @param {string} label
 * @param {import("../images/types.js").Counted} counted
 */
function usageBar(label, { used, limit }) {
  if (limit === null) return null;
  const isFull = used >= 0.9 * limit;
  return element("progress", { max: limit || 1, value: used, "aria-label": label, class: isFull && "full" });
}

/**
 * The console's shell: navigation, sign-in, and which page is shown. Pages are modules that are loaded when needed.
 *
 * A page module exports `title` and `show(main, parameters)`, which fills `main` and may return a function that is
 * called when the person leaves the page; `signal` is aborted then, too. The document is never loaded anew by a
 * navigation, so uploads go on.
 */

import { SIGN_IN_CHANNEL, get, send, session } from "./lib/api.js";
import { byId, element, errorBox, replace } from "./lib/dom.js";

/** @typedef {{ user: string, name: string, admin: boolean, session: object | null }} Me */
/**
 * @typedef {object} Parameters
 * @property {Me | null} me Who is signed in.
 * @property {Record<string, string>} path The named groups of the route's pattern.
 * @property {URLSearchParams} query
 * @property {AbortSignal} signal Aborted when the person leaves the page.
 */
/** @typedef {void | (() => void)} Leave */
/** @typedef {import("./upload/uploads.js").UploadsSummary} UploadsSummary */
/** @typedef {{ title: string, show: (main: HTMLElement, parameters: Parameters) => Leave | Promise<Leave> }} Page */

/** @type {{ pattern: RegExp, load: () => Promise<Page>, open?: boolean }[]} */
const ROUTES = [
  { pattern: /^\/$/, load: () => import("./pages/images.js") },
  { pattern: /^\/upload$/, load: () => import("./pages/upload.js") },
  { pattern: /^\/images\/(?<imageId>[^/]+)$/, load: () => import("./pages/image.js") },
  { pattern: /^\/images\/(?<imageId>[^/]+)\/share$/, load: () => import("./pages/share.js") },
  { pattern: /^\/images\/(?<imageId>[^/]+)\/activity$/, load: () => import("./pages/activity.js") },
  { pattern: /^\/link$/, load: () => import("./pages/link.js"), open: true },
  { pattern: /^\/sign-in$/, load: () => import("./pages/sign_in.js"), open: true },
];

/** @type {Me | null} */
let me = null;
/** @type {Leave} */
let leave;
let areUploadsBusy = false;
const tabs = new BroadcastChannel(SIGN_IN_CHANNEL);
/** Aborted when the person leaves the page that is shown, even before it has loaded. */
let staying = new AbortController();

/** Show the page of the address. */
async function show() {
  leave?.();
  leave = undefined;
  staying.abort();
  staying = new AbortController();
  const { signal } = staying;
  showHeader();
  const route = ROUTES.find(({ pattern }) => pattern.test(location.pathname));
  if (route !== undefined && me === null && !route.open) {
    return goTo(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`, true);
  }
  const page = element("div");
  replace(byId("main"), page);
  const left = await fill(page, route, signal);
  if (signal.aborted) left?.();
  else leave = left;
}

/**
 * @param {HTMLElement} page
 * @param {(typeof ROUTES)[number] | undefined} route
 * @param {AbortSignal} signal
 * @returns {Promise<Leave>}
 */
async function fill(page, route, signal) {
  if (route === undefined) {
    document.title = "No such page – image-gateway";
    return replace(page, element("h1", {}, "There is no such page"));
  }
  try {
    const { title, show: showPage } = await route.load();
    if (signal.aborted) return;
    document.title = `${title} – image-gateway`;
    const path = route.pattern.exec(location.pathname)?.groups ?? {};
    return await showPage(page, { me, path, query: new URLSearchParams(location.search), signal });
  } catch (error) {
    const heading = element("h1", {}, "This page could not be loaded");
    replace(
      page,
      element("div", { class: "head" }, heading),
      errorBox(error, () => void move()),
    );
  }
}

/** Show the page of the address, and move the focus to its heading, which screen readers then read. */
async function move() {
  await show();
  if (document.querySelector("dialog[open]")) return;
  const heading = document.querySelector("#main h1");
  if (!(heading instanceof HTMLElement)) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

/**
 * Go to another page of the console without loading the document again: uploads go on.
 *
 * @param {string} path
 * @param {boolean} [instead] Replace the current entry of the history.
 */
export function goTo(path, instead = false) {
  if (instead) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  scrollTo(0, 0);
  return move();
}

/**
 * How browsers sign in here: by name (`dev`), at the identity provider (`oidc`), not at all (`none`), or
 * `unavailable` for want of a setting.
 */
export function signInMode() {
  return document.querySelector('meta[name="sign-in"]')?.getAttribute("content") ?? "none";
}

function showHeader() {
  /** @param {string} path @param {string} label */
  const link = (path, label) =>
    element("a", { href: path, "aria-current": location.pathname === path && "page" }, label);
  replace(byId("pages"), ...(me ? [link("/", "Images"), link("/upload", "Upload")] : []));
  const canSignIn = me === null && location.pathname !== "/sign-in" && signInMode() !== "none";
  replace(
    byId("who"),
    me && element("span", { class: "quiet", title: me.user }, me.name),
    me?.session && element("button", { type: "button", class: "small", onclick: signOut }, "Sign out"),
    canSignIn && element("a", { href: "/sign-in" }, "Sign in"),
  );
}

/**
 * Show how the uploads get on, whatever page is open.
 *
 * @param {Event} event
 */
function showUploads(event) {
  const { isBusy, isSignedOut, percent } = /** @type {CustomEvent<UploadsSummary>} */ (event).detail;
  const indicator = byId("upload-indicator");
  areUploadsBusy = isBusy;
  if (!isBusy) return replace(indicator);
  const text = isSignedOut ? "Uploads wait" : `Uploading ${percent} %`;
  const link = indicator.querySelector("a") ?? element("a", { href: "/upload" });
  if (link.textContent === text) return;
  const bar = element("progress", { max: 100, value: percent, "aria-hidden": "true" });
  replace(link, bar, text);
  if (!link.isConnected) replace(indicator, link);
}

/** Whether to sign out although uploads are not done. */
async function mayLeaveUploads() {
  if (!areUploadsBusy) return true;
  const { confirmed } = await import("./lib/dialog.js");
  const text = "Files are being uploaded. They stop when you sign out; you can go on when you pick them again.";
  return confirmed({ title: "Sign out?", body: [element("p", {}, text)], confirm: "Sign out", danger: true });
}

async function signOut() {
  if (!(await mayLeaveUploads())) return;
  try {
    const { redirect } = await send("POST", "/logout");
    location.assign(redirect ?? "/sign-in");
  } catch (error) {
    const { tell } = await import("./lib/dialog.js");
    await tell("Signing out failed", errorBox(error));
  }
}

/** @param {MouseEvent} event */
function followLink(event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (link.classList.contains("skip")) {
    event.preventDefault();
    return byId("main").focus();
  }
  if (!ROUTES.some(({ pattern }) => pattern.test(link.pathname))) return;
  event.preventDefault();
  void goTo(link.pathname + link.search + link.hash);
}

/**
 * Let the person sign in again where the session ended in the middle of something.
 *
 * @param {boolean} [isOther] Whether somebody else may have signed in meanwhile.
 */
async function onSessionEnded(isOther = false) {
  if (me === null) return;
  const { askToSignIn } = await import("./session_ended.js");
  await askToSignIn(me, signInMode(), isOther);
}

async function start() {
  me = await get("/v1/me").catch((error) => (error.status === 401 ? null : Promise.reject(error)));
  session.onEnded = () => void onSessionEnded();
  tabs.onmessage = ({ data: user }) => void (me !== null && user !== me.user && onSessionEnded(true));
  if (me !== null) tabs.postMessage(me.user);
  document.addEventListener("click", followLink);
  window.addEventListener("image-gateway:uploads", showUploads);
  window.addEventListener("popstate", () => void move());
  await show();
}

start().catch((error) =>
  replace(
    byId("main"),
    element("h1", {}, "The console could not start"),
    errorBox(error, () => location.reload()),
  ),
);

/**
 * The console's shell: navigation, sign-in, and which page is shown. Pages are modules that are loaded when needed.
 *
 * A page module exports `title` and `show(main, parameters)`, which fills `main` and may return a function that is
 * called when the person leaves the page.
 */

import { get, send, session } from "./lib/api.js";
import { byId, element, errorBox, replace } from "./lib/dom.js";

/** @typedef {{ user: string, name: string, admin: boolean, session: object | null }} Me */
/** @typedef {{ me: Me | null, path: Record<string, string>, query: URLSearchParams }} Parameters */
/** @typedef {{ title: string, show: (main: HTMLElement, parameters: Parameters) => any }} Page */

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
/** @type {(() => void) | undefined} */
let leave;

/**
 * Show the page of the address, and put the focus on it.
 */
async function show() {
  leave?.();
  leave = undefined;
  const main = byId("main");
  const route = ROUTES.find(({ pattern }) => pattern.test(location.pathname));
  if (route === undefined) return replace(main, element("h1", {}, "There is no such page"));
  if (me === null && !route.open) return goTo(`/sign-in?next=${encodeURIComponent(location.pathname)}`, true);
  try {
    const page = await route.load();
    document.title = `${page.title} – image-gateway`;
    const path = route.pattern.exec(location.pathname)?.groups ?? {};
    leave = await page.show(main, { me, path, query: new URLSearchParams(location.search) });
  } catch (error) {
    replace(main, element("h1", {}, "This page could not be loaded"), errorBox(error));
  }
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
  return show();
}

function showHeader() {
  const links = me && [element("a", { href: "/" }, "Images"), element("a", { href: "/upload" }, "Upload")];
  const who = me && [
    element("span", { class: "quiet" }, me.name),
    me.session && element("button", { type: "button", class: "small", onclick: signOut }, "Sign out"),
  ];
  replace(byId("top"), element("nav", { "aria-label": "Pages" }, links), element("div", { class: "who" }, who));
}

async function signOut() {
  const { redirect } = await send("POST", "/logout");
  location.assign(redirect ?? "/sign-in");
}

/** @param {MouseEvent} event */
function followLink(event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !isPlain || link.target || link.download || link.origin !== location.origin) return;
  if (!ROUTES.some(({ pattern }) => pattern.test(link.pathname))) return;
  event.preventDefault();
  void goTo(link.pathname + link.search + link.hash);
}

async function start() {
  session.onEnded = () => {};
  me = await get("/v1/me").catch((error) => (error.status === 401 ? null : Promise.reject(error)));
  showHeader();
  document.addEventListener("click", followLink);
  window.addEventListener("popstate", () => void show());
  await show();
}

start().catch((error) => replace(byId("main"), element("h1", {}, "The console could not start"), errorBox(error)));

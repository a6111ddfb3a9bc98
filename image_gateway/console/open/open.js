/**
 * The page Open: `/open/{imageId}` for a signed-in person, `/open#TOKEN` for whoever has a share link.
 */

import { ApiError, get } from "../lib/api.js";
import { byId, element, errorBox, replace } from "../lib/dom.js";
import { size } from "../lib/format.js";
import { findKeptImage, findLinkedImage, findOwnImage } from "./image.js";
import { takeLinkToken } from "./link_lease.js";
import { missingV86 } from "./missing.js";
import { MemoryOverlay } from "./overlay.js";
import { Run } from "./run.js";
import { settingsForm } from "./settings.js";
import { installedV86 } from "./v86_files.js";

/** @typedef {import("./image.js").OpenedImage} OpenedImage */
/** @typedef {import("./settings.js").Settings} Settings */
/** @typedef {import("../app.js").Me} Me */

const DISCARDED =
  "What the machine writes is kept in the memory of this page, and discarded when you close or reload it.";

const main = byId("main");
// Kept from one run to the next: a machine that is started again finds what it has written.
const overlay = new MemoryOverlay();
/** @type {Run | null} */
let run = null;
/** @type {Me | null} Who is signed in; nobody needs to be, with a link. */
let me = null;

async function open() {
  const v86 = installedV86();
  const imageId = /^\/open\/([^/]+)$/.exec(location.pathname)?.[1];
  // Before a link is redeemed: that would use it up for nothing.
  if (!v86.isComplete) return replace(main, missingV86(v86.files));
  if (imageId !== undefined) return showImage(() => findOfPerson(decodeURIComponent(imageId)));
  const token = takeLinkToken();
  return showImage(() => (token === null ? findKeptImage() : findLinkedImage(token)));
}

/** @param {string} imageId */
async function findOfPerson(imageId) {
  me ??= await get("/v1/me");
  showHeader();
  return findOwnImage(imageId);
}

/** @param {() => Promise<OpenedImage>} find */
async function showImage(find) {
  try {
    const image = await find();
    document.title = `${image.name} – Open – image-gateway`;
    await showSettings(image, null);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return signIn();
    const isLost = error instanceof ApiError && (error.status === 0 || error.status >= 429);
    const again = isLost ? () => void showImage(find) : undefined;
    const head = element("div", { class: "head" }, element("h1", {}, "The image cannot be opened"));
    replace(main, head, errorBox(error, again));
  }
}

/**
 * Show what can be chosen before the machine starts.
 *
 * @param {OpenedImage} image
 * @param {Settings | null} last
 * @param {unknown} [error] Why the start before failed.
 */
async function showSettings(image, last, error) {
  run = null;
  let deltas;
  try {
    deltas = await image.deltas();
  } catch (failure) {
    const again = () => void showSettings(image, last, error).catch(showCrash);
    return replace(main, ...heading(image), errorBox(error ?? failure, again));
  }
  const form = settingsForm(image.kind, deltas, last, (settings) => void start(image, settings));
  const discarded = deltas === null && element("p", {}, DISCARDED);
  replace(main, ...heading(image), discarded, error !== undefined && errorBox(error), form, written(image, last));
}

/**
 * @param {OpenedImage} image
 * @param {Settings} settings
 */
async function start(image, settings) {
  const place = element("div", { class: "run" });
  replace(main, ...heading(image), settings.keep === null && element("p", {}, DISCARDED), place);
  // The button that had the focus is gone.
  main.focus();
  const end = async (/** @type {unknown} */ error) => {
    await showSettings(image, settings, error);
    main.focus();
  };
  run = new Run({
    image,
    settings,
    overlay,
    place,
    onStopped: (error) => void end(error).catch(showCrash),
    onSignIn: () => void signInAgain(),
  });
  await run.start().catch(end);
}

/** @param {OpenedImage} image */
function heading(image) {
  const kind = image.kind === "iso" ? "CD image" : "disk image";
  const { href, label } = image.page;
  return [
    element("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, element("a", { href }, label)),
    element("div", { class: "head" }, element("h1", {}, image.name)),
    element("p", { class: "quiet" }, `${size(image.size)}, ${kind}. The image itself is only read.`),
  ];
}

/**
 * What was written before, and a way to begin afresh.
 *
 * @param {OpenedImage} image
 * @param {Settings | null} last
 */
function written(image, last) {
  if (overlay.bytes === 0) return null;
  const discard = () => {
    overlay.clear();
    void showSettings(image, last).catch(showCrash);
  };
  return element(
    "p",
    {},
    `The machine has written ${size(overlay.bytes)}, and finds it there when you start it again. `,
    element("button", { type: "button", class: "small", onclick: discard }, "Discard what was written"),
  );
}

function showHeader() {
  replace(byId("pages"), element("a", { href: "/" }, "Images"), element("a", { href: "/upload" }, "Upload"));
  replace(byId("who"), me && element("span", { class: "quiet", title: me.user }, me.name));
}

function signIn() {
  location.replace(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
}

/** Let the person sign in again without leaving the page, which would end the machine. */
async function signInAgain() {
  if (me === null) return signIn();
  const { askToSignIn } = await import("../session_ended.js");
  const mode = document.querySelector('meta[name="sign-in"]')?.getAttribute("content") ?? "none";
  await askToSignIn(me, mode);
}

/** @param {unknown} reason */
function showCrash(reason) {
  const place = element("div", {}, element("p", {}, "Something in this page has failed."), errorBox(reason));
  byId("messages").append(place);
}

const wake = () => run?.wake();
document.addEventListener("visibilitychange", wake);
window.addEventListener("online", wake);
window.addEventListener("focus", wake);
document.addEventListener("session-renewed", wake);
window.addEventListener("pagehide", () => run?.leave());
// The browser asks the person before what the machine has written is lost.
window.addEventListener("beforeunload", (event) => overlay.bytes > 0 && event.preventDefault());
// A page that comes back from the browser's cache has given back its lease.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
// Another link in the same tab.
window.addEventListener("hashchange", () => location.hash && location.reload());
window.addEventListener("error", (event) => showCrash(event.error ?? event.message));
window.addEventListener("unhandledrejection", (event) => showCrash(event.reason));

open().catch(showCrash);

/**
 * Lets a person whose session has ended sign in again without leaving the page: what was typed and what is being
 * uploaded is kept. When they are back, `document` gets the event `session-renewed`.
 */

import { SIGN_IN_CHANNEL, get, send } from "./lib/api.js";
import { openDialog } from "./lib/dialog.js";
import { element, errorBox, field, replace, say } from "./lib/dom.js";

/** @typedef {import("./app.js").Me} Me */

let isOpen = false;

/**
 * Show the dialog until the person is signed in again or does not want to; only one at a time.
 *
 * @param {Me} me Who was signed in.
 * @param {string} mode How browsers sign in here: `dev` by name, otherwise at the identity provider.
 * @param {boolean} [isOther] Whether somebody else may have signed in meanwhile, in another tab.
 */
export async function askToSignIn(me, mode, isOther = false) {
  if (isOpen) return;
  isOpen = true;
  const problem = element("div");
  const close = element("button", { type: "button", onclick: () => dialog.close() }, "Not now");
  const intro = "Sign in again to go on. What you typed and your uploads are kept.";
  const way = mode === "dev" ? nameForm(me, (user) => void signIn(user)) : providerLink();
  const { dialog, closed } = openDialog("Your session has ended", [element("p", {}, intro), problem, way], [close]);

  /** @param {string} user */
  async function signIn(user) {
    try {
      await send("POST", "/login", { user });
      await check();
    } catch (error) {
      replace(problem, errorBox(error));
    }
  }

  async function check() {
    const now = await whoIsSignedIn();
    if (now === null) return;
    if (now.user === me.user) return dialog.close("renewed");
    const reload = () => location.assign("/");
    replace(
      problem,
      element("p", { class: "notice", role: "alert" }, `You are signed in as ${now.name} now, not as ${me.name}. `),
      element("p", {}, element("button", { type: "button", onclick: reload }, `Go on as ${now.name}`)),
    );
  }

  const onReturn = () => void check().catch((error) => replace(problem, errorBox(error)));
  const channel = new BroadcastChannel(SIGN_IN_CHANNEL);
  channel.addEventListener("message", onReturn);
  window.addEventListener("focus", onReturn);
  if (isOther) onReturn();
  const outcome = await closed;
  window.removeEventListener("focus", onReturn);
  if (outcome === "renewed") channel.postMessage(me.user);
  channel.close();
  isOpen = false;
  if (outcome !== "renewed") return;
  say("You are signed in again. Repeat what you were doing.");
  document.dispatchEvent(new Event("session-renewed"));
}

/**
 * @returns {Promise<Me | null>}
 */
async function whoIsSignedIn() {
  try {
    return await get("/v1/me");
  } catch (error) {
    if (error instanceof Error && "status" in error && error.status === 401) return null;
    throw error;
  }
}

/**
 * @param {Me} me
 * @param {(user: string) => void} signIn
 */
function nameForm(me, signIn) {
  const input = element("input", { value: me.user, required: true, maxlength: 256, autocomplete: "username" });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    signIn(input.value);
  };
  return element(
    "form",
    { class: "row", onsubmit: submit },
    field("Name", input, "grow"),
    element("button", { type: "submit", class: "primary" }, "Sign in"),
  );
}

/** The provider's pages need a tab of their own: this one would lose its state. */
function providerLink() {
  const url = `/login?next=${encodeURIComponent("/sign-in?done=1")}`;
  return element(
    "p",
    {},
    element("a", { class: "button primary", href: url, target: "_blank" }, "Sign in (opens a new tab)"),
  );
}

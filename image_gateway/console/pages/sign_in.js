/**
 * The page where a person signs in: by name, or at the identity provider.
 */

import { goTo, signInMode } from "../app.js";
import { send } from "../lib/api.js";
import { element, errorBox, field, replace } from "../lib/dom.js";

export const title = "Sign in";

/** @type {Record<string, string>} */
const PROBLEMS = {
  denied: "The identity provider did not sign you in: it was cancelled there, or you may not use this console.",
  expired: "Signing in took too long, or it was begun in another browser. Please try again.",
  refused: "The identity provider answered with something that this gateway does not accept.",
  unavailable: "The identity provider cannot be reached at the moment. Please try again later.",
};

/**
 * @param {HTMLElement} main
 * @param {import("../app.js").Parameters} parameters
 */
export function show(main, { me, query }) {
  const mode = signInMode();
  const next = localPath(query.get("next"));
  if (query.has("done") && me !== null) return replace(main, ...signedIn(me.name));
  if (mode === "none" || (me !== null && !query.has("problem"))) return void goTo(next, true);
  const form = mode === "dev" ? nameForm(next) : mode === "oidc" ? providerLink(next) : unavailable();
  replace(
    main,
    element(
      "div",
      { class: "card narrow" },
      element("div", { class: "head" }, element("h1", {}, "Sign in")),
      problemBox(query),
      ...form,
    ),
  );
}

/**
 * Return the path to go to afterwards; `/` for anything but a path of this gateway.
 *
 * @param {string | null} wanted
 */
export function localPath(wanted) {
  return wanted !== null && /^\/(?![/\\])[!-~]{0,1023}$/.test(wanted) ? wanted : "/";
}

/** @param {URLSearchParams} query */
function problemBox(query) {
  const problem = query.get("problem");
  if (problem === null) return null;
  const text = PROBLEMS[problem] ?? "Signing in failed.";
  return errorBox(Object.assign(new Error(text), { requestId: query.get("request") }));
}

/** @param {string} next */
function nameForm(next) {
  const input = element("input", { name: "user", required: true, maxlength: 256, autocomplete: "username" });
  const problem = element("div");
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    try {
      await send("POST", "/login", { user: input.value });
      location.assign(next);
    } catch (error) {
      replace(problem, errorBox(error));
    }
  };
  return [
    element("p", { class: "quiet" }, "This gateway runs for development (AUTH_MODE=dev): any name will do."),
    problem,
    element(
      "form",
      { onsubmit: submit },
      field("Name", input),
      element("button", { type: "submit", class: "primary" }, "Sign in"),
    ),
  ];
}

/** @param {string} next */
function providerLink(next) {
  return [
    element("p", {}, "You sign in at your organisation's identity provider and come back here."),
    element("a", { class: "button primary", href: `/login?next=${encodeURIComponent(next)}` }, "Sign in"),
  ];
}

function unavailable() {
  return [
    element("p", {}, "Browsers cannot sign in here: the setting OIDC_CLIENT_ID is not configured."),
    element("p", { class: "quiet" }, "Programs can use the HTTP API with tokens of the identity provider."),
  ];
}

/** @param {string} name */
function signedIn(name) {
  return [
    element("div", { class: "head" }, element("h1", {}, "You are signed in")),
    element("p", {}, `You are signed in as ${name}. Close this tab and go on in the one where you were.`),
    element("p", {}, element("a", { href: "/" }, "Or go to your images")),
  ];
}

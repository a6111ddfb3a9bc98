/**
 * Modal dialogs: questions before something is lost, and messages that must be read.
 */

import { element, field } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

/**
 * Show a modal dialog until it is closed.
 *
 * @param {string} title
 * @param {Child[]} body
 * @param {HTMLElement[]} actions The buttons at its end.
 * @returns {{ dialog: HTMLDialogElement, closed: Promise<string> }} `closed` gives the dialog's `returnValue`.
 */
export function openDialog(title, body, actions) {
  const heading = element("h2", { id: `dialog-${document.querySelectorAll("dialog").length}` }, title);
  const dialog = element("dialog", { "aria-labelledby": heading.id }, heading, ...body);
  if (actions.length) dialog.append(element("div", { class: "actions" }, ...actions));
  document.body.append(dialog);
  /** @type {Promise<string>} */
  const closed = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
  // A page that is left must not leave its dialog behind.
  const onPop = () => dialog.close("");
  window.addEventListener("popstate", onPop);
  void closed.then(() => window.removeEventListener("popstate", onPop));
  dialog.showModal();
  return { dialog, closed };
}

/**
 * Ask whether to do something. With `typed` the person must type that text first.
 *
 * @param {{ title: string, body: Child[], confirm: string, danger?: boolean, typed?: string }} question
 * @returns {Promise<boolean>}
 */
export async function confirmed({ title, body, confirm, danger = false, typed }) {
  const submit = element("button", { type: "submit", class: danger ? "danger primary" : "primary" }, confirm);
  const cancel = element("button", { type: "button", onclick: () => close("") }, "Cancel");
  const input = element("input", { autocomplete: "off", spellcheck: "false", oninput: () => check() });
  const check = () => {
    submit.disabled = typed !== undefined && input.value !== typed;
  };
  /** @param {Event} event */
  const onSubmit = (event) => {
    event.preventDefault();
    close("yes");
  };
  const label = field("Type the name to confirm", input);
  const form = element(
    "form",
    { onsubmit: onSubmit },
    typed !== undefined && label,
    element("div", { class: "actions" }, cancel, submit),
  );
  check();
  const { dialog, closed } = openDialog(title, [...body, form], []);
  /** @param {string} value */
  function close(value) {
    dialog.close(value);
  }
  return (await closed) === "yes";
}

/**
 * Tell something that must be read.
 *
 * @param {string} title
 * @param {...Child} body
 */
export async function tell(title, ...body) {
  const close = element("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close");
  const { dialog, closed } = openDialog(title, body, [close]);
  await closed;
}

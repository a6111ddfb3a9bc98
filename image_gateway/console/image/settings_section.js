/**
 * The section of the page Image that changes the name and who may read, and the one that deletes.
 */

import { goTo } from "../app.js";
import { exchange, send } from "../lib/api.js";
import { confirmed } from "../lib/dialog.js";
import { element, errorBox, field, replace, say, whileBusy } from "../lib/dom.js";
import { READERS } from "../lib/format.js";
import { section } from "./head.js";

/** @typedef {import("../images/types.js").Image} Image */
/** @typedef {{ image: Image, etag: string | null }} Versioned An image's record and the version that it has. */

/** @type {Image["visibility"][]} */
const VISIBILITIES = ["private", "shared", "public"];
const EXPLANATIONS = {
  private: "Nobody else reads it. What you have shared is suspended, and holds again when you switch back.",
  shared: "The people and links of the page Share.",
  public: "Everybody who knows its address, without signing in. Caches may keep its bytes for some minutes.",
};

/**
 * Return the section with the image's name and visibility.
 *
 * @param {Versioned} current
 * @param {(changed: Versioned) => void} onChanged
 * @returns {HTMLElement}
 */
export function settingsSection(current, onChanged) {
  const { image } = current;
  const path = `/v1/images/${image.imageId}`;
  const name = element("input", { value: image.name, required: true, maxlength: 255 });
  const problem = element("div");
  const choices = VISIBILITIES.map((value) => visibilityChoice(value, value === image.visibility));
  const save = element("button", { type: "submit" }, "Save");
  /** As the form had them before the person changed anything. */
  const shown = { name: image.name, visibility: image.visibility };

  /** @param {Versioned} now What the form shows from now on, but where the person has changed it. */
  const adopt = (now) => {
    if (name.value === shown.name) name.value = now.image.name;
    if (chosen(form) === shown.visibility) choose(form, now.image.visibility);
    Object.assign(shown, { name: now.image.name, visibility: now.image.visibility });
    onChanged(now);
  };
  const change = async () => {
    const changes = {
      ...(name.value !== shown.name && { name: name.value }),
      ...(chosen(form) !== shown.visibility && { visibility: chosen(form) }),
    };
    if (Object.keys(changes).length === 0) return say("Nothing was changed");
    try {
      const { document: saved, etag } = await exchange("PATCH", path, changes, { headers: ifMatch(current) });
      replace(problem);
      adopt({ image: saved, etag });
      say("Saved");
    } catch (error) {
      replace(problem, errorBox(error));
      if (isConflict(error)) await explainConflict(path, problem, adopt);
    }
  };
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void whileBusy(save, change);
  };
  const form = element(
    "form",
    { onsubmit: submit },
    field("Name", name),
    element("fieldset", {}, element("legend", { class: "label" }, "Who may read it"), ...choices),
    problem,
    save,
  );
  return section("Name and visibility", form);
}

/** @param {HTMLFormElement} form */
function chosen(form) {
  return new FormData(form).get("visibility");
}

/**
 * @param {HTMLFormElement} form
 * @param {Image["visibility"]} visibility
 */
function choose(form, visibility) {
  const input = form.querySelector(`input[value="${visibility}"]`);
  if (input instanceof HTMLInputElement) input.checked = true;
}

/**
 * @param {Image["visibility"]} value
 * @param {boolean} checked
 */
function visibilityChoice(value, checked) {
  const id = `visibility-${value}`;
  return element(
    "div",
    { class: "choice" },
    element("input", { type: "radio", name: "visibility", id, value, checked, "aria-describedby": `${id}-hint` }),
    element("label", { for: id }, READERS[value]),
    element("span", { class: "hint", id: `${id}-hint` }, EXPLANATIONS[value]),
  );
}

/**
 * Return the header by which only the version that was shown is changed.
 *
 * @param {Versioned} current
 * @returns {Record<string, string>}
 */
function ifMatch({ etag }) {
  return etag === null ? {} : { "If-Match": etag };
}

/** @param {unknown} error */
function isConflict(error) {
  return error instanceof Error && "status" in error && error.status === 412;
}

/**
 * Say what has been changed meanwhile; what was typed stays, and the next attempt changes the new version.
 *
 * @param {string} path
 * @param {HTMLElement} problem
 * @param {(now: Versioned) => void} adopt
 */
async function explainConflict(path, problem, adopt) {
  try {
    const { document: now, etag } = await exchange("GET", path);
    const text =
      "The image was changed meanwhile, by you in another window or by somebody else. " +
      `Now its name is “${now.name}”, and it may be read by: ${READERS[/** @type {Image} */ (now).visibility]}. ` +
      "Save again to put your change on top of that.";
    replace(problem, element("div", { class: "notice", role: "alert" }, element("p", {}, text)));
    adopt({ image: now, etag });
  } catch (error) {
    replace(problem, errorBox(error));
  }
}

/**
 * Return the section that deletes the image after its name was typed.
 *
 * @param {Versioned} current
 * @returns {HTMLElement}
 */
export function deleteSection(current) {
  const problem = element("div");
  const ask = async () => {
    const { image } = current;
    const isSure = await confirmed({
      title: "Delete the image?",
      body: [
        element("p", {}, "Its bytes and chunks are deleted from the store, and its shares and links end. "),
        element("p", {}, "There is no way back. The name is: ", element("strong", { class: "name" }, image.name)),
      ],
      confirm: "Delete for ever",
      danger: true,
      typed: image.name,
    });
    if (!isSure) return;
    try {
      await send("DELETE", `/v1/images/${image.imageId}`, undefined, { headers: ifMatch(current) });
      say(`“${image.name}” was deleted`);
      await goTo("/");
    } catch (error) {
      replace(problem, errorBox(error));
    }
  };
  const button = element("button", { type: "button", class: "danger", onclick: () => void ask() }, "Delete …");
  return section("Delete", problem, element("p", { class: "quiet" }, "Deletes the image for everybody."), button);
}

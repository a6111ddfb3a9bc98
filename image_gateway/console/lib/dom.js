/**
 * Creates elements and shows messages. Text is always set as text, never parsed as HTML.
 */

/** @typedef {Node | string | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | ((event: any) => void) | null | undefined>} Attributes */

/**
 * Create an element. Attributes whose names begin with `on` add listeners; true sets an empty attribute; false, null
 * and undefined set none.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  setAttributes(made, attributes);
  append(made, children.flat());
  return made;
}

/**
 * Create an SVG element.
 *
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(made, attributes);
  append(made, children.flat());
  return made;
}

/**
 * Replace the children of an element.
 *
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function replace(parent, ...children) {
  parent.replaceChildren();
  append(parent, children.flat());
}

/**
 * @param {Element} made
 * @param {Attributes} attributes
 */
function setAttributes(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
}

/**
 * @param {Element} parent
 * @param {Child[]} children
 */
function append(parent, children) {
  for (const child of children) if (child !== null && child !== undefined && child !== false) parent.append(child);
}

/**
 * Return an element that the page must have.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element #${id}`);
  return found;
}

/**
 * Tell the person something, also through a screen reader. The message goes away by itself.
 *
 * @param {string} text
 */
export function say(text) {
  const message = element("p", { class: "message" }, text);
  byId("messages").append(message);
  setTimeout(() => message.remove(), 8000);
}

/**
 * Return a box that shows an error: the server's message and the request id, with a button that copies both.
 *
 * @param {unknown} error
 * @returns {HTMLElement}
 */
export function errorBox(error) {
  const text = error instanceof Error ? error.message : String(error);
  const requestId = error instanceof Error && "requestId" in error ? String(error.requestId ?? "") : "";
  const whole = requestId ? `${text} (request ${requestId})` : text;
  return element(
    "div",
    { class: "error", role: "alert" },
    element("p", {}, text),
    requestId && element("p", { class: "quiet" }, `Request ${requestId}`),
    copyButton("Copy the message", () => whole),
  );
}

/**
 * Return a button that copies a text to the clipboard and says so.
 *
 * @param {string} label
 * @param {() => string} text
 * @returns {HTMLButtonElement}
 */
export function copyButton(label, text) {
  const copy = async () => {
    await navigator.clipboard.writeText(text());
    say("Copied");
  };
  return element("button", { type: "button", class: "small", onclick: copy }, label);
}

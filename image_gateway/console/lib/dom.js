/**
 * Creates elements and shows messages. Text is always set as text, never parsed as HTML.
 */

/** @type {Record<string, [label: string, kind: string]>} */
const BADGES = {
  uploading: ["Uploading", "busy"],
  processing: ["Processing", "busy"],
  complete: ["Ready", "good"],
  failed: ["Failed", "bad"],
  deleted: ["Deleted", ""],
  queued: ["Waiting", "busy"],
  running: ["Running", "busy"],
  done: ["Done", "good"],
  cancelled: ["Cancelled", ""],
};

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
 * Tell the person something, also through a screen reader. The message goes away by itself, or with the next one.
 *
 * @param {string} text
 */
export function say(text) {
  const message = element("p", { class: "message" }, text);
  replace(byId("messages"), message);
  setTimeout(() => message.remove(), 6000);
}

/**
 * Return a box that shows an error: the server's message and the request id, with a button that copies both.
 *
 * @param {unknown} error
 * @param {() => void} [retry] What a button "Try again" does; without it there is none. Where the session has ended, it
 *   is done by itself when the person has signed in again.
 * @returns {HTMLElement}
 */
export function errorBox(error, retry) {
  const text = error instanceof Error ? error.message : String(error);
  const requestId = error instanceof Error && "requestId" in error ? String(error.requestId ?? "") : "";
  const whole = requestId ? `${text} (request ${requestId})` : text;
  const box = element(
    "div",
    { class: "error", role: "alert" },
    element("p", {}, text),
    requestId && element("p", { class: "quiet small-text" }, `Request ${requestId}`),
    element(
      "p",
      { class: "row" },
      retry && element("button", { type: "button", class: "small", onclick: retry }, "Try again"),
      copyButton("Copy the message", () => whole),
    ),
  );
  const isSignedOut = error instanceof Error && "status" in error && error.status === 401;
  const onRenewed = () => box.isConnected && retry?.();
  if (isSignedOut) document.addEventListener("session-renewed", onRenewed, { once: true });
  return box;
}

/**
 * Return a button that copies a text to the clipboard and says so.
 *
 * @param {string} label
 * @param {() => string | Promise<string>} text
 * @returns {HTMLButtonElement}
 */
export function copyButton(label, text) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(await text());
      say("Copied");
    } catch (error) {
      say(`It could not be copied: ${error instanceof Error ? error.message : error}`);
    }
  };
  return element("button", { type: "button", class: "small", onclick: copy }, label);
}

/**
 * Do something that a button was pressed for; until it is done, pressing the button again does nothing. The button is
 * not disabled, as it would lose the focus.
 *
 * @param {HTMLElement} button
 * @param {() => Promise<void>} work
 */
export async function whileBusy(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

let fields = 0;

/**
 * Return a form control with its label above it.
 *
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement} control Gets an id.
 * @param {string} [kind] Further classes of the field: `grow` takes the room that is left in a row.
 */
export function field(label, control, kind = "") {
  control.id ||= `field-${++fields}`;
  return element("div", { class: `field ${kind}`.trim() }, element("label", { for: control.id }, label), control);
}

/**
 * Return a box for a list that is empty: what is missing, and what to do first.
 *
 * @param {string} heading
 * @param {string} text
 * @param {HTMLElement} [action]
 */
export function emptyBox(heading, text, action) {
  const words = [element("h2", {}, heading), element("p", { class: "quiet" }, text)];
  return element("div", { class: "card empty" }, ...words, action);
}

/**
 * Return the badge of an image's or a job's state.
 *
 * @param {string} state As the API names it.
 */
export function stateBadge(state) {
  const [label, kind] = BADGES[state] ?? [state, ""];
  return element("span", { class: `badge ${kind}` }, label);
}

/**
 * @template Row
 * @typedef {{ label: string, head?: Child, class?: string, cell: (row: Row) => Child | Child[] }} Column
 */

/**
 * Create a table whose rows become cards on narrow screens. The first column names the row. The roles are said because
 * browsers drop those of tables that are laid out otherwise.
 *
 * @template Row
 * @param {string} caption Read by screen readers.
 * @param {Column<Row>[]} columns A column without a label holds buttons.
 * @param {Row[]} rows
 * @returns {HTMLTableElement}
 */
export function table(caption, columns, rows) {
  const heads = columns.map(({ label, head, class: name }) =>
    element(
      "th",
      { role: "columnheader", scope: "col", class: name },
      head ?? (label || element("span", { class: "visually-hidden" }, "Actions")),
    ),
  );
  return element(
    "table",
    { role: "table" },
    element("caption", { class: "visually-hidden" }, caption),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)),
    element("tbody", { role: "rowgroup" }, ...rows.map((row) => tableRow(columns, row))),
  );
}

/**
 * Create one row of such a table.
 *
 * @template Row
 * @param {Column<Row>[]} columns
 * @param {Row} row
 * @returns {HTMLTableRowElement}
 */
export function tableRow(columns, row) {
  const cells = columns.map(({ label, class: name, cell }, index) => {
    const content = [cell(row)].flat();
    if (index === 0) return element("th", { role: "rowheader", scope: "row", class: name }, ...content);
    const attributes = { role: "cell", "data-label": label, class: label ? name : "actions" };
    return element("td", attributes, element("div", {}, ...content));
  });
  return element("tr", { role: "row" }, ...cells);
}

/**
 * Sorts the list of images by a column, and loads what is missing of the list before.
 */

/** @typedef {import("../images/types.js").Image} Image */

const MOST_SORTED = 2000;

/** @typedef {{ key: string, descending: boolean }} Order */
/**
 * The list that is sorted, which must be complete before.
 *
 * @typedef {object} PagedList
 * @property {Image[]} images
 * @property {string | undefined} nextCursor
 * @property {HTMLElement} status
 * @property {(signal: AbortSignal) => Promise<void>} loadMore
 */

/** @type {Record<string, (image: Image) => string | number>} */
const KEYS = {
  name: ({ name }) => name,
  kind: ({ kind }) => kind,
  format: ({ format }) => format,
  size: (image) => image.size ?? image.sizeBytes ?? -1,
  state: ({ state }) => state,
  access: ({ visibility, access }) => `${visibility} ${access}`,
  created: ({ created }) => Date.parse(created),
};

/**
 * Load what is left of a list, up to the number that is sorted.
 *
 * @param {PagedList} list
 * @param {AbortSignal} signal
 */
export async function loadAll(list, signal) {
  while (list.nextCursor && list.images.length < MOST_SORTED) {
    list.status.textContent = `Loading all images to sort them: ${list.images.length} so far`;
    await list.loadMore(signal);
  }
}

/**
 * Return the order after a click on a column's head: the other direction, or another column, large and new first.
 *
 * @param {string} key
 * @param {Order | null} before
 * @returns {Order}
 */
export function orderBy(key, before) {
  const isSame = before?.key === key;
  return { key, descending: isSame ? !before.descending : key === "created" || key === "size" };
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/**
 * Return the images in the order of a column.
 *
 * @param {Image[]} images
 * @param {Order} order
 * @returns {Image[]}
 */
export function sortImages(images, { key, descending }) {
  const of = KEYS[key];
  const direction = descending ? -1 : 1;
  return [...images].sort((one, other) => direction * compare(of(one), of(other)));
}

/**
 * @param {string | number} one
 * @param {string | number} other
 */
function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return collator.compare(String(one), String(other));
}

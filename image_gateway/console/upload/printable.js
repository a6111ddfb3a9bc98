/**
 * Names of files as the gateway takes them: systems allow characters in them that are not seen, or turn text around.
 */

/**
 * Return a text in which every space is the usual one, and every other character that is not printed is `_`.
 *
 * @param {string} text
 */
export function printable(text) {
  return text.replace(/\p{Zs}/gu, " ").replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "_");
}

/**
 * Writes sizes, times, durations and the API's words as people read them.
 */

export const STATES = { uploading: "Uploading", processing: "Processing", complete: "Ready", failed: "Failed" };
export const READERS = { private: "Only you", shared: "People you chose", public: "Everyone" };
/** What a person may do with an image, by the `access` of its record. */
export const ACCESS = {
  owner: "Everything",
  admin: "Read and delete",
  writer: "Read and write",
  reader: "Read",
  anyone: "Read",
};

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/**
 * Return a size in binary units with three significant digits: `512 B`, `1.5 MiB`, `100 GiB`.
 *
 * @param {number | null | undefined} bytes
 * @returns {string}
 */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${UNITS[unit]}`;
}

/**
 * Return a rate like `3.2 MiB/s`.
 *
 * @param {number} bytesPerSecond
 * @returns {string}
 */
export function rate(bytesPerSecond) {
  return `${size(bytesPerSecond)}/s`;
}

/**
 * Return a duration in its two largest units: `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
 *
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return join(whole, 60, "min", 1, "s");
  if (whole < 86400) return join(whole, 3600, "h", 60, "min");
  return join(whole, 86400, "d", 3600, "h");
}

/**
 * @param {number} seconds
 * @param {number} large
 * @param {string} largeName
 * @param {number} small
 * @param {string} smallName
 */
function join(seconds, large, largeName, small, smallName) {
  const rest = Math.floor((seconds % large) / small);
  const first = `${Math.floor(seconds / large)} ${largeName}`;
  return rest ? `${first} ${rest} ${smallName}` : first;
}

/**
 * Return a moment in the person's own language and time zone.
 *
 * @param {string | null | undefined} moment ISO 8601.
 * @returns {string}
 */
export function time(moment) {
  if (!moment) return "–";
  return new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/**
 * Return a size with its exact number of bytes: `1.5 MiB (1,572,864 bytes)`.
 *
 * @param {number | null | undefined} bytes
 * @returns {string}
 */
export function exactSize(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const exact = `${bytes.toLocaleString()} bytes`;
  return bytes < 1024 ? exact : `${size(bytes)} (${exact})`;
}

/**
 * What the browser remembers of unfinished uploads, so that they go on after the page was closed: one entry of the
 * local storage for each. They hold no secrets.
 */

const PREFIX = "image-gateway.upload.";
const VERSION = 1;

/**
 * @typedef {object} UploadRecord
 * @property {string} imageId
 * @property {string} uploadId
 * @property {string} fileName
 * @property {number} size
 * @property {number} lastModified
 * @property {string} fingerprint
 * @property {string} name The image's name.
 * @property {string} format
 * @property {number} lastUsed When a page worked on it, in milliseconds since 1970.
 */

/** @typedef {{ fileName: string, size: number, lastModified: number, fingerprint: string }} FileIdentity */
/** @typedef {Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">} RecordStorage */

/** @type {Record<keyof UploadRecord, "string" | "number">} */
const FIELDS = {
  imageId: "string",
  uploadId: "string",
  fileName: "string",
  size: "number",
  lastModified: "number",
  fingerprint: "string",
  name: "string",
  format: "string",
  lastUsed: "number",
};

/** The unfinished uploads of one account. */
export class UploadRecords {
  #storage;
  #account;

  /**
   * @param {RecordStorage} storage
   * @param {string} account Who uploads: another account in the same browser does not see the records.
   */
  constructor(storage, account) {
    this.#storage = storage;
    this.#account = account;
  }

  /**
   * Return the records, that of the last upload at the end.
   *
   * @returns {UploadRecord[]}
   */
  list() {
    const keys = Array.from({ length: this.#storage.length }, (_, index) => this.#storage.key(index) ?? "");
    const records = keys.filter((key) => key.startsWith(PREFIX)).map((key) => this.#read(key));
    return records.filter((record) => record !== null).sort((one, other) => one.lastUsed - other.lastUsed);
  }

  /**
   * Return the newest record of a file, or null. A file is the same only if all that is known of it is.
   *
   * @param {FileIdentity} file
   * @returns {UploadRecord | null}
   */
  find(file) {
    const keys = /** @type {(keyof FileIdentity)[]} */ (["fileName", "size", "lastModified", "fingerprint"]);
    return this.list().findLast((record) => keys.every((key) => record[key] === file[key])) ?? null;
  }

  /**
   * Add or replace a record.
   *
   * @param {UploadRecord} record
   * @returns {boolean} False if the browser does not keep it: its storage is full, or switched off.
   */
  put(record) {
    try {
      const entry = { version: VERSION, account: this.#account, ...record };
      this.#storage.setItem(PREFIX + record.imageId, JSON.stringify(entry));
      return true;
    } catch (error) {
      if (error instanceof DOMException) return false;
      throw error;
    }
  }

  /** @param {string} imageId */
  remove(imageId) {
    this.#storage.removeItem(PREFIX + imageId);
  }

  /**
   * @param {string} key
   * @returns {UploadRecord | null} Null if it is of another account or another version, or no record.
   */
  #read(key) {
    const entry = parse(this.#storage.getItem(key));
    if (entry === null || entry.version !== VERSION || entry.account !== this.#account) return null;
    const isWhole = Object.entries(FIELDS).every(([name, type]) => typeof entry[name] === type);
    return isWhole ? /** @type {any} */ (entry) : null;
  }
}

/**
 * Return a storage that forgets everything with the page, for browsers and tests without one.
 *
 * @returns {RecordStorage}
 */
export function memoryStorage() {
  /** @type {Map<string, string>} */
  const entries = new Map();
  return {
    get length() {
      return entries.size;
    },
    key: (index) => [...entries.keys()][index] ?? null,
    getItem: (key) => entries.get(key) ?? null,
    setItem: (key, value) => void entries.set(key, value),
    removeItem: (key) => void entries.delete(key),
  };
}

/**
 * @param {string | null} text
 * @returns {Record<string, unknown> | null}
 */
function parse(text) {
  try {
    const value = JSON.parse(text ?? "null");
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

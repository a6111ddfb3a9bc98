/**
 * Sees to it that a file is uploaded by one tab at a time: two would send the same parts.
 */

import { UploadError } from "./errors.js";

/** @typedef {import("./upload_records.js").FileIdentity} FileIdentity */

/**
 * @typedef {object} Locks
 * @property {<T>(name: string, work: () => Promise<T>) => Promise<T>} hold Holds a lock during the work. Rejects with an
 *   UploadError at once if another one holds it.
 * @property {() => Promise<Set<string>>} held The names of the locks that are held, by any tab.
 */

/**
 * @param {FileIdentity} file
 * @returns {string}
 */
export function lockName({ fileName, size, lastModified, fingerprint }) {
  return ["image-gateway.upload", fingerprint, size, lastModified, fileName].join("/");
}

/** @returns {UploadError} */
function inUse() {
  const message = "This file is being uploaded already, here or in another tab of this browser.";
  return new UploadError("in-use", message);
}

/**
 * Return locks that all tabs of the browser share, or of this page alone where the browser has none.
 *
 * @returns {Locks}
 */
export function browserLocks() {
  const manager = globalThis.navigator?.locks;
  if (manager === undefined) return pageLocks();
  return {
    async hold(name, work) {
      return manager.request(name, { ifAvailable: true }, async (lock) => {
        if (lock === null) throw inUse();
        return work();
      });
    },
    held: async () => new Set((await manager.query()).held?.map(({ name }) => name ?? "")),
  };
}

/**
 * Return locks of this page alone.
 *
 * @returns {Locks}
 */
export function pageLocks() {
  /** @type {Set<string>} */
  const names = new Set();
  return {
    async hold(name, work) {
      if (names.has(name)) throw inUse();
      names.add(name);
      try {
        return await work();
      } finally {
        names.delete(name);
      }
    },
    held: async () => new Set(names),
  };
}

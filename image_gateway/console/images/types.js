/**
 * The API's documents, as the pages of images use them. Only types: nothing loads this module.
 */

/**
 * @typedef {object} Image
 * @property {string} imageId
 * @property {string} name
 * @property {"disk" | "iso"} kind
 * @property {string} format
 * @property {"uploading" | "processing" | "complete" | "failed" | "deleted"} state
 * @property {"private" | "shared" | "public"} visibility
 * @property {"owner" | "admin" | "writer" | "reader" | "anyone"} access What the person is to the image.
 * @property {number | null} sizeBytes As declared.
 * @property {number | null} size
 * @property {string | null} sha256
 * @property {string | null} etag
 * @property {string | null} lastModified
 * @property {string} version
 * @property {boolean} chunked
 * @property {string} created
 * @property {string} updated
 */

/**
 * @typedef {object} Job
 * @property {string} jobId
 * @property {string} imageId
 * @property {"compact" | "convert" | "flatten" | "import" | "publish" | "verify"} kind
 * @property {"queued" | "running" | "done" | "failed" | "cancelled"} state
 * @property {number} bytesDone
 * @property {number | null} bytesTotal
 * @property {number} attempt
 * @property {string} created
 * @property {string | null} started
 * @property {string | null} finished
 * @property {{ code: string, message: string }} [error]
 * @property {Record<string, any>} [result]
 */

/** @typedef {{ used: number, limit: number | null }} Counted */
/** @typedef {{ images: Counted, bytes: Counted, bytesPerImage: { limit: number | null } }} Usage */

/** @typedef {{ user: string, permission: "read" | "write", created: string }} Share */

/**
 * @typedef {object} ShareLink
 * @property {string} linkId
 * @property {string} created
 * @property {string | null} expiresAt
 * @property {number | null} maxUses
 * @property {number} uses
 * @property {string | null} label Whom it was made for, in the owner's words.
 */

/**
 * @typedef {object} Views
 * @property {{ url: string, async: true, size: number, use_parts: true, fixed_chunk_size: number }} v86
 * @property {{ url: string }} tinyemu
 * @property {{ url: string, baseUrl: string }} infinite-mac
 * @property {{ url: string, bytesUrl: string }} webvm
 * @property {{ url: string, from: "jsonconfig", configUrl: string }} sqlite
 * @property {{ url: string }} raw
 */

export {};

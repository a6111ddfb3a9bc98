/**
 * Finds or creates the upload of a file at the gateway, and completes it.
 */

import { UploadError } from "./errors.js";
import { PartPlan } from "./part_plan.js";

/** @typedef {import("./upload_api.js").UploadApi} UploadApi */
/** @typedef {import("./upload_api.js").Declaration} Declaration */
/** @typedef {import("./upload_records.js").UploadRecord} UploadRecord */

/**
 * An upload that is open: where it is, its parts, and which of them the store lacks.
 *
 * @typedef {object} Opened
 * @property {string} imageId
 * @property {string} uploadId
 * @property {PartPlan} plan
 * @property {number[]} missing
 */

/**
 * Create an image for a file.
 *
 * @param {UploadApi} api
 * @param {Declaration} declared
 * @returns {Promise<Opened>}
 */
export async function createUpload(api, declared) {
  const { imageId, uploadId, partSize } = await api.create(declared);
  const plan = new PartPlan(declared.sizeBytes, partSize);
  return { imageId, uploadId, plan, missing: plan.missing([]) };
}

/**
 * Return an upload that was begun before, or `complete` if it has been completed since: the answer may have been lost.
 *
 * @param {UploadApi} api
 * @param {string} imageId
 * @param {number} size The file's.
 * @returns {Promise<Opened | "complete">}
 * @throws {UploadError} It is not open any more (409), its image is gone (404), or it is of another size.
 */
export async function resumeUpload(api, imageId, size) {
  try {
    const { uploadId, partSize, sizeBytes, parts } = await api.status(imageId);
    if (sizeBytes !== size) {
      throw new UploadError("refused", `The upload was begun for ${sizeBytes} bytes, and the file has ${size}.`, {
        status: 409,
      });
    }
    const plan = new PartPlan(size, partSize);
    return { imageId, uploadId, plan, missing: plan.missing(parts) };
  } catch (error) {
    if (isStatus(error, 409) && (await isComplete(api, imageId))) return "complete";
    throw error;
  }
}

/**
 * Complete an upload. Where the gateway finds parts missing that the store had, nothing is changed.
 *
 * @param {UploadApi} api
 * @param {Opened} opened
 * @param {string | null} sha256
 * @param {() => void} onOver Called if the image has failed, such as for another hash: then nothing is left to resume.
 * @returns {Promise<"complete" | Opened>} The upload as it is now, if parts have to be sent again.
 * @throws {UploadError} The gateway does not take what was uploaded.
 */
export async function completeUpload(api, opened, sha256, onOver) {
  try {
    await api.complete(opened, sha256);
    return "complete";
  } catch (error) {
    if (!isStatus(error, 409)) throw error;
    const now = await resumeUpload(api, opened.imageId, opened.plan.size).catch((later) => {
      if (!isOver(later)) throw later;
      onOver();
      // The first answer is the one that says why.
      throw error;
    });
    if (now !== "complete" && now.missing.length === 0) throw error;
    return now;
  }
}

/**
 * Tell whether an error says that there is no open upload any more, so that a new one has to be begun.
 *
 * @param {unknown} error
 * @returns {error is UploadError}
 */
export function isOver(error) {
  return isStatus(error, 404) || isStatus(error, 409);
}

/**
 * @param {UploadApi} api
 * @param {string} imageId
 */
async function isComplete(api, imageId) {
  const { state = "" } = await api.image(imageId);
  return state === "complete" || state === "processing";
}

/**
 * @param {unknown} error
 * @param {number} status
 */
function isStatus(error, status) {
  return error instanceof UploadError && error.status === status;
}

/**
 * Calls the gateway's HTTP API with the browser's session.
 */

/** An error answer of the gateway, or a request that got no answer (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {string} message The server's message.
   * @param {number} status The HTTP status; 0 without an answer.
   * @param {string} code The error code of the answer.
   * @param {string | null} requestId The id under which the gateway's log has the request.
   * @param {number} [retryAfter] Seconds that the gateway wants to be left alone.
   */
  constructor(message, status, code, requestId, retryAfter = 0) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }
}

/** Where tabs tell each other who has signed in: the session is one for all of them. */
export const SIGN_IN_CHANNEL = "image-gateway.sign-in";

/** Called when the session has ended; replaced by the page that can sign in again. */
export const session = {
  /** @type {() => void} */
  onEnded: () => {},
};

/**
 * `keepalive` lets the request go on after the page is gone; `onResponse` gets the headers of the answer.
 *
 * @typedef {{
 *   headers?: Record<string, string>,
 *   signal?: AbortSignal,
 *   keepalive?: boolean,
 *   onResponse?: (response: Response) => void,
 * }} RequestOptions
 */

/**
 * Send a request and return the JSON of the answer.
 *
 * @param {string} method
 * @param {string} path An absolute path of the gateway, like `/v1/images`.
 * @param {object} [body] Sent as JSON.
 * @param {RequestOptions} [options]
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
export async function send(method, path, body, options = {}) {
  return (await exchange(method, path, body, options)).document;
}

/**
 * As `send`, with the ETag of the answer, which a later change can name in If-Match.
 *
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {RequestOptions} [options]
 * @returns {Promise<{ document: any, etag: string | null }>}
 */
export async function exchange(method, path, body, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  // Also without a body: the gateway takes it as the proof that no form of another page asks for a change.
  if (method !== "GET") Object.assign(headers, { "Content-Type": "application/json" });
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: options.signal,
      credentials: "same-origin",
      keepalive: options.keepalive,
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError("The gateway cannot be reached. Check the network and try again.", 0, "NETWORK", null);
  }
  options.onResponse?.(response);
  if (!response.ok) throw await refusal(response);
  return { document: await response.json(), etag: response.headers.get("ETag") };
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function get(path, signal) {
  return send("GET", path, undefined, { signal });
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function refusal(response) {
  const requestId = response.headers.get("X-Request-Id");
  const document = await response.json().catch(() => null);
  const message = document?.error?.message ?? `The gateway answered with status ${response.status}.`;
  const code = document?.error?.code ?? "UNKNOWN";
  // An expired lease says nothing of the session.
  if (response.status === 401 && code !== "LEASE_EXPIRED") session.onEnded();
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  return new ApiError(message, response.status, code, requestId, retryAfter);
}

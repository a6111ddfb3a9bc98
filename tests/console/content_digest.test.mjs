// The digest of a commit, by the browser, and without it in a page that is no secure context or is about to go away.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";

import { contentDigest, contentDigestNow } from "../../image_gateway/console/deltas/content_digest.js";
import { imageOf } from "./open_fakes.mjs";

for (const length of [0, 1, 63, 64, 65, 100_000]) {
  test(`the digest of ${length} bytes`, async (context) => {
    const body = imageOf(length);
    const wanted = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
    assert.equal(await contentDigest(body), wanted);
    assert.equal(contentDigestNow(body), wanted);
    context.mock.getter(globalThis, "crypto", () => ({}));
    assert.equal(await contentDigest(body), wanted);
  });
}

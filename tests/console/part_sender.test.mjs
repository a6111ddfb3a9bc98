import assert from "node:assert/strict";
import test from "node:test";
import { sendPart } from "../../image_gateway/console/upload/part_sender.js";
import { FakeClock, settle } from "./upload_world.mjs";

/** What the browser offers, with the answer in the hand of the test. */
class FakeRequest {
  static last;
  upload = { onprogress: null };
  onloadend = null;
  status = 0;
  responseText = "";
  headers = "";
  isAborted = false;

  constructor() {
    FakeRequest.last = this;
  }

  open(method, url) {
    Object.assign(this, { method, url });
  }

  send(body) {
    this.body = body;
  }

  abort() {
    this.isAborted = true;
    this.onloadend?.();
  }

  getAllResponseHeaders() {
    return this.headers;
  }

  answer(status, responseText = "", headers = "") {
    Object.assign(this, { status, responseText, headers });
    this.onloadend();
  }
}

globalThis.XMLHttpRequest = FakeRequest;

function begin({ body = new Blob(["12345"]), aborted = false } = {}) {
  const [clock, stop, progress] = [new FakeClock(), new AbortController(), []];
  if (aborted) stop.abort();
  const onProgress = (sent) => progress.push(sent);
  const options = { url: "https://store.example.com/part?X-Amz-Signature=secret", body, onProgress, clock };
  const sent = { clock, stop, progress, error: null, isStored: false };
  sent.promise = sendPart({ ...options, signal: stop.signal, stallMilliseconds: 60_000 }).then(
    () => (sent.isStored = true),
    (error) => (sent.error = error),
  );
  return Object.assign(sent, { request: FakeRequest.last });
}

test("a part is PUT as it is, and its progress told", async () => {
  const { request, promise, progress, clock } = begin();
  assert.deepEqual([request.method, request.body.size], ["PUT", 5]);
  request.upload.onprogress({ loaded: 3 });
  request.answer(200);
  assert.equal(await promise, true);
  assert.deepEqual([progress, clock.pending], [[3], 0]);
});

for (const [status, text, headers, reason, retryAfter] of [
  [503, "<Error><Code>SlowDown</Code></Error>", "", "busy", 0],
  [500, "", "retry-after: 12\r\n", "busy", 12],
  [429, "", "Content-Type: text/plain\r\nRetry-After: 3\r\n", "busy", 3],
  [400, "<Error><Code>RequestTimeout</Code></Error>", "", "busy", 0],
  [0, "", "", "store", 0],
]) {
  test(`an answer ${status} ${text} ${headers.trim()} may pass: ${reason}`, async () => {
    const sent = begin();
    sent.request.answer(status, text, headers);
    await sent.promise;
    assert.deepEqual([sent.error.name, sent.error.reason], [status === 0 ? "StoreUnreachable" : "Retryable", reason]);
    assert.equal(sent.error.retryAfter, retryAfter);
    assert.ok(!sent.error.isStalled);
  });
}

for (const [status, text, code] of [
  [403, "<?xml?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", "AccessDenied"],
  [404, "<Error><Code>NoSuchUpload</Code></Error>", "NoSuchUpload"],
  [403, "no XML", ""],
  [501, "", ""],
]) {
  test(`an answer ${status} ${code} is a refusal, and its text is no part of the error`, async () => {
    const sent = begin();
    sent.request.answer(status, text);
    await sent.promise;
    assert.deepEqual([sent.error.name, sent.error.status, sent.error.code], ["PartRefused", status, code]);
    assert.doesNotMatch(sent.error.message, /secret|expired|store\.example/);
  });
}

test("a lost connection is told from a file that has changed", async () => {
  const changed = () => Promise.reject(new DOMException("changed", "NotReadableError"));
  const sent = begin({ body: { size: 5, slice: () => ({ arrayBuffer: changed }) } });
  sent.request.answer(0);
  await sent.promise;
  assert.deepEqual([sent.error.name, sent.error.kind], ["UploadError", "file-changed"]);
});

test("a request without progress is given up; progress prolongs it", async () => {
  const sent = begin();
  await sent.clock.advance(59_999);
  sent.request.upload.onprogress({ loaded: 1 });
  await sent.clock.advance(59_999);
  assert.equal(sent.request.isAborted, false);
  await sent.clock.advance(1);
  await sent.promise;
  assert.deepEqual([sent.request.isAborted, sent.error.isStalled, sent.clock.pending], [true, true, 0]);
});

test("aborting ends the request with the signal's reason, and nothing is told afterwards", async () => {
  const sent = begin();
  const { onprogress } = sent.request.upload;
  onprogress({ loaded: 1 });
  sent.stop.abort();
  await sent.promise;
  await settle();
  assert.deepEqual([sent.request.isAborted, sent.error.name, sent.progress], [true, "AbortError", [1]]);
  assert.deepEqual([sent.request.upload.onprogress, sent.clock.pending], [null, 0]);
});

test("nothing is sent when it is aborted already", async () => {
  const sent = begin({ aborted: true });
  await sent.promise;
  assert.deepEqual([sent.request.url, sent.error.name, sent.clock.pending], [undefined, "AbortError", 0]);
});

// What happened to an image, as sentences; also of events that a later gateway has.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { sentenceOf } from "../../image_gateway/console/activity/sentences.js";

const LINK = "0d291e38-0000-4000-8000-000000000000";

for (const [event, user, details, sentence] of [
  [
    "image created",
    "alice",
    { imageName: "a", format: "qcow2" },
    "alice created the image “a”, to be uploaded as qcow2.",
  ],
  ["import requested", "alice", { imageName: "a" }, "alice asked to import “a”."],
  ["upload completed", "alice", { size: "12" }, "alice completed the upload of 12 bytes."],
  ["upload failed", null, { mismatch: "sha256" }, "The upload failed: it has another SHA-256 than what was declared."],
  ["upload expired", null, {}, "The upload expired."],
  ["image renamed", "alice", { before: "a", after: "<b>" }, "alice renamed “a” to “<b>”."],
  [
    "visibility changed",
    "alice",
    { before: "private", after: "public" },
    "alice changed who may read from only the owner to everyone.",
  ],
  ["shared", "alice", { withUser: "bob", permission: "write" }, "alice shared the image with bob, to read and write."],
  ["share revoked", "alice", { withUser: "bob" }, "alice took the access of bob back."],
  ["share link created", "alice", { link: LINK }, "alice made the link 0d291e38."],
  ["share link redeemed", null, { link: LINK }, "Somebody with a link opened the link 0d291e38."],
  ["lease created", "bob", { lease: LINK }, "bob got a lease to read the image."],
  ["lease created", null, { link: LINK, lease: LINK }, "Somebody with a link got a lease by the link 0d291e38."],
  ["job done", null, { kind: "publish", job: LINK }, "The publishing is done."],
  ["job failed", null, { kind: "import", code: "SOURCE_REFUSED" }, "The import failed (SOURCE_REFUSED)."],
  ["delta created", "alice", { delta: LINK }, "alice began to keep changes in the delta 0d291e38."],
  [
    "delta forked",
    "alice",
    { delta: LINK, parent: LINK, generation: "7" },
    "alice made the delta 0d291e38 of generation 7 of the delta 0d291e38.",
  ],
  ["delta session opened", "alice", { delta: LINK, epoch: "2" }, "alice became the writer of the delta 0d291e38."],
  ["delta reset", "alice", { delta: LINK, generation: "0" }, "alice reset the delta 0d291e38 to generation 0."],
  ["delta deleted", "root", { delta: LINK, role: "admin" }, "root (as an admin) deleted the delta 0d291e38."],
  ["job cancelled", "alice", { kind: "verify" }, "alice cancelled the verification."],
  ["image deleted", "root", { role: "admin" }, "root (as an admin) deleted the image."],
  ["image frozen", "alice", { until: "noon" }, "image frozen, by alice, until noon."],
  ["image thawed", null, {}, "image thawed."],
]) {
  test(`${event} by ${user}`, () => assert.equal(sentenceOf({ event, user, details }), sentence));
}

test("every event of the contract has a sentence of its own", () => {
  const contract = readFileSync(new URL("../../openapi.yaml", import.meta.url), "utf8");
  const [, list] = /AuditEntry:[^]*?examples:\n((?: +- .*\n)+)/.exec(contract);
  const events = list
    .trim()
    .split("\n")
    .map((line) => line.replace("- ", "").trim());
  assert.ok(events.includes("image created"), list);
  for (const event of events) {
    const sentence = sentenceOf({ event, user: "alice", details: { kind: "publish" } });
    assert.ok(!sentence.startsWith(event), `${event} is not known`);
  }
});

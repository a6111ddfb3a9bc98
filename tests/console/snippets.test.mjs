// What a person pastes to read an image elsewhere.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

import {
  fileName,
  hasSecrets,
  makeSnippets,
  maskSecrets,
  quoteShell,
} from "../../image_gateway/console/image/snippets.js";

const TOKEN = "igl~abc_DEF-123~x";
const ROOT = `https://gateway.example.com/v1/l/${TOKEN}`;
const VIEWS = {
  v86: { url: `${ROOT}/v86/262144/disk.img`, async: true, size: 1024, use_parts: true, fixed_chunk_size: 262144 },
  tinyemu: { url: `${ROOT}/tinyemu/256/blk.txt` },
  "infinite-mac": { url: `${ROOT}/infinite-mac/262144/manifest.json`, baseUrl: `${ROOT}/infinite-mac/262144` },
  webvm: { url: `${ROOT}/webvm/disk.ext2`, bytesUrl: `${ROOT}/webvm/bytes/disk.ext2` },
  sqlite: { url: "", from: "jsonconfig", configUrl: `${ROOT}/sqlite/10485760/config.json` },
  raw: { url: `${ROOT}/raw/disk.img` },
};
const LEASED = {
  url: `${ROOT}/disk.img`,
  auth: { type: "url" },
  size: 1024,
  views: VIEWS,
  chunked: { manifestUrl: `${ROOT}/manifest.json` },
};
const SIGNED = {
  url: "https://cdn.example.com/a/disk.img?Policy=a,b&Signature=s~e_c&Key-Pair-Id=K",
  auth: { type: "url" },
  size: 1024,
};
const IMAGE = { name: "My disk", kind: "disk", sha256: null };

const of = (stream, image) =>
  Object.fromEntries(makeSnippets(stream, { ...IMAGE, ...image }).map((one) => [one.label, one]));

/** The words that a shell makes of a command. */
function words(command) {
  const printed = execFileSync("sh", ["-c", `set -f; printf '%s\\0' ${command}`], { encoding: "utf8" });
  return printed.split("\0").slice(0, -1);
}

test("every reader has a snippet with its own URL", () => {
  const snippets = of(LEASED);
  assert.deepEqual(
    Object.entries(snippets).map(([label, { url }]) => [label, url.replace(ROOT, "")]),
    [
      ["v86", "/v86/262144/disk.img"],
      ["WebVM, CheerpX", "/webvm/bytes/disk.ext2"],
      ["TinyEMU, JSLinux", "/tinyemu/256/blk.txt"],
      ["infinite-mac", "/infinite-mac/262144/manifest.json"],
      ["sql.js-httpvfs", "/sqlite/10485760/config.json"],
      ["QEMU", "/raw/My%20disk.img"],
      ["qemu-img", "/raw/My%20disk.img"],
      ["curl", "/raw/My%20disk.img"],
      ["aria2", "/raw/My%20disk.img"],
      ["Chunk manifest", "/manifest.json"],
    ],
  );
  for (const { text, url } of Object.values(snippets)) assert.ok(text.includes(url));
});

test("v86 is given exactly the options of the answer", () => {
  class V86 {
    constructor(options) {
      this.options = options;
    }
  }
  const run = (text) => new Function("V86", `${text}; return emulator;`)(V86).options;
  assert.deepEqual(run(of(LEASED).v86.text), { hda: VIEWS.v86 });
  assert.deepEqual(run(of(LEASED, { kind: "iso" }).v86.text), { cdrom: VIEWS.v86 });
});

test("QEMU boots a CD as one, and commas in URLs are doubled", () => {
  assert.deepEqual(words(of(LEASED, { kind: "iso" }).QEMU.text).slice(-2), [
    "-cdrom",
    `${ROOT}/raw/My%20disk.img`.replace(".img", ".iso"),
  ]);
  const drive = words(of(SIGNED).QEMU.text).at(-1);
  assert.equal(drive, `file=${SIGNED.url.replace("a,b", "a,,b")},format=raw,snapshot=on`);
});

test("a checksum is compared where there is one", () => {
  assert.ok(
    words(of(LEASED, { sha256: "ab".repeat(32) }).aria2.text).includes(`--checksum=sha-256=${"ab".repeat(32)}`),
  );
  assert.ok(!of(LEASED).aria2.text.includes("checksum"));
});

for (const name of [
  "'; touch /tmp/x; '",
  "$(id)",
  "`id`",
  "a\nb",
  "-rf",
  "..",
  ".img",
  "",
  "ä\u202e💾",
  "x/../../etc/passwd.img",
]) {
  test(`no name leaves its place in a command: ${JSON.stringify(name)}`, () => {
    const snippets = of(LEASED, { name });
    const file = fileName(name, "disk");
    assert.deepEqual(words(snippets.curl.text).slice(-3, -1), ["--output", file]);
    assert.equal(words(snippets.aria2.text).at(-2), `--out=${file}`);
    assert.match(file, /^[^/\\:*?"<>|\p{C}-][^/\\:*?"<>|\p{C}]*\.[^.]+$/u);
  });
}

for (const [name, kind, expected] of [
  ["disk.img", "disk", "disk.img"],
  ["Windows 95", "disk", "Windows 95.img"],
  ["Debian 12.1 live", "iso", "Debian 12.1 live.iso"],
  ["Windows 3.11", "disk", "Windows 3.11.img"],
  ["backup.7z", "disk", "backup.7z"],
  ["a/b:c.qcow2", "disk", "a_b_c.qcow2"],
  ["  ", "disk", "disk.img"],
]) {
  test(`the file of ${JSON.stringify(name)} is ${expected}`, () => assert.equal(fileName(name, kind), expected));
}

test("a long name is cut to what file systems take", () => {
  const file = fileName(`${"ä".repeat(250)}.img`, "disk");
  assert.ok(Buffer.byteLength(file) <= 255);
  assert.ok(file.endsWith("ä.img"));
});

test("any text is one word of a shell", () => {
  for (const text of ["", "a b", "'", "''", "\\", "$x", "*", "ä\n"]) assert.deepEqual(words(quoteShell(text)), [text]);
});

test("masked snippets hold nothing that permits to read", () => {
  for (const stream of [LEASED, SIGNED, { ...SIGNED, views: VIEWS }]) {
    assert.ok(hasSecrets(stream));
    for (const { text, url } of makeSnippets(stream, IMAGE)) {
      const masked = maskSecrets(text + url, stream);
      assert.ok(!masked.includes(TOKEN) && !masked.includes("s~e_c"), masked);
      assert.ok(masked.includes("••••"));
    }
  }
});

test("the URLs of an image that everybody may read are no secret", () => {
  const stream = { url: "https://gateway.example.com/v1/images/1/range", auth: { type: "none" }, size: 1 };
  assert.ok(!hasSecrets(stream));
  assert.equal(of(stream).curl.text, maskSecrets(of(stream).curl.text, stream));
});

test("where only cookies permit to read, tools get nothing that would not work", () => {
  const stream = { url: "https://cdn.example.com/a/disk.img", auth: { type: "cookie" }, size: 1 };
  assert.deepEqual(makeSnippets(stream, IMAGE), []);
});

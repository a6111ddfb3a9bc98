import assert from "node:assert/strict";
import test from "node:test";
import { detectFormat } from "../../image_gateway/console/upload/image_format.js";

/** Return a file of zeros with the given bytes in it, by their place. */
function fileWith(pieces, { size = 64 * 1024, name = "disk.img" } = {}) {
  const bytes = new Uint8Array(size);
  for (const [at, piece] of pieces) bytes.set(typeof piece === "string" ? latin1(piece) : piece, at);
  return new File([bytes], name);
}

function latin1(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const DESCRIPTOR = `# Disk DescriptorFile
version=1
createType="monolithicFlat"
RW 4192256 FLAT "windows-flat.vmdk" 0
`;

for (const [what, pieces, format, label] of [
  ["no mark at all", [], "raw", "raw disk"],
  ["a boot sector", [[510, [0x55, 0xaa]]], "raw", "raw disk"],
  ["QCOW2 version 2", [[0, "QFI\xfb\0\0\0\x02"]], "qcow2", "QCOW2"],
  ["QCOW2 version 3", [[0, "QFI\xfb\0\0\0\x03"]], "qcow2", "QCOW2"],
  ["a sparse VMDK", [[0, "KDMV\x01\0\0\0"]], "vmdk", "VMDK"],
  ["a VMDK of ESX 3", [[0, "COWD"]], "vmdk", "VMDK"],
  ["VHDX", [[0, "vhdxfile"]], "vhdx", "VHDX"],
  ["a dynamic VHD", [[0, "conectix"], [63, [3]]], "vhd", "dynamic VHD"],
  ["a fixed VHD", [[64 * 1024 - 512, "conectix"], [64 * 1024 - 449, [2]]], "vhd", "fixed VHD"],
  ["a fixed VHD with a footer of 511 bytes", [[64 * 1024 - 511, "conectix"]], "vhd", "fixed VHD"],
  ["VDI", [[0, "<<< Oracle VM VirtualBox Disk Image >>>\n"], [0x40, "\x7f\x10\xda\xbe"], [0x4c, [1]]], "vdi", "VDI"],
  ["ISO 9660", [[0x8000, "\x01CD001\x01"]], "iso", "ISO 9660"],
  ["an ISO with a boot sector", [[510, [0x55, 0xaa]], [0x8001, "CD001"]], "iso", "ISO 9660"],
]) {
  test(`the format of ${what}`, async () => {
    assert.deepEqual(await detectFormat(fileWith(pieces)), { format, label, refusal: null });
  });
}

for (const [what, pieces, words] of [
  ["gzip", [[0, "\x1f\x8b\x08"]], /gzip.*gunzip disk\.img.*import/],
  ["xz", [[0, "\xfd7zXZ\0"]], /xz.*unxz disk\.img/],
  ["Zstandard", [[0, "\x28\xb5\x2f\xfd"]], /Zstandard.*unzstd disk\.img/],
  ["bzip2", [[0, "BZh91AY&SY"]], /archive.*Unpack/],
  ["ZIP", [[0, "PK\x03\x04"]], /ZIP.*Unpack/],
  ["7-Zip", [[0, "7z\xbc\xaf\x27\x1c"]], /7-Zip.*Unpack/],
  ["tar", [[257, "ustar"]], /OVA.*Unpack/],
  ["a VMDK descriptor", [[0, DESCRIPTOR]], /windows-flat\.vmdk.*qemu-img convert/],
  ["a VMDK descriptor without extents", [[0, "# Disk DescriptorFile\n"]], /in other files\. .*qemu-img convert/],
  ["QCOW2 with a backing file", [[0, "QFI\xfb\0\0\0\x03"], [15, [0x70]]], /backing file.*qemu-img convert/],
  ["encrypted QCOW2", [[0, "QFI\xfb\0\0\0\x03"], [35, [1]]], /encrypted/],
  ["QCOW2 with external data", [[0, "QFI\xfb\0\0\0\x03"], [79, [4]]], /data in another file/],
  ["a differencing VHD", [[0, "conectix"], [63, [4]]], /differencing/],
  ["a differencing VDI", [[0x40, "\x7f\x10\xda\xbe"], [0x4c, [4]]], /differencing/],
]) {
  test(`${what} is refused, with what to do`, async () => {
    assert.match((await detectFormat(fileWith(pieces))).refusal, words);
  });
}

test("marks in other places mean nothing", async () => {
  const pieces = [[1, "QFI\xfb"], [100, "conectix"], [0x8000, "CD001"], [1000, "ustar"], [64 * 1024 - 510, "conectix"]];
  assert.equal((await detectFormat(fileWith(pieces))).label, "raw disk");
});

test("the flags of QCOW2 version 3 mean nothing in version 2", async () => {
  const file = fileWith([[0, "QFI\xfb\0\0\0\x02"], [79, [4]]]);
  assert.equal((await detectFormat(file)).refusal, null);
});

for (let size = 0; size < 9; size += 1) {
  test(`a file of ${size} bytes is raw`, async () => {
    assert.equal((await detectFormat(fileWith([], { size }))).format, "raw");
  });
}

for (const [size, at] of [[0x8001 + 5, 0x8001], [512, 0], [511, 0], [8, 0]]) {
  test(`a mark at the very end of a file of ${size} bytes is found`, async () => {
    const mark = at === 0 ? "conectix" : "CD001";
    const file = fileWith([[at, mark]], { size });
    assert.equal((await detectFormat(file)).format, at === 0 ? "vhd" : "iso");
  });
}

test("only the head and the tail of a large file are read", async () => {
  const read = [];
  const size = 100 * 1024 ** 3;
  const file = {
    size,
    name: "huge.img",
    slice(start, end) {
      read.push([start, end]);
      return new Blob([new Uint8Array(Math.min(end, size) - start)]);
    },
  };
  assert.equal((await detectFormat(file)).format, "raw");
  assert.ok(read.reduce((sum, [start, end]) => sum + end - start, 0) < 40_000);
});

test("a file that cannot be read is an error that says so", async () => {
  const slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException("gone", "NotReadableError")) });
  await assert.rejects(detectFormat({ size: 10, slice }), { kind: "file-changed" });
});

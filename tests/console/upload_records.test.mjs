import assert from "node:assert/strict";
import test from "node:test";
import { memoryStorage, UploadRecords } from "../../image_gateway/console/upload/upload_records.js";

const RECORD = {
  imageId: "i1",
  uploadId: "u1",
  fileName: "disk.img",
  size: 5,
  lastModified: 7,
  fingerprint: "f",
  name: "Disk",
  format: "raw",
  lastUsed: 100,
};

test("a record is found again by the file, after the page was loaded again", () => {
  const storage = memoryStorage();
  assert.equal(new UploadRecords(storage, "alice").put(RECORD), true);
  const { fileName, size, lastModified, fingerprint } = RECORD;
  const found = new UploadRecords(storage, "alice").find({ fileName, size, lastModified, fingerprint });
  assert.equal(found.imageId, "i1");
  assert.equal(found.uploadId, "u1");
});

for (const [field, value] of [["fileName", "other.img"], ["size", 6], ["lastModified", 8], ["fingerprint", "g"]]) {
  test(`a file with another ${field} is another file`, () => {
    const records = new UploadRecords(memoryStorage(), "alice");
    records.put(RECORD);
    assert.equal(records.find({ ...RECORD, [field]: value }), null);
  });
}

test("records are listed oldest first, and the newest of a file is found", () => {
  const records = new UploadRecords(memoryStorage(), "alice");
  records.put({ ...RECORD, imageId: "new", lastUsed: 300 });
  records.put({ ...RECORD, imageId: "old", lastUsed: 200 });
  assert.deepEqual(records.list().map(({ imageId }) => imageId), ["old", "new"]);
  assert.equal(records.find(RECORD).imageId, "new");
});

test("a record is replaced, and removed", () => {
  const records = new UploadRecords(memoryStorage(), "alice");
  records.put(RECORD);
  records.put({ ...RECORD, name: "Another" });
  assert.deepEqual(records.list().map(({ name }) => name), ["Another"]);
  records.remove("i1");
  records.remove("i1");
  assert.deepEqual(records.list(), []);
});

test("another account in the same browser sees nothing", () => {
  const storage = memoryStorage();
  new UploadRecords(storage, "alice").put(RECORD);
  assert.deepEqual(new UploadRecords(storage, "bob").list(), []);
  assert.equal(new UploadRecords(storage, "alice").list().length, 1);
});

for (const text of ["", "{", "null", "5", "[]", '{"version": 2}', '{"version": 1, "account": "alice", "imageId": 5}']) {
  test(`an entry that is no record is left out: ${text}`, () => {
    const storage = memoryStorage();
    storage.setItem("image-gateway.upload.x", text);
    storage.setItem("theme", "dark");
    const records = new UploadRecords(storage, "alice");
    records.put(RECORD);
    assert.deepEqual(records.list().map(({ imageId }) => imageId), ["i1"]);
    assert.equal(storage.getItem("theme"), "dark");
  });
}

test("a full storage is told, and is no error", () => {
  const storage = memoryStorage();
  storage.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  assert.equal(new UploadRecords(storage, "alice").put(RECORD), false);
});

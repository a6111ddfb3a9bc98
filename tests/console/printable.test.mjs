import assert from "node:assert/strict";
import test from "node:test";
import { printable } from "../../image_gateway/console/upload/printable.js";

test("names that people read are kept", () => {
  for (const name of ["Windows 95.img", "שלום.iso", "日本語 (1).qcow2", "e\u0301.img", "💾.img"]) {
    assert.equal(printable(name), name);
  }
});

test("the spaces of macOS and of word processors become usual ones", () => {
  assert.equal(printable("Disk 3.15.00\u202fPM\u00a0copy.img"), "Disk 3.15.00 PM copy.img");
});

test("what turns text around, is not seen or ends a line is replaced", () => {
  assert.equal(printable("a\u202egnp.img"), "a_gnp.img");
  assert.equal(printable("\u2066b\u200bc\u0007d\ne\u2028f\u2029g\ud800"), "_b_c_d_e_f_g_");
});

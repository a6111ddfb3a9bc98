// Encodes segments for test_delta_segments.py: a JSON list of [blockSize, [[block, base64], ...]] comes by standard input.
import { readFileSync } from "node:fs";

import { encodeSegment } from "../../image_gateway/console/deltas/segment.js";

for (const [blockSize, blocks] of JSON.parse(readFileSync(0, "utf8"))) {
  const bytes = new Map(blocks.map(([number, text]) => [number, new Uint8Array(Buffer.from(text, "base64"))]));
  console.log(Buffer.from(encodeSegment(blockSize, bytes)).toString("base64"));
}

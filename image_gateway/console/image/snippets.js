/**
 * Makes what a person pastes to read an image elsewhere: code for emulators, commands for tools.
 */

/** @typedef {import("../images/types.js").Image} Image */
/** @typedef {import("../images/types.js").Views} Views */

/**
 * The gateway's answer to stream-url, as far as it is used here.
 *
 * @typedef {object} Stream
 * @property {string} url
 * @property {{ type: "cookie" | "url" | "none" }} auth
 * @property {number} size
 * @property {string} [expiresAt]
 * @property {{ manifestUrl: string }} [chunked]
 * @property {Views} [views]
 */

/**
 * @typedef {object} Snippet
 * @property {string} label The reader's name.
 * @property {string} url The address alone.
 * @property {string} text What to paste.
 * @property {string} note
 */

const LEASE_IN_PATH = /\/v1\/l\/([^/]+)\//;
const MASK = "••••••••";

/**
 * Return a snippet for each reader that can use the answer.
 *
 * @param {Stream} stream
 * @param {Image} image
 * @returns {Snippet[]}
 */
export function makeSnippets(stream, image) {
  const name = fileName(image.name, image.kind);
  const plain = stream.views ? stream.views.raw.url.replace(/[^/]*$/, encodeURIComponent(name)) : stream.url;
  const tools = stream.views || stream.auth.type !== "cookie" ? forTools(plain, name, image) : [];
  const chunks = stream.chunked ? [forManifest(stream.chunked.manifestUrl)] : [];
  return [...(stream.views ? forEmulators(stream.views, image) : []), ...tools, ...chunks];
}

/**
 * @param {Views} views
 * @param {Image} image
 * @returns {Snippet[]}
 */
function forEmulators(views, { kind }) {
  const { v86, tinyemu, webvm, sqlite } = views;
  const macintosh = views["infinite-mac"];
  return [
    {
      label: "v86",
      url: v86.url,
      text: [
        "const emulator = new V86({",
        "  // your options: wasm_path, bios, vga_bios, memory_size, screen_container",
        `  ${kind === "iso" ? "cdrom" : "hda"}: {`,
        `    url: ${quoteJs(v86.url)},`,
        `    async: true,`,
        `    size: ${v86.size},`,
        `    use_parts: true,`,
        `    fixed_chunk_size: ${v86.fixed_chunk_size},`,
        "  },",
        "});",
      ].join("\n"),
      note: "The block size in the URL and fixed_chunk_size must be equal; larger blocks boot faster where the latency is high.",
    },
    {
      label: "WebVM, CheerpX",
      url: webvm.bytesUrl,
      text: [
        `const disk = await CheerpX.HttpBytesDevice.create(${quoteJs(webvm.bytesUrl)});`,
        `const changes = await CheerpX.IDBDevice.create("changes");`,
        "const overlay = await CheerpX.OverlayDevice.create(disk, changes);",
        'const linux = await CheerpX.Linux.create({ mounts: [{ type: "ext2", path: "/", dev: overlay }] });',
      ].join("\n"),
      note: "The image must be one ext2 volume without partitions. Pages of other origins need CROSS_ORIGIN_RESOURCE_POLICY=cross-origin at the gateway.",
    },
    {
      label: "TinyEMU, JSLinux",
      url: tinyemu.url,
      text: [
        "{",
        "  version: 1,",
        '  machine: "pc",',
        "  memory_size: 256,",
        `  drive0: { file: ${quoteJs(tinyemu.url)} },`,
        "}",
      ].join("\n"),
      note: "TinyEMU exits on any error, so the lease has to last for the whole session.",
    },
    {
      label: "infinite-mac",
      url: macintosh.url,
      text: [
        `const manifest = await (await fetch(${quoteJs(macintosh.url)})).json();`,
        `const disk = { ...manifest, baseUrl: ${quoteJs(macintosh.baseUrl)} };`,
      ].join("\n"),
      note: "infinite-mac reads zeros where a request fails, so the lease has to last for the whole session.",
    },
    {
      label: "sql.js-httpvfs",
      url: sqlite.configUrl,
      text: [
        "const worker = await createDbWorker(",
        `  [{ from: "jsonconfig", configUrl: ${quoteJs(sqlite.configUrl)} }],`,
        "  workerUrl,",
        "  wasmUrl,",
        ");",
      ].join("\n"),
      note: "The image must be an SQLite database.",
    },
  ];
}

/**
 * @param {string} url
 * @param {string} name Of a file.
 * @param {Image} image
 * @returns {Snippet[]}
 */
function forTools(url, name, { kind, sha256 }) {
  const [link, file] = [quoteShell(url), quoteShell(name)];
  // A comma ends an option's value at QEMU, unless it is doubled.
  const drive = quoteShell(`file=${url.replaceAll(",", ",,")},format=raw,snapshot=on`);
  const checksum = sha256 ? ` --checksum=sha-256=${sha256}` : "";
  return [
    {
      label: "QEMU",
      url,
      text: `qemu-system-x86_64 -m 2048 ${kind === "iso" ? `-cdrom ${link}` : `-drive ${drive}`}`,
      note: "Needs QEMU's curl driver (on Debian: qemu-block-extra). What the guest writes is lost when QEMU ends.",
    },
    {
      label: "qemu-img",
      url,
      text: `qemu-img convert -p -O qcow2 ${link} ${quoteShell(name.replace(/\.[^.]*$/, ".qcow2"))}`,
      note: "Downloads the image and converts it. Needs QEMU's curl driver (on Debian: qemu-block-extra).",
    },
    {
      label: "curl",
      url,
      text: `curl --fail --location --continue-at - --output ${file} ${link}`,
      note: "The same command goes on where a download was interrupted.",
    },
    {
      label: "aria2",
      url,
      text: `aria2c --continue=true --split=4 --max-connection-per-server=4${checksum} --out=${file} ${link}`,
      note: "Downloads by four connections at once.",
    },
  ];
}

/**
 * @param {string} url
 * @returns {Snippet}
 */
function forManifest(url) {
  return {
    label: "Chunk manifest",
    url,
    text: url,
    note: "For readers of the chunked image format: the chunks are beside the manifest, in chunks/.",
  };
}

/**
 * Return a file name for an image that every system and the gateway accept, with an extension.
 *
 * @param {string} name
 * @param {"disk" | "iso"} kind
 * @returns {string}
 */
export function fileName(name, kind) {
  const safe = name
    .replace(/[/\\:*?"<>|]|\p{C}/gu, "_")
    .trim()
    .replace(/^-/, "_");
  // Digits alone are the end of a version.
  const named = /.\.(?!\d+$)[A-Za-z0-9]{1,8}$/.test(safe) ? safe : `${safe || "disk"}.${kind === "iso" ? "iso" : "img"}`;
  const [, stem, extension] = /** @type {RegExpMatchArray} */ (named.match(/^(.*)(\.[^.]*)$/s));
  // 255 bytes at most, whatever the characters are.
  const encoder = new TextEncoder();
  let characters = [...stem];
  while (encoder.encode(characters.join("") + extension).length > 255) characters = characters.slice(0, -1);
  return characters.join("") + extension;
}

/**
 * Return a text as one word of a POSIX shell.
 *
 * @param {string} text
 */
export function quoteShell(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** @param {string} text */
function quoteJs(text) {
  return JSON.stringify(text);
}

/**
 * Return a text without what permits to read the image: leases in paths, and signatures in queries.
 *
 * @param {string} text
 * @param {Stream} stream
 * @returns {string}
 */
export function maskSecrets(text, stream) {
  const urls = JSON.stringify(stream);
  const lease = urls.match(LEASE_IN_PATH)?.[1];
  const query = stream.auth.type === "url" ? stream.url.split("?")[1] : undefined;
  const doubled = query?.replaceAll(",", ",,");
  let masked = text;
  for (const secret of [lease, doubled, query]) if (secret) masked = masked.replaceAll(secret, MASK);
  return masked;
}

/**
 * Return whether the answer's URLs hold anything that must not be seen.
 *
 * @param {Stream} stream
 */
export function hasSecrets(stream) {
  return maskSecrets(JSON.stringify(stream), stream) !== JSON.stringify(stream);
}

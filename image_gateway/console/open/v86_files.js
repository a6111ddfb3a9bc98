/**
 * Loads v86 as the operator has installed it, with errors that say what is missing.
 */

import { machineClock } from "./machine_clock.js";

const FOLDER = "/emulators/v86/";
const BIOSES = ["seabios.bin", "bios.bin"];
const VGA_BIOS = "vgabios.bin";

/**
 * The part of v86's interface that this page uses.
 *
 * @typedef {object} V86
 * @property {(event: string, listener: (value: any) => void) => void} add_listener
 * @property {() => Promise<void>} run
 * @property {() => Promise<void>} stop
 * @property {() => void} restart
 * @property {() => Promise<void>} destroy
 * @property {(isEnabled: boolean) => void} keyboard_set_enabled
 * @property {(codes: number[], delay?: number) => Promise<void>} keyboard_send_scancodes
 * @property {(port: number, bytes: Uint8Array) => void} serial_send_bytes
 */

/**
 * @typedef {object} V86Files
 * @property {new (options: object) => V86} V86
 * @property {(imports: WebAssembly.Imports) => Promise<WebAssembly.Exports>} wasm
 * @property {ArrayBuffer} bios
 * @property {ArrayBuffer | null} vgaBios Null if it is not installed: then the screen stays dark.
 */

/** libv86.js is a script that sets a global variable. */
const globals = /** @type {{ V86: new (options: object) => V86 }} */ (/** @type {unknown} */ (window));

/**
 * Return what the operator has installed.
 *
 * @returns {{ isComplete: boolean, files: string[] }}
 */
export function installedV86() {
  const meta = (/** @type {string} */ name) =>
    document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
  return { isComplete: meta("v86") === "installed", files: meta("v86-files").split(" ").filter(Boolean) };
}

/**
 * @returns {Promise<V86Files>}
 */
export async function loadV86() {
  const { files } = installedV86();
  const bios = BIOSES.find((name) => files.includes(name)) ?? BIOSES[0];
  const [, module, biosBytes, vgaBios] = await Promise.all([
    hasV86() ? null : machineClock.giveTo(() => loadScript("libv86.js")),
    compile(),
    loadBytes(bios),
    files.includes(VGA_BIOS) ? loadBytes(VGA_BIOS) : null,
  ]);
  const wasm = async (/** @type {WebAssembly.Imports} */ imports) =>
    (await WebAssembly.instantiate(module, imports)).exports;
  if (!hasV86()) throw new Error("libv86.js is not v86: it does not define V86.");
  return { V86: globals.V86, wasm, bios: biosBytes, vgaBios };
}

function hasV86() {
  return "V86" in globals;
}

/** Compile v86, or, in a browser that lacks what it needs, its variant for such browsers. */
async function compile() {
  try {
    return await WebAssembly.compile(await loadBytes("v86.wasm"));
  } catch (error) {
    const hasFallback = installedV86().files.includes("v86-fallback.wasm");
    if (!(error instanceof WebAssembly.CompileError) || !hasFallback) throw error;
    return WebAssembly.compile(await loadBytes("v86-fallback.wasm"));
  }
}

/**
 * @param {string} name
 * @returns {Promise<ArrayBuffer>}
 */
async function loadBytes(name) {
  const response = await fetch(FOLDER + name).catch(() => null);
  if (!response?.ok) throw new Error(cannotLoad(name));
  return response.arrayBuffer();
}

/**
 * @param {string} name
 * @returns {Promise<void>}
 */
function loadScript(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = FOLDER + name;
    script.onload = () => resolve();
    script.onerror = () => reject(new Error(cannotLoad(name)));
    document.head.append(script);
  });
}

/** @param {string} name */
function cannotLoad(name) {
  return `The file ${name} of v86 could not be loaded. Check the network, and that the operator has installed it.`;
}

/**
 * Says how the operator installs v86, in place of a machine that cannot start without it.
 */

import { copyButton, element } from "../lib/dom.js";

const FOLDER = "/opt/v86";
const COMMANDS = `mkdir -p ${FOLDER} && cd ${FOLDER}
npm pack v86@0.5.462
tar -xzf v86-0.5.462.tgz --strip-components=2 \\
  package/build/libv86.js package/build/v86.wasm package/build/v86-fallback.wasm
apt-get install seabios
cp /usr/share/seabios/bios.bin seabios.bin
cp /usr/share/seabios/vgabios-stdvga.bin vgabios.bin`;
const SETTING = `EMULATOR_V86_PATH=${FOLDER}`;

/**
 * @param {string[]} files The files that are there.
 * @returns {HTMLElement}
 */
export function missingV86(files) {
  const missing = ["libv86.js", "v86.wasm"].filter((name) => !files.includes(name));
  if (!files.includes("seabios.bin") && !files.includes("bios.bin")) missing.push("seabios.bin");
  return element(
    "div",
    { class: "card" },
    element("div", { class: "head" }, element("h1", {}, "The emulator is not installed")),
    element("p", {}, "This page starts images in v86, an emulator of a PC that runs in the browser."),
    element("p", {}, "The operator of this gateway has to install it first."),
    element("p", {}, `Missing: ${missing.join(", ")}.`),
    element("h2", {}, "For the operator"),
    element("p", {}, "v86 comes from npm, and its BIOS from the package seabios of Debian and Ubuntu:"),
    commands(COMMANDS, "Commands that install v86"),
    element("p", {}, "Then name the folder in the gateway’s settings, and restart the gateway:"),
    commands(SETTING, "The setting"),
    element("p", {}, "The folder must be readable for the gateway, and be there on each machine that runs one."),
  );
}

/**
 * @param {string} text
 * @param {string} label
 */
function commands(text, label) {
  return element(
    "div",
    { class: "commands" },
    element("pre", { tabindex: 0, role: "region", "aria-label": label }, text),
    copyButton("Copy", () => text),
  );
}

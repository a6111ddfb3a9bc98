// Boots v86 in Chromium: boot.mjs PAGE CHROMIUM GATEWAY, with the options of the disk as the first line of stdin.
// Every further line is sent to the guest's serial port. One JSON object per line of stdout tells a line from the
// serial port, or an answer of the gateway. Ends when stdin ends.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [page_url, executablePath, gateway] = process.argv.slice(2);
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hda = JSON.parse((await lines.next()).value);

const browser = await chromium.launch({
  executablePath,
  // Chromium's sandbox refuses to run as root.
  chromiumSandbox: process.getuid() !== 0,
  args: [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
  ],
});
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => tell({ error: String(error) }));
  page.on("response", (response) => {
    const url = new URL(response.url());
    if (url.origin === gateway) {
      tell({ file: url.pathname.split("/").at(-1), status: response.status(), headers: response.headers() });
    }
  });
  await page.exposeFunction("onLine", (line) => tell({ line }));
  await page.goto(page_url);
  await page.evaluate((options) => window.boot(options), hda);
  for await (const text of lines) {
    await page.evaluate((sent) => window.emulator.serial0_send(sent), text);
  }
} finally {
  await browser.close();
}

// node firefox.mjs FIREFOX HTML: opens every page from the disk, then scores three pictures in the overview; exit 1 if anything is wrong.
import { readFileSync, readdirSync } from "node:fs";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [firefox, html] = process.argv.slice(2);
const scores = JSON.parse(readFileSync(new URL("scores.json", import.meta.url)));
const WAIT = { timeout: 120_000 }; // ms, which only a page that hangs is waited for
const pages = readdirSync(html, { recursive: true }).filter((path) => path.endsWith(".html") && !/^(_|index)/.test(path)).sort();
const browser = await puppeteer.launch({ browser: "firefox", executablePath: firefox, protocolTimeout: 300_000 });
let wrong = 0;

async function open(path) {
  const page = await browser.newPage(), said = [];
  await page.setViewport({ width: 1280, height: 800 });
  page.on("pageerror", (error) => said.push(error.message));
  page.on("requestfailed", (request) => said.push(`failed: ${request.url()}`));
  page.on("console", (message) => message.type() === "error" && said.push(message.text()));
  await page.goto(pathToFileURL(`${html}/${path}`).href, { waitUntil: "load", ...WAIT });
  return { page, said };
}

async function close({ page, said }, name) {
  await page.close();
  wrong += said.length > 0;
  console.log(said.length ? `${name}: ${said.join("; ")}` : `${name}: right`);
}

// in the page: what is not as it should be once everything is drawn
async function look() {
  dispatchEvent(new Event("beforeprint")); // draws the widgets that wait for their reader to come near
  while (document.querySelector(".widget-static:empty")) await new Promise((done) => setTimeout(done, 50));
  while (window.MathJax && !MathJax.startup?.promise) await new Promise((done) => setTimeout(done, 50));
  await window.MathJax?.startup?.promise;
  const bare = [...document.querySelectorAll(".math.notranslate")].filter((e) => !e.querySelector("mjx-container"));
  const excess = document.documentElement.scrollWidth - innerWidth;
  return [bare.length && `${bare.length} formulas are not set`, excess > 0 && `${excess} px too wide`].filter(Boolean);
}

for (const path of pages) {
  const opened = await open(path);
  opened.said.push(...(await opened.page.evaluate(look)));
  await close(opened, path);
}
const opened = await open("book/intro.html");
await opened.page.evaluate(() => document.querySelector(".scorer").addEventListener("scored", (event) => (window.last = event.detail)));
for (const [path, score] of Object.entries(scores)) {
  const name = path.split("/").pop();
  await (await opened.page.$(".scorer input[type=file]")).uploadFile(path);
  await opened.page.waitForFunction((name) => window.last?.name === name, WAIT, name);
  const got = await opened.page.evaluate(() => window.last.score);
  if (!(Math.abs(got - score) < 1e-3)) opened.said.push(`${name} has ${got}, in Python ${score}`);
}
await close(opened, "the scorer");
await browser.close();
console.log(`${pages.length} pages and the scorer, ${wrong} with faults`);
process.exit(wrong ? 1 : 0);

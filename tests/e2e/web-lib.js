// A browser for the end-to-end tests: Chromium with a camera that is a file, and words for what people do in the app.
"use strict";

const assert = require("node:assert/strict");
const { createRequire } = require("node:module");
const fs = require("node:fs");
const path = require("node:path");

const { ADMIN, Server, eventually, root } = require("./lib");

const fromWeb = createRequire(path.join(root, "web", "package.json"));
const { chromium } = fromWeb("playwright-core");
const axe = fs.readFileSync(fromWeb.resolve("axe-core/axe.min.js"), "utf8");

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const PATIENCE_MS = 20000;
const PASSWORD = "Lecture-Hall-17";

// Chromium, as Debian names it; CHROMIUM names another.
function openBrowser(flags = []) {
	return chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", headless: true, args: [...FLAGS, ...flags] });
}

// A person with a browser of their own.  What the page complains about on its console is collected in `complaints`.
async function person(browser, server, options = {}) {
	const context = await browser.newContext({ baseURL: server.base, locale: "en-GB", viewport: { width: 1280, height: 800 }, ...options });
	context.setDefaultTimeout(PATIENCE_MS);
	const complaints = [];
	context.on("weberror", (e) => complaints.push(String(e.error())));
	context.on("console", (m) => {
		if (m.type() === "error" && !/Failed to load resource/.test(m.text()))
			complaints.push(m.text());
	});
	const page = await context.newPage();
	return { context, page, complaints };
}

async function signIn(page, email, password, { at = "/app/" } = {}) {
	if (at)
		await page.goto(at);
	await page.getByLabel("E-mail").fill(email);
	await page.getByLabel("Password", { exact: true }).fill(password);
	await page.getByRole("button", { name: "Sign in" }).click();
}

async function signInAdmin(page) {
	await signIn(page, ADMIN.email, ADMIN.password);
	await page.getByRole("heading", { name: "Events", level: 1 }).waitFor();
}

const heading = (page, name) => page.getByRole("heading", { name, level: 1 }).waitFor();

// axe's complaints about what is on the screen now.
async function violations(page) {
	await page.evaluate(axe);
	const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
	return found.violations.map((v) => `${v.id}: ${v.help} (${v.nodes.map((n) => n.target).join("; ")})`);
}

// Nothing may be wider than the window, once the page has settled.
async function fits(page, what) {
	const over = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
	await eventually(`${what} fits into the window`, async () => (await over()) <= 0);
}

// What is on the screen now is clean for axe and fits a narrow window as well.
async function clean(page, what) {
	assert.deepEqual(await violations(page), [], what);
	const size = page.viewportSize();
	await page.setViewportSize({ width: 320, height: 640 });
	await fits(page, what);
	await page.setViewportSize(size);
}

module.exports = { PASSWORD, Server, clean, eventually, fits, heading, openBrowser, person, signIn, signInAdmin, violations };

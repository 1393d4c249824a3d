// A browser for the end-to-end tests: Chromium with a camera that is a file, and words for what people do in the app.
"use strict";

const assert = require("node:assert/strict");
const { createRequire } = require("node:module");
const { after, before } = require("node:test");
const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");

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

// What the tests of a file share: a server, a browser and the administrator's token.  They are made before the first test, given to
// `set`, which may make more, and ended after the last.
function together(set, start = () => Server.start({ env: { SINGLE_DEVICE: "false" } })) {
	let server, browser;
	before(async () => {
		server = await start();
		browser = await openBrowser();
		await set({ server, browser, admin: await server.admin() });
	});
	after(async () => {
		await browser?.close();
		await server?.discard();
	});
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

const WORDS = { email: "E-mail", password: "Password", "signin.act": "Sign in" };

// The app's words in that language: t(key, {name: …}).
async function words(language) {
	const all = (await import(pathToFileURL(path.join(root, "web", "app", "i18n", `${language}.js`)))).default;
	return (key, values = {}) => {
		assert.ok(all[key], `there is no word ${key}`);
		return all[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
	};
}

async function signIn(page, email, password, { at = "/app/", t = (key) => WORDS[key] } = {}) {
	if (at)
		await page.goto(at);
	await page.getByLabel(t("email")).fill(email);
	await page.getByLabel(t("password"), { exact: true }).fill(password);
	await page.getByRole("button", { name: t("signin.act") }).click();
}

async function signInAdmin(page) {
	await signIn(page, ADMIN.email, ADMIN.password);
	await page.getByRole("heading", { name: "Events", level: 1 }).waitFor();
}

// --- steps of stories, each from the page before it ---

async function signUp(page, name, email) {
	await page.goto("/app/");
	await page.getByRole("link", { name: "Create an account" }).click();
	await page.getByLabel("Name", { exact: true }).fill(name);
	await page.getByLabel("E-mail").fill(email);
	await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
	await page.getByRole("button", { name: "Create account" }).click();
	await page.getByRole("heading", { name: "Waiting for an administrator" }).waitFor();
}

async function approve(page, name) {
	await page.getByRole("link", { name: "Approvals" }).first().click();
	await page.getByRole("button", { name: `Approve ${name}` }).click();
	await page.getByRole("heading", { name: "Nobody is waiting" }).waitFor();
}

async function createCourse(page, code, title) {
	await page.goto("/app/courses");
	await page.getByRole("button", { name: "New course" }).first().click();
	await page.getByLabel("Code").fill(code);
	await page.getByLabel("Title").fill(title);
	await page.getByRole("button", { name: "Create course" }).click();
	await page.getByRole("link", { name: title }).click();
}

// `look` sees the dry run's result.
async function importRoster(page, csv, said, look = () => {}) {
	await page.getByRole("button", { name: "Import a roster" }).first().click();
	await page.getByLabel("File").setInputFiles({ name: "roster.csv", mimeType: "text/csv", buffer: Buffer.from(csv) });
	await page.getByText(said).waitFor();
	await look();
	await page.getByRole("dialog").getByRole("button", { name: "Import" }).click();
	await page.getByText("Imported").waitFor();
	await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
}

// A session of the course at that place; codes change every `rotate` seconds, or as the server likes.
async function createSession(page, course, { at, rotate, look = () => {} }) {
	await page.goto("/app/sessions");
	await page.getByRole("button", { name: "New session" }).first().click();
	await page.getByLabel("Course").selectOption({ label: course });
	await page.getByText("Lateness, place, network, device").click();
	if (rotate)
		await page.getByLabel("New code every … seconds").fill(String(rotate));
	await page.getByLabel("Latitude").fill(String(at.latitude));
	await page.getByLabel("Longitude").fill(String(at.longitude));
	await page.getByLabel("Radius in metres").fill("100");
	await look();
	await page.getByRole("button", { name: "Create session" }).click();
}

async function decide(page, name, status, reason) {
	await page.getByRole("button", { name: `Decide about ${name}` }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("Status").selectOption(status);
	await dialog.getByLabel("Reason").fill(reason);
	await dialog.getByRole("button", { name: "Decide" }).click();
}

// What a click on that button saves.
async function saved(page, button) {
	const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button }).click()]);
	return fs.readFileSync(await file.path(), "utf8");
}

// --- cameras ---

const CAMERA = { width: 640, height: 480 };

// One second of that picture, 640 by 480 bytes of brightness, as a file that Chromium takes for a camera.
function film(file, luma) {
	const frame = Buffer.concat([Buffer.from("FRAME\n"), luma, Buffer.alloc(luma.length / 2, 128)]);
	const head = `YUV4MPEG2 W${CAMERA.width} H${CAMERA.height} F10:1 Ip A1:1 C420jpeg\n`;
	fs.writeFileSync(file, Buffer.concat([Buffer.from(head), ...Array(10).fill(frame)]));
}

// Films what this part of the page shows, with some of what is around it.
async function filmOf(file, page, part) {
	const box = await part.boundingBox();
	const clip = { x: Math.max(0, box.x - 30), y: Math.max(0, box.y - 30), width: box.width + 60, height: box.height + 60 };
	const png = (await page.screenshot({ clip })).toString("base64");
	const luma = await page.evaluate(async ([data, { width, height }]) => {
		const picture = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], { type: "image/png" }));
		const canvas = new OffscreenCanvas(width, height).getContext("2d");
		const scale = Math.min(width / picture.width, height / picture.height);
		canvas.fillStyle = "#888";
		canvas.fillRect(0, 0, width, height);
		canvas.drawImage(picture, (width - picture.width * scale) / 2, (height - picture.height * scale) / 2, picture.width * scale, picture.height * scale);
		const { data: rgba } = canvas.getImageData(0, 0, width, height);
		let out = "";
		for (let i = 0; i < rgba.length; i += 4)
			out += String.fromCharCode((rgba[i] * 77 + rgba[i + 1] * 150 + rgba[i + 2] * 29) >> 8);
		return btoa(out);
	}, [png, CAMERA]);
	film(file, Buffer.from(luma, "base64"));
}

const heading = (page, name) => page.getByRole("heading", { name, level: 1 }).waitFor();

// axe's complaints about what is on the screen now.
async function violations(page) {
	await page.evaluate(axe);
	const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
	return found.violations.map((v) => `${v.id}: ${v.help} (${v.nodes.map((n) => n.target).join("; ")})`);
}

// Presses Tab until the focus, which must be to be seen, is on what has this name: a label, a text, or a row that begins with it.
async function tabTo(page, name) {
	for (let i = 0; i < 80; i++) {
		await page.keyboard.press("Tab");
		const focus = await page.evaluate(() => {
			const e = document.activeElement;
			const text = e.ariaLabel || e.labels?.[0]?.textContent || (e.cells?.[0] ?? e).textContent;
			return { name: text.trim(), outline: getComputedStyle(e).outlineStyle };
		});
		if (focus.name !== name)
			continue;
		assert.notEqual(focus.outline, "none", `the focus on ${name} is to be seen`);
		return;
	}
	assert.fail(`the Tab key does not reach ${name}`);
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

module.exports = {
	CAMERA, PASSWORD, Server, approve, clean, createCourse, createSession, decide, eventually, film, filmOf, fits, heading, importRoster, openBrowser,
	person, saved, signIn, signInAdmin, signUp, tabTo, together, violations, words,
};

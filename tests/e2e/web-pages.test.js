// Every page of the app: for axe, at 320 pixels, by keyboard, in both languages and both themes; the scanner; how files are served.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const { createRequire } = require("node:module");
const os = require("node:os");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { test } = require("node:test");

const { ADMIN, root } = require("./lib");
const { CAMERA, PASSWORD, Server, eventually, film, fits, heading, openBrowser, person, signIn, signInAdmin, tabTo, together, violations, words } = require("./web-lib");

const fromWeb = createRequire(path.join(root, "web", "package.json"));

let server, browser, token, event, student, record;
together(async (s) => {
	({ server, browser, admin: token } = s);
	student = await server.student("lena", token);
	event = await server.event(token, { title: "Orientation week, with a title that is long enough to need a second line", notes: "Room 2.14" });
	await server.event(token, { title: "Next lecture", scheduled_at: new Date(Date.now() + 86400000).toISOString() });
	record = (await server.want(201, server.mark((await server.qr(token, event.id)).qr_payload, student.token))).attendance_id;
	await server.want(201, server.post("/api/auth/signup", { email: "waits@students.example.org", password: PASSWORD, full_name: "Waits Patiently" }));
}, () => Server.start({ env: { SINGLE_DEVICE: "false", QR_EXPIRY_SECONDS: "3600", APPROVAL_TIMEOUT_MINUTES: "60" } }));

// Each page, with what shows that it is complete; `t` gives the words of the language.
const anyone = [
	["/app/", (p, t) => p.getByRole("button", { name: t("signin.act") })],
	["/app/signup", (p, t) => p.getByRole("button", { name: t("signup.act") })],
	["/app/forgot", (p, t) => p.getByRole("button", { name: t("forgot.act") })],
	["/app/reset#token", (p, t) => p.getByRole("button", { name: t("reset.act") })],
	["/app/verify#token", (p, t) => p.getByRole("button", { name: t("verify.act") })],
	["/app/oauth#error=oauth_failed", (p, t) => p.getByText(t("oauth.failed"))],
	["/app/scan", (p, t) => p.getByText(t("scan.aim"))],
	["/c", (p, t) => p.getByRole("link", { name: t("checkin.open") })],
	["/c#nonsense", (p, t) => p.getByText(t("checkin.badLink"))],
	["/app/no-such-page", (p, t) => p.getByText(t("notFound.title"))],
];
const students = () => [
	[`/app/records/${record}`, (p, t) => p.getByText(t("record.by.qr"))],
	["/app/attendance", (p, t) => p.getByText(t("mine.rate"))],
	["/app/events", (p) => p.getByText("Next lecture")],
	["/app/notifications", (p) => p.locator(".notes li").first()],
	["/app/more", (p, t) => p.getByRole("button", { name: t("signout") })],
	["/app/account", (p, t) => p.getByText(t("account.thisOne"))],
	["/app/device", (p, t) => p.getByRole("button", { name: t("device.register") })],
	["/app/face", (p, t) => p.getByText(t("face.none"))],
	["/app/audit", (p, t) => p.getByText(t("notForYou.title"))],
];
const admins = () => [
	["/app/events", (p) => p.getByText("Next lecture")],
	[`/app/events/${event.id}`, (p) => p.locator("tbody").getByText("Student lena")],
	[`/app/project/${event.id}`, (p, t) => p.getByRole("img", { name: t("project.qr") })],
	[`/app/records/${record}`, (p, t) => p.getByRole("button", { name: t("flagged.decide") })],
	["/app/sessions", (p, t) => p.getByText(t("sessions.empty"))],
	["/app/courses", (p, t) => p.getByText(t("courses.empty"))],
	["/app/flagged", (p, t) => p.getByText(t("flagged.empty"))],
	["/app/reports", (p, t) => p.getByText(t("reports.empty"))],
	["/app/users", (p, t) => p.getByRole("button", { name: t("users.roleOf", { name: "Student lena" }) })],
	["/app/account", (p, t) => p.getByText(t("account.thisOne"))],
	["/app/devices", (p, t) => p.getByText(t("devices.empty"))],
	["/app/codes", (p, t) => p.getByRole("button", { name: t("codes.revoke"), exact: false }).first()],
	["/app/approvals", (p, t) => p.getByRole("button", { name: t("approvals.approveName", { name: "Waits Patiently" }) })],
	["/app/statistics", (p, t) => p.getByText(t("stats.perEvent"))],
	["/app/audit", (p) => p.locator(".logs li").first()],
	["/app/notifications", (p) => p.locator(".notes li").first()],
	["/app/more", (p, t) => p.getByRole("button", { name: t("signout") })],
];

// Sees every page as each kind of visitor and calls `look`.
async function tour(options, t, look) {
	const visit = async (page, pages, who) => {
		for (const [target, sign] of pages) {
			await page.goto("about:blank");
			await page.goto(target);
			await sign(page, t).waitFor();
			await look(page, `${who} ${target}`);
		}
	};
	const stranger = await person(browser, server, options);
	await visit(stranger.page, anyone, "stranger");
	const pupil = await person(browser, server, options);
	await signIn(pupil.page, student.email, PASSWORD, { t });
	await heading(pupil.page, t("mine.title"));
	await visit(pupil.page, students(), "student");
	const boss = await person(browser, server, options);
	await signIn(boss.page, ADMIN.email, ADMIN.password, { t });
	await heading(boss.page, t("events.title"));
	await visit(boss.page, admins(), "admin");
	for (const p of [stranger, pupil, boss]) {
		assert.deepEqual(p.complaints, []);
		await p.context.close();
	}
}

// 320 pixels are also 400 % zoom of a laptop; half of its width and height are 200 %.
const WINDOWS = [{ width: 320, height: 640 }, { width: 640, height: 400 }];

// The same page in these windows, and written from right to left.
async function fitsEverywhere(page, what) {
	const size = page.viewportSize();
	for (const window of WINDOWS) {
		await page.setViewportSize(window);
		await fits(page, `${what} at ${window.width} pixels`);
	}
	await page.setViewportSize(WINDOWS[0]);
	await page.evaluate(() => { document.documentElement.dir = "rtl"; });
	await fits(page, `${what} from right to left`);
	await page.setViewportSize(size);
	await fits(page, `${what} from right to left on a laptop`);
	await page.evaluate(() => { document.documentElement.dir = "ltr"; });
}

for (const [language, colorScheme] of [["en", "light"], ["de", "dark"]])
	test(`every page, ${language} and ${colorScheme}: axe finds nothing; nothing is lost at 320 pixels, at 200 % zoom, from right to left`, async () => {
		const found = [];
		await tour({ locale: language, colorScheme, reducedMotion: "reduce" }, await words(language), async (page, what) => {
			assert.equal(await page.evaluate(() => document.documentElement.lang), language);
			found.push(...(await violations(page)).map((v) => `${what}: ${v}`));
			await fitsEverywhere(page, what);
		});
		assert.deepEqual(found, []);
	});

test("dialogs, a waiting sign-up and a result are clean for axe as well", async () => {
	const found = [];
	const { page, context } = await person(browser, server, { reducedMotion: "reduce", viewport: { width: 320, height: 640 } });
	const look = async (what) => {
		found.push(...(await violations(page)).map((v) => `${what}: ${v}`));
		await fits(page, what);
	};
	await page.goto("/app/signup");
	await page.getByLabel("Name", { exact: true }).fill("Second Waiting");
	await page.getByLabel("E-mail").fill("second@students.example.org");
	await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
	await page.getByRole("button", { name: "Create account" }).click();
	await page.getByRole("heading", { name: "Waiting for an administrator" }).waitFor();
	await look("waiting");
	await page.goto(`/c#${(await server.qr(token, event.id)).qr_payload}`);
	await heading(page, "Sign in to finish");
	await look("sign in to finish");
	await signIn(page, student.email, PASSWORD, { at: null });
	await heading(page, "You were checked in already");
	await look("already");
	await context.clearCookies();
	await page.evaluate(() => localStorage.clear());
	await signInAdmin(page);
	await page.getByRole("button", { name: "New event" }).click();
	await page.getByRole("dialog").waitFor();
	await look("new event");
	await page.goto(`/app/events/${event.id}`);
	await page.getByRole("button", { name: "Delete" }).click();
	await page.getByRole("dialog").waitFor();
	await look("delete");
	assert.deepEqual(found, []);
	await context.close();
});

test("an administrator does the whole work by keyboard", async () => {
	const { page, context } = await person(browser, server);
	await page.goto("/app/");
	await page.getByLabel("E-mail").focus();
	await page.keyboard.type("admin@dsclub.com");
	await page.keyboard.press("Tab");
	await page.keyboard.type("Rooms-and-Rows-42");
	await page.keyboard.press("Enter");
	await heading(page, "Events");
	await eventually("the new page has the focus", () => page.evaluate(() => document.activeElement.tagName === "H1"));

	await tabTo(page, "New event");
	await page.keyboard.press("Enter");
	await page.getByRole("dialog").waitFor();
	await page.getByLabel("Title").focus();
	await page.keyboard.type("Made by keyboard");
	await page.keyboard.press("Enter");
	await page.getByRole("link", { name: /Made by keyboard/ }).waitFor();
	await tabTo(page, "New event");
	await page.keyboard.press("Enter");
	await page.getByRole("dialog").waitFor();
	await page.keyboard.press("Escape");
	await page.getByRole("dialog").waitFor({ state: "detached" });
	await eventually("the focus goes back to where it was", () => page.evaluate(() => document.activeElement.textContent === "New event"));
	await context.close();
});

test("check-in, roll and review by keyboard alone", async () => {
	const pupil = await server.student("keys", token);
	const course = await server.want(201, server.post("/api/v1/lecturer/courses", { code: "KEYS", title: "By keyboard" }, token));
	await server.want(201, server.post(`/api/v1/lecturer/courses/${course.id}/roster`, { email: pupil.email }, token));
	const { id } = await server.want(201, server.post("/api/v1/lecturer/sessions", {
		course_id: course.id, starts_at: new Date(Date.now() - 60000).toISOString(), duration_minutes: 90, rotate_seconds: 300, latitude: 52.52, longitude: 13.405,
		geofence_radius_m: 100,
	}, token));
	const typist = await person(browser, server, { permissions: ["geolocation"], geolocation: { latitude: 52.53, longitude: 13.405, accuracy: 10 } });
	await signIn(typist.page, pupil.email, PASSWORD);
	await heading(typist.page, "My attendance");
	await tabTo(typist.page, "Check in");
	await typist.page.keyboard.press("Enter");
	await heading(typist.page, "Check in");
	await tabTo(typist.page, "Type the code");
	await typist.page.keyboard.press("Enter");
	await typist.page.getByLabel("Code", { exact: true }).waitFor();
	await tabTo(typist.page, "Event");
	await typist.page.keyboard.type("KEYS");
	await tabTo(typist.page, "Code");
	await typist.page.keyboard.type((await server.want(200, server.get(`/api/v1/lecturer/sessions/${id}/qr`, token))).code);
	await typist.page.keyboard.press("Enter");
	await heading(typist.page, "You are checked in");
	await typist.context.close();

	const { page, context, complaints } = await person(browser, server);
	await signInAdmin(page);
	await page.goto(`/app/sessions/${id}`);
	await page.locator("tbody").getByText("Student keys").waitFor();
	await tabTo(page, "Decide about Student keys");
	await page.keyboard.press("Enter");
	await page.getByRole("dialog").waitFor();
	await tabTo(page, "Status");
	await page.keyboard.type("Ex");
	await page.keyboard.press("Tab");
	await page.keyboard.type("Was told to stay at home");
	await tabTo(page, "Decide");
	await page.keyboard.press("Enter");
	const row = page.locator("tbody tr").filter({ hasText: "Student keys" });
	await row.getByText("Excused").waitFor();
	await tabTo(page, "Student keys");
	await page.keyboard.press("l");
	await row.getByText("Late").waitFor();
	await page.getByRole("status").getByText("Student keys: Late.").waitFor();
	await page.keyboard.press("u");
	await row.getByText("Excused").waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
});

test("German, by the browser's wish and by choice", async () => {
	const { page, context } = await person(browser, server, { locale: "de-DE" });
	await page.goto("/app/");
	await page.getByRole("button", { name: "Anmelden" }).waitFor();
	assert.equal(await page.evaluate(() => document.documentElement.lang), "de");
	await page.getByRole("button", { name: "English" }).click();
	await page.getByRole("button", { name: "Sign in" }).waitFor();
	await page.reload();
	await page.getByRole("button", { name: "Sign in" }).waitFor();
	await context.close();
});

// A code in the middle, before a camera.
async function video(text) {
	const { encode } = await import(pathToFileURL(fromWeb.resolve("uqr").replace(/\.cjs$/, ".mjs")));
	const { data, size } = encode(text, { ecc: "M", border: 4 });
	const { width, height } = CAMERA;
	const scale = Math.floor(400 / size);
	const [left, top] = [Math.floor((width - size * scale) / 2), Math.floor((height - size * scale) / 2)];
	const luma = Buffer.alloc(width * height, 200);
	data.forEach((row, y) => row.forEach((dark, x) => {
		for (let i = 0; i < scale; i++)
			luma.fill(dark ? 25 : 225, (top + y * scale + i) * width + left + x * scale, (top + y * scale + i) * width + left + (x + 1) * scale);
	}));
	const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "muster-camera-")), "code.y4m");
	film(file, luma);
	return file;
}

test("the scanner reads the projected code through the camera, and from a picture; the decoder comes only then", async () => {
	const camera = await server.student("camera", token);
	const picture = await server.student("picture", token);
	const { qr_payload: payload } = await server.qr(token, event.id);
	const file = await video(`${server.base}/c#${payload}`);
	const withCamera = await openBrowser([`--use-file-for-fake-video-capture=${file}`]);
	try {
		const { page, complaints } = await person(withCamera, server, { viewport: { width: 390, height: 844 } });
		const scripts = [];
		page.on("request", (r) => scripts.push(r.url()));
		await signIn(page, camera.email, PASSWORD);
		await heading(page, "My attendance");
		assert.ok(!scripts.some((s) => s.includes("/decoder-")), "the decoder was loaded before it was needed");
		await page.getByRole("link", { name: "Check in" }).first().click();
		await heading(page, "You are checked in");
		assert.ok(scripts.some((s) => s.includes("/decoder-")));
		assert.deepEqual(complaints, []);
	} finally {
		await withCamera.close();
		fs.rmSync(path.dirname(file), { recursive: true });
	}
	const { page, context } = await person(browser, server);
	await signIn(page, picture.email, PASSWORD);
	await heading(page, "My attendance");
	await page.goto("/app/scan");
	const session = await server.qr(token, event.id);
	const png = await server.get(`/api/admin/qr-sessions/${session.session_id}/image.png`, token);
	await page.locator("input[type=file]").setInputFiles({ name: "code.png", mimeType: "image/png", buffer: png.bytes });
	await heading(page, "You are checked in");
	await context.close();
});

test("files are served with their types, caching and a strict policy", async () => {
	for (const target of ["/c", "/app/", "/app", "/app/events", "/app/events/", `/app/project/${event.id}`, "/app/no-such-page"]) {
		const reply = await server.get(target);
		assert.equal(reply.status, target.includes("no-such") ? 404 : 200, target);
		assert.match(reply.headers["content-type"], /^text\/html; charset=utf-8/);
		const policy = reply.headers["content-security-policy"];
		assert.match(policy, /default-src 'none'/);
		assert.doesNotMatch(policy, /unsafe|https?:|\*/);
		assert.match(reply.headers["permissions-policy"], /camera=\(self\).*geolocation=\(self\)/);
		assert.equal(reply.headers["cache-control"], "no-cache");
		assert.doesNotMatch(reply.text, /<script(?![^>]* src=)|<style|\son\w+=|\sstyle=/, `${target}: something inline`);
	}
	const shell = await server.get("/c");
	assert.equal((await server.get("/c", null, { headers: { "if-none-match": shell.headers.etag } })).status, 304);
	for (const [, file] of shell.text.matchAll(/(?:href|src)="(\/app\/[^"]+)"/g)) {
		const reply = await fetch(server.base + file, { headers: { "accept-encoding": "gzip" } });
		await reply.arrayBuffer();
		assert.equal(reply.status, 200, file);
		const hashed = file.startsWith("/app/assets/");
		assert.equal(reply.headers.get("cache-control"), hashed ? "public, max-age=31536000, immutable" : "no-cache");
		assert.equal(reply.headers.get("content-encoding"), file.endsWith(".png") ? null : "gzip", file);
	}
	const worker = await server.get("/app/sw.js");
	assert.match(worker.headers["content-type"], /^text\/javascript/);
	assert.equal(worker.headers["service-worker-allowed"], "/");
	assert.equal((await server.get("/app/assets/none.js")).status, 404);
	assert.match((await server.get("/", null, { headers: { accept: "text/html" } })).headers.location, /^\/app\/$/);
	assert.match((await server.get("/api/auth/me")).headers["permissions-policy"], /camera=\(\)/);
});

test("the scripts stay under their budget", (t) => {
	const out = fs.mkdtempSync(path.join(os.tmpdir(), "muster-web-"));
	try {
		const line = execFileSync(process.execPath, [path.join(root, "web", "build.mjs"), out], { encoding: "utf8" }).trim();
		t.diagnostic(line);
		assert.match(line, /^web app: [\d.]+ kB of scripts gzipped/);
		assert.match(fs.readFileSync(path.join(out, "pages.txt"), "utf8"), /^\/app\/project\/:id$/m);
	} finally {
		fs.rmSync(out, { recursive: true });
	}
});

// Forms that are corrected, pages and streams that are left in the middle.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");

const { PASSWORD, eventually, heading, person, signIn, signInAdmin, together } = require("./web-lib");

let server, browser, admin, lecturer;
together(async (s) => {
	({ server, browser, admin } = s);
	lecturer = await server.staff("prof", "lecturer", admin);
});

const DESK = { reducedMotion: "reduce", serviceWorkers: "block" };
async function desk(options) {
	const one = await person(browser, server, { ...DESK, ...options });
	await signIn(one.page, lecturer.email, PASSWORD);
	await heading(one.page, "Sessions");
	return one;
}
const button = (page, name) => page.getByRole("button", { name, exact: true });

// A reply that waits until it is released; `met` when the server gave it.
async function hold(context, pattern) {
	let met, release;
	const released = new Promise((r) => { release = r; });
	const sent = new Promise((r) => { met = r; });
	await context.route(pattern, async (route) => {
		const response = await route.fetch();
		met();
		await released;
		await route.fulfill({ response });
	}, { times: 1 });
	return { met: sent, release };
}

test("a form that was refused is corrected and sent again; one whose reply was lost is carried out once", async () => {
	const { page, context, complaints } = await desk();
	const refused = () => page.getByRole("dialog").getByRole("alert").getByText(/./).first().waitFor();
	await button(page, "New session").first().click();
	await page.getByLabel("Title").fill("Weekly");
	await page.getByText("Lateness, place, network, device").click();
	await page.getByLabel("Latitude").fill("52.5");
	await button(page, "Create session").click();
	await refused();
	await page.getByLabel("Longitude").fill("13.4");
	await page.getByLabel("How many weeks").fill("3");
	let posts = 0;
	await context.route("**/api/v1/lecturer/sessions", async (route) => { // the second week is made, and nobody hears of it
		if (route.request().method() !== "POST" || ++posts !== 2)
			return route.continue();
		await route.fetch();
		return route.abort("connectionreset");
	});
	await button(page, "Create session").click();
	await eventually("the second week is sent", () => posts === 2);
	await refused();
	await button(page, "Create session").click();
	await page.getByRole("dialog").waitFor({ state: "detached" });
	assert.equal(server.sql("SELECT COUNT(DISTINCT scheduled_at) AS n FROM events WHERE title = 'Weekly'")[0].n, 3);
	assert.equal(server.sql("SELECT COUNT(*) AS n FROM events WHERE title = 'Weekly'")[0].n, 3);
	assert.deepEqual(complaints, []);
	await context.close();
});

test("weeks that stand are not made again with what was corrected for the others", async () => {
	const { page, context, complaints } = await desk();
	await button(page, "New session").first().click();
	await page.getByLabel("Title").fill("Biweekly");
	await page.getByLabel("How many weeks").fill("3");
	let posts = 0;
	await context.route("**/api/v1/lecturer/sessions", async (route) => {
		if (route.request().method() !== "POST" || ++posts !== 3)
			return route.continue();
		return route.fulfill({ status: 409, contentType: "application/json", body: JSON.stringify({ error: { code: "conflict", message: "No." } }) });
	});
	await button(page, "Create session").click();
	await page.getByRole("dialog").getByText("made already: 2").waitFor();
	await page.getByLabel("Title").fill("Corrected");
	await button(page, "Create session").click();
	await page.getByRole("dialog").waitFor({ state: "detached" });
	const times = server.sql("SELECT title, scheduled_at FROM events WHERE title IN ('Biweekly', 'Corrected') ORDER BY scheduled_at");
	assert.deepEqual(times.map((row) => row.title), ["Biweekly", "Biweekly", "Corrected"]);
	assert.equal(new Set(times.map((row) => row.scheduled_at)).size, 3);
	assert.deepEqual(complaints.filter((text) => !text.includes("409")), []);
	await context.close();
});

test("what a session has can be changed; its networks go, and what cannot go is not silently kept", async () => {
	const session = await server.want(201, server.post("/api/v1/lecturer/sessions",
		{ title: "Walled", duration_minutes: 60, late_after_minutes: 10, networks: ["192.0.2.0/24"], latitude: 52.5, longitude: 13.4 }, lecturer.token));
	const { page, context, complaints } = await desk();
	await page.goto(`/app/sessions/${session.id}`);
	await button(page, "Edit").click();
	const dialog = page.getByRole("dialog");
	const rules = dialog.getByText("Lateness, place, network, device");
	await rules.click();
	await dialog.getByLabel("Networks").fill("");
	const fields = ["Title", "Late after", "New code every", "Latitude", "Longitude", "Radius in metres"];
	for (const name of fields) {
		const field = dialog.getByLabel(name);
		const before = await field.inputValue();
		await field.fill("");
		await rules.click();
		await button(dialog, "Save").click();
		assert.ok(await eventually(`${name} is asked for`, () => field.evaluate((e) => e === document.activeElement)), name);
		if (name === "Title")
			await rules.click();
		await field.fill(before);
	}
	await button(dialog, "Save").click();
	await dialog.waitFor({ state: "detached" });
	assert.deepEqual((await server.want(200, server.get(`/api/v1/lecturer/sessions/${session.id}`, lecturer.token))).networks ?? [], []);
	assert.deepEqual(complaints, []);
	await context.close();
});

test("reports name the day of the calendar, west of Greenwich too", async () => {
	const { page, context, complaints } = await desk({ timezoneId: "America/Los_Angeles" });
	await context.route(/\/api\/v1\/lecturer\/reports\?/, (route) => route.fulfill({
		json: { series: [{ start: "2026-03-02", sessions: 1, expected: 10, attendance_rate: 50 }] },
	}));
	await page.goto("/app/reports");
	await page.getByText(/Mon,? 2 Mar/).waitFor();
	await page.getByText("Monday").waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
});

test("a screen that was left before it opened takes no seat, and gives its wake lock back", async () => {
	const event = await server.event(admin, { title: "Left alone" });
	const { page, context, complaints } = await person(browser, server, DESK);
	await page.addInitScript(() => {
		globalThis.locks = { given: 0, released: 0, wanted: [] };
		const lock = () => {
			globalThis.locks.given++;
			return { release: async () => globalThis.locks.released++ };
		};
		Object.defineProperty(navigator, "wakeLock", { value: { request: () => new Promise((r) => globalThis.locks.wanted.push(() => r(lock()))) } });
	});
	await signInAdmin(page);
	await page.getByRole("link", { name: /Left alone/ }).click();
	const display = await hold(context, `**/api/admin/events/${event.id}/display`);
	const asked = [];
	page.on("request", (r) => asked.push(new URL(r.url()).pathname));
	await page.getByRole("link", { name: "Show QR code" }).click();
	await display.met;
	await eventually("the screen wants to stay awake", () => page.evaluate(() => globalThis.locks.wanted.length));
	await page.getByRole("link", { name: "Close" }).click();
	await heading(page, "Left alone");
	const [token] = await Promise.all([page.waitForResponse(/\/display$/), display.release()]);
	await token.finished();
	await page.evaluate(() => globalThis.locks.wanted.forEach((give) => give()));
	await eventually("the lock is given back", () => page.evaluate(() => globalThis.locks.given > 0 && globalThis.locks.given === globalThis.locks.released));
	await page.evaluate(() => fetch("/health").then((r) => r.text()));
	assert.deepEqual(asked.filter((p) => p.endsWith("/frames")), []);
	assert.deepEqual(complaints, []);
	await context.close();
});

test("what one account asked for is not shown to the next", async () => {
	const first = await server.student("first", admin), second = await server.student("second", admin);
	const event = await server.event(admin, { title: "The first was here" });
	await server.want(201, server.mark((await server.qr(admin, event.id)).qr_payload, first.token));
	const { page, context, complaints } = await person(browser, server, DESK);
	await signIn(page, first.email, PASSWORD);
	await page.locator(".rows").getByText("The first was here").waitFor();
	await page.getByRole("link", { name: "Account" }).click();
	const mine = await hold(context, "**/api/attendance/me");
	await page.getByRole("link", { name: "My attendance" }).first().click();
	await mine.met;
	await page.getByRole("link", { name: "Account" }).click();
	await button(page, "Sign out").click();
	await heading(page, "Sign in");
	await context.route("**/api/attendance/me", (route) => route.abort("connectionreset"));
	await signIn(page, second.email, PASSWORD, { at: null });
	await heading(page, "My attendance");
	await Promise.all([page.waitForResponse("**/api/attendance/me"), mine.release()]);
	await page.getByRole("link", { name: "Account" }).click();
	await heading(page, "Account");
	await page.getByRole("link", { name: "My attendance" }).first().click();
	await page.getByRole("alert").getByText(/./).first().waitFor();
	assert.equal(await page.getByText("The first was here").count(), 0);
	assert.deepEqual(complaints, []);
	await context.close();
});

// One record with all that became of it; decisions about many at once, and what becomes of them when something goes wrong in between.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");

const { root } = require("./lib");
const { PASSWORD, clean, eventually, heading, person, signIn, signInAdmin, tabTo, together, words } = require("./web-lib");

const HERE = { latitude: 52.52, longitude: 13.405 };
const AWAY = { latitude: 52.5218, longitude: 13.405, accuracy: 15 }; // 200 m
const NAMES = ["Ada", "Bo", "Cem", "Dee"];

let server, browser, admin, prof, students;
together(async (s) => {
	({ server, browser, admin } = s);
	prof = await server.staff("prof", "lecturer", admin);
	students = [];
	for (const name of NAMES)
		students.push(await server.student(name, admin));
});

// A session with a mark of each of these students from outside its place: {id, records}, which all wait for a decision.
async function flagged(title, who = students) {
	const { id } = await server.want(201, server.post("/api/v1/lecturer/sessions",
		{ title, starts_at: new Date(Date.now() - 60000).toISOString(), duration_minutes: 90, geofence_radius_m: 50, ...HERE }, prof.token));
	const { qr_payload } = await server.want(200, server.get(`/api/v1/lecturer/sessions/${id}/qr`, prof.token));
	const records = [];
	for (const s of who)
		records.push((await server.want(201, server.post("/api/v1/student/attendance", { qr_payload, ...AWAY }, s.token))).attendance_id);
	return { id, records };
}

const statusOf = (id) => server.sql(`SELECT status FROM attendance_records WHERE id = '${id}'`)[0].status;
const changesOf = (id) => server.sql(`SELECT COUNT(*) AS n FROM attendance_changes WHERE attendance_id = '${id}'`)[0].n;
const setStatus = (id, status, reason) => server.want(200, server.post(`/api/v1/admin/attendance/${id}/set-status`, { status, reason }, admin));

test("a record's page tells the lecturer the whole story by a link, and the student his own without names", async () => {
	const { id, records: [record] } = await flagged("Set theory", students.slice(0, 1));
	await server.want(201, server.post(`/api/v1/student/attendance/${record}/dispute`, { note: "I sat in the last row" }, students[0].token));
	await setStatus(record, "rejected", "Nobody saw him");
	await server.want(200, server.request("PATCH", `/api/v1/lecturer/sessions/${id}/attendance/${record}`, { token: prof.token, body: { status: "late", reason: "Found on the photo" } }));

	const desk = await person(browser, server, { reducedMotion: "reduce" });
	await signIn(desk.page, prof.email, PASSWORD);
	await heading(desk.page, "Sessions");
	await desk.page.goto(`/app/sessions/${id}`);
	await desk.page.getByRole("rowheader").getByRole("link", { name: "Student Ada" }).click();
	await heading(desk.page, "Student Ada");
	assert.equal(new URL(desk.page.url()).pathname, `/app/records/${record}`);
	await eventually("the focus is on the page's heading", () => desk.page.evaluate(() => document.activeElement.tagName === "H1"));
	await desk.page.getByText("Outside; position good to 20 m. 200 m from the place.").waitFor();
	const steps = desk.page.locator(".story li");
	const told = (await steps.allTextContents()).map((s) => s.replace(/^.*?\d\d:\d\d:\d\d( [AP]M)?/, ""));
	assert.deepEqual(told, [
		"Scanned the code Under review", "The student disagreed I sat in the last row",
		`Changed Under review →to RejectedNobody saw him${adminName()}, Administrator`,
		"Changed Rejected →to LateFound on the photoBy you",
	]);
	await clean(desk.page, "record");
	await tabTo(desk.page, "Decide");
	await desk.page.keyboard.press("Enter");
	await desk.page.getByRole("dialog").getByLabel("Reason").fill("Settled");
	await desk.page.getByRole("dialog").getByRole("button", { name: "Decide" }).click();
	await desk.page.locator(".record").getByText("Present").waitFor();
	assert.equal(await steps.count(), 5);
	await desk.page.goBack();
	await heading(desk.page, "Set theory");

	const pupil = await person(browser, server, { reducedMotion: "reduce", locale: "de-DE", colorScheme: "dark", viewport: { width: 390, height: 844 } });
	const t = await words("de");
	await signIn(pupil.page, students[0].email, PASSWORD, { t });
	await pupil.page.getByRole("link", { name: "Set theory" }).click();
	await heading(pupil.page, "Set theory");
	await pupil.page.getByText("Außerhalb; Standort auf 20 m genau. 200 m vom Ort entfernt.").waitFor();
	await pupil.page.getByText("Nobody saw him").waitFor();
	await pupil.page.getByText(t("role.lecturer"), { exact: true }).first().waitFor();
	assert.ok(!(await pupil.page.locator("main").textContent()).includes(prof.name ?? "Student prof"), "a student is not told who decided");
	await clean(pupil.page, "own record");

	const other = await person(browser, server, { reducedMotion: "reduce" });
	await signIn(other.page, students[1].email, PASSWORD, { at: `/app/records/${record}` });
	await other.page.getByText("This is not there any more").waitFor();
	for (const p of [desk, pupil, other]) {
		assert.deepEqual(p.complaints, []);
		await p.context.close();
	}
});

function adminName() {
	return server.sql("SELECT full_name FROM users WHERE role = 'admin' LIMIT 1")[0].full_name;
}

test("a record written by hand says who wrote it", async () => {
	const event = await server.event(admin, { title: "Open day" });
	const { attendance_id: record } = await server.want(201, server.post(`/api/admin/events/${event.id}/attendance`,
		{ user_id: students[0].id, status: "excused", reason: "Ill" }, admin));
	const { page, context } = await person(browser, server, { reducedMotion: "reduce" });
	await signInAdmin(page);
	await page.goto(`/app/records/${record}`);
	await page.locator(".story").getByText("Written by hand").waitFor();
	await page.locator(".story").getByText("By you").waitFor();
	await page.getByText("It did not come from a scan").waitFor();
	await page.getByRole("link", { name: "Open day" }).click();
	await heading(page, "Open day");
	await context.close();
});

const box = (page, name) => page.getByRole("checkbox", { name: `Choose Student ${name}` });

test("many are decided at once with one reason; what is refused is named with its cause, and the rest is decided", async () => {
	const { records } = await flagged("Logic");
	const { page, context, complaints } = await person(browser, server, { reducedMotion: "reduce" });
	await signInAdmin(page);
	await page.goto("/app/flagged");
	await page.getByRole("checkbox", { name: "All of this page (4)" }).check();
	await page.getByText("4 chosen").waitFor();
	await clean(page, "chosen");
	await page.getByRole("button", { name: "Decide about those chosen" }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("Reason").fill("The fence was drawn too small");
	await clean(page, "decide about many");
	await setStatus(records[1], "rejected", "Was in Rome"); // somebody else is faster
	await dialog.getByRole("button", { name: "Decide" }).click();
	await dialog.getByText("3 decided, 1 not.").waitFor();
	await dialog.getByRole("listitem").filter({ hasText: "Student Bo" }).getByText("Not changed. Somebody else has decided this already.").waitFor();
	await dialog.getByRole("listitem").filter({ hasText: "Student Cem" }).getByText("Present").waitFor();
	await clean(page, "what came of it");
	await dialog.getByRole("button", { name: "Close" }).last().click();
	await page.getByText("Nothing waits").waitFor();
	assert.deepEqual(records.map(statusOf), ["present", "rejected", "present", "present"]);
	assert.deepEqual(records.map(changesOf), [1, 1, 1, 1]);
	assert.deepEqual(complaints, []);
	await context.close();
});

test("a lost reply and a login that ends lose nothing, and decide nothing twice", async () => {
	const { id, records } = await flagged("Proofs");
	const { page, context, complaints } = await person(browser, server, { reducedMotion: "reduce" });
	await signIn(page, prof.email, PASSWORD);
	await heading(page, "Sessions");
	await page.goto(`/app/sessions/${id}`);
	for (const name of NAMES.slice(0, 3))
		await box(page, name).check();
	await page.getByRole("button", { name: "Decide about those chosen" }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("Status").selectOption("late");
	await dialog.getByLabel("Reason").fill("Came together by bus");
	assert.equal(await dialog.getByRole("option", { name: "Rejected" }).count(), 0, "a lecturer rejects nothing");

	await page.route("**/attendance/decide", async (route) => { // the server gets it, the page never hears of it
		await route.fetch();
		await route.abort();
	});
	await dialog.getByRole("button", { name: "Decide" }).click();
	await dialog.getByText("The server cannot be reached").waitFor();
	await dialog.getByText("What you chose and wrote is kept").waitFor();
	await eventually("the server has decided", () => statusOf(records[0]) === "late");
	await page.unroute("**/attendance/decide");

	server.sql(`UPDATE sessions SET revoked_at = '2026-01-01 00:00:00.000000' WHERE user_id = '${prof.id}'`);
	await dialog.getByRole("button", { name: "Decide" }).click();
	await page.getByText("Your session has ended").waitFor();
	await signIn(page, prof.email, PASSWORD, { at: null });
	await dialog.waitFor();
	assert.equal(await dialog.getByLabel("Status").inputValue(), "late");
	assert.equal(await dialog.getByLabel("Reason").inputValue(), "Came together by bus");
	await dialog.getByRole("button", { name: "Decide" }).click();
	await dialog.getByText("3 decided, 0 not.").waitFor();
	await dialog.getByRole("button", { name: "Close" }).last().click();
	assert.deepEqual(records.map(statusOf), ["late", "late", "late", "flagged"]);
	assert.deepEqual(records.map(changesOf), [1, 1, 1, 0]);
	await page.locator(".flagged").getByText("Student Dee").waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
});

test("who waits for approval is told the time left; the page asks seldom, and not while nobody sees it", async () => {
	const { page, context } = await person(browser, server, { reducedMotion: "reduce" });
	const asked = [];
	page.on("request", (r) => r.url().includes("/approval-requests/") && asked.push(r));
	await page.clock.install();
	await page.goto("/app/signup");
	await page.getByLabel("Name", { exact: true }).fill("Patience");
	await page.getByLabel("E-mail").fill("patience@students.example.org");
	await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
	await page.getByRole("button", { name: "Create account" }).click();
	await page.locator(".waiting .ring-text").getByText(/^[23]:\d\d$/).waitFor();
	await page.getByRole("status").getByText(/Time left: [23]:[03]0/).waitFor();
	const hide = (hidden) => page.evaluate((h) => {
		Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (h ? "hidden" : "visible") });
		document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
	}, hidden);
	await hide(true);
	const before = asked.length;
	await page.clock.runFor(40_000);
	assert.equal(asked.length, before, "it asks although nobody looks");
	await Promise.all([page.waitForResponse(/approval-requests/), hide(false)]);
	for (let s = 0; s < 30; s++)
		await page.clock.runFor(1000);
	assert.ok(asked.length - before <= 8, `${asked.length - before} requests in 30 seconds`);
	await page.locator(".waiting").waitFor();
	const id = asked[0].url().split("/").at(-1);
	await server.want(200, server.post(`/api/admin/approval-requests/${id}/decide`, { decision: "approved" }, admin));
	await page.clock.runFor(12_000);
	await heading(page, "My attendance");
	await context.close();
});

test("every sentence of the checks is known to both languages", async () => {
	const files = fs.readdirSync(path.join(root, "src/attendance/layers")).filter((f) => f.endsWith(".c") && f !== "layers.c").map((f) => `src/attendance/layers/${f}`);
	const said = [...files, "src/net/face.c"].flatMap((f) => {
		const code = fs.readFileSync(path.join(root, f), "utf8").replace(/\/\*[^]*?\*\//g, "").replace(/^#.*$/gm, "");
		return [...code.matchAll(f.includes("net/") ? /"[a-z_]+", "([^"\n]+ [^"\n]+)"/g : /"([^"\n]*)"/g)].map((m) => m[1]);
	}).filter((s) => s.includes(" ") && !/^(one face|faces are not)/.test(s)); // no reason of any verdict
	assert.ok(said.length > 50, `${said.length} sentences found`);
	for (const language of ["en", "de"]) {
		const t = await words(language);
		for (const s of said)
			t(`said.${s.replace(/\d+/g, "{n}")}`);
	}
});

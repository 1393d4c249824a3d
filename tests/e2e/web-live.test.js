// What comes to a page by itself: notifications, and the screen of a hall's computer where nobody is signed in.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");

const { PASSWORD, clean, eventually, heading, person, signIn, signInAdmin, together } = require("./web-lib");

const STREAM = "**/api/notifications/stream";
let server, browser, admin;
together((s) => { ({ server, browser, admin } = s); });

// A student with a record of today; `change(status)` decides about it anew, which is told to the student.
async function recorded(name) {
	const student = await server.student(name, admin);
	const event = await server.event(admin, { title: `Seminar of ${name}` });
	const rows = `/api/admin/events/${event.id}/attendance`;
	const record = await server.want(201, server.post(rows, { user_id: student.id, status: "late", reason: "Seen at the door" }, admin));
	await server.want(200, server.post("/api/notifications/read-all", undefined, student.token));
	const change = (status) => server.want(200, server.request("PATCH", `${rows}/${record.attendance_id}`,
		{ token: admin, body: { status, reason: "Asked again" } }));
	return { student, change };
}

const badge = (page) => page.locator(".side .badge");
const toast = (page) => page.locator(".toast").getByText("Attendance changed by hand");

test("notifications come by themselves, into two tabs, without a token in an address; reading them in one clears both", async () => {
	const { student, change } = await recorded("live");
	const { page, context, complaints } = await person(browser, server, { reducedMotion: "reduce" });
	const asked = [];
	context.on("request", (r) => asked.push(r));
	await signIn(page, student.email, PASSWORD);
	await page.locator(".rows").getByText("Late").waitFor();
	const second = await context.newPage();
	await second.goto("/app/notifications");
	await heading(second, "Notifications");
	const streams = () => asked.filter((r) => r.url().endsWith("/api/notifications/stream"));
	await eventually("both tabs ask for it", () => streams().length >= 2);
	for (const r of streams())
		assert.equal((await r.response()).status(), 200);

	await change("excused");
	await toast(page).waitFor();
	await badge(page).getByText("1", { exact: true }).waitFor();
	await page.locator(".rows").getByText("Excused").waitFor();
	await second.locator(".notes .unread").getByText("Attendance changed by hand").waitFor();
	await clean(page, "with a notification");
	for (const r of streams())
		assert.match((await r.allHeaders()).authorization, /^Bearer /);
	assert.ok(!asked.some((r) => /[?&#].*(eyJ|token=)/.test(r.url())));

	await second.getByRole("button", { name: "Mark all as read" }).click();
	for (const p of [page, second])
		await badge(p).waitFor({ state: "detached" });
	assert.deepEqual(complaints, []);
	await context.close();
});

test("without the stream the app asks from time to time; a server that was away is found again, and nothing is missed", async () => {
	const { student, change } = await recorded("polls");
	const { page, context } = await person(browser, server, { reducedMotion: "reduce" });
	await page.clock.install();
	let tries = 0;
	await page.route(STREAM, (route) => {
		tries++;
		return route.abort();
	});
	const first = page.waitForResponse(/notifications\?unread/).then((r) => r.finished());
	await signIn(page, student.email, PASSWORD);
	await page.locator(".rows").getByText("Late").waitFor();
	await first;
	await change("present");
	await page.clock.fastForward("00:31"); // once: it ends what is under way, too
	await badge(page).getByText("1", { exact: true }).waitFor();
	await eventually("the stream was tried again", () => tries > 1);

	await page.unroute(STREAM);
	const [back] = await Promise.all([page.waitForRequest(STREAM), page.evaluate(() => dispatchEvent(new Event("online")))]);
	assert.equal((await back.allHeaders())["last-event-id"], undefined, "nothing was heard before");
	await eventually("the stream is open", async () => (await (await back.response())?.status()) === 200);
	await change("excused");
	await toast(page).waitFor();

	const again = page.waitForRequest(STREAM, { timeout: 60000 });
	await context.setOffline(true);
	await change("absent");
	await context.setOffline(false);
	assert.match((await (await again).allHeaders())["last-event-id"], /^[0-9a-f-]{36}$/);
	await page.locator(".rows").getByText("Absent").waitFor();
	await badge(page).getByText("3", { exact: true }).waitFor();
	await context.close();
});

// What a page keeps where others could find it; what its tab keeps for a reload.
const kept = (page) => page.evaluate(async () => JSON.stringify([{ ...localStorage }, document.cookie, location.href, history.state,
	(await indexedDB.databases()).map((d) => d.name), await caches.keys()]));
const keptByTab = (page) => page.evaluate(() => JSON.stringify({ ...sessionStorage }));

// Opens the hall's link from the desk and follows it on a computer where nobody is signed in.
async function hall(desk) {
	await desk.getByRole("button", { name: "On another computer" }).click();
	const link = await desk.getByLabel("Link").inputValue();
	assert.match(link, /^http:\/\/127\.0\.0\.1:\d+\/app\/(project|screen)\/[0-9a-f-]{36}#eyJ[\w.-]+$/);
	await clean(desk, "link for another computer");
	const screen = await person(browser, server, { reducedMotion: "reduce" });
	const asked = [];
	screen.page.on("request", (r) => asked.push(r.url()));
	await screen.page.goto(link);
	await screen.page.getByRole("img", { name: "QR code for checking in" }).waitFor();
	assert.equal(new URL(screen.page.url()).hash, "", "the token is out of the address bar");
	const token = new URL(link).hash.slice(1);
	assert.ok(!asked.some((u) => u.includes(token)), "a token in the address of a request");
	assert.ok(!(await kept(screen.page)).includes(token.split(".")[2]), "the token is kept in the browser");

	await screen.page.reload();
	await screen.page.getByRole("img", { name: "QR code for checking in" }).waitFor();
	assert.ok((await keptByTab(screen.page)).includes(token), "a reload needs the link no second time");
	const other = await screen.context.newPage();
	await other.goto(screen.page.url());
	await other.getByRole("button", { name: "Sign in" }).waitFor(); // of this tab only
	await other.close();
	assert.deepEqual(asked.filter((u) => new URL(u).pathname.startsWith("/api/")).map((u) => new URL(u).pathname.split("/").at(-1)), ["frames", "frames"]);
	return screen;
}

test("an event's screen on another computer, by a link and without signing in; ended from the desk", async () => {
	const event = await server.event(admin, { title: "Open evening", notes: "Room 1.01" });
	const student = await server.student("guest", admin);
	const { page, context } = await person(browser, server, { reducedMotion: "reduce" });
	await signInAdmin(page);
	await page.goto(`/app/events/${event.id}`);
	const screen = await hall(page);
	await heading(screen.page, "Open evening");
	await screen.page.getByText("Room 1.01").waitFor();
	await clean(screen.page, "screen without an account");
	const code = await screen.page.getByRole("img", { name: "QR code for checking in" }).getAttribute("data-text");
	await server.want(201, server.mark(new URL(code).hash.slice(1), student.token));
	await screen.page.locator(".project-count b", { hasText: /^1$/ }).waitFor();
	await page.getByRole("button", { name: "End all screens" }).click();
	await page.getByText("All screens have ended").waitFor();
	await screen.page.getByText("This link does not work any more").waitFor();
	assert.equal(await screen.page.getByRole("img").count(), 0);
	assert.equal(await keptByTab(screen.page), "{}", "a token that was withdrawn is not kept");

	await Promise.all([screen.page.waitForResponse(/\/frames$/), screen.page.goto(`/app/project/${event.id}#not-a-token`)]);
	await eventually("what was refused is not kept", async () => await keptByTab(screen.page) === "{}");
	await screen.page.getByText("This link does not work any more").waitFor();
	await screen.page.goto(`/app/project/${event.id}`);
	await screen.page.reload();
	await screen.page.getByRole("button", { name: "Sign in" }).waitFor();
	assert.deepEqual(screen.complaints, []);
	await screen.context.close();
	await context.close();
});

test("a session's screen by a link, too; it goes on when the lecturer signs out, and shows the session's end", async () => {
	const { email, token } = await server.staff("prof", "lecturer", admin);
	const session = await server.want(201, server.post("/api/v1/lecturer/sessions",
		{ title: "Topology", starts_at: new Date(Date.now() - 60000).toISOString(), duration_minutes: 60, rotate_seconds: 5 }, token));
	const { page, context } = await person(browser, server, { reducedMotion: "reduce" });
	await signIn(page, email, PASSWORD);
	await heading(page, "Sessions");
	await page.goto(`/app/sessions/${session.id}`);
	const screen = await hall(page);
	await heading(screen.page, "Topology");
	await screen.page.getByText(/ · Student prof$/).waitFor();
	const qr = screen.page.getByRole("img", { name: "QR code for checking in" });
	const first = await qr.getAttribute("data-text");
	await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
	await page.goto("/app/more");
	await page.getByRole("button", { name: "Sign out" }).click();
	await heading(page, "Sign in");
	await eventually("the next code comes", async () => (await qr.getAttribute("data-text")) !== first, 30000);
	await server.want(200, server.post(`/api/v1/lecturer/sessions/${session.id}/close`, undefined, await server.login(email, PASSWORD)));
	await screen.page.getByText("Check-in for this session is closed").waitFor();
	assert.equal(await keptByTab(screen.page), "{}", "a token is not kept beyond its session");
	assert.deepEqual(screen.complaints, []);
	await screen.context.close();
	await context.close();
});

// The app as people use it: an event from sign-up to roll, and its turns for the worse.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");

const { PASSWORD, Server, approve, eventually, heading, person, saved, signIn, signInAdmin, signUp, together } = require("./web-lib");

let server, browser;
together((s) => { ({ server, browser } = s); }, () => Server.start());

const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

// A student with an account, and an event with a code; made through the API.
async function room(name, { env } = {}) {
	const token = await server.admin();
	const student = await server.student(name, token);
	const event = await server.event(token, { title: `Lecture for ${name}` });
	return { token, student, event, code: () => server.qr(token, event.id), env };
}

const roll = async (token, event) => (await server.want(200, server.get(`/api/admin/events/${event.id}/attendance`, token))).records;

test("sign up, approve, create, project, check in by the phone's camera before signing in, and the roll shows it", async () => {
	const admin = await person(browser, server);
	const newcomer = await person(browser, server);
	const phone = await person(browser, server, PHONE);

	// Somebody signs up and waits.
	await signUp(newcomer.page, "Amara Okafor", "amara@students.example.org");
	await newcomer.page.getByText(/^2:\d\d$/).waitFor();

	// The administrator approves; the newcomer is signed in without doing anything.
	await signInAdmin(admin.page);
	await approve(admin.page, "Amara Okafor");
	await heading(newcomer.page, "My attendance");
	await newcomer.page.getByText("Hello, Amara.").waitFor();

	// An event, and its code on the projector.
	await admin.page.getByRole("link", { name: "Events" }).first().click();
	await admin.page.getByRole("button", { name: "New event" }).first().click();
	await admin.page.getByLabel("Title").fill("Graph theory");
	await admin.page.getByLabel("Room or note").fill("Room 2.14");
	await admin.page.getByRole("button", { name: "Create event" }).click();
	await admin.page.getByRole("link", { name: /Graph theory/ }).click();
	await heading(admin.page, "Graph theory");
	await admin.page.getByText("Nobody has checked in yet").waitFor();
	await admin.page.getByRole("link", { name: "Show QR code" }).click();
	const qr = admin.page.getByRole("img", { name: "QR code for checking in" });
	await qr.waitFor();
	const link = await qr.getAttribute("data-text");
	assert.match(link, new RegExp(`^${server.base}/c#[A-Za-z0-9_-]+$`));
	assert.match(await admin.page.locator("[data-code]").getAttribute("data-code"), /^[0-9A-HJKMNP-TV-Z]{6}$/);

	// The phone opens the link: the claim first, then the sign-in, then the mark.
	await phone.page.goto(link);
	await heading(phone.page, "Sign in to finish");
	await phone.page.getByText(/Your scan is safe/).waitFor();
	assert.equal(new URL(phone.page.url()).hash, "", "the code must not stay in the address");
	await signIn(phone.page, "amara@students.example.org", PASSWORD, { at: null });
	await heading(phone.page, "You are checked in");
	await phone.page.getByText("Graph theory").waitFor();

	// The projector counts, the roll shows the name, and the student's own page too.
	await admin.page.locator(".project-count b", { hasText: /^1$/ }).waitFor();
	await admin.page.getByRole("link", { name: "Close" }).click();
	await admin.page.getByRole("row", { name: /Amara Okafor.*Present.*QR code/ }).waitFor();
	assert.match(await saved(admin.page, "Export CSV"), /Amara Okafor/);
	await phone.page.getByRole("link", { name: "My attendance" }).click();
	await phone.page.getByText("1 of 1 events attended").waitFor();

	for (const p of [admin, newcomer, phone])
		assert.deepEqual(p.complaints, []);
	await Promise.all([admin, newcomer, phone].map((p) => p.context.close()));
});

test("a rejected and a forgotten request are explained", async () => {
	const token = await server.admin();
	const { page, context } = await person(browser, server);
	await signUp(page, "Tom Reject", "tom@students.example.org");
	const { requests } = await server.want(200, server.get("/api/admin/approval-requests?status=pending", token));
	await server.want(200, server.post(`/api/admin/approval-requests/${requests[0].id}/decide`, { decision: "rejected" }, token));
	await page.getByText("Your account was not approved").waitFor();
	await signIn(page, "tom@students.example.org", PASSWORD);
	await page.getByText(/Your account was not approved/).waitFor();
	await signIn(page, "tom@students.example.org", "Not-the-password-1");
	await page.getByText("E-mail or password is wrong.").waitFor();
	await context.close();
});

test("a code that expires while the student signs in still counts, by its claim", async () => {
	const short = await Server.start({ env: { QR_EXPIRY_SECONDS: "12" } });
	let again;
	try {
		const token = await short.admin();
		const student = await short.student("slow", token);
		const event = await short.event(token, { title: "Slow sign-in" });
		const { page, context } = await person(browser, short, PHONE);
		const code = await short.qr(token, event.id);
		await page.goto(`/c#${code.qr_payload}`);
		await heading(page, "Sign in to finish");
		await eventually("the code has expired", async () => {
			const other = await short.post("/api/attendance/claim", { qr_payload: code.qr_payload });
			return other.status === 400 && other.body.error === "token_expired";
		}, 30000);
		await signIn(page, student.email, PASSWORD, { at: null });
		await heading(page, "You are checked in");
		await context.close();
	} finally {
		await short.discard();
	}
});

test("a scan survives a reload before the sign-in, and no token is ever stored or put into an address", async () => {
	const { token, student, event, code } = await room("reload");
	const { page, context } = await person(browser, server, PHONE);
	await page.goto(`/c#${(await code()).qr_payload}`);
	await heading(page, "Sign in to finish");
	await page.reload();
	await page.getByText(`Lecture for reload`).waitFor();
	const addresses = [];
	page.on("request", (r) => addresses.push(r.url()));
	const [login] = await Promise.all([
		page.waitForResponse((r) => r.url().endsWith("/api/auth/login")),
		signIn(page, student.email, PASSWORD, { at: null }),
	]);
	const secret = (await login.json()).access_token;
	assert.equal((await login.json()).refresh_token, undefined, "the refresh token belongs into the cookie");
	await heading(page, "You are checked in");
	const stored = await page.evaluate(async () => {
		const open = (name) => new Promise((resolve) => {
			indexedDB.open(name).onsuccess = (e) => resolve(e.target.result);
		});
		const all = [JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage })];
		for (const { name } of await indexedDB.databases()) {
			const db = await open(name);
			for (const table of db.objectStoreNames)
				all.push(await new Promise((resolve) => {
					db.transaction(table).objectStore(table).getAll().onsuccess = (e) => resolve(JSON.stringify(e.target.result));
				}));
		}
		for (const name of await caches.keys())
			for (const rq of await (await caches.open(name)).keys())
				all.push(rq.url, await (await caches.match(rq)).text());
		return all.join("\n");
	});
	assert.ok(stored.includes("/app/"), "the shell is kept for offline use");
	assert.ok(!stored.includes(secret) && !/eyJ[\w-]+\./.test(stored), "a token was stored");
	assert.ok(!addresses.some((a) => /eyJ|token=/.test(a)), "a token was put into an address");
	assert.equal((await roll(token, event)).length, 1);
	await context.close();
});

test("without a network a claimed scan is kept, sent when the network is back, and counted once over two tabs", async () => {
	const { token, student, event, code } = await room("offline");
	const { page, context } = await person(browser, server, PHONE);
	await signIn(page, student.email, PASSWORD);
	await heading(page, "My attendance");
	await page.evaluate(() => navigator.serviceWorker.ready.then(() => null));

	// The claim goes through, the network goes before the mark.
	await context.route("**/api/attendance/mark", (route) => route.abort("internetdisconnected"));
	await page.goto(`/c#${(await code()).qr_payload}`);
	await heading(page, "No connection, nothing is lost");
	await context.setOffline(true);
	await page.reload(); // the shell comes from the service worker
	await heading(page, "No connection, nothing is lost");
	assert.equal((await roll(token, event)).length, 0);

	const second = await context.newPage();
	await second.goto("/c");
	await context.unroute("**/api/attendance/mark");
	await context.setOffline(false);
	await eventually("the mark arrives", async () => (await roll(token, event)).length === 1, 20000);
	await eventually("a tab says so", async () => {
		const texts = await Promise.all([page, second].map((p) => p.locator("h1").first().textContent()));
		return texts.some((x) => x === "You are checked in");
	});
	assert.equal((await roll(token, event)).length, 1);
	await context.close();
});

test("a scan made without any network is sent when it is back", async () => {
	const { token, student, event, code } = await room("tunnel");
	const { page, context } = await person(browser, server, PHONE);
	await signIn(page, student.email, PASSWORD);
	await heading(page, "My attendance");
	await page.evaluate(() => navigator.serviceWorker.ready.then(() => null));
	const { qr_payload: payload } = await code();
	await context.setOffline(true);
	await page.goto(`/c#${payload}`);
	await heading(page, "No connection, nothing is lost");
	await context.setOffline(false);
	await heading(page, "You are checked in");
	assert.equal((await roll(token, event)).length, 1);
	await context.close();
});

test("every refusal says what to do", async () => {
	const { token, student, event, code } = await room("refused");
	const { page, context } = await person(browser, server, PHONE);
	await signIn(page, student.email, PASSWORD);
	await heading(page, "My attendance");
	const open = async (payload) => {
		await page.goto("about:blank");
		await page.goto(`/c#${payload}`);
	};

	const revoked = await code();
	await server.want(200, server.post(`/api/admin/qr-sessions/${revoked.session_id}/revoke`, undefined, token));
	await open(revoked.qr_payload);
	await heading(page, "Not checked in");
	await page.getByText("This code was withdrawn. Scan the one that is on the screen now.").waitFor();

	const { qr_payload: good } = await code();
	const { h, ...rest } = JSON.parse(Buffer.from(good, "base64url"));
	await open(Buffer.from(JSON.stringify({ ...rest, h: `${h.startsWith("A") ? "B" : "A"}${h.slice(1)}` })).toString("base64url"));
	await page.getByText("This code is not genuine.").waitFor();

	await open(good);
	await heading(page, "You are checked in");
	await open((await code()).qr_payload);
	await heading(page, "You were checked in already");

	await open("hello");
	await heading(page, "This is not an attendance code");

	const gone = await code();
	await server.want(204, server.request("DELETE", `/api/admin/events/${event.id}`, { token }));
	await open(gone.qr_payload);
	await page.getByText(/Not checked in/).waitFor();
	await context.close();
});

test("two tabs share one session: both refresh at once and neither is signed out; signing out ends both", async () => {
	const { student } = await room("tabs");
	const { page, context } = await person(browser, server);
	await signIn(page, student.email, PASSWORD);
	await heading(page, "My attendance");
	const tabs = [page, await context.newPage(), await context.newPage()];
	let refreshes = 0;
	context.on("request", (r) => {
		refreshes += r.url().endsWith("/api/auth/refresh");
	});
	for (let round = 0; round < 3; round++) {
		await Promise.all(tabs.map((p) => p.goto("/app/attendance")));
		await Promise.all(tabs.map((p) => heading(p, "My attendance")));
	}
	// All three at once, with no tab left that has a token.
	await Promise.all(tabs.map((p) => p.goto("about:blank")));
	await Promise.all(tabs.map((p) => p.goto("/app/events")));
	await Promise.all(tabs.map((p) => heading(p, "Events")));
	assert.ok(refreshes > 0 && refreshes <= 12, `${refreshes} refreshes in four rounds of three tabs: at most one a load`);
	refreshes = 0;
	tabs.push(await context.newPage());
	await tabs[3].goto("/app/events");
	await heading(tabs[3], "Events");
	assert.equal(refreshes, 0, "a new tab gets the access token from those that have one");
	assert.deepEqual(server.sql("SELECT action FROM audit_logs WHERE action = 'refresh_reuse_detected'"), []);

	await tabs[0].getByRole("link", { name: "Account" }).click();
	await tabs[0].getByRole("button", { name: "Sign out" }).click();
	for (const p of tabs)
		await heading(p, "Sign in");
	await context.close();
});

test("a typed code checks in", async () => {
	const { token, student, event, code } = await room("typed");
	const { page, context } = await person(browser, server, PHONE);
	await signIn(page, student.email, PASSWORD);
	await page.getByRole("link", { name: "Check in" }).first().click();
	await page.getByRole("button", { name: "Type the code" }).click();
	await page.getByLabel("Event").selectOption({ value: event.id });
	const typed = (await code()).code;
	await page.getByLabel("Code", { exact: true }).fill(`${typed.slice(0, 3).toLowerCase()} ${typed.slice(3)}`);
	await page.locator("form").getByRole("button", { name: "Check in" }).click();
	await heading(page, "You are checked in");
	assert.equal((await roll(token, event))[0].method, "code");
	await context.close();
});

test("the projector renews its code before it ends, and covers a dead one when the server is lost", async () => {
	const short = await Server.start({ env: { QR_EXPIRY_SECONDS: "12" } });
	let again;
	try {
		const token = await short.admin();
		const event = await short.event(token, { title: "Rotation" });
		const { page, context } = await person(browser, short);
		await signInAdmin(page);
		await page.goto(`/app/project/${event.id}`);
		const qr = page.getByRole("img", { name: "QR code for checking in" });
		const first = await qr.getAttribute("data-text");
		await eventually("another code", async () => (await qr.getAttribute("data-text")) !== first, 20000);
		const env = { QR_EXPIRY_SECONDS: "12", PORT: String(short.port) };
		await short.stop("SIGKILL");
		await page.getByText("This code is still valid.").waitFor();
		await page.getByRole("alert").getByText("The server cannot be reached").waitFor();
		assert.equal(await qr.count(), 0, "a dead code must not stay on the screen");
		again = await Server.start({ dir: short.dir, env });
		await qr.waitFor();
		await context.close();
	} finally {
		await again?.stop("SIGKILL");
		await short.discard();
	}
});

// Scans that meet something else: a newer scan, a session that cannot be renewed, another node, a dead database, another account.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");

const { PASSWORD, eventually, heading, person, signIn, together } = require("./web-lib");

let server, browser, admin;
together((s) => { ({ server, browser, admin } = s); });

const PHONE = { viewport: { width: 390, height: 844 }, reducedMotion: "reduce", serviceWorkers: "block" };
const CLAIM = "**/api/attendance/claim", MARK = "**/api/attendance/mark";

// Somebody's phone; signed in, if they have an account.
async function phone(student) {
	const one = await person(browser, server, PHONE);
	if (student) {
		await signIn(one.page, student.email, PASSWORD);
		await heading(one.page, "My attendance");
	}
	return one;
}

const lecture = (title) => server.event(admin, { title });
const payload = async (event) => (await server.qr(admin, event.id)).qr_payload;
const roll = async (event) => (await server.want(200, server.get(`/api/admin/events/${event.id}/attendance`, admin))).records;
const scan = (page, code) => page.evaluate((hash) => {
	location.hash = hash;
}, code);
const refusal = (status, error) => ({ status, contentType: "application/json", body: JSON.stringify({ error, message: error }) });

// A request that waits: `met` when the browser sent it, and goes on as `release` says.
async function hold(context, pattern) {
	let met, release;
	const held = { met: new Promise((r) => { met = r; }), released: new Promise((r) => { release = r; }) };
	await context.route(pattern, async (route) => {
		met();
		await (await held.released)(route);
	}, { times: 1 });
	return { met: held.met, release };
}

for (const [what, answer] of [["is refused", (route) => route.fulfill(refusal(400, "token_expired"))], ["succeeds", (route) => route.continue()]])
	test(`a newer scan is neither lost nor replaced when the claim of the one before ${what}`, async () => {
		const student = await server.student(`newer-${what.split(" ").at(-1)}`, admin);
		const first = await lecture("The first code"), second = await lecture("The second code");
		const { page, context, complaints } = await phone(student);
		const claim = await hold(context, CLAIM);
		await page.goto(`/c#${await payload(first)}`);
		await claim.met;
		await scan(page, await payload(second));
		await eventually("the second is kept", async () => new URL(page.url()).hash === "");
		await Promise.all([page.waitForResponse(CLAIM), claim.release(answer)]);
		await heading(page, "You are checked in");
		await page.getByText("The second code").waitFor();
		assert.deepEqual([(await roll(first)).length, (await roll(second)).length], [0, 1]);
		assert.deepEqual(complaints, []);
		await context.close();
	});

test("a session's check-in outlasts a server that cannot renew the login for a while", async () => {
	const lecturer = await server.staff("prof", "lecturer", admin);
	const session = await server.want(201, server.post("/api/v1/lecturer/sessions", { title: "Algebra", duration_minutes: 60 }, lecturer.token));
	const code = (await server.want(200, server.get(`/api/v1/lecturer/sessions/${session.id}/qr`, lecturer.token))).qr_payload;
	const { page, context, complaints } = await phone(await server.student("renewed", admin));
	await context.route("**/api/auth/refresh", (route) => route.fulfill(refusal(503, "unavailable")));
	await page.goto("about:blank");
	await page.goto(`/c#${code}`);
	await heading(page, "No connection, nothing is lost");
	await page.getByText("Algebra").waitFor();
	await context.unroute("**/api/auth/refresh");
	await heading(page, "You are checked in");
	assert.deepEqual(complaints, []);
	await context.close();
});

test("a mark that another node still works on is asked for again, under its key", async () => {
	const event = await lecture("Two nodes");
	const { page, context } = await phone(await server.student("nodes", admin));
	const keys = [];
	page.on("request", (r) => r.url().endsWith("/api/attendance/mark") && keys.push(r.headers()["idempotency-key"]));
	await context.route(MARK, (route) => route.fulfill({ ...refusal(409, "idempotency_in_progress"), headers: { "retry-after": "1" } }), { times: 1 });
	await page.goto(`/c#${await payload(event)}`);
	await heading(page, "You are checked in");
	assert.equal((await roll(event)).length, 1);
	assert.equal(keys.length, 2);
	assert.equal(keys[0], keys[1]);
	await context.close();
});

// The page's connections to its database die when the test says so; `all`: new ones, too.
const mortal = (page) => page.addInitScript(() => {
	const open = new Set(), dead = new Set();
	const { transaction } = IDBDatabase.prototype;
	IDBDatabase.prototype.transaction = function (...what) {
		open.add(this);
		if (dead.has(this) || globalThis.databaseGone)
			throw new DOMException("the connection is closing", "InvalidStateError");
		return transaction.apply(this, what);
	};
	globalThis.databaseDies = ({ all }) => {
		globalThis.databaseGone = all;
		open.forEach((db) => dead.add(db));
		return open.size;
	};
});

for (const all of [false, true])
	test(`a database connection that dies while the page sleeps stops no check-in${all ? ", even if there is no other" : ""}`, async () => {
		const student = await server.student(`sleeper-${all}`, admin);
		const event = await lecture("After a nap");
		const { page, context, complaints } = await phone();
		await mortal(page);
		await page.goto("/c");
		await heading(page, "Scan the code on the screen");
		assert.ok(await page.evaluate((o) => globalThis.databaseDies(o), { all }), "the page opened its database");
		const code = await payload(event);
		await scan(page, code);
		await heading(page, "Sign in to finish");
		assert.equal(new URL(page.url()).hash, all ? `#${code}` : "", "the code leaves the address when a reload does not need it");
		if (!all) {
			await page.reload();
			await heading(page, "Sign in to finish");
		}
		await signIn(page, student.email, PASSWORD, { at: null });
		await heading(page, "You are checked in");
		assert.equal((await roll(event)).length, 1);
		assert.deepEqual(complaints, []);
		await context.close();
	});

test("what one account gave to a check-in is not sent for the next that signs in", async () => {
	const owner = await server.student("owner", admin), next = await server.student("next", admin);
	const event = await lecture("One phone");
	const { page, context, complaints } = await phone(owner);
	await context.route(MARK, (route) => route.abort("internetdisconnected"));
	await page.goto(`/c#${await payload(event)}`);
	await heading(page, "No connection, nothing is lost");
	await page.goto("/app/more");
	await page.getByRole("button", { name: "Sign out" }).click();
	await heading(page, "Sign in");
	await context.unroute(MARK);
	await signIn(page, next.email, PASSWORD, { at: null });
	await eventually("the scan is gone", () => page.evaluate(() => new Promise((resolve) => {
		indexedDB.open("muster").onsuccess = ({ target: { result: db } }) => {
			db.transaction("checkin").objectStore("checkin").count("scan").onsuccess = (e) => resolve(!e.target.result);
		};
	})));
	assert.deepEqual(await roll(event), []);
	assert.deepEqual(complaints, []);
	await context.close();
});

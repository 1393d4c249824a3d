// The database goes away and comes back, or only the answer to a COMMIT gets lost.  What was answered 201 is there once; what was
// not done was answered 503, and can be asked again.  MUSTER_OUTAGE_MS sets how long it stays away at least.
"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { Server, eventually } = require("./lib.js");
const { Postgres, Wire } = require("./outage.js");

const OUTAGE_MS = Number(process.env.MUSTER_OUTAGE_MS || 0);
const LONG = 120000;

let postgres, wire;
before(async () => {
	postgres = await Postgres.start();
	wire = await Wire.start(postgres);
});
after(async () => {
	await wire?.discard();
	await postgres?.discard();
});

function start(extra) {
	return Server.startOne({ sockets: 256, env: { DATABASE_URL: postgres.url(wire.dir), ...extra } });
}

let made = 0;
const students = (server, admin, n) => server.students(admin, n, `o${++made}-`); // one database for all tests

function marks(event) {
	return postgres.rows(`SELECT id, user_id FROM attendance_records WHERE event_id = '${event.id}'`);
}

function pause(ms) {
	return new Promise((resolve) => setTimeout(resolve, ms));
}

// Every mark is in the table once, as it was acknowledged, with its audit row.
function compare(event, acknowledged) {
	const rows = marks(event);
	assert.equal(new Set(rows.map((r) => r.user_id)).size, rows.length, "nobody is marked twice");
	const byId = new Map(rows.map((r) => [r.id, r.user_id]));
	for (const [id, user] of acknowledged)
		assert.equal(byId.get(id), user, "an acknowledged mark is missing");
	assert.equal(rows.length, acknowledged.size, "what was not acknowledged is not there");
	const audited = postgres.rows("SELECT entity_id AS id FROM audit_logs WHERE action = 'attendance_marked' AND result = 'success'");
	const times = audited.filter((a) => byId.has(a.id));
	assert.equal(times.length, rows.length, "each mark has one audit row");
	assert.equal(new Set(times.map((a) => a.id)).size, rows.length);
}

for (const [how, signal] of [["is stopped", "SIGINT"], ["crashes", "SIGQUIT"]]) {
	test(`PostgreSQL ${how} under load and starts again: 503 meanwhile, nothing lost, nothing doubled`, { timeout: 300000 }, async () => {
		const server = await start();
		try {
			const admin = await server.admin();
			const everybody = await students(server, admin, 48);
			const event = await server.event(admin);
			const qr = await server.qr(admin, event.id);
			const acknowledged = new Map(); // attendance id → student
			let refused = 0, back = false, stop = false;

			// Each student asks again until it is done, under the same key; some begin before, some while it is away.
			const one = async (student, i) => {
				await eventually("this student's turn", () => stop || acknowledged.size >= i / 2 || refused >= i, LONG);
				for (let done = false; !done && !stop;) {
					const reply = await server.mark(qr.qr_payload, student.token, { headers: { "idempotency-key": `mark-${signal}-${i}` } });
					if (reply.status === 201) {
						acknowledged.set(reply.body.attendance_id, student.id);
						done = true;
					} else {
						assert.equal(reply.status, 503, reply.text);
						assert.ok(Number(reply.headers["retry-after"]) >= 1, "503 says when to try again");
						refused++;
						await pause(back ? 5 : 25);
					}
				}
			};
			const all = everybody.map(one);
			all.forEach((p) => p.catch(() => { stop = true; }));
			await eventually("some marks are in", () => stop || acknowledged.size >= 8, LONG);
			await postgres.end(signal);
			const since = performance.now();
			const before = refused;
			const ready = await eventually("ready says so", async () => {
				const reply = await server.get("/v1/ready");
				return reply.status === 503 ? reply : null;
			}, LONG);
			assert.equal(ready.body.status, "down");
			assert.equal(ready.body.checks.database.status, "failed");
			assert.ok(Number(ready.headers["retry-after"]) >= 1);
			await eventually("marks are refused", () => stop || refused >= before + 40, LONG);
			await server.want(200, server.get("/v1/health"));
			await pause(Math.max(0, OUTAGE_MS - (performance.now() - since)));
			await postgres.begin();
			back = true;
			await Promise.all(all);
			assert.equal(acknowledged.size, everybody.length);
			await eventually("ready again", async () => (await server.get("/v1/ready")).body.status === "ok", LONG);
			compare(event, acknowledged);
			assert.ok(!server.exit, "it is the same process");
			assert.deepEqual(await server.stop(), { code: 0, signal: null });
		} finally {
			await server.discard();
		}
	});
}

test("the answer to a COMMIT gets lost: 503, and the same key gives the first record", { timeout: 120000 }, async () => {
	const server = await start();
	try {
		const admin = await server.admin();
		const [ada, grace] = await students(server, admin, 2);
		const event = await server.event(admin);
		const qr = await server.qr(admin, event.id);
		const key = { headers: { "idempotency-key": "scan-1" } };
		const cuts = wire.cuts;

		wire.cutAfter([ada.id]);
		const lost = await server.mark(qr.qr_payload, ada.token, key);
		assert.equal(wire.cuts, cuts + 1, "the wire was cut");
		assert.equal(lost.status, 503, lost.text);
		assert.ok(Number(lost.headers["retry-after"]) >= 1);
		assert.equal(marks(event).length, 1, "it was committed all the same");
		const again = await server.mark(qr.qr_payload, ada.token, key);
		assert.equal(again.status, 201, again.text);
		assert.equal(again.body.attendance_id, marks(event)[0].id);
		assert.deepEqual((await server.mark(qr.qr_payload, ada.token, key)).body, again.body);
		compare(event, new Map([[again.body.attendance_id, ada.id]]));

		// Without a key, the second attempt is told the first record.
		wire.cutAfter([grace.id]);
		assert.equal((await server.mark(qr.qr_payload, grace.token)).status, 503);
		assert.equal(wire.cuts, cuts + 2, "the wire was cut");
		const second = await server.mark(qr.qr_payload, grace.token);
		assert.equal(second.status, 409, second.text);
		assert.equal(second.body.attendance_id, marks(event).find((r) => r.user_id === grace.id).id);
		compare(event, new Map([[again.body.attendance_id, ada.id], [second.body.attendance_id, grace.id]]));
	} finally {
		await server.discard();
	}
});

test("the same for a batch of many marks", { timeout: 120000 }, async () => {
	const server = await start();
	const waiting = async () => Number(/^muster_write_queue_length (\d+)/m.exec((await server.get("/metrics")).text)[1]);
	try {
		const admin = await server.admin();
		const everybody = await students(server, admin, 64);
		const event = await server.event(admin);
		const qr = await server.qr(admin, event.id);
		const mark = (s) => server.mark(qr.qr_payload, s.token, { headers: { "idempotency-key": `batch-${s.id}` } });
		const cuts = wire.cuts;

		// While the answers to the writers are kept, the marks gather; the first batch of many is the one whose end gets lost.
		wire.hold();
		const all = everybody.map(mark);
		await eventually("marks gather", async () => (await waiting()) >= 32, LONG);
		wire.cutAfter(everybody.map((s) => s.id), 8);
		wire.release();
		const replies = await Promise.all(all);
		assert.equal(wire.cuts, cuts + 1, "the wire was cut");
		const lost = everybody.filter((_, i) => replies[i].status === 503);
		assert.ok(lost.length >= 8, `${lost.length} in the lost batch`);
		assert.ok(replies.every((r) => r.status === 201 || r.status === 503), JSON.stringify(replies.map((r) => r.status)));
		const there = new Map(marks(event).map((r) => [r.user_id, r.id]));
		assert.equal(there.size, everybody.length, "all of them were committed");
		const acknowledged = new Map(replies.flatMap((r, i) => r.status === 201 ? [[r.body.attendance_id, everybody[i].id]] : []));
		for (const student of lost) {
			const reply = await server.want(201, mark(student));
			assert.equal(reply.attendance_id, there.get(student.id), "the first record");
			acknowledged.set(reply.attendance_id, student.id);
		}
		compare(event, acknowledged);
	} finally {
		await server.discard();
	}
});

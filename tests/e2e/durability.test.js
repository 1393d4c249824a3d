// What was answered 201 is there, whatever happens to the process or the disk.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const { test } = require("node:test");
const { Server, eventually, newDirectory } = require("./lib.js");

test("kill -9 under load, 20 times: every acknowledged mark is there, none twice", async () => {
	const dir = newDirectory();
	const acknowledged = new Map(); // attendance id → "event student"
	let server = await Server.start({ dir });
	try {
		const everybody = await server.students(await server.admin(), 32);
		for (let round = 0; round < 20; round++) {
			const admin = await server.admin(), patient = server.patient();
			const events = await Promise.all([0, 1, 2, 3, 4, 5].map(() => server.event(admin)));
			const codes = await Promise.all(events.map((e) => server.qr(admin, e.id)));
			const killAfter = 5 + round * 6; // of 192; at most 64 are under way, so others are not even asked
			let seen = 0, unanswered = 0;
			const marks = codes.flatMap((code, k) => everybody.map(async (student) => {
				try {
					const reply = await patient.mark(code.qr_payload, student.token);
					assert.equal(reply.status, 201, reply.text);
					acknowledged.set(reply.body.attendance_id, `${events[k].id} ${student.id}`);
					if (++seen === killAfter)
						server.child.kill("SIGKILL");
				} catch (error) {
					if (error instanceof assert.AssertionError)
						throw error;
					unanswered++; // the connection broke: nobody was promised anything
				}
			}));
			await Promise.all(marks);
			assert.ok(unanswered > 0, `round ${round}: the server was killed under load`);
			await server.stop("SIGKILL");
			server = await Server.start({ dir });
			const rows = server.sql("SELECT id, event_id || ' ' || user_id AS mark FROM attendance_records");
			const byId = new Map(rows.map((r) => [r.id, r.mark]));
			for (const [id, mark] of acknowledged)
				assert.equal(byId.get(id), mark, `round ${round}: an acknowledged mark is missing`);
			assert.equal(new Set(rows.map((r) => r.mark)).size, rows.length, "nobody is marked twice");
		}
		const audited = server.sql("SELECT COUNT(*) AS n FROM audit_logs WHERE action = 'attendance_marked'")[0].n;
		const marked = server.sql("SELECT COUNT(*) AS n FROM attendance_records")[0].n;
		assert.equal(audited, marked, "each mark has its audit row and no other");
		assert.deepEqual(server.sql("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
	} finally {
		await server.discard();
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

// The size that a file may have is the disk here: it can be filled and freed under a running server, by any user.
function fileSizeLimit(server, bytes) {
	execFileSync("prlimit", [`--pid=${server.child.pid}`, `--fsize=${bytes}:unlimited`]);
}

const FULL = 96 * 1024;

test("a full disk: 503 for exactly what was not done; it goes on when there is space", async () => {
	const server = await Server.start();
	try {
		const admin = await server.admin();
		const everybody = await server.students(admin, 48);
		const event = await server.event(admin);
		const qr = await server.qr(admin, event.id);
		const rows = () => server.sql("SELECT user_id FROM attendance_records").map((r) => r.user_id).sort();
		await eventually("the log is empty", () => {
			server.sql("PRAGMA wal_checkpoint(TRUNCATE)");
			return fs.statSync(`${server.db}-wal`).size === 0;
		});
		// Room for some marks, but not for all of them; and as the database is larger than that, no checkpoint makes more.
		assert.ok(fs.statSync(server.db).size > FULL);
		fileSizeLimit(server, FULL);
		const done = [], refused = [];
		for (let i = 0; i < everybody.length; i += 12) {
			const batch = everybody.slice(i, i + 12);
			const replies = await Promise.all(batch.map((s) => server.mark(qr.qr_payload, s.token)));
			replies.forEach((reply, k) => {
				assert.ok(reply.status === 201 || reply.status === 503, reply.text);
				if (reply.status === 503)
					assert.ok(reply.headers["retry-after"], "503 says when to try again");
				(reply.status === 201 ? done : refused).push(batch[k]);
			});
		}
		assert.ok(done.length > 0 && refused.length > 0, `${done.length} done, ${refused.length} refused`);
		assert.deepEqual(rows(), done.map((s) => s.id).sort());
		assert.equal((await server.get("/api/auth/me", done[0].token)).status, 200, "reading goes on");
		fileSizeLimit(server, "unlimited");
		await eventually("there is space again", async () => {
			const reply = await server.mark(qr.qr_payload, refused[0].token);
			assert.ok([201, 409, 503].includes(reply.status), reply.text);
			return reply.status !== 503;
		});
		for (const student of refused.slice(1))
			await server.want(201, server.mark(qr.qr_payload, student.token));
		assert.deepEqual(rows(), everybody.map((s) => s.id).sort());
		assert.equal((await server.stop()).code, 0);
	} finally {
		await server.discard();
	}
});

test("64 marks at once by one student give one row; 300 students with one code give 300", async () => {
	const server = await Server.start({ sockets: 300 });
	try {
		const admin = await server.admin();
		const everybody = await server.students(admin, 300);
		const event = await server.event(admin);
		const qr = await server.qr(admin, event.id);
		const same = await Promise.all(Array.from({ length: 64 }, () => server.mark(qr.qr_payload, everybody[0].token)));
		const statuses = same.map((r) => r.status).sort();
		assert.deepEqual(statuses, [201, ...Array(63).fill(409)]);
		const first = same.find((r) => r.status === 201).body.attendance_id;
		assert.ok(same.every((r) => r.body.attendance_id === first), "each refusal tells the first record");
		const rest = await Promise.all(everybody.slice(1).map((s) => server.mark(qr.qr_payload, s.token)));
		assert.ok(rest.every((r) => r.status === 201));
		assert.equal(server.sql("SELECT COUNT(*) AS n FROM attendance_records")[0].n, 300);
		assert.equal(server.sql("SELECT COUNT(*) AS n FROM used_nonces")[0].n, 300);
	} finally {
		await server.discard();
	}
});

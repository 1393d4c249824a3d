// One of two nodes is killed under load behind nginx: clients that repeat with the same key all succeed, nothing that was answered is
// lost, and nothing is there twice.  MUSTER_TRANSCRIPT=FILE keeps what happened (`make two-nodes`).
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const { setTimeout: pause } = require("node:timers/promises");
const { test } = require("node:test");
const { Cluster, Postgres } = require("./cluster.js");

const STUDENTS = 48, EVENTS = 10, IN_FLIGHT = 32, RETRY_MS = 100, DEADLINE_MS = 120000;
const AGAIN = new Set([502, 503, 504]);

const lines = [];
let begun;
function say(text) {
	const ms = begun === undefined ? 0 : Math.round(performance.now() - begun);
	lines.push(`${String(ms).padStart(6)} ms  ${text}`);
}

// As a phone does: the same key until there is an answer.
async function markUntilDone(cluster, tally, work) {
	const options = { headers: { "idempotency-key": work.key } };
	const end = performance.now() + DEADLINE_MS;
	for (;;) {
		let why;
		try {
			const reply = await cluster.mark(work.code.qr_payload, work.student.token, options);
			if (reply.status === 201)
				return reply.body.attendance_id;
			why = `${reply.status}${reply.body ? ` ${reply.body.error}` : " of nginx"}`;
			assert.ok(AGAIN.has(reply.status) || reply.body?.error === "idempotency_in_progress", `${why}: ${reply.text}`);
		} catch (error) {
			if (error instanceof assert.AssertionError)
				throw error;
			why = error.code || error.message;
		}
		tally.set(why, (tally.get(why) || 0) + 1);
		assert.ok(performance.now() < end, `no answer within ${DEADLINE_MS} ms, last ${why}`);
		await pause(RETRY_MS);
	}
}

// All marks of one round; onDone is called after each answer with how many there are.
async function round(cluster, work, acknowledged, onDone) {
	const tally = new Map();
	const queue = [...work];
	let done = 0;
	await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
		for (let w; (w = queue.pop());) {
			acknowledged.set(await markUntilDone(cluster, tally, w), `${w.event.id} ${w.student.id}`);
			await onDone(++done);
		}
	}));
	return tally;
}

async function makeWork(cluster, admin, students, name) {
	const events = await Promise.all(Array.from({ length: EVENTS }, () => cluster.event(admin)));
	const codes = await Promise.all(events.map((e) => cluster.qr(admin, e.id)));
	return events.flatMap((event, i) => students.map((student) => ({ event, student, code: codes[i], key: `${name}-${event.id}-${student.id}` })));
}

function check(cluster, acknowledged) {
	const rows = cluster.sql("SELECT id, event_id || ' ' || user_id AS mark FROM attendance_records");
	const byId = new Map(rows.map((r) => [r.id, r.mark]));
	let lost = 0;
	for (const [id, mark] of acknowledged)
		lost += byId.get(id) !== mark;
	assert.equal(lost, 0, "an acknowledged mark is missing");
	assert.equal(new Set(rows.map((r) => r.mark)).size, rows.length, "somebody is marked twice");
	assert.equal(rows.length, acknowledged.size, "every mark there is was answered for");
	const audited = cluster.sql("SELECT count(*) AS n FROM audit_logs WHERE action = 'attendance_marked'")[0].n;
	assert.equal(audited, rows.length, "each mark has its audit row and no other");
	say(`in the database: ${rows.length} marks, ${audited} audit rows; answered: ${acknowledged.size}; lost: ${lost}; doubled: 0`);
}

test("a node killed under load: retries succeed, no acknowledged mark is lost, none is doubled", async () => {
	const postgres = await Postgres.start();
	let cluster;
	try {
		cluster = await Cluster.start({ postgres, sockets: IN_FLIGHT, env: { QR_EXPIRY_SECONDS: "3600" } });
		const admin = await cluster.admin();
		const students = [];
		for (let i = 0; i < STUDENTS; i++)
			students.push(await cluster.student(`k${i}`, admin));
		const acknowledged = new Map();
		begun = performance.now();
		say(`two nodes on one PostgreSQL behind nginx; ${STUDENTS} students, ${EVENTS} events a round, ${IN_FLIGHT} requests in flight`);
		for (const victim of [0, 1]) {
			const work = await makeWork(cluster, admin, students, `round${victim}`);
			const killAt = Math.floor(work.length / 3), node = cluster.nodes[victim];
			say(`round ${victim + 1}: ${work.length} marks begin`);
			const tally = await round(cluster, work, acknowledged, (done) => {
				if (done !== killAt)
					return;
				node.child.kill("SIGKILL");
				say(`kill -9 of node ${victim + 1} after ${done} answers`);
			});
			assert.deepEqual(await node.exited, { code: null, signal: "SIGKILL" });
			say(`round ${victim + 1}: all ${work.length} marks answered 201; repeated meanwhile: ` +
				`${[...tally].map(([why, n]) => `${n} × ${why}`).join(", ") || "none"}`);
			check(cluster, acknowledged);
			cluster.nodes[victim] = await cluster.startNode({ PORT: String(node.port) });
			say(`node ${victim + 1} is back`);
		}
		if (process.env.MUSTER_TRANSCRIPT)
			fs.writeFileSync(process.env.MUSTER_TRANSCRIPT, `${lines.join("\n")}\n`);
	} finally {
		await cluster?.discard();
		await postgres.stop();
	}
});

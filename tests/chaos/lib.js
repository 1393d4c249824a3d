// What the scenarios share: students who mark without end, each asking again under the same key until there is an answer, and the
// comparison of what was acknowledged with what is in the table.
"use strict";

const assert = require("node:assert/strict");
const path = require("node:path");
const { setTimeout: pause } = require("node:timers/promises");
const e2e = require("../e2e/lib.js");

const libraries = process.env.CHAOS_LIBS || path.join(e2e.root, "build", "chaos");
const RETRY_MS = 25;

class Load {
	// server: a function that gives the server to ask, for it may be another one soon
	constructor(server, everybody) {
		this.server = server;
		this.everybody = everybody;
		this.acknowledged = new Map(); // attendance id → "event student"
		this.statuses = new Map();     // what else was answered, and how often
		this.slowest = 0;
		this.work = [];
	}

	async events(admin, n) {
		for (let i = 0; i < n; i++) {
			const event = await this.server().event(admin);
			const code = await this.server().qr(admin, event.id);
			for (const student of this.everybody)
				this.work.push({ event, student, code, key: `${event.id}-${student.id}` });
		}
	}

	count(what) {
		return this.statuses.get(what) || 0;
	}

	get done() {
		return this.acknowledged.size;
	}

	note(what) {
		this.statuses.set(what, this.count(what) + 1);
	}

	async one(item) {
		while (!this.stopped) {
			const began = performance.now();
			try {
				const reply = await this.server().mark(item.code.qr_payload, item.student.token, { headers: { "idempotency-key": item.key } });
				if (reply.status === 201) {
					this.acknowledged.set(reply.body.attendance_id, `${item.event.id} ${item.student.id}`);
					this.slowest = Math.max(this.slowest, performance.now() - began);
					return;
				}
				if (reply.status === 503)
					assert.ok(Number(reply.headers["retry-after"]) >= 1, "503 says when to try again");
				else
					assert.equal(reply.body?.error, "idempotency_in_progress", reply.text);
				this.note(reply.status);
			} catch (error) {
				if (error instanceof assert.AssertionError)
					throw error;
				this.note("broken"); // the connection: nobody was promised anything
			}
			await pause(RETRY_MS);
		}
	}

	// Begins; ends when all work is done or stop() was called.
	run(inFlight = 16) {
		this.stopped = false;
		this.running = Promise.all(Array.from({ length: inFlight }, async () => {
			for (let item; !this.stopped && (item = this.work.shift());)
				await this.one(item);
		}));
		this.running.catch((error) => { this.failed = error; this.stopped = true; });
		return this.running;
	}

	// Asks until `condition` holds; fails at once when the load did.
	async until(what, condition, ms = 120000) {
		const end = performance.now() + ms;
		await e2e.eventually(what, () => {
			if (this.failed)
				throw this.failed;
			assert.ok(performance.now() < end, `not within ${ms} ms: ${what}; so far ${this.done} marks, refused: ${this.refused}`);
			return condition();
		}, 2 * ms);
	}

	async finish(ms = 120000) {
		await this.until("all marks are answered", () => this.work.length === 0 || this.stopped, ms);
		await this.running;
	}

	async stop() {
		this.stopped = true;
		await this.running;
	}

	// sql(text) gives rows.  complete: what was not acknowledged is not there.
	compare(sql, complete) {
		const rows = sql("SELECT id, event_id || ' ' || user_id AS mark FROM attendance_records");
		const byId = new Map(rows.map((r) => [r.id, r.mark]));
		let lost = 0;
		for (const [id, mark] of this.acknowledged)
			lost += byId.get(id) !== mark;
		const doubled = rows.length - new Set(rows.map((r) => r.mark)).size;
		const audited = sql("SELECT count(*) AS n FROM audit_logs WHERE action = 'attendance_marked' AND result = 'success'")[0].n;
		assert.equal(lost, 0, "an acknowledged mark is missing");
		assert.equal(doubled, 0, "somebody is marked twice");
		assert.equal(audited, rows.length, "each mark has one audit row");
		if (complete)
			assert.equal(rows.length, this.acknowledged.size, "what was not acknowledged is not there");
		return `${this.done} acknowledged, ${rows.length} in the table, ${lost} lost, ${doubled} doubled`;
	}

	get refused() {
		return [...this.statuses].map(([what, n]) => `${n} × ${what}`).join(", ") || "none";
	}
}

module.exports = { ...e2e, Load, libraries, pause };

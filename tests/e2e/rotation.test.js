// All four secrets changed while two nodes work behind nginx: a new value listed last, then first, then alone, node after node, as
// docs/operations.md says.  Nobody is refused because of it, what the old values made works as long as they are listed, and no longer.
"use strict";

const assert = require("node:assert/strict");
const { createHmac } = require("node:crypto");
const { setTimeout: pause } = require("node:timers/promises");
const { test } = require("node:test");
const { Cluster, Postgres, SECRETS } = require("./cluster.js");
const { STUDENT_PASSWORD, command, eventually } = require("./lib.js");

const STUDENTS = 12, RETRY_MS = 50, DEADLINE_MS = 60000;
const NEW = Object.fromEntries(Object.entries(SECRETS).map(([name, value]) => [name, `new-${value}`]));
const listed = (...sets) => Object.fromEntries(Object.keys(SECRETS).map((name) => [name, sets.map((s) => s[name]).join(",")]));

// An answer of the program, whatever node is just restarting: what nginx says by itself is asked again, as clients do.
async function answered(ask) {
	const end = performance.now() + DEADLINE_MS;
	for (;;) {
		let why;
		try {
			const reply = await ask();
			if (![502, 503, 504].includes(reply.status) && reply.body?.error !== "idempotency_in_progress")
				return reply;
			why = reply.status;
		} catch (error) {
			why = error.code || error.message;
		}
		assert.ok(performance.now() < end, `no answer within ${DEADLINE_MS} ms, last ${why}`);
		await pause(RETRY_MS);
	}
}

function base32(text) {
	let bits = "";
	for (const c of text)
		bits += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0");
	return Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
}

function totp(secret, step) {
	const counter = Buffer.alloc(8);
	counter.writeBigUInt64BE(BigInt(step));
	const mac = createHmac("sha1", base32(secret)).update(counter).digest();
	return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, "0");
}

// Signs in with both factors, with a step that was not used yet; who waits for the next one asks the clock until it is there.
async function loginWithFactor(cluster, who) {
	const pending = await answered(() => cluster.post("/v1/auth/login", { email: who.email, password: STUDENT_PASSWORD }));
	assert.equal(pending.body.mfa_required, true, pending.text);
	const step = await eventually("the next TOTP step", () => {
		const now = Math.floor(Date.now() / 30000);
		return now + 1 > who.step && Math.max(now, who.step + 1);
	}, 70000);
	who.step = step;
	const done = await cluster.post("/v1/auth/mfa/complete", { mfa_token: pending.body.mfa_token, code: totp(who.secret, step) });
	assert.equal(done.status, 200, done.text);
	return done.body;
}

// Work that goes on until it is told to stop: refreshes, reads and marks.  Any refusal ends it.
class Load {
	constructor(cluster, admin, students) {
		Object.assign(this, { cluster, admin, students, stopped: false, answers: 0 });
		this.done = Promise.all(students.map((s) => this.work(s)));
		this.done.catch(() => {}); // who stops it hears of it
	}

	async good(status, ask) {
		const reply = await answered(ask);
		assert.equal(reply.status, status, `refused: ${reply.text}`);
		this.answers++;
		return reply.body;
	}

	async work(student) {
		for (let n = 0; !this.stopped; n++) {
			await this.good(200, () => this.cluster.get("/api/auth/me", student.token));
			const pair = await this.good(200, () => this.cluster.post("/api/auth/refresh", { refresh_token: student.refresh }));
			student.token = pair.access_token;
			student.refresh = pair.refresh_token;
			const event = await this.good(201, () => this.cluster.post("/api/admin/events",
				{ title: "Load", scheduled_at: new Date().toISOString() }, this.admin.token));
			const code = await this.good(201, () => this.cluster.post("/api/admin/qr-sessions", { event_id: event.id }, this.admin.token));
			const key = `${student.id}-${n}`;
			await this.good(201, () => this.cluster.mark(code.qr_payload, student.token, { headers: { "idempotency-key": key } }));
		}
	}

	async more(n) {
		const from = this.answers;
		await Promise.race([this.done, eventually(`${n} answers`, () => this.answers >= from + n, DEADLINE_MS)]);
	}

	async stop() {
		this.stopped = true;
		await this.done;
	}
}

async function restart(cluster, secrets, load) {
	Object.assign(cluster.env, secrets);
	for (const [i, node] of cluster.nodes.entries()) {
		await node.stop();
		cluster.nodes[i] = await cluster.startNode({ PORT: String(node.port) });
		await load.more(20);
	}
}

async function rotationFindings(cluster) {
	const report = JSON.parse((await command(["doctor", "--json"], { dir: cluster.dir, env: cluster.env })).stdout);
	return report.checks.filter((c) => c.check === "rotation").map((c) => `${c.status} ${c.message}`);
}

// A student with tokens that nothing in the load uses, a second factor, and a code on the wall.
async function makeOld(cluster, admin) {
	const who = await cluster.student("keeper", admin.token);
	const login = await cluster.want(200, cluster.post("/api/auth/login", { username: who.email, password: STUDENT_PASSWORD }));
	const setup = await cluster.want(200, cluster.post("/v1/auth/mfa/totp/setup", undefined, login.access_token));
	who.secret = setup.secret;
	who.step = Math.floor(Date.now() / 30000) - 1;
	const codes = await cluster.want(200, cluster.post("/v1/auth/mfa/totp/verify", { code: totp(who.secret, who.step) }, login.access_token));
	const other = await cluster.student("waiter", admin.token);
	const idle = await cluster.want(200, cluster.post("/api/auth/login", { username: other.email, password: STUDENT_PASSWORD }));
	await cluster.want(200, cluster.post("/v1/auth/mfa/totp/setup", undefined, idle.access_token)); // begun, and never finished
	const event = await cluster.event(admin.token);
	return { who, access: login.access_token, refresh: idle.refresh_token, codes: codes.backup_codes,
		code: await cluster.qr(admin.token, event.id) };
}

test("each secret rotates under load: nobody is refused, old tokens and codes live in the overlap and no longer", async () => {
	const postgres = await Postgres.start();
	let cluster, load;
	try {
		cluster = await Cluster.start({ postgres, sockets: STUDENTS * 2,
			env: { ...SECRETS, QR_EXPIRY_SECONDS: "3600", ACCESS_TOKEN_EXPIRE_MINUTES: "60", SINGLE_DEVICE: "false",
				RL_REFRESH_USER_LIMIT: "100000" } });
		const admin = { token: await cluster.admin() };
		const students = [];
		for (let i = 0; i < STUDENTS; i++) {
			const s = await cluster.student(`r${i}`, admin.token);
			const login = await cluster.want(200, cluster.post("/api/auth/login", { username: s.email, password: STUDENT_PASSWORD }));
			students.push({ ...s, token: login.access_token, refresh: login.refresh_token });
		}
		const old = await makeOld(cluster, admin);
		load = new Load(cluster, admin, students);
		await load.more(50);

		await restart(cluster, listed(SECRETS, NEW), load);
		await restart(cluster, listed(NEW, SECRETS), load);

		// The overlap: what the old values made is good, and doctor tells what depends on them.
		assert.equal((await answered(() => cluster.get("/api/auth/me", old.access))).status, 200, "an old access token");
		const fresh = await cluster.student("late", admin.token);
		assert.equal((await answered(() => cluster.mark(old.code.qr_payload, fresh.token))).status, 201, "an old code");
		const before = (await rotationFindings(cluster)).join("\n");
		assert.match(before, /warning QR_SIGNING_SECRET: of an older value: \d+ QR codes/);
		assert.match(before, /warning TOKEN_PEPPER: of an older value: .*\d+ refresh tokens.*10 backup codes/);
		await loginWithFactor(cluster, old.who);
		await eventually("second factors are sealed with the new key", async () =>
			/MFA_ENCRYPTION_KEY: an older value is listed, and nothing stored depends on it/.test((await rotationFindings(cluster)).join("\n")),
		60000);
		admin.token = await cluster.admin();

		// Without the old values.  Sessions of the load have moved on by then, each by its own refresh.
		const moved = load.answers;
		await eventually("everybody at work has refreshed", () => load.answers > moved + 10 * STUDENTS, DEADLINE_MS);
		await restart(cluster, { ...NEW, SECRET_KEY_RETIRED: SECRETS.SECRET_KEY }, load);
		assert.equal((await answered(() => cluster.get("/api/auth/me", old.access))).status, 401, "an old access token, retired");
		assert.equal((await answered(() => cluster.post("/api/auth/refresh", { refresh_token: old.refresh }))).status, 401, "an old refresh token");
		const refused = await answered(() => cluster.mark(old.code.qr_payload, students[0].token));
		assert.deepEqual([refused.status, refused.body.error], [400, "invalid_signature"]);
		const pending = await answered(() => cluster.post("/v1/auth/login", { email: old.who.email, password: STUDENT_PASSWORD }));
		const backup = await answered(() => cluster.post("/v1/auth/mfa/complete", { mfa_token: pending.body.mfa_token, backup_code: old.codes[0] }));
		assert.equal(backup.status, 401, "an old backup code");
		await loginWithFactor(cluster, old.who);
		await load.stop();
		const after = (await rotationFindings(cluster)).join("\n");
		assert.match(after, /ok MFA_ENCRYPTION_KEY: one value/);
		assert.match(after, /warning TOKEN_PEPPER: of no listed value: .*10 backup codes/);
	} finally {
		if (load)
			load.stopped = true;
		await cluster?.discard();
		await postgres.stop();
	}
});

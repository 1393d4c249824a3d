// Half a day within minutes: the server's clocks run SPEED times as fast (clock.c), so its jobs, lives, limits and deadlines do too.
// Meanwhile people sign in and out, refresh, mark with codes that end, guess passwords from ever new addresses, and listen to streams.  At
// rest, before and after each third, it is looked at: memory, descriptors, threads and the write-ahead log must have come to a stop.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { ADMIN, STUDENT_PASSWORD, Server, eventually, libraries, listenTo, newDirectory, pause, students } = require("./lib.js");

const SPEED = 180, STREAMS = 8, GROWTH_MIB = 4, PATIENCE_MS = 60000;
// How often, in seconds of its clock: nothing here is timed by the machine but how many times it was done.
const LECTURE_S = 300, CODE_S = 240, LOGIN_S = 60, STREAM_S = 60;

exports.title = "half a day";

const counts = new Map();
const note = (what) => counts.set(what, (counts.get(what) || 0) + 1);
const count = (what) => counts.get(what) || 0;

class Person {
	constructor(server, email, password, address) {
		Object.assign(this, { server, email, password, address });
	}

	// An answer; what was cut off, put off or limited is asked again, and who was signed in too long signs in again.
	async ask(method, target, body, headers) {
		for (const end = performance.now() + PATIENCE_MS; ; await pause(25)) {
			assert.ok(performance.now() < end, `no answer within ${PATIENCE_MS} ms: ${method} ${target}; ${exports.told()}`);
			const reply = await this.server.request(method, target,
				{ body, token: this.token, headers: { "x-forwarded-for": this.address, ...headers } }).catch(() => ({ status: "broken" }));
			if (reply.status === 401 && this.token)
				await this.renew();
			else if (![429, 503, "broken"].includes(reply.status) && reply.body?.error !== "idempotency_in_progress")
				return reply;
			note(reply.status);
		}
	}

	// As nobody: what else this one asks meanwhile goes on under the old token, and comes here too.
	asNobody(target, body) {
		return new Person(this.server, null, null, this.address).ask("POST", target, body);
	}

	async signIn() {
		const reply = await this.asNobody("/api/auth/login", { username: this.email, password: this.password });
		assert.equal(reply.status, 200, reply.text);
		this.take(reply.body, "logins");
	}

	renew() {
		return this.renewing ??= this.refreshOrSignIn().finally(() => { this.renewing = null; });
	}

	// A refresh whose answer was lost is no use a second time.
	async refreshOrSignIn() {
		const reply = await this.asNobody("/api/auth/refresh", { refresh_token: this.refresh });
		if (reply.status === 200)
			this.take(reply.body, "refreshes");
		else
			await this.signIn();
	}

	take(body, what) {
		this.token = body.access_token;
		this.refresh = body.refresh_token;
		note(what);
	}
}

const lecture = (server, admin, everybody, acknowledged) => {
	let old = null;
	return async () => {
		const now = (await admin.ask("GET", "/v1/health")).headers.date;
		const event = (await admin.ask("POST", "/api/admin/events", { title: "Lecture", scheduled_at: new Date(now).toISOString() })).body;
		const code = (await admin.ask("POST", "/api/admin/qr-sessions", { event_id: event.id })).body;
		await Promise.all(everybody.map(async (student, i) => {
			const late = i === 0 && old, key = `${event.id}-${i}`;
			const reply = await student.ask("POST", "/api/attendance/mark", { qr_payload: (late || code).qr_payload }, { "idempotency-key": key });
			if (reply.status === 201)
				acknowledged.add(reply.body.attendance_id);
			note(reply.status === 201 ? "marks" : `marks refused (${reply.status})`);
		}));
		await admin.ask("GET", "/api/admin/events");
		old = code;
	};
};

const comings = (server, everybody) => {
	let n = 0;
	return async () => {
		const { email, password } = everybody[n++ % everybody.length], address = `10.${n >> 16 & 255}.${n >> 8 & 255}.${n & 255}`;
		const person = new Person(server, email, password, address);
		await person.signIn();
		await person.ask("GET", "/api/auth/me");
		await person.renew();
		await person.ask("POST", "/api/auth/logout", {});
		const guess = await new Person(server, "", "", address).ask("POST", "/api/auth/login", { username: `nobody${n}@example.org`, password });
		note(`guesses (${guess.status})`);
	};
};

const listening = (server, everybody, streams) => {
	let n = 0;
	return async () => {
		const student = everybody[n++ % everybody.length];
		await student.ask("GET", "/api/auth/me"); // so that its token is of use
		const stream = await listenTo(server.port, "/api/notifications/stream", student.token, { "x-forwarded-for": student.address }).catch(() => null);
		note(stream?.status === 200 ? "streams" : "streams refused");
		if (stream)
			streams.push(stream);
		while (streams.length > STREAMS)
			streams.shift().close();
	};
};

// Does each of `works` again and again for so many seconds of the server's clock, then waits until all are at rest.
async function work(works, seconds) {
	const end = performance.now() + seconds * 1000 / SPEED;
	await Promise.all(works.map(async ([every_s, step]) => {
		while (performance.now() < end) {
			const next = performance.now() + every_s * 1000 / SPEED;
			await step();
			await pause(Math.max(0, Math.min(next, end) - performance.now()));
		}
	}));
}

async function look(server, streams) {
	while (streams.length)
		streams.pop().close();
	server.agent.destroy();
	const proc = `/proc/${server.child.pid}`;
	const gauge = (name) => server.gauge(name).catch(() => NaN);
	await eventually("it is at rest", async () => await gauge("muster_http_connections") <= 2 && await gauge("muster_sse_clients") === 0 &&
		await gauge("muster_write_queue_length") === 0 && await gauge("muster_http_body_bytes") === 0, PATIENCE_MS);
	const status = fs.readFileSync(`${proc}/status`, "utf8"), number = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)[1]);
	return { rss: number("VmRSS") / 1024, threads: number("Threads"), fds: fs.readdirSync(`${proc}/fd`).length,
		wal: fs.statSync(`${server.db}-wal`).size / 1048576 };
}

// Ten seconds of its clock pass within a twentieth of ours: on a busy machine a turn may wait longer for the writer, and comes again.  No
// job fails for another reason.
function checkFailures(server, line) {
	const failed = server.logs().filter((l) => l.event_type === "job.failed" && l.error); // without: that it could not be noted either
	const others = failed.filter((l) => l.error !== "OVERLOADED");
	assert.equal(others.length, 0, `jobs failed: ${others.slice(0, 5).map((l) => JSON.stringify(l)).join("\n")}\n${line}`);
	return `${line}; ${failed.length} turns of jobs put off`;
}

// How many turns there were; the hourly jobs came round.
async function checkJobs(server, hours) {
	const text = (await server.get("/metrics")).text;
	const runs = Object.fromEntries([...text.matchAll(/^muster_job_runs_total\{job="(\w+)"\} (\d+)/mg)].map((m) => [m[1], Number(m[2])]));
	assert.ok(runs.session_expire >= Math.floor(hours / 2), `session_expire ran ${runs.session_expire} times in ${hours} hours`);
	return Object.values(runs).reduce((a, b) => a + b, 0);
}

exports.told = () => [...counts].map(([what, n]) => `${n} ${what}`).join(", ");

async function soak(server, people, hours) {
	const admin = new Person(server, ADMIN.email, ADMIN.password, "10.255.0.1"), streams = [], acknowledged = new Set();
	const everybody = people.map(({ email }, i) => new Person(server, email, STUDENT_PASSWORD, `10.254.0.${i + 1}`));
	await Promise.all([admin, ...everybody].map((person) => person.signIn()));
	const works = [[LECTURE_S, lecture(server, admin, everybody, acknowledged)], [LOGIN_S, comings(server, everybody)],
		[STREAM_S, listening(server, everybody, streams)]];
	const began = Date.parse((await server.get("/v1/health")).headers.date), looks = [await look(server, streams)];
	for (let third = 0; third < 3; third++) {
		const marks = count("marks");
		await work(works, hours * 1200);
		looks.push(await look(server, streams));
		assert.ok(count("marks") > marks, `nobody was marked; ${exports.told()}`);
	}
	const passed = (Date.parse((await server.get("/v1/health")).headers.date) - began) / 3600000;
	assert.ok(passed >= hours, `its clock went on by ${passed} hours`);
	const turns = await checkJobs(server, hours);
	assert.ok(!server.exit, "it is the same process");
	const rows = new Set(server.sql("SELECT id FROM attendance_records").map((r) => r.id));
	assert.equal([...acknowledged].filter((id) => !rows.has(id)).length, 0, "an acknowledged mark is missing");
	for (const what of ["logins", "refreshes", "streams"])
		assert.ok(count(what) > 0, `no ${what}`);
	return { looks, passed, turns };
}

function judge({ looks, passed, turns }) {
	const told = (name, digits = 0) => looks.map((l) => l[name].toFixed(digits)).join(", ");
	const line = `${passed.toFixed(1)} hours, ${turns} runs of jobs, ${exports.told()}; before and after each third: memory ${told("rss", 1)} MiB, ` +
		`descriptors ${told("fds")}, threads ${told("threads")}, log ${told("wal", 1)} MiB`;
	const [, , second, last] = looks;
	assert.ok(last.rss - second.rss <= GROWTH_MIB, `memory grows: ${line}`);
	assert.ok(last.fds <= second.fds + 2, `descriptors leak: ${line}`);
	assert.ok(last.threads <= second.threads, `threads leak: ${line}`);
	assert.ok(last.wal <= 65, `the log grows: ${line}`);
	return line;
}

exports.run = async (long) => {
	// The page cache is kept small, or it would grow with the tables and hide what else does.
	const dir = newDirectory(), env = { SQLITE_CACHE_MB: "1", QR_EXPIRY_SECONDS: String(CODE_S), RATE_LIMIT_ENABLED: "true", TRUSTED_PROXIES: "127.0.0.1" };
	let server = await Server.startOne({ dir });
	try {
		const people = await students(server, await server.admin(), 24);
		await server.stop();
		server = await Server.startOne({ dir, env: { ...env, LD_PRELOAD: path.join(libraries, "clock.so"), CLOCK_SPEED: String(SPEED) } });
		const seen = await soak(server, people, long ? 12 : 0.5);
		assert.deepEqual(await server.stop(), { code: 0, signal: null });
		return checkFailures(server, judge(seen));
	} finally {
		await server.discard();
		fs.rmSync(dir, { recursive: true, force: true });
	}
};

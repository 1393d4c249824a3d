// Start, stop, and what a second start makes of it.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { SECRETS } = require("./cluster.js");
const { ADMIN, Server, command, eventually, newDirectory } = require("./lib.js");

// Cost 13 makes a login take half a second and more: long enough to be caught under way.
const SLOW_LOGINS = { env: { BCRYPT_ROUNDS: "13" } };

async function loginUnderWay(server) {
	server.sql("DELETE FROM login_failures");
	const reply = server.post("/api/auth/login", { username: ADMIN.email, password: ADMIN.password });
	await eventually("the login is being checked", () => server.sql("SELECT 1 FROM login_failures").length > 0);
	return { reply };
}

test("SIGTERM finishes what is in flight, then exits 0", async () => {
	const server = await Server.start(SLOW_LOGINS);
	try {
		const login = await loginUnderWay(server);
		server.child.kill("SIGTERM");
		const reply = await login.reply;
		assert.equal(reply.status, 200, reply.text);
		assert.deepEqual(await server.exited, { code: 0, signal: null });
		assert.ok(server.logs().some((l) => l.event_type === "server.stopped"));
		await assert.rejects(server.get("/v1/health"), "nobody listens any more");
	} finally {
		await server.discard();
	}
});

test("what the sandbox refuses while the server stops is no reason to die", async () => {
	const server = await Server.start(SLOW_LOGINS);
	try {
		const login = await loginUnderWay(server);
		server.child.kill("SIGTERM");
		await eventually("it stops", () => server.logs().some((l) => l.event_type === "server.stopping"));
		server.child.kill("SIGUSR1");
		assert.equal((await login.reply).status, 200);
		assert.deepEqual(await server.exited, { code: 0, signal: null });
	} finally {
		await server.discard();
	}
});

test("an idle server with open connections stops within a second, also by SIGINT", async () => {
	for (const signal of ["SIGTERM", "SIGINT"]) {
		const server = await Server.start();
		try {
			await server.want(200, server.get("/v1/health")); // the connection stays open
			const begun = performance.now();
			assert.deepEqual(await server.stop(signal), { code: 0, signal: null });
			assert.ok(performance.now() - begun < 1000, `${signal}: ${performance.now() - begun} ms`);
		} finally {
			await server.discard();
		}
	}
});

test("the folders are made before anything needs them, also where nothing is kept in them yet and no sandbox asks", async () => {
	const dir = newDirectory();
	const server = await Server.start({ dir, env: { ...SECRETS, DATA_DIR: "./a/b", BACKUP_DIR: "./c/d", SANDBOX: "off" } });
	try {
		assert.deepEqual(["a/b", "c/d"].map((name) => fs.statSync(path.join(dir, name)).mode & 0o777), [0o700, 0o700]);
	} finally {
		await server.stop("SIGKILL");
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("SIGHUP is no reason to stop", async () => {
	const server = await Server.start();
	try {
		server.child.kill("SIGHUP");
		await server.want(200, server.get("/v1/health"));
		await server.want(200, server.get("/v1/ready"));
		assert.equal(server.exit, undefined);
	} finally {
		await server.discard();
	}
});

// A hash of cost 14 takes a thousand times as long as one of cost 4.  The processor's time tells of that whatever else the machine does.
test("timing a hash does not delay the first answer: a start costs as much with dear hashes as with cheap ones", async () => {
	const dir = newDirectory(), best = { 4: Infinity, 14: Infinity };
	try {
		await (await Server.start({ dir })).discard();
		for (let i = 0; i < 5; i++)
			for (const cost of Object.keys(best)) {
				const server = await Server.start({ dir, env: { BCRYPT_ROUNDS: cost } });
				await server.want(200, server.get("/v1/health"));
				const fields = fs.readFileSync(`/proc/${server.child.pid}/stat`, "utf8").split(") ")[1].split(" ");
				best[cost] = Math.min(best[cost], 10 * (Number(fields[11]) + Number(fields[12]))); // ticks of 10 ms, user and system
				await server.discard();
			}
		assert.ok(best[14] <= 3 * Math.max(best[4], 20), `${best[14]} ms of the processor at best beside ${best[4]}`);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("a second server on the same port fails with one clear line", async () => {
	const server = await Server.start();
	try {
		const dir = newDirectory();
		const second = await command(["serve"], { dir, env: { PORT: String(server.port) } });
		const plain = second.stderr.split("\n").filter((l) => l && !l.startsWith("{"));
		assert.equal(second.code, 1);
		assert.equal(plain.length, 1, second.stderr);
		assert.match(plain[0], new RegExp(`^muster: .*${server.port}.*in use`));
		fs.rmSync(dir, { recursive: true, force: true });
	} finally {
		await server.discard();
	}
});

test("the first admin's generated password is shown once, works, and is in no log", async () => {
	const dir = newDirectory();
	const env = { ADMIN_EMAIL: undefined, ADMIN_PASSWORD: undefined };
	try {
		const first = await Server.start({ dir, env });
		await eventually("the password is shown", () => /password +\S+/.test(first.stdout));
		const password = /password +(\S+)/.exec(first.stdout)[1];
		await first.login("admin@dsclub.com", password);
		assert.equal((await first.stop()).code, 0);
		assert.ok(!first.stderr.includes(password));
		const second = await Server.start({ dir, env });
		await second.login("admin@dsclub.com", password);
		assert.equal((await second.stop()).code, 0);
		assert.ok(!second.stdout.includes(password) && !second.stderr.includes(password));
		assert.equal(fs.statSync(path.join(dir, "var", "secrets.env")).mode & 0o777, 0o600);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("logs are JSON lines with the request's id and template, and never a secret", async () => {
	const server = await Server.start();
	try {
		const admin = await server.admin();
		const id = "trace-1234";
		await server.want(404, server.get("/api/auth/approval-requests/018f0000-0000-7000-8000-000000000000?token=Hush-Hush-77",
			admin, { headers: { "x-request-id": id } }));
		assert.equal((await server.stop()).code, 0);
		const lines = server.stderr.split("\n").slice(0, -1);
		const request = lines.map((l) => JSON.parse(l)).find((l) => l.request_id === id && l.event_type === "request");
		assert.equal(request.path, "/api/auth/approval-requests/{id}");
		assert.equal(request.status_code, 404);
		assert.equal(request.method, "GET");
		assert.ok(request.latency_ms >= 0);
		for (const secret of [ADMIN.password, admin, "Hush-Hush-77"])
			assert.ok(!server.stderr.includes(secret));
	} finally {
		await server.discard();
	}
});

test("staging refuses to start without its secrets, and names the variable", async () => {
	const dir = newDirectory();
	const result = await command(["serve"], { dir, env: { ENV: "staging", BCRYPT_ROUNDS: undefined } });
	assert.equal(result.code, 1);
	assert.match(result.stderr, /^muster: .*SECRET_KEY/);
	assert.equal(result.stderr.trim().split("\n").length, 1);
	fs.rmSync(dir, { recursive: true, force: true });
});

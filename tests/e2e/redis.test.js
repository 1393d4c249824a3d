// Two servers and one Redis: what they count together, and what becomes of requests when Redis goes away under load.
"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { ADMIN, Server, command, eventually } = require("./lib.js");
const { Redis } = require("./outage.js");

const LONG = 120000;
const SECRETS = { // nodes share them: so they name the same counters
	SECRET_KEY: "0123456789abcdef0123456789abcdef-access",
	QR_SIGNING_SECRET: "0123456789abcdef0123456789abcdef-codes",
	TOKEN_PEPPER: "0123456789abcdef0123456789abcdef-pepper",
	MFA_ENCRYPTION_KEY: "0123456789abcdef0123456789abcdef-mfa",
};

let redis;
before(async () => { redis = await Redis.start("--requirepass", "Hush-Hush"); });
after(() => redis?.discard());

function start(extra) {
	return Server.startOne({ env: { ...SECRETS, RATE_LIMIT_ENABLED: "true", REDIS_URL: redis.url.replace("unix://", "unix://:Hush-Hush@"),
		REDIS_TIMEOUT_MS: "5000", RATE_LIMIT_PER_MINUTE: "100000", RL_HALL_IP_LIMIT: "1000000", DATA_DIR: ".", ...extra } });
}

function guess(server, name = "nobody") {
	return server.post("/api/auth/login", { username: `${name}@example.org`, password: "Wrong-Horse-7" });
}

async function ready(server) {
	const reply = await server.get("/v1/ready");
	return { code: reply.status, status: reply.body.status, redis: reply.body.checks.redis.status };
}

function readyAs(server, what) {
	return eventually(`ready: ${JSON.stringify(what)}`, async () => {
		const now = await ready(server);
		return Object.entries(what).every(([name, value]) => now[name] === value);
	}, LONG);
}

test("guesses at two servers fill one bucket", async () => {
	const servers = await Promise.all([start({ RL_PORTAL_LOGIN_IP_LIMIT: "6" }), start({ RL_PORTAL_LOGIN_IP_LIMIT: "6" })]);
	try {
		const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => guess(servers[i % 2], `n${i}`)));
		assert.equal(replies.filter((r) => r.status === 401).length, 6);
		const refused = replies.filter((r) => r.status === 429);
		assert.equal(refused.length, 14);
		for (const reply of refused) {
			const wait = Number(reply.headers["retry-after"]);
			assert.ok(wait >= 1 && wait <= 300, `Retry-After: ${wait}`);
		}
		for (const server of servers)
			assert.deepEqual(await ready(server), { code: 200, status: "ok", redis: "ok" });
		assert.match((await servers[0].get("/metrics")).text, /^muster_redis_up 1$/m);
	} finally {
		await Promise.all(servers.map((s) => s.discard()));
		await redis.end();
		await redis.begin();
	}
});

test("Redis is killed under load and comes back: nobody is refused for it, and ready tells", { timeout: 300000 }, async () => {
	const server = await start({ RL_PORTAL_LOGIN_IP_LIMIT: "1000", RL_MARK_ACCOUNT_LIMIT: "100000", RL_SIGNUP_IP_LIMIT: "1000",
		RL_PORTAL_SIGNUP_IP_LIMIT: "1000", RL_QR_ADMIN_LIMIT: "100000", RL_ACCOUNT_LIMIT: "1000000", SINGLE_DEVICE: "false" });
	let stop = false, logins = 0, marks = 0;
	const load = [];
	try {
		const admin = await server.admin();
		const student = await server.student("r1", admin);
		const events = async () => {
			while (!stop) {
				const event = await server.event(admin);
				const qr = await server.qr(admin, event.id);
				await server.want(201, server.mark(qr.qr_payload, student.token));
				marks++;
			}
		};
		const people = async () => {
			while (!stop) {
				await server.login(ADMIN.email, ADMIN.password);
				logins++;
			}
		};
		load.push(events(), people(), people());
		load.forEach((p) => p.catch(() => { stop = true; }));
		const more = async (what, n = 10) => {
			const from = [logins, marks];
			await eventually(what, () => stop || (logins >= from[0] + n && marks >= from[1] + 1), LONG);
		};
		await more("work with Redis");
		await redis.end();
		await readyAs(server, { code: 200, status: "degraded", redis: "failed" });
		await more("work without Redis");
		assert.match((await server.get("/metrics")).text, /^muster_redis_up 0$/m);
		await redis.begin();
		await readyAs(server, { code: 200, status: "ok", redis: "ok" });
		await more("work with Redis again");
		stop = true;
		await Promise.all(load);
		assert.equal((await server.stop()).code, 0);
		const told = server.logs().map((l) => l.event_type).filter((e) => /^redis\./.test(e));
		assert.deepEqual(told, ["redis.back", "redis.away", "redis.back"]);
		assert.ok(!server.stderr.includes("Hush-Hush"));
	} finally {
		stop = true;
		await Promise.allSettled(load);
		await server.discard();
	}
});

test("a required Redis: without it the server is down, logins are 503, and what needs no counter goes on", async () => {
	await redis.end();
	const server = await start({ REDIS_REQUIRED: "true" });
	try {
		assert.deepEqual(await ready(server), { code: 503, status: "down", redis: "failed" });
		const refused = await guess(server);
		assert.equal(refused.status, 503, refused.text);
		assert.equal(refused.body.error, "unavailable");
		assert.ok(Number(refused.headers["retry-after"]) >= 1);
		await server.want(200, server.get("/v1/health"));
		await redis.begin();
		await readyAs(server, { code: 200, status: "ok" });
		const admin = await server.admin();
		await redis.end();
		await readyAs(server, { code: 503, status: "down" });
		assert.equal((await guess(server)).status, 503);
		await server.want(200, server.get("/api/auth/me", admin));
	} finally {
		await redis.begin();
		await server.discard();
	}
});

test("doctor asks Redis; a wrong password is said, and never shown", async () => {
	const good = await command(["doctor", "--json"], { dir: redis.dir, env: { REDIS_URL: `unix://:Hush-Hush@${redis.path}` } });
	const check = (result) => JSON.parse(result.stdout).checks.find((c) => c.check === "redis");
	assert.equal(check(good).status, "ok");
	const bad = await command(["doctor", "--json"], { dir: redis.dir, env: { REDIS_URL: `unix://:Loud-Loud@${redis.path}` } });
	assert.equal(check(bad).status, "warning");
	assert.match(check(bad).message, /WRONGPASS|invalid password/i);
	assert.ok(!bad.stdout.includes("Loud-Loud"));
});

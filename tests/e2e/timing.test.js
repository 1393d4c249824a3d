// What a stranger can learn from a failed login: nothing from its bytes, which is asserted; and from its time what is printed here,
// which is never asserted: medians, and the Mann–Whitney U test of each kind against an unknown address.  Logins of all kinds are
// interleaved in a drawn order, so that whatever else the machine does falls on all alike.  TIMING_N logins of each kind, bcrypt of
// cost TIMING_ROUNDS.
"use strict";

const { test } = require("node:test");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { ADMIN, Server, command, newDirectory } = require("./lib");

const N = Number(process.env.TIMING_N || 60);
const ROUNDS = String(process.env.TIMING_ROUNDS || 4);
const WARM_UP = 5;
const PASSWORD = "Lighthouse-Keeper-9";
const WRONG = "Wrong-Lighthouse-9";
const ENV = { BCRYPT_ROUNDS: ROUNDS, SIGNUP_POLICY: "approval", LOGIN_FAIL_EMAIL_THRESHOLD: "1000", LOGIN_FAIL_IP_THRESHOLD: "100000",
	EMAIL_LOCK_TTL: "86400" };

// --- statistics ----

const median = (values) => {
	const v = [...values].sort((a, b) => a - b);
	return v.length % 2 ? v[(v.length - 1) / 2] : (v[v.length / 2 - 1] + v[v.length / 2]) / 2;
};

// Abramowitz and Stegun 7.1.26: good to 1.5e-7, for x >= 0.
function erfc(x) {
	const t = 1 / (1 + 0.3275911 * x);
	return t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-x * x);
}

// Two-sided, by the normal approximation with corrections for ties and continuity.
function mannWhitney(a, b) {
	const all = [...a.map((v) => [v, 0]), ...b.map((v) => [v, 1])].sort((x, y) => x[0] - y[0]);
	let rankSum = 0, ties = 0;
	for (let i = 0, j; i < all.length; i = j) {
		for (j = i; j < all.length && all[j][0] === all[i][0];)
			j++;
		const rank = (i + 1 + j) / 2, t = j - i;
		ties += t * t * t - t;
		rankSum += rank * all.slice(i, j).filter((x) => x[1] === 0).length;
	}
	const m = a.length, n = b.length, u = rankSum - m * (m + 1) / 2;
	const deviation = Math.sqrt(m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1))));
	const z = deviation > 0 ? Math.max(0, Math.abs(u - m * n / 2) - 0.5) / deviation : 0;
	return { u, p: erfc(z / Math.SQRT2) };
}

test("the statistic is the one it is called by", () => {
	const near = (value, want) => assert.ok(Math.abs(value - want) < 5e-4, `${value} instead of ${want}`);
	const same = mannWhitney([1, 2, 3, 4], [1, 2, 3, 4]);
	assert.equal(same.u, 8);
	near(same.p, 1);
	// By hand: ranks 1 to 5 and 6 to 10, mean 12.5, deviation sqrt(25 * 11 / 12).
	const apart = mannWhitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]);
	assert.equal(apart.u, 0);
	near(apart.p, 0.0122);
	assert.equal(mannWhitney([1, 1], [1, 1]).p > 0.999, true);
	assert.equal(median([3, 1, 2]), 2);
	assert.equal(median([4, 1, 2, 3]), 2.5);
});

// --- one login ----

// All of the answer but what differs between any two: date, request id, and the seconds that a lock still lasts.
function login(server, email, password) {
	const data = JSON.stringify({ email, password });
	return new Promise((resolve, reject) => {
		const begun = process.hrtime.bigint();
		const req = http.request({ host: "127.0.0.1", port: server.port, method: "POST", path: "/v1/auth/login", agent: server.agent,
			headers: { "content-type": "application/json", "content-length": Buffer.byteLength(data) } });
		req.on("error", reject);
		req.on("response", (res) => {
			let text = "";
			res.setEncoding("latin1");
			res.on("data", (d) => { text += d; });
			res.on("error", reject);
			res.on("end", () => {
				const us = Number(process.hrtime.bigint() - begun) / 1000;
				const id = res.headers["x-request-id"], wait = res.headers["retry-after"];
				assert.ok(id);
				let all = `${res.statusCode} ${res.statusMessage}\n${res.rawHeaders.join("\n")}\n\n${text}`.replaceAll(id, "ID")
					.replace(res.headers.date, "DATE");
				if (wait)
					all = all.replaceAll(wait, "WAIT");
				resolve({ status: res.statusCode, all, us });
			});
		});
		req.end(data);
	});
}

// kinds: {name: (i) => [email, password]}; returns {name: {us, all}}, after comparing every answer with the first of its kind.
async function measure(server, kinds) {
	const names = Object.keys(kinds), found = Object.fromEntries(names.map((name) => [name, { us: [] }]));
	for (let i = 0; i < N + WARM_UP; i++) {
		const order = names.map((name) => [Math.random(), name]).sort((x, y) => x[0] - y[0]).map((x) => x[1]);
		for (const name of order) {
			const reply = await login(server, ...kinds[name](i)), kind = found[name];
			kind.all ??= reply.all;
			assert.equal(reply.all, kind.all, name);
			if (i >= WARM_UP)
				kind.us.push(reply.us);
		}
	}
	return found;
}

const locksOf = (found) => Object.fromEntries(Object.entries(found).filter(([name]) => name.startsWith("locked")));

// Locks every address that has failed so far.
function lockAll(server) {
	const until = new Date(Date.now() + 86400000).toISOString().replace("T", " ").replace("Z", "000");
	server.sql(`UPDATE login_failures SET locked_until = '${until}', locked_at = last_at, level = 1 WHERE subject LIKE 'email:%'`);
}

function report(t, title, found, reference) {
	t.diagnostic(`${title}: ${N} logins each, bcrypt cost ${ROUNDS}; p against ${reference}`);
	for (const [name, { us }] of Object.entries(found)) {
		const p = name === reference ? "" : `   p = ${mannWhitney(us, found[reference].us).p.toFixed(4)}`;
		t.diagnostic(`${name.padEnd(26)} median ${(median(us) / 1000).toFixed(3).padStart(8)} ms${p}`);
	}
}

// --- the suites ----

test("one scheme: failed logins of every kind", async (t) => {
	const server = await Server.start({ env: ENV });
	try {
		const names = ["pending", "disabled", "oauth-only", "locked"];
		for (const name of names) {
			const reply = await server.post("/v1/auth/signup", { name: "Somebody", email: `${name}@example.org`, password: PASSWORD });
			assert.equal(Math.floor(reply.status / 100), 2, reply.text);
		}
		const opened = "(SELECT id FROM users WHERE email IN ('disabled@example.org', 'oauth-only@example.org', 'locked@example.org'))";
		server.sql(`UPDATE approval_requests SET status = 'approved', approved_role = 'student', decided_at = requested_at WHERE user_id IN ${opened};
			UPDATE users SET is_active = 1 WHERE id IN ${opened};
			UPDATE users SET is_active = 0, disabled_at = created_at WHERE email = 'disabled@example.org';
			UPDATE users SET password_hash = NULL WHERE email = 'oauth-only@example.org'`);
		await login(server, "locked@example.org", WRONG);
		await login(server, "locked-unknown@example.org", WRONG);
		lockAll(server);
		const found = await measure(server, {
			"unknown": () => ["nobody@example.org", WRONG],
			"wrong password": () => [ADMIN.email, WRONG],
			"pending": () => ["pending@example.org", WRONG],
			"disabled": () => ["disabled@example.org", WRONG],
			"disabled, right password": () => ["disabled@example.org", PASSWORD],
			"OAuth only": () => ["oauth-only@example.org", WRONG],
			"locked": () => ["locked@example.org", WRONG],
			"locked, right password": () => ["locked@example.org", PASSWORD],
			"locked, unknown": () => ["locked-unknown@example.org", WRONG],
		});
		assert.match(found.unknown.all, /^401 /);
		assert.match(found["locked, unknown"].all, /^429 /);
		for (const [name, { all }] of Object.entries(found))
			assert.equal(all, found[name.startsWith("locked") ? "locked, unknown" : "unknown"].all, name);
		report(t, "one scheme", found, "unknown");
		report(t, "locked addresses", locksOf(found), "locked, unknown");
		// That the kinds were what they are called: a state shows to who has the password.
		assert.match((await login(server, "pending@example.org", PASSWORD)).all, /^403 /);
		assert.deepEqual(server.sql("SELECT count(*) AS n FROM users WHERE password_hash IS NULL"), [{ n: 1 }]);
	} finally {
		await server.discard();
	}
});

test("imported hashes of three schemes in the table", async (t) => {
	const dir = newDirectory();
	let server;
	try {
		// Only wrong passwords are tried, so any digest of the right form does.
		const b64 = (n) => Buffer.from(Array.from({ length: n }, (_, i) => i * 7 % 256)).toString("base64").replaceAll("=", "");
		const hashes = [`$2b$${ROUNDS.padStart(2, "0")}$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW`,
			`$argon2id$v=19$m=19456,t=2,p=1$${b64(16)}$${b64(32)}`,
			`$pbkdf2-sha256$29000$${b64(16).replaceAll("+", ".")}$${b64(32).replaceAll("+", ".")}`];
		let csv = "email,full_name,role,is_active,password_hash\n";
		for (let i = 0; i < N + WARM_UP; i++) {
			csv += `wrong${i}@example.org,Wrong,student,1,"${hashes[i % 3]}"\n`;
			csv += `pending${i}@example.org,Pending,student,0,"${hashes[i % 3]}"\n`;
			csv += `locked${i}@example.org,Locked,student,1,"${hashes[i % 3]}"\n`;
			csv += `disabled${i}@example.org,Disabled,student,0,"${hashes[i % 3]}"\n`;
			csv += `oauth${i}@example.org,OAuth,student,1,\n`;
		}
		fs.writeFileSync(path.join(dir, "users.csv"), csv);
		const done = await command(["import", "users", "users.csv"], { dir, env: ENV });
		assert.equal(done.code, 0, done.stderr);
		server = await Server.start({ dir, env: ENV });
		// Nobody waits for approval by an import, and no address is locked.
		server.sql(`UPDATE users SET disabled_at = NULL WHERE email LIKE 'pending%';
			INSERT INTO approval_requests (id, user_id, status, requested_role, requested_at, expires_at, attempts, ip_address)
				SELECT id, id, 'pending', 'student', created_at, '2999-01-01 00:00:00.000000', 1, '' FROM users WHERE email LIKE 'pending%'`);
		for (let i = 0; i < N + WARM_UP; i++)
			for (const name of ["locked", "locked-unknown"])
				await login(server, `${name}${i}@example.org`, WRONG);
		lockAll(server);
		const found = await measure(server, {
			"unknown": (i) => [`unknown${i}@example.org`, WRONG],
			"wrong password": (i) => [`wrong${i}@example.org`, WRONG],
			"disabled": (i) => [`disabled${i}@example.org`, WRONG],
			"OAuth only": (i) => [`oauth${i}@example.org`, WRONG],
			"pending": (i) => [`pending${i}@example.org`, WRONG],
			"locked": (i) => [`locked${i}@example.org`, WRONG],
			"locked, unknown": (i) => [`locked-unknown${i}@example.org`, WRONG],
		});
		assert.match(found.unknown.all, /^401 /);
		assert.match(found.locked.all, /^429 /);
		for (const [name, { all }] of Object.entries(found))
			assert.equal(all, found[name.startsWith("locked") ? "locked, unknown" : "unknown"].all, name);
		report(t, "three schemes", found, "unknown");
		report(t, "locked addresses", locksOf(found), "locked, unknown");
		assert.deepEqual(server.sql("SELECT count(*) AS n FROM approval_requests WHERE status = 'pending'"), [{ n: N + WARM_UP }]);
	} finally {
		await server?.discard();
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

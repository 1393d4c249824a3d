// The command line, as a person or a script uses it.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { after, before, test } = require("node:test");
const { ADMIN, Server, command, eventually, newDirectory, sqlite } = require("./lib.js");

const COMMANDS = ["serve", "migrate", "schema", "admin", "seed", "config", "openapi", "qr", "tls-dev", "doctor"];
let dir;
before(() => { dir = newDirectory(); });
after(() => fs.rmSync(dir, { recursive: true, force: true }));
const run = (args, options) => command(args, { dir, ...options });

test("--help and --version answer everywhere; wrong use exits 2 and says so on standard error", async () => {
	const help = await run(["--help"]);
	assert.equal(help.code, 0);
	for (const name of COMMANDS) {
		assert.match(help.stdout, new RegExp(`^  ${name} `, "m"));
		const one = await run([name, "--help"]);
		assert.equal(one.code, 0, name);
		assert.match(one.stdout, new RegExp(`usage: muster ${name}`), name);
		assert.equal(one.stderr, "", name);
	}
	assert.match((await run(["audit", "verify", "--help"])).stdout, /usage: muster audit/);
	assert.match((await run(["--version"])).stdout, /^muster \d+\.\d+\.\d+\n$/);
	for (const wrong of [[], ["fly"], ["serve", "--fast"], ["migrate"], ["migrate", "sideways"], ["admin", "create"], ["qr", "x"],
		["schema", "x"], ["migrate", "down", "x"], ["admin", "create", "--email"], ["config", "--json=1"]]) {
		const result = await run(wrong);
		assert.equal(result.code, 2, wrong.join(" "));
		assert.equal(result.stdout, "", wrong.join(" "));
		assert.match(result.stderr, /muster|usage/, wrong.join(" "));
	}
});

test("config prints effective values with secrets masked; .env is read, the environment wins", async () => {
	const own = newDirectory();
	fs.writeFileSync(path.join(own, ".env"), "QR_EXPIRY_SECONDS=45 # short\nexport SMTP_URL='smtp://ann:Sesame-99@mail.example.org'\nLOG_LEVEL=DEBUG\n");
	const result = await command(["config", "--json"], { dir: own, env: { LOG_LEVEL: "ERROR", ADMIN_PASSWORD: "Open-Sesame-1" } });
	assert.equal(result.code, 0, result.stderr);
	assert.doesNotThrow(() => JSON.parse(result.stdout));
	assert.match(result.stdout, /"QR_EXPIRY_SECONDS": ?45/);
	assert.match(result.stdout, /"LOG_LEVEL": ?"ERROR"/);
	const secrets = fs.readFileSync(path.join(own, "var", "secrets.env"), "utf8");
	for (const value of ["Sesame-99", "Open-Sesame-1", ...[...secrets.matchAll(/=(\S{20,})/g)].map((m) => m[1])])
		assert.ok(!result.stdout.includes(value), "a secret was printed");
	const bad = await command(["config"], { dir: own, env: { PORT: "eighty" } });
	assert.equal(bad.code, 1);
	assert.match(bad.stderr, /^muster: .*PORT.*\n$/);
	fs.rmSync(own, { recursive: true, force: true });
});

test("migrate goes up, down and up again; a newer or edited database stops everything", async () => {
	assert.match((await run(["migrate", "up"])).stdout, /^[1-9]\d* migrations? applied\n$/);
	assert.match((await run(["migrate", "up"])).stdout, /^0 migrations applied\n$/);
	const status = JSON.parse((await run(["migrate", "status", "--json"])).stdout);
	assert.ok(status);
	const count = sqlite(path.join(dir, "muster.db"), "SELECT COUNT(*) AS n FROM schema_migrations")[0].n;
	assert.match((await run(["migrate", "down", String(count)])).stdout, new RegExp(`^${count} migrations? undone`));
	assert.deepEqual(sqlite(path.join(dir, "muster.db"), "SELECT name FROM sqlite_schema WHERE name = 'users'"), []);
	assert.equal((await run(["migrate", "up"])).code, 0);
	const db = path.join(dir, "muster.db");
	const columns = sqlite(db, "PRAGMA table_info(schema_migrations)").map((c) => c.name);
	const key = columns.find((c) => /number|version/.test(c));
	const digest = columns.find((c) => /sha/.test(c));
	sqlite(db, `CREATE TEMP TABLE t AS SELECT * FROM schema_migrations LIMIT 1; UPDATE t SET ${key} = 9999, name = 'future';
		INSERT INTO schema_migrations SELECT * FROM t`);
	const newer = await run(["serve"]);
	assert.equal(newer.code, 1);
	assert.match(newer.stderr, /newer/);
	sqlite(db, `DELETE FROM schema_migrations WHERE ${key} = 9999; UPDATE schema_migrations SET ${digest} = replace(${digest}, substr(${digest}, 1, 1), 'x')`);
	assert.equal((await run(["serve"])).code, 1);
	for (const suffix of ["", "-wal", "-shm"])
		fs.rmSync(db + suffix, { force: true });
});

test("AUTO_MIGRATE=false does not touch a database that lacks something", async () => {
	const result = await run(["serve"], { env: { AUTO_MIGRATE: "false" } });
	assert.equal(result.code, 1);
	assert.match(result.stderr, /muster migrate up/);
});

test("sqlite3 FILE < schema.sql gives a database that starts", async () => {
	const own = newDirectory();
	const schema = await run(["schema"]);
	assert.equal(schema.code, 0);
	execFileSync("sqlite3", [path.join(own, "muster.db")], { input: schema.stdout });
	const server = await Server.start({ dir: own, env: { AUTO_MIGRATE: "false" } });
	try {
		await server.admin();
	} finally {
		await server.discard();
		fs.rmSync(own, { recursive: true, force: true });
	}
});

test("admin: create, list, reset-password beside a running server", async () => {
	const server = await Server.start();
	const here = (args, input) => command(args, { dir: server.dir, input });
	try {
		const weak = await here(["admin", "create", "--email", "chair@example.org", "--password-stdin"], "password\n");
		assert.equal(weak.code, 1);
		assert.match(weak.stderr, /password/);
		const made = await here(["admin", "create", "--email", "chair@example.org"]);
		assert.equal(made.code, 0, made.stderr);
		const generated = /^password: (\S+)$/m.exec(made.stdout)[1];
		const token = await server.login("chair@example.org", generated);
		await server.want(200, server.get("/api/admin/stats", token));
		const twice = await here(["admin", "create", "--email", "Chair@Example.org", "--password-stdin"], "Another-Pass-12\n");
		assert.equal(twice.code, 1);
		const listed = JSON.parse((await here(["admin", "list", "--json"])).stdout);
		assert.deepEqual(listed.admins.map((a) => a.email), [ADMIN.email, "chair@example.org"]);
		const reset = await here(["admin", "reset-password", "--email", "chair@example.org", "--password-stdin"], "Brand-New-Door-5\n");
		assert.equal(reset.code, 0, reset.stderr);
		assert.ok(!reset.stdout.includes("Brand-New-Door-5"));
		await server.login("chair@example.org", "Brand-New-Door-5");
		await server.want(401, server.post("/api/auth/login", { username: "chair@example.org", password: generated }));
		assert.equal((await here(["admin", "reset-password", "--email", "nobody@example.org", "--password-stdin"], "Brand-New-Door-5\n")).code, 1);
		await eventually("the old session is over", async () =>
			(await server.get("/api/auth/me", token)).body.error === "token_revoked", 1000);
	} finally {
		await server.discard();
	}
});

test("seed makes the demonstration accounts in dev, once, and refuses elsewhere", async () => {
	const server = await Server.start({ env: { SEED_DEMO_ACCOUNTS: "true" } });
	try {
		for (const [email, password] of [["admin@example.com", "Admin123!"], ["student@absense.com", "student123"]])
			await server.login(email, password);
		const again = await command(["seed"], { dir: server.dir });
		assert.equal(again.code, 0, again.stderr);
		assert.match(again.stdout, /^0 of 6 /);
	} finally {
		await server.discard();
	}
	const secrets = Object.fromEntries(["SECRET_KEY", "QR_SIGNING_SECRET", "TOKEN_PEPPER", "MFA_ENCRYPTION_KEY"].map((name, i) =>
		[name, `${i}`.repeat(8) + require("node:crypto").randomBytes(24).toString("hex")]));
	const own = newDirectory();
	const prod = await command(["seed"], { dir: own, env: { ENV: "prod", BCRYPT_ROUNDS: "12", ...secrets } });
	assert.equal(prod.code, 1);
	assert.match(prod.stderr, /dev only/);
	fs.rmSync(own, { recursive: true, force: true });
});

test("qr revoke-all stops every code of a running server within a second", async () => {
	const server = await Server.start();
	try {
		const admin = await server.admin();
		const student = await server.student("late", admin);
		const event = await server.event(admin);
		const qr = await server.qr(admin, event.id);
		const result = await command(["qr", "revoke-all"], { dir: server.dir });
		assert.equal(result.stdout, "1 code revoked\n", result.stderr);
		const mark = await server.mark(qr.qr_payload, student.token);
		assert.deepEqual([mark.status, mark.body.error], [400, "qr_revoked"]);
	} finally {
		await server.discard();
	}
});

test("health asks the server of this configuration, with TLS too", async () => {
	const own = newDirectory();
	execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=attend.example.org",
		"-keyout", path.join(own, "key.pem"), "-out", path.join(own, "cert.pem")], { stdio: "ignore" });
	for (const env of [{}, { TLS_CERT_FILE: path.join(own, "cert.pem"), TLS_KEY_FILE: path.join(own, "key.pem") }]) {
		const server = await Server.startOne({ env });
		const asked = await command(["health"], { dir: server.dir, env: { ...env, PORT: String(server.port) } });
		assert.equal(asked.code, 0, asked.stderr);
		assert.match(JSON.parse(asked.stdout).status, /^(ok|degraded)$/);
		await server.stop();
		const gone = await command(["health"], { dir: server.dir, env: { ...env, PORT: String(server.port) } });
		assert.equal(gone.code, 1);
		assert.match(gone.stderr, /^muster: https?:.*\/v1\/ready: /);
		await server.discard();
	}
	fs.rmSync(own, { recursive: true, force: true });
});

test("doctor finds what is wrong and says what to do", async () => {
	const server = await Server.start();
	try {
		const text = await command(["doctor"], { dir: server.dir });
		assert.equal(text.code, 0, text.stdout + text.stderr);
		const report = JSON.parse((await command(["doctor", "--json"], { dir: server.dir, env: { ACCESS_TOKEN_EXPIRE_MINUTES: "60" } })).stdout);
		const find = (check) => report.checks.filter((c) => c.check === check);
		for (const check of ["configuration", "database", "schema", "secrets", "clock", "storage", "hash time", "backup"])
			assert.ok(find(check).length > 0, check);
		for (const check of ["access token", "limits", "hash cost"]) {
			assert.equal(find(check)[0].status, "warning", check);
			assert.ok(find(check)[0].advice, check);
		}
		const lost = await command(["doctor", "--json"], { dir: server.dir, env: { DATABASE_URL: "sqlite:///./var/secrets.env" } });
		assert.equal(lost.code, 1, lost.stdout);
		assert.ok(JSON.parse(lost.stdout).failed >= 1);
	} finally {
		await server.discard();
	}
});

test("standard output that cannot be written is a failure", async () => {
	const full = fs.openSync("/dev/full", "w");
	const { spawnSync } = require("node:child_process");
	const { environment, muster } = require("./lib.js");
	const result = spawnSync(muster, ["schema"], { stdio: ["ignore", full, "pipe"], env: environment() });
	assert.equal(result.status, 1);
	fs.closeSync(full);
});

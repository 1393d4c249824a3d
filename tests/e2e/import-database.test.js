// A club grows: its SQLite file moves into PostgreSQL, whole.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { SECRETS, sharedPostgres } = require("./cluster.js");
const { ODD, fillEveryTable } = require("./every-row.js");
const { STUDENT_PASSWORD, Server, command, environment, eventually, muster, newDirectory, sqlite } = require("./lib.js");

// {name: [rows, checksum]}
async function checksums(dir, url) {
	const done = await command(["checksum", "--json"], { dir, env: { ...SECRETS, DATABASE_URL: url } });
	assert.equal(done.code, 0, done.stderr);
	return byName(JSON.parse(done.stdout));
}
const byName = (report) => Object.fromEntries(report.tables.map((t) => [t.name, [t.rows, t.checksum]]));

test("every row of every table arrives, and the servers go on with them", async () => {
	const pg = await sharedPostgres();
	const url = pg.database(), dir = newDirectory(), file = path.join(dir, "muster.db");
	const env = { ...SECRETS, DATABASE_URL: url };
	const small = await Server.start({ dir, env: SECRETS });
	try {
		const token = await small.admin();
		const student = await small.student("s", token);
		const event = await small.event(token, { title: ODD.replace(/[\u0000-\u001f\u007f]/g, "") });
		await small.want(201, small.mark((await small.qr(token, event.id)).qr_payload, student.token));
		await small.stop();
		assert.equal((await command(["migrate", "up"], { dir, env })).code, 0);
		const empty = await checksums(dir, url);
		const tables = fillEveryTable(file, pg, url);
		const source = await checksums(dir);
		assert.deepEqual(Object.keys(source).sort(), tables.sort());
		const before = fs.readFileSync(file);

		const dry = await command(["import", "database", file, "--dry-run", "--json"], { dir, env });
		assert.equal(dry.code, 0, dry.stderr);
		assert.deepEqual(byName(JSON.parse(dry.stdout)), source);
		assert.deepEqual(await checksums(dir, url), empty);

		const moved = await command(["import", "database", file, "--json"], { dir, env });
		assert.equal(moved.code, 0, moved.stderr);
		const report = JSON.parse(moved.stdout);
		assert.deepEqual(byName(report), source);
		assert.ok(report.tables.every((t) => t.rows >= 3), "the test has rows in every table");
		assert.match(moved.stderr, new RegExp(`^${report.rows} rows of ${tables.length} tables are copied`));
		assert.ok(before.equals(fs.readFileSync(file)), "the file is as it was");
		const target = await checksums(dir, url);
		assert.equal(target.audit_logs[0], source.audit_logs[0] + 1, "the import is in the audit trail");
		assert.deepEqual({ ...target, audit_logs: 0 }, { ...source, audit_logs: 0 });

		// The checksum itself is no guess: PostgreSQL's own view of a few values, and one value changed.
		assert.deepEqual(pg.query(url, `SELECT count(*) AS n FROM users WHERE full_name LIKE 'Zoë \u{1F393} "q" ''a'' \\\\N%'`), [{ n: 1 }]);
		assert.deepEqual(pg.query(url, "SELECT min(capacity)::text AS low, max(capacity)::text AS high FROM events WHERE capacity IS NOT NULL"),
			[{ low: "-9223372036854775808", high: "9223372036854775807" }]);
		pg.run(url, "UPDATE courses SET title = title || '.'");
		const changed = await checksums(dir, url);
		assert.notDeepEqual(changed.courses, target.courses);
		assert.deepEqual({ ...changed, courses: 0 }, { ...target, courses: 0 });

		const again = await command(["import", "database", file], { dir, env });
		assert.equal(again.code, 1);
		assert.match(again.stderr, /the target is not empty: its table \S+ has \d+ rows.*nothing was changed/);
		assert.deepEqual(await checksums(dir, url), changed);

		const large = await Server.start({ dir, env });
		try {
			const admin = await large.admin();
			const next = await large.event(admin);
			await large.want(201, large.mark((await large.qr(admin, next.id)).qr_payload, student.token)); // the session moved too
			await large.login(student.email, STUDENT_PASSWORD);
			assert.deepEqual(pg.query(url, "SELECT count(*) AS n FROM attendance_records WHERE user_id = " + `'${student.id}'`), [{ n: 2 }]);
			assert.deepEqual(pg.query(url, "SELECT max(seq) > 9007199254740993 AS beyond FROM audit_logs WHERE action = 'attendance_marked'"), [{ beyond: true }]);
		} finally {
			await large.stop("SIGKILL");
		}
	} finally {
		await small.stop("SIGKILL");
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("an import that is killed leaves the target empty, and can be done again", async () => {
	const pg = await sharedPostgres();
	const url = pg.database(), dir = newDirectory(), file = path.join(dir, "muster.db");
	const env = { ...SECRETS, DATABASE_URL: url };
	try {
		assert.equal((await command(["seed"], { dir, env: SECRETS })).code, 0);
		assert.equal((await command(["migrate", "up"], { dir, env })).code, 0);
		const empty = await checksums(dir, url);
		// In the midst of it the import comes to wait for somebody, with tables copied before that; there it is killed.
		pg.run(url, "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$; " +
			"CREATE TRIGGER wait BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION wait()");
		const holder = spawn("psql", ["-X", "-q", url], { stdio: ["pipe", "ignore", "inherit"] });
		const released = new Promise((resolve) => holder.once("close", resolve));
		holder.stdin.write("SELECT pg_advisory_lock(7);\n");
		const waits = (granted) => pg.query(url, `SELECT 1 AS x FROM pg_locks WHERE locktype = 'advisory' AND granted = ${granted} AND objid = 7`).length > 0;
		await eventually("the lock is held", () => waits(true), 60000);
		const child = spawn(muster, ["import", "database", file], { cwd: dir, env: environment(env), stdio: "ignore" });
		const exited = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
		await eventually("the import waits in the midst of its work", () => waits(false), 60000);
		child.kill("SIGKILL");
		assert.deepEqual(await exited, { code: null, signal: "SIGKILL" });
		holder.stdin.end();
		await released;
		await eventually("PostgreSQL has seen it go", () => pg.query(url, "SELECT 1 AS x FROM pg_stat_activity WHERE datname = current_database() " +
			"AND pid <> pg_backend_pid() AND backend_type = 'client backend'").length === 0, 60000);
		pg.run(url, "DROP TRIGGER wait ON users");
		assert.deepEqual(await checksums(dir, url), empty);
		const done = await command(["import", "database", file], { dir, env });
		assert.equal(done.code, 0, done.stderr);
		assert.equal((await checksums(dir, url)).users[0], 6);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("a file that is none of ours, or that cannot be read, moves nothing", async () => {
	const pg = await sharedPostgres();
	const url = pg.database(), dir = newDirectory();
	const env = { ...SECRETS, DATABASE_URL: url };
	try {
		assert.equal((await command(["seed"], { dir, env: SECRETS })).code, 0);
		const file = path.join(dir, "muster.db"), bytes = fs.readFileSync(file);
		assert.equal((await command(["migrate", "up"], { dir, env })).code, 0);
		const empty = await checksums(dir, url);
		const damaged = Buffer.from(bytes);
		damaged.fill(0x5a, 4096 * 6, 4096 * 20);
		fs.writeFileSync(path.join(dir, "damaged.db"), damaged);
		fs.copyFileSync(file, path.join(dir, "newer.db"));
		sqlite(path.join(dir, "newer.db"), "INSERT INTO schema_migrations VALUES (9000, 'later', 'x', '2026-01-01 00:00:00.000000')");
		for (const [name, why] of [["damaged.db", /./], ["newer.db", /newer than this program/], ["none.db", /cannot open/]]) {
			const r = await command(["import", "database", path.join(dir, name)], { dir, env });
			assert.equal(r.code, 1, name);
			assert.match(r.stderr, why);
		}
		assert.deepEqual(await checksums(dir, url), empty);
		const same = await command(["import", "database", file], { dir, env: SECRETS });
		assert.equal(same.code, 1);
		assert.match(same.stderr, /use muster restore, or set DATABASE_URL/);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

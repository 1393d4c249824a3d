// Accounts and rosters from files, beside a running server.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { Server, command, eventually, newDirectory, sqlite } = require("./lib.js");

// passlib's own texts for the password "Correct-Horse-7" would cost seconds to make here; this one is published: RFC-style test vector
// of bcrypt, password "U*U", cost 5.
const HASH = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

async function run(dir, args, file, text) {
	const name = path.join(dir, file);
	if (text !== undefined)
		fs.writeFileSync(name, text);
	const done = await command(["import", args[0], name, "--json", ...args.slice(1)], { dir });
	return { ...done, report: done.stdout.startsWith("{") ? JSON.parse(done.stdout) : null };
}

test("users go in with their passwords, wrong rows are named, and again changes nothing", async () => {
	const server = await Server.start();
	try {
		const csv = "email,full_name,role,is_active,password_hash\r\n" +
			`Ada@Example.org,"Lovelace, Ada",lecturer,true,${HASH}\r\n` +
			"not an address,X,student,1,\r\n" +
			"bob@example.org,Bob,king,1,\r\n" +
			"carl@example.org,Carl,,,\r\n" +
			"dora@example.org,,student,1,\r\n" +
			"eve@example.org,Eve,student,1,plaintext\r\n" +
			"frank@example.org,Frank,student,maybe,\r\n" +
			"too,few\r\n" +
			"gus@example.org,\"Gus\"x,student,1,\r\n" +
			"ada@EXAMPLE.org,Again,student,1,\r\n" +
			"off@example.org,Off,student,0,\r\n";
		const dry = await run(server.dir, ["users", "--dry-run"], "u.csv", csv);
		assert.equal(dry.code, 1);
		assert.deepEqual(server.sql("SELECT email FROM users WHERE email <> 'admin@dsclub.com'"), []);
		const real = await run(server.dir, ["users"], "u.csv");
		assert.equal(real.code, 1);
		assert.deepEqual({ ...dry.report, dry_run: false }, real.report);
		assert.equal(real.report.rows, 11);
		assert.equal(real.report.added, 3);
		assert.equal(real.report.existing, 1);
		assert.deepEqual(real.report.errors.map((e) => e.row), [3, 4, 6, 7, 8, 9, 10]);
		assert.deepEqual(server.sql("SELECT email, full_name, role, is_active FROM users WHERE email <> 'admin@dsclub.com' ORDER BY email"), [
			{ email: "ada@example.org", full_name: "Lovelace, Ada", role: "lecturer", is_active: 1 },
			{ email: "carl@example.org", full_name: "Carl", role: "student", is_active: 1 },
			{ email: "off@example.org", full_name: "Off", role: "student", is_active: 0 },
		]);
		const login = await server.want(200, server.post("/api/auth/login", { username: "ada@example.org", password: "U*U" }));
		assert.equal(login.user.role, "lecturer");
		const again = await run(server.dir, ["users"], "u.csv");
		assert.equal(again.report.added, 0);
		assert.equal(again.report.existing, 4);
		assert.equal(server.sql("SELECT COUNT(*) AS n FROM audit_logs WHERE action = 'import'")[0].n, 1);
	} finally {
		await server.discard();
	}
});

test("a header that is not known stops at once", async () => {
	const dir = newDirectory();
	try {
		for (const head of ["email,fullname", "full_name,role", "email,email", "email,name,full_name", "", "\"email"]) {
			const r = await run(dir, ["users"], "h.csv", `${head}\na@example.org,A\n`);
			assert.equal(r.code, 1, head);
			assert.equal(r.report, null);
		}
		assert.equal((await command(["import", "users", path.join(dir, "none.csv")], { dir })).code, 1);
		assert.equal((await command(["import", "cats", "x"], { dir })).code, 2);
		assert.deepEqual(sqlite(path.join(dir, "muster.db"), "SELECT email FROM users"), []);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("a roster, with people who have no account yet", async () => {
	const server = await Server.start();
	try {
		await run(server.dir, ["users"], "u.csv", "email,name,role\nlec@example.org,Lec,lecturer\nold@example.org,Old,student\n");
		const csv = "email;full_name\nold@example.org;\nnew@example.org;New\nnobody@example.org;\nold@example.org;Old\n";
		assert.match((await run(server.dir, ["roster", "--course", "CS1"], "r.csv", csv)).stderr, /--owner ADDRESS makes it/);
		const owner = ["--course", "CS1", "--owner", "lec@example.org", "--title", "Logic"];
		assert.equal((await run(server.dir, ["roster", ...owner, "--owner", "old@example.org"], "r.csv")).code, 1);
		const dry = await run(server.dir, ["roster", ...owner, "--dry-run"], "r.csv");
		assert.equal(dry.report.failed, 1);
		assert.deepEqual(server.sql("SELECT 1 FROM courses"), []);
		const real = await run(server.dir, ["roster", ...owner], "r.csv");
		assert.deepEqual([real.report.added, real.report.existing, real.report.failed], [2, 1, 1]);
		assert.deepEqual(server.sql("SELECT u.email FROM enrollments n JOIN users u ON u.id = n.user_id JOIN courses c ON c.id = n.course_id WHERE c.title = 'Logic' ORDER BY 1"),
			[{ email: "new@example.org" }, { email: "old@example.org" }]);
		assert.deepEqual(real.report.errors.map((e) => e.row), [4]);
		assert.equal((await run(server.dir, ["roster", "--course", "CS1"], "r.csv")).report.existing, 3);
	} finally {
		await server.discard();
	}
});

test("the old portal's database: users with integer ids, members and admins", async () => {
	const dir = newDirectory();
	try {
		const old = path.join(dir, "old.db");
		sqlite(old, `CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, hashed_password TEXT, role TEXT, is_active BOOLEAN, points INTEGER);
			CREATE TABLE "odd ""table" (a);
			INSERT INTO "odd ""table" VALUES (1), (2);
			INSERT INTO users VALUES (1, 'Ada', 'ada@example.org', '${HASH}', 'admin', 1, 5), (2, 'Bob', 'bob@example.org', '${HASH}', 'member', 1, 6),
				(3, 'Off', 'off@example.org', NULL, 'member', 0, 7), (4, CAST(x'ff' AS TEXT), 'bad@example.org', NULL, 'member', 1, 0), (5, NULL, NULL, NULL, NULL, NULL, NULL)`);
		const before = fs.readFileSync(old);
		const r = await run(dir, ["database"], "old.db");
		assert.equal(r.report.added, 3);
		assert.deepEqual(r.report.errors.map((e) => e.row), [4, 5]);
		assert.match(r.stderr, /not taken over: users\.points/);
		assert.match(r.stderr, /not taken over: table odd "table, 2 rows/);
		assert.deepEqual(sqlite(path.join(dir, "muster.db"), "SELECT full_name, role, is_active FROM users ORDER BY email"), [
			{ full_name: "Ada", role: "admin", is_active: 1 }, { full_name: "Bob", role: "student", is_active: 1 }, { full_name: "Off", role: "student", is_active: 0 }]);
		assert.ok(before.equals(fs.readFileSync(old)), "the old file is as it was");
		assert.match((await command(["import", "database", path.join(dir, "muster.db")], { dir })).stderr, /use muster restore/);
		fs.writeFileSync(path.join(dir, "text.db"), "no database".repeat(100));
		assert.equal((await command(["import", "database", path.join(dir, "text.db")], { dir })).code, 1);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("exports are CSV that import reads, and are audited", async () => {
	const server = await Server.start();
	try {
		const admin = await server.admin();
		const student = await server.student("s", admin);
		const event = await server.event(admin);
		await server.want(201, server.mark((await server.qr(admin, event.id)).qr_payload, student.token));
		const rows = Array.from({ length: 1500 }, (_, i) => `b${i}@example.org,"B ""${i}"", x"`);
		await run(server.dir, ["users"], "b.csv", `email,full_name\n${rows.join("\n")}\nrisky@example.org,=1+1\n`);
		const users = await command(["export", "users"], { dir: server.dir });
		assert.equal(users.code, 0, users.stderr);
		assert.equal(users.stdout.trimEnd().split("\r\n").length, 1504);
		assert.match(users.stdout, /risky@example\.org,'=1\+1,student,true/);
		const again = await run(server.dir, ["users"], "e.csv", users.stdout);
		assert.deepEqual([again.report.existing, again.report.failed], [1503, 0]);
		const roll = await command(["export", "attendance", event.id], { dir: server.dir });
		assert.match(roll.stdout, /^attendance_id,.*\r\n.*s@students\.example\.org,present,qr/);
		assert.equal((await command(["export", "attendance", "x"], { dir: server.dir })).code, 2);
		assert.equal((await command(["export", "attendance", student.id], { dir: server.dir })).code, 1);
		assert.equal(server.sql("SELECT COUNT(*) AS n FROM audit_logs WHERE action = 'export'")[0].n, 2);
	} finally {
		await server.discard();
	}
});

test("marks go on while thousands of accounts come in", async () => {
	const server = await Server.start();
	try {
		const admin = await server.admin();
		const student = await server.student("s", admin);
		const rows = Array.from({ length: 3000 }, (_, i) => `bulk${i}@example.org,Bulk ${i}`);
		let finished = false;
		const importing = run(server.dir, ["users"], "b.csv", `email,full_name\n${rows.join("\n")}\n`).finally(() => { finished = true; });
		await eventually("the import has begun", () => server.sql("SELECT COUNT(*) AS n FROM users WHERE email LIKE 'bulk%'")[0].n > 0);
		let marks = 0;
		while (!finished) {
			const event = await server.event(admin);
			const code = await server.qr(admin, event.id);
			await server.want(201, server.mark(code.qr_payload, student.token));
			marks++;
		}
		assert.ok(marks > 5, `${marks} marks meanwhile`);
		assert.equal((await importing).report.added, 3000);
	} finally {
		await server.discard();
	}
});

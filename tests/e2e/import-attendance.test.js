// Attendance of earlier years: from CSV, and from an old campus database.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { command, newDirectory, sqlite } = require("./lib.js");

async function withAccounts(dir) {
	const file = path.join(dir, "u.csv");
	fs.writeFileSync(file, "email,full_name,role\nlec@example.org,Lec,lecturer\na@example.org,A,student\nb@example.org,B,student\n");
	const done = await command(["import", "users", file], { dir });
	assert.equal(done.code, 0, done.stderr);
}

async function take(dir, file, ...options) {
	const done = await command(["import", "attendance", file, "--json", ...options], { dir });
	return { ...done, report: done.stdout.startsWith("{") ? JSON.parse(done.stdout) : null };
}

const RECORDS = "SELECT e.title, c.code, u.email, r.status, r.original_status, r.method, substr(r.marked_at, 1, 16) AS at, r.reason " +
	"FROM attendance_records r JOIN events e ON e.id = r.event_id LEFT JOIN courses c ON c.id = e.course_id " +
	"JOIN users u ON u.id = r.user_id ORDER BY e.scheduled_at, u.email";

test("records from CSV: sessions are made once, wrong rows named, again changes nothing", async () => {
	const dir = newDirectory();
	try {
		await withAccounts(dir);
		const file = path.join(dir, "a.csv");
		fs.writeFileSync(file, "email,session,starts_at,ends_at,course,status,marked_at,reason\r\n" +
			"A@example.org,Graphs,2025-05-05T09:00:00Z,2025-05-05T10:30:00Z,AL1,late,2025-05-05T09:20:00Z,\r\n" +
			"b@example.org,Graphs,2025-05-05T09:00:00Z,,AL1,absent,,\"Ill, says\"\r\n" +
			"a@example.org,Trees,2025-05-12 09:00:00,,,Present,,\r\n" +
			"c@example.org,Trees,2025-05-12 09:00:00,,,present,,\r\n" +
			"a@example.org,,2025-05-12 09:00:00,,,present,,\r\n" +
			"a@example.org,Trees,yesterday,,,present,,\r\n" +
			"a@example.org,Trees,2025-05-12 09:00:00,2025-05-11,,present,,\r\n" +
			"a@example.org,Trees,2025-05-12 09:00:00,,,maybe,,\r\n" +
			"a@example.org,Trees,2025-05-12 09:00:00,,,present,noon,\r\n");
		const nobody = await take(dir, file);
		assert.equal(nobody.report.added, 0, "sessions need somebody whose they are");
		assert.match(nobody.stderr, /row 2: the session Graphs cannot be made/);
		const dry = await take(dir, file, "--owner", "lec@example.org", "--dry-run");
		assert.deepEqual(sqlite(path.join(dir, "muster.db"), "SELECT COUNT(*) AS n FROM events"), [{ n: 0 }]);
		const real = await take(dir, file, "--owner", "lec@example.org");
		assert.equal(real.code, 1);
		assert.deepEqual({ ...dry.report, dry_run: false }, real.report);
		assert.deepEqual([real.report.added, real.report.errors.map((e) => e.row)], [3, [5, 6, 7, 8, 9, 10]]);
		assert.deepEqual(sqlite(path.join(dir, "muster.db"), RECORDS), [
			{ title: "Graphs", code: "AL1", email: "a@example.org", status: "late", original_status: "late", method: "import", at: "2025-05-05 09:20", reason: null },
			{ title: "Graphs", code: "AL1", email: "b@example.org", status: "absent", original_status: "absent", method: "import", at: "2025-05-05 09:00", reason: "Ill, says" },
			{ title: "Trees", code: null, email: "a@example.org", status: "present", original_status: "present", method: "import", at: "2025-05-12 09:00", reason: null },
		]);
		const again = await take(dir, file, "--owner", "lec@example.org");
		assert.deepEqual([again.report.added, again.report.existing], [0, 3]);
		assert.deepEqual(sqlite(path.join(dir, "muster.db"), "SELECT COUNT(*) AS n FROM events WHERE closed_at IS NOT NULL"), [{ n: 2 }]);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("records from an old campus database", async () => {
	const dir = newDirectory();
	try {
		await withAccounts(dir);
		const old = path.join(dir, "campus.db");
		sqlite(old, "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, full_name TEXT);" +
			"INSERT INTO users VALUES (1, 'lec@example.org', 'Lec'), (2, 'a@example.org', 'A'), (10, 'B@example.org', 'B');" +
			"CREATE TABLE courses (id INTEGER PRIMARY KEY, code TEXT); INSERT INTO courses VALUES (7, 'AL1');" +
			"CREATE TABLE attendance_sessions (id INTEGER PRIMARY KEY, lecturer_id INTEGER, course_id INTEGER, title TEXT, start_time TEXT, qr_secret TEXT);" +
			"INSERT INTO attendance_sessions VALUES (3, 1, 7, 'Graphs', '2024-10-01 08:00:00.000000', 'x');" +
			"CREATE TABLE attendance_records (id INTEGER PRIMARY KEY, session_id INTEGER, student_id INTEGER, status TEXT, created_at TEXT, face_score REAL);" +
			"INSERT INTO attendance_records VALUES (1, 3, 2, 'verified', '2024-10-01 08:01:00', 0.9), (2, 3, 10, 'pending', '2024-10-01 08:02:00', 0.4)," +
			" (3, 99, 2, 'verified', '2024-10-01 08:01:00', 1), (4, 3, 98, 'verified', '2024-10-01 08:01:00', 1);");
		const before = fs.readFileSync(old);
		const done = await take(dir, old);
		assert.deepEqual([done.report.added, done.report.errors], [2, [
			{ row: 3, message: "its session is not in the file" }, { row: 4, message: "its student is not in the file" }]]);
		assert.match(done.stderr, /not taken over: attendance_sessions\.qr_secret/);
		assert.match(done.stderr, /not taken over: attendance_records\.face_score/);
		assert.deepEqual(sqlite(path.join(dir, "muster.db"), RECORDS).map((r) => [r.title, r.code, r.email, r.status, r.at]), [
			["Graphs", "AL1", "a@example.org", "present", "2024-10-01 08:01"], ["Graphs", "AL1", "b@example.org", "flagged", "2024-10-01 08:02"]]);
		assert.ok(before.equals(fs.readFileSync(old)), "the old file is as it was");
		assert.match((await take(dir, path.join(dir, "muster.db"))).stderr, /use muster restore/);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

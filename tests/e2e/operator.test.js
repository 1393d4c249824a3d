// The operator's SQL of the contract, word for word, through the sqlite3 shell on the file of a running server.
"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { Server, STUDENT_PASSWORD, eventually } = require("./lib.js");

const PENDING = "SELECT * FROM approval_requests WHERE status = 'pending' ORDER BY requested_at DESC;";
const REQUEST = "SELECT * FROM approval_requests WHERE id = '<id>';";
const MARKS = "SELECT u.full_name, e.title, ar.marked_at FROM attendance_records ar JOIN users u ON ar.user_id = u.id JOIN events e ON ar.event_id = e.id ORDER BY ar.marked_at DESC LIMIT 20;";
const ATTACKERS = "SELECT ip_address, COUNT(*) as attempts FROM audit_logs WHERE action = 'login_failed' AND created_at > datetime('now', '-1 hour') GROUP BY ip_address HAVING attempts > 5;";
const LIVE_CODES = "SELECT qs.id, e.title, qs.expires_at FROM qr_sessions qs JOIN events e ON qs.event_id = e.id WHERE qs.is_revoked = 0 AND qs.expires_at > datetime('now', 'utc');";
const FAILED_MARKS = "SELECT * FROM audit_logs WHERE action = 'attendance_failed' ORDER BY created_at DESC LIMIT 100;";
const ACTIVATE = "UPDATE users SET role = 'student', is_active = 1 WHERE id = '<id>';";
const APPROVE = "UPDATE approval_requests SET status = 'approved' WHERE user_id = '<id>';";
const SQL_TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/;

let server, admin;
before(async () => {
	server = await Server.start();
	admin = await server.admin();
});
after(() => server.discard());

const userId = (email) => server.sql(`SELECT id FROM users WHERE email = '${email}'`)[0].id;
const signup = (email) => server.want(201, server.post("/api/auth/signup", { email, password: STUDENT_PASSWORD, full_name: "Waits" }));

test("pending requests are read, and one by its id", async () => {
	const first = await signup("first@students.example.org");
	const second = await signup("second@students.example.org");
	const rows = server.sql(PENDING);
	assert.deepEqual(rows.map((r) => r.id), [second.approval_request_id, first.approval_request_id]);
	assert.match(rows[0].requested_at, SQL_TIME);
	const one = server.sql(REQUEST.replace("<id>", first.approval_request_id));
	assert.equal(one.length, 1);
	assert.equal(one[0].user_id, userId("first@students.example.org"));
});

test("the two UPDATEs let a waiting student in while the server runs", async () => {
	const email = "byhand@students.example.org";
	await signup(email);
	const before = await server.post("/api/auth/login", { username: email, password: STUDENT_PASSWORD });
	assert.deepEqual([before.status, before.body.error], [403, "account_pending"]);
	const id = userId(email);
	server.sql(ACTIVATE.replace("<id>", id));
	server.sql(APPROVE.replace("<id>", id));
	await server.login(email, STUDENT_PASSWORD);
});

test("is_active = 1 alone suffices", async () => {
	const email = "alone@students.example.org";
	await signup(email);
	server.sql(ACTIVATE.replace("<id>", userId(email)));
	await server.login(email, STUDENT_PASSWORD);
});

test("a role taken away by SQL is gone within a second, also from a session in use", async () => {
	const student = await server.student("promoted", admin);
	server.sql(`UPDATE users SET role = 'admin' WHERE id = '${student.id}'`);
	await eventually("the new admin is let in", async () => (await server.get("/api/admin/stats", student.token)).status === 200, 1000);
	server.sql(ACTIVATE.replace("<id>", student.id)); // role = 'student'
	await eventually("the door is shut", async () => (await server.get("/api/admin/stats", student.token)).status === 403, 1000);
	server.sql(`UPDATE users SET is_active = 0 WHERE id = '${student.id}'`);
	await eventually("the session is over", async () => (await server.get("/api/auth/me", student.token)).status === 401, 1000);
});

test("marks, failed marks, live codes and attackers are read as they are", async () => {
	const student = await server.student("marks", admin);
	const event = await server.event(admin, { title: "Read by SQL" });
	const qr = await server.qr(admin, event.id);
	assert.deepEqual(server.sql(LIVE_CODES).map((r) => [r.id, r.title]), [[qr.session_id, "Read by SQL"]]);
	await server.want(201, server.mark(qr.qr_payload, student.token));
	await server.want(400, server.mark("nonsense", student.token));
	const marks = server.sql(MARKS);
	assert.deepEqual([marks[0].full_name, marks[0].title], ["Student marks", "Read by SQL"]);
	assert.match(marks[0].marked_at, SQL_TIME);
	const failed = server.sql(FAILED_MARKS);
	assert.equal(failed[0].actor_id, student.id);
	assert.equal(JSON.parse(failed[0].details).reason, "invalid_qr");
	for (let i = 0; i < 6; i++)
		await server.want(401, server.post("/api/auth/login", { username: "nobody@example.org", password: "Wrong-1234" }));
	const attackers = server.sql(ATTACKERS);
	assert.equal(attackers[0].ip_address, "127.0.0.1");
	assert.ok(attackers[0].attempts >= 6);
	await server.want(200, server.post("/api/admin/qr-sessions/revoke-all", undefined, admin));
	assert.deepEqual(server.sql(LIVE_CODES), []);
});

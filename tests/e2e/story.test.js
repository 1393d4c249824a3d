// The main job over HTTP: sign up, approve, make an event, show a code, mark, see it in the list.
"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { Server, STUDENT_PASSWORD } = require("./lib.js");

let server, admin;
before(async () => {
	server = await Server.start();
	admin = await server.admin();
});
after(() => server.discard());

const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

test("a student signs up, waits, is approved, marks and is listed", async () => {
	const email = "mai@students.example.org";
	const signup = await server.want(201, server.post("/api/auth/signup", { email, password: STUDENT_PASSWORD, full_name: "Mai Tran" }));
	assert.match(signup.approval_request_id, UUID7);
	assert.equal(signup.status, "pending");
	assert.match(signup.expires_at, TIME);

	const waiting = await server.post("/api/auth/login", { username: email, password: STUDENT_PASSWORD });
	assert.equal(waiting.status, 403);
	assert.equal(waiting.body.error, "account_pending");
	assert.equal(waiting.body.approval_request_id, signup.approval_request_id);

	const status = await server.want(200, server.get(`/api/auth/approval-requests/${signup.approval_request_id}`));
	assert.equal(status.status, "pending");
	assert.ok(status.time_remaining_seconds > 0 && status.time_remaining_seconds <= 180);

	const pending = await server.want(200, server.get("/api/admin/approval-requests?status=pending", admin));
	const row = pending.requests.find((r) => r.id === signup.approval_request_id);
	assert.equal(row.user.email, email);
	assert.equal(pending.page, 1);

	const decided = await server.want(200, server.post(`/api/admin/approval-requests/${row.id}/decide`, { decision: "approved" }, admin));
	assert.equal(decided.user.role, "student");
	assert.equal(decided.user.is_active, true);
	const again = await server.post(`/api/admin/approval-requests/${row.id}/decide`, { decision: "rejected" }, admin);
	assert.equal(again.status, 409);
	assert.equal(again.body.error, "already_decided");

	// The form of the HTML login, with the members that such a form may carry.
	const login = await server.want(200, server.request("POST", "/api/auth/login",
		{ form: { username: email, password: STUDENT_PASSWORD, grant_type: "password", scope: "" } }));
	assert.equal(login.token_type, "bearer");
	assert.equal(login.expires_in, 900);
	const me = await server.want(200, server.get("/api/auth/me", login.access_token));
	assert.deepEqual([me.email, me.full_name, me.role, me.is_active], [email, "Mai Tran", "student", true]);

	const event = await server.event(admin, { title: "Graph neural networks", description: "Week 3" });
	assert.match(event.id, UUID7);
	const qr = await server.qr(admin, event.id);
	assert.equal(qr.expires_in_seconds, 60);
	assert.match(qr.code, /^[0-9A-HJKMNP-TV-Z]{6}$/);
	const payload = JSON.parse(Buffer.from(qr.qr_payload, "base64url"));
	assert.deepEqual(Object.keys(payload), ["s", "n", "x", "h"]);
	assert.equal(payload.s, qr.session_id);

	const marked = await server.want(201, server.mark(qr.qr_payload, login.access_token));
	assert.equal(marked.event.title, "Graph neural networks");
	assert.match(marked.marked_at, TIME);
	const twice = await server.mark(qr.qr_payload, login.access_token);
	assert.equal(twice.status, 409);
	assert.equal(twice.body.error, "duplicate_attendance");
	assert.equal(twice.body.attendance_id, marked.attendance_id);

	const list = await server.want(200, server.get(`/api/admin/events/${event.id}/attendance`, admin));
	assert.equal(list.records.length, 1);
	assert.equal(list.records[0].user.email, email);
	assert.equal(list.records[0].status, "present");
	assert.equal(list.records[0].method, "qr");
	const csv = await server.get(`/api/admin/events/${event.id}/attendance.csv`, admin);
	assert.match(csv.headers["content-type"], /^text\/csv/);
	assert.ok(csv.text.includes(email));

	const mine = await server.want(200, server.get("/api/attendance/me", login.access_token));
	assert.equal(mine.records[0].attendance_id, marked.attendance_id);
	assert.equal(mine.attended, 1);
	const seen = await server.want(200, server.get(`/api/events/${event.id}`, login.access_token));
	assert.equal(seen.user_attended, true);
	assert.equal(seen.attendance_count, 1);
	assert.deepEqual(server.sql(`SELECT action FROM audit_logs WHERE action LIKE 'attendance%' ORDER BY seq`).map((r) => r.action),
		["attendance_marked", "attendance_failed"]);
});

test("the typed short code and the claim of a phone that signs in later mark too", async () => {
	const event = await server.event(admin);
	const qr = await server.qr(admin, event.id);
	const typed = await server.student("typed", admin);
	const scanned = await server.student("scanned", admin);
	await server.want(201, server.post("/api/attendance/mark", { code: qr.code.toLowerCase(), event_id: event.id }, typed.token));
	const claim = await server.want(201, server.post("/api/attendance/claim", { qr_payload: qr.qr_payload }));
	assert.equal(claim.event.title, "Lecture");
	await server.want(201, server.post("/api/attendance/mark", { claim: claim.claim }, scanned.token));
	const list = await server.want(200, server.get(`/api/admin/events/${event.id}/attendance`, admin));
	assert.deepEqual(list.records.map((r) => r.method).sort(), ["code", "qr"]);
});

test("a code that was tampered with, cut, or revoked is refused, each with its own code", async () => {
	const event = await server.event(admin);
	const qr = await server.qr(admin, event.id);
	const student = await server.student("refused", admin);
	const parsed = JSON.parse(Buffer.from(qr.qr_payload, "base64url"));
	const pack = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");
	const refusal = async (payload) => {
		const reply = await server.mark(payload, student.token);
		return [reply.status, reply.body.error];
	};
	assert.deepEqual(await refusal(pack({ ...parsed, x: parsed.x + 3600 })), [400, "invalid_signature"]);
	assert.deepEqual(await refusal(qr.qr_payload.slice(0, -7)), [400, "invalid_qr"]);
	assert.deepEqual(await refusal("hello"), [400, "invalid_qr"]);
	await server.want(200, server.post(`/api/admin/qr-sessions/${qr.session_id}/revoke`, undefined, admin));
	assert.deepEqual(await refusal(qr.qr_payload), [400, "qr_revoked"]);
});

test("an admin's door stays shut for students, and every door for strangers", async () => {
	const student = await server.student("curious", admin);
	for (const target of ["/api/admin/stats", "/api/admin/audit-logs", "/api/admin/approval-requests", "/api/admin/qr-sessions/active"]) {
		const stranger = await server.get(target);
		assert.deepEqual([stranger.status, stranger.body.error], [401, "not_authenticated"], target);
		assert.ok(stranger.headers["www-authenticate"], target);
		const denied = await server.get(target, student.token);
		assert.deepEqual([denied.status, denied.body.error], [403, "forbidden"], target);
	}
});

test("refresh rotates; the spent token used late ends the whole session", async () => {
	const student = await server.student("rotating", admin);
	const first = await server.want(200, server.post("/api/auth/login", { username: student.email, password: STUDENT_PASSWORD }));
	const second = await server.want(200, server.post("/api/auth/refresh", { refresh_token: first.refresh_token }));
	assert.notEqual(second.refresh_token, first.refresh_token);
	// A lost reply: the same successor again while it is unused.
	const repeated = await server.want(200, server.post("/api/auth/refresh", { refresh_token: first.refresh_token }));
	assert.equal(repeated.refresh_token, second.refresh_token);
	const third = await server.want(200, server.post("/api/auth/refresh", { refresh_token: second.refresh_token }));
	const stolen = await server.post("/api/auth/refresh", { refresh_token: first.refresh_token });
	assert.deepEqual([stolen.status, stolen.body.error], [401, "token_revoked"]);
	assert.equal((await server.get("/api/auth/me", third.access_token)).status, 401);
});

test("statistics count what happened", async () => {
	const stats = await server.want(200, server.get("/api/admin/stats", admin));
	assert.ok(stats.users.total >= 2);
	assert.equal(stats.users.admins, 1);
	assert.ok(stats.attendance.total_records >= 3);
});

// Streams of the real program over real sockets: notifications, screens, and how they end.
"use strict";

const assert = require("node:assert/strict");
const { after, before, test } = require("node:test");
const { Server, eventually, listenTo } = require("./lib.js");

let server, admin;
before(async () => {
	server = await Server.start();
	admin = await server.admin();
});
after(() => server.discard());
const listen = (path, token, headers) => listenTo(server.port, path, token, headers);

const of = (stream, name) => stream.events.filter((e) => e.name === name);

test("a decision reaches the one it is about, at once and after a break", async () => {
	const student = await server.student("listens", admin);
	const stream = await listen("/api/notifications/stream", admin);
	assert.equal(stream.status, 200);
	assert.equal(stream.headers["content-type"], "text/event-stream");
	assert.equal(stream.headers["cache-control"], "no-store");
	assert.ok(stream.headers["x-request-id"]);
	assert.equal(stream.headers["x-content-type-options"], "nosniff");
	const foreign = await listen("/api/notifications/stream", student.token);
	await server.want(201, server.post("/api/auth/signup",
		{ email: "new@students.example.org", password: "Lecture-Hall-17", full_name: "Somebody New" }));
	const event = await eventually("the sign-up is told", () => of(stream, "notification")[0]);
	assert.equal(event.data.id, event.id);
	assert.equal(event.data.type, "signup");
	const list = await server.want(200, server.get("/api/notifications", admin));
	assert.deepEqual(list.notifications.find((n) => n.id === event.id), event.data);
	stream.close();
	const again = await listen("/api/notifications/stream", admin, { "Last-Event-ID": event.id });
	await eventually("what is near comes again", () => of(again, "notification").some((e) => e.id === event.id));
	assert.deepEqual(of(foreign, "notification").filter((e) => e.data.type === "signup"), []);
	again.close();
	foreign.close();
});

test("200 listeners all hear it", async () => {
	const streams = await Promise.all(Array.from({ length: 200 }, () => listen("/api/notifications/stream", admin)));
	const listeners = await server.gauge("muster_sse_clients");
	assert.ok(listeners >= 200 && listeners < 210, `${listeners} listeners`);
	const before = performance.now();
	await server.want(201, server.post("/api/auth/signup",
		{ email: "all@students.example.org", password: "Lecture-Hall-17", full_name: "Heard By All" }));
	await eventually("all have heard", () => streams.every((s) => of(s, "notification").length >= 1));
	const last = Math.max(...streams.map((s) => of(s, "notification")[0].at));
	assert.ok(last - before < 3000, `${last - before} ms`);
	assert.ok(streams.every((s) => of(s, "notification").length === 1));
	streams.forEach((s) => s.close());
	await eventually("the server notices who has gone", async () => await server.gauge("muster_sse_clients") < 10);
});

test("a screen shows codes that mark, and who came", async () => {
	const student = await server.student("screen", admin);
	const event = await server.event(admin);
	const display = await server.want(201, server.post(`/api/admin/events/${event.id}/display`, undefined, admin));
	const screen = await listen(`/api/admin/events/${event.id}/frames`, display.display_token);
	const frame = await eventually("the first frame", () => of(screen, "frame")[0]);
	assert.equal(frame.data.event.id, event.id);
	assert.equal(frame.data.count, 0);
	await server.want(201, server.post("/api/attendance/mark", { code: frame.data.code, event_id: event.id }, student.token));
	const count = await eventually("the count", () => of(screen, "count").find((e) => e.data.count === 1));
	assert.deepEqual(count.data.latest, ["Student screen"]);
	const again = await server.want(201, server.post(`/api/admin/events/${event.id}/display`, undefined, admin));
	assert.equal(again.streams, server.nodes ? again.streams : 1); // it counts those of the node that answers
	const code = await server.request("DELETE", `/api/admin/events/${event.id}/display`, { token: admin });
	assert.equal(code.status, 200);
	await eventually("the screen goes dark", () => screen.ended);
	assert.equal((await server.get(`/api/admin/events/${event.id}/frames`, display.display_token)).status, 401);
});

test("the frames of a deleted event end, and say so", async () => {
	const event = await server.event(admin);
	const screen = await listen(`/api/admin/events/${event.id}/frames`, admin);
	await eventually("the first frame", () => of(screen, "frame")[0]);
	assert.equal((await server.request("DELETE", `/api/admin/events/${event.id}`, { token: admin })).status, 204);
	await eventually("the end", () => screen.ended);
	assert.equal(of(screen, "ended").length, 1);
});

test("signing out ends the stream", async () => {
	const student = await server.student("leaves", admin);
	const login = await server.want(200, server.post("/api/auth/login",
		{ username: student.email, password: "Lecture-Hall-17" }));
	const stream = await listen("/api/notifications/stream", login.access_token);
	assert.equal(stream.status, 200);
	assert.equal((await server.post("/api/auth/logout", { refresh_token: login.refresh_token })).status, 204);
	await eventually("the end", () => stream.ended, 5000);
});

test("no token, or one in the address, opens nothing", async () => {
	assert.equal((await server.get("/api/notifications/stream")).status, 401);
	assert.equal((await server.get(`/api/notifications/stream?access_token=${admin}`)).status, 401);
});

test("stopping ends every stream and leaves nothing behind", async () => {
	const streams = await Promise.all(Array.from({ length: 50 }, () => listen("/api/notifications/stream", admin)));
	const started = performance.now();
	const exit = await server.stop();
	assert.deepEqual(exit, { code: 0, signal: null });
	assert.ok(performance.now() - started < 10000);
	await eventually("all have ended", () => streams.every((s) => s.ended));
	assert.ok(!server.logs().some((l) => l.level === "critical"));
});

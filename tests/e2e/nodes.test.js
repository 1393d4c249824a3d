// Two nodes on one PostgreSQL behind nginx: what one does holds on the other, and of two that want the same thing one gets it.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const http2 = require("node:http2");
const path = require("node:path");
const { after, before, test } = require("node:test");
const { ADMIN, STUDENT_PASSWORD, command, eventually, listenTo, newDirectory } = require("./lib.js");
const { Cluster, Nginx, Postgres, checkFront } = require("./cluster.js");

const ROUNDS = 8;
let postgres, cluster, a, b, admin;
before(async () => {
	postgres = await Postgres.start();
	cluster = await Cluster.start({ postgres });
	[a, b] = cluster.nodes;
	admin = await cluster.admin();
});
after(async () => {
	await cluster?.discard();
	await postgres?.stop();
});
const listen = (node, target, token, headers) => listenTo(node.port, target, token, headers);
const named = (stream, name) => stream.events.filter((e) => e.name === name);
const me = async (node, token) => (await node.get("/api/auth/me", token)).status;

test("two nodes that start at once migrate once", () => {
	const files = fs.readdirSync(path.join(__dirname, "..", "..", "sql")).filter((f) => f.endsWith(".up.sql"));
	const rows = cluster.sql("SELECT number, count(*) AS n FROM schema_migrations GROUP BY number");
	assert.equal(rows.length, files.length);
	assert.ok(rows.every((r) => r.n === 1));
	assert.equal(cluster.sql(`SELECT count(*) AS n FROM users WHERE email = '${ADMIN.email}'`)[0].n, 1);
});

test("a node that is older than the database refuses to start and says why", async () => {
	const url = postgres.database();
	const first = await Cluster.start({ postgres, url, count: 1 });
	await first.stop();
	postgres.run(url, "INSERT INTO schema_migrations (number, name, sha256, applied_at) VALUES (9999, 'from_the_future', 'x', now())");
	for (const AUTO_MIGRATE of ["true", "false"])
		await assert.rejects(first.startNode({ AUTO_MIGRATE }), (error) => {
			assert.match(error.message, /"code":1/);
			assert.match(error.message, /muster: the database is newer than this program: it has migration 9999_from_the_future/);
			return true;
		});
	await first.discard();
});

test("logging out everywhere on one node holds on the other, for requests and for streams", async () => {
	const student = await cluster.student("leaves", admin);
	const stream = await listen(b, "/api/notifications/stream", student.token);
	assert.equal(stream.status, 200);
	for (let i = 0; i < 3; i++)
		assert.equal(await me(b, student.token), 200);
	await a.want(204, a.post("/v1/auth/logout-all", undefined, student.token));
	assert.equal(await me(a, student.token), 401);
	await eventually("the other node knows", async () => await me(b, student.token) === 401);
	await eventually("its stream has ended", () => stream.ended);
});

test("a changed role and a disabled account hold on the other node", async () => {
	const student = await cluster.student("changes", admin);
	assert.equal((await b.get("/api/admin/users", student.token)).status, 403);
	await a.want(200, a.request("PATCH", `/api/admin/users/${student.id}`, { body: { role: "admin" }, token: admin }));
	const token = await b.login(student.email, STUDENT_PASSWORD);
	assert.equal((await b.get("/api/admin/users", token)).status, 200);
	await a.want(200, a.request("PATCH", `/api/admin/users/${student.id}`, { body: { role: "student" }, token: admin }));
	await eventually("no administrator any more", async () => (await b.get("/api/admin/users", token)).status !== 200);
	const again = await b.login(student.email, STUDENT_PASSWORD);
	await a.want(200, a.request("PATCH", `/api/admin/users/${student.id}`, { body: { is_active: false }, token: admin }));
	await eventually("disabled", async () => await me(b, again) === 401);
});

test("a code withdrawn on one node is refused on the other", async () => {
	const student = await cluster.student("late", admin);
	for (let i = 0; i < ROUNDS; i++) {
		const event = await a.event(admin);
		const code = await a.qr(admin, event.id);
		await a.want(200, a.post(`/api/admin/qr-sessions/${code.session_id}/revoke`, undefined, admin));
		const reply = await b.mark(code.qr_payload, student.token);
		assert.equal(reply.status, 400);
		assert.equal(reply.body.error, "qr_revoked");
	}
});

test("a listener on one node hears what is written on the other, and misses nothing when it changes nodes", async () => {
	const stream = await listen(b, "/api/notifications/stream", admin);
	const signUp = (name) => a.want(201, a.post("/api/auth/signup",
		{ email: `${name}@students.example.org`, password: STUDENT_PASSWORD, full_name: name }));
	await signUp("heard");
	const event = await eventually("it is heard", () => named(stream, "notification").find((e) => e.data.type === "signup"));
	stream.close();
	await signUp("missed");
	const other = await listen(a, "/api/notifications/stream", admin, { "last-event-id": event.id });
	await eventually("what came between is told", () => named(other, "notification").some((e) => e.data.message.includes("missed")));
	other.close();
});

test("screens on both nodes show one code, and the count of marks on either", async () => {
	const student = await cluster.student("present", admin);
	const event = await a.event(admin);
	const display = await a.want(201, a.post(`/api/admin/events/${event.id}/display`, undefined, admin));
	const target = `/api/admin/events/${event.id}/frames`;
	const screens = await Promise.all([a, b].map((node) => listen(node, target, display.display_token)));
	const frames = await eventually("both show a code", () => screens.every((s) => named(s, "frame").length) && screens.map((s) => named(s, "frame")[0].data));
	assert.equal(frames[0].session_id, frames[1].session_id);
	await a.want(201, a.mark(frames[1].qr_payload, student.token));
	await eventually("both count it", () => screens.every((s) => named(s, "count").some((e) => e.data.count === 1)));
	await a.want(200, a.post(`/api/admin/qr-sessions/${frames[0].session_id}/revoke`, undefined, admin));
	await eventually("both show another code", () => screens.every((s) => named(s, "frame").some((e) => e.data.session_id !== frames[0].session_id)));
	await a.want(200, a.request("DELETE", `/api/admin/events/${event.id}/display`, { token: admin }));
	await eventually("both go dark", () => screens.every((s) => s.ended));
});

test("one key on two nodes at once marks once", async () => {
	const event = await a.event(admin);
	const code = await a.qr(admin, event.id);
	const students = await Promise.all(Array.from({ length: ROUNDS }, (_, i) => cluster.student(`key${i}`, admin)));
	for (const student of students) {
		const options = { headers: { "idempotency-key": "the-same" } };
		const replies = await Promise.all([a, b].map((node) => node.mark(code.qr_payload, student.token, options)));
		for (const reply of replies)
			assert.ok(reply.status === 201 || (reply.status === 409 && reply.body.error === "idempotency_in_progress"), reply.text);
		const later = await Promise.all([a, b].map((node) => node.want(201, node.mark(code.qr_payload, student.token, options))));
		assert.equal(later[0].attendance_id, later[1].attendance_id);
	}
	assert.equal(cluster.sql(`SELECT count(*) AS n FROM attendance_records WHERE event_id = '${event.id}'`)[0].n, ROUNDS);
});

test("of two administrators who demote each other one stays", async () => {
	const second = await cluster.student("second", admin);
	await a.want(200, a.request("PATCH", `/api/admin/users/${second.id}`, { body: { role: "admin" }, token: admin }));
	const people = [{ email: ADMIN.email, password: ADMIN.password }, { email: second.email, password: STUDENT_PASSWORD }];
	for (const p of people)
		p.id = cluster.sql(`SELECT id FROM users WHERE email = '${p.email}'`)[0].id;
	for (let round = 0; round < ROUNDS; round++) {
		const tokens = await Promise.all([a, b].map((node, i) => node.login(people[i].email, people[i].password)));
		const replies = await Promise.all([a, b].map((node, i) =>
			node.request("PATCH", `/api/admin/users/${people[1 - i].id}`, { body: { role: "student" }, token: tokens[i] })));
		const winner = replies.findIndex((r) => r.status === 200);
		assert.equal(replies.filter((r) => r.status === 200).length, 1, replies.map((r) => r.text).join("\n"));
		assert.ok([401, 403, 409].includes(replies[1 - winner].status), replies[1 - winner].text);
		assert.equal(cluster.sql("SELECT count(*) AS n FROM users WHERE role = 'admin' AND is_active")[0].n, 1);
		await a.want(200, a.request("PATCH", `/api/admin/users/${people[1 - winner].id}`, { body: { role: "admin" }, token: tokens[winner] }));
	}
	admin = await cluster.admin();
});

test("of two logins at once one session stays", async () => {
	const student = await cluster.student("twice", admin);
	for (let round = 0; round < ROUNDS; round++) {
		const tokens = await Promise.all([a, b].map((node) => node.login(student.email, STUDENT_PASSWORD)));
		assert.equal(cluster.sql(`SELECT count(*) AS n FROM sessions WHERE user_id = '${student.id}' AND revoked_at IS NULL`)[0].n, 1);
		await eventually("every node lets in one of the two", async () => {
			const seen = await Promise.all([a, b].map((node) => Promise.all(tokens.map((t) => me(node, t)))));
			return seen.every((s) => s.filter((status) => status === 200).length === 1) && seen[0][0] === seen[1][0];
		});
	}
});

test("of two ways in that are removed at once one stays", async () => {
	const student = await cluster.student("linked", admin);
	cluster.sql(`UPDATE users SET password_hash = NULL WHERE id = '${student.id}'`);
	for (let round = 0; round < ROUNDS; round++) {
		for (const provider of ["google", "microsoft"])
			cluster.sql(`INSERT INTO oauth_identities (id, user_id, provider, issuer, subject, created_at) VALUES
				(gen_random_uuid(), '${student.id}', '${provider}', 'https://${provider}.example.org', 's', now()) ON CONFLICT DO NOTHING`);
		const replies = await Promise.all([[a, "google"], [b, "microsoft"]].map(([node, provider]) =>
			node.request("DELETE", `/v1/auth/oauth/identities/${provider}`, { token: student.token })));
		assert.deepEqual(replies.map((r) => r.status).sort(), [204, 409], replies.map((r) => r.text).join("\n"));
		assert.equal(replies.find((r) => r.status === 409).body.error.details.reason, "last_login_method");
		assert.equal(cluster.sql(`SELECT count(*) AS n FROM oauth_identities WHERE user_id = '${student.id}'`)[0].n, 1);
	}
});

test("of two first devices one is bound, and of two accounts with one device one has it", async () => {
	const bind = async (node, token, imei) => (await node.post("/api/v1/student/device/bind", { imei }, token)).body;
	const students = await Promise.all(Array.from({ length: ROUNDS }, (_, i) => cluster.student(`device${i}`, admin)));
	for (const [i, s] of students.entries()) {
		const replies = await Promise.all([a, b].map((node, k) => bind(node, s.token, `first-device-${i}-${k}`)));
		assert.deepEqual(replies.map((r) => r.status).sort(), ["bound", "pending"]);
	}
	for (let i = 0; i < ROUNDS; i++) {
		const two = await Promise.all([0, 1].map((k) => cluster.student(`shares${i}-${k}`, admin)));
		const replies = await Promise.all([a, b].map((node, k) => bind(node, two[k].token, `shared-device-${i}`)));
		assert.deepEqual(replies.map((r) => r.status).sort(), ["bound", "pending"]);
	}
});

test("the jobs have one leader; when it is killed or stopped another takes over, and no turn is done twice", async () => {
	const url = postgres.database();
	const c = await Cluster.start({ postgres, url });
	try {
		postgres.run(url, `CREATE TABLE turns (seq BIGSERIAL, name TEXT, leader TEXT, started TIMESTAMPTZ);
			CREATE FUNCTION note_turn() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN INSERT INTO turns (name, leader, started) VALUES (NEW.name, NEW.leader, NEW.last_started_at); RETURN NULL; END $$;
			CREATE TRIGGER note_turn AFTER INSERT OR UPDATE ON jobs FOR EACH ROW WHEN (NEW.name <> 'leader') EXECUTE FUNCTION note_turn()`);
		const leader = () => postgres.run(url, "SELECT leader FROM jobs WHERE name = 'leader'");
		const pidOf = (name) => Number(name.split(":")[1]);
		const newTurnBy = (name) => postgres.query(url, `SELECT 1 FROM turns WHERE leader = '${name}'`).length > 0;
		const leads = (other) => eventually("another leads and works", () => leader() !== other && newTurnBy(leader()) && leader(), 60000);

		const first = await eventually("one leads and works", () => leader() && newTurnBy(leader()) && leader(), 60000);
		const killed = c.nodes.find((n) => n.child.pid === pidOf(first));
		killed.child.kill("SIGKILL");
		const second = await leads(first);
		c.nodes[c.nodes.indexOf(killed)] = await c.startNode();

		const stopped = c.nodes.find((n) => n.child.pid === pidOf(second));
		stopped.child.kill("SIGSTOP");
		let third;
		try {
			third = await leads(second);
		} finally {
			stopped.child.kill("SIGCONT");
		}
		await eventually("the one that was stopped sees that it leads no more", () => stopped.logs().some((l) => l.event_type === "bus.lost"), 60000);
		const seen = postgres.query(url, "SELECT max(seq) AS n FROM turns")[0].n;
		await eventually("some more turns", () => postgres.query(url, `SELECT 1 FROM turns WHERE seq > ${seen + 2}`).length > 0, 60000);

		const turns = postgres.query(url, "SELECT name, leader, extract(epoch FROM started) AS at FROM turns ORDER BY seq");
		const order = turns.map((t) => t.leader).filter((l, i, all) => l !== all[i - 1]);
		assert.deepEqual(order, [first, second, third], "who leads no more does no turn");
		const period = { approval_expire: 30, event_counts: 10, notify_marks: 10, password_reset: 5 };
		for (const [name, seconds] of Object.entries(period)) {
			const times = turns.filter((t) => t.name === name).map((t) => t.at);
			for (let i = 1; i < times.length; i++)
				assert.ok(times[i] - times[i - 1] > seconds - 1, `${name} ran twice within ${times[i] - times[i - 1]} s`);
		}
	} finally {
		await c.discard();
	}
});

test("a limit set by the command holds on every node, without a restart", async () => {
	const c = await Cluster.start({ postgres, env: { RATE_LIMIT_ENABLED: "true", RL_QR_ADMIN_LIMIT: "1000000" } });
	try {
		const token = await c.admin();
		const event = await c.event(token);
		const generate = async (node) => (await node.post("/api/admin/qr-sessions", { event_id: event.id }, token)).status;
		const run = async (...words) => {
			const done = await command(["limits", ...words], { dir: c.dir, env: c.env });
			assert.equal(done.code, 0, done.stderr);
			return done.stdout;
		};
		assert.deepEqual(await Promise.all(c.nodes.map(generate)), [201, 201]);
		await run("set", "RL_QR_ADMIN_LIMIT", "1");
		await eventually("both refuse", async () => (await Promise.all(c.nodes.map(generate))).every((status) => status === 429));
		assert.match(await run(), /^RL_QR_ADMIN_LIMIT +1 {2}set /m);
		await run("reset", "RL_QR_ADMIN_LIMIT");
		await eventually("both allow it again", async () => (await Promise.all(c.nodes.map(generate))).every((status) => status === 201));
	} finally {
		await c.discard();
	}
});

function certificate() {
	const dir = newDirectory();
	const tls = { dir, cert: path.join(dir, "cert.pem"), key: path.join(dir, "key.pem") };
	execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
		"-subj", "/CN=attend.example.org", "-keyout", tls.key, "-out", tls.cert], { stdio: "ignore" });
	return tls;
}

test("the shipped nginx configuration is valid, speaks HTTP/2 over TLS and lets streams through at once", async () => {
	const tls = certificate();
	const checked = await checkFront(tls);
	assert.equal(checked.code, 0, checked.text);
	const complaints = checked.text.split("\n").filter((l) => /\[(warn|error|emerg)\]/.test(l));
	assert.deepEqual(complaints.filter((l) => !/"listen ... http2" directive is deprecated/.test(l)), []); // since 1.25, which 1.22 does not know
	const front = await Nginx.start([a.port, b.port], tls);
	const session = http2.connect(`https://localhost:${front.port}`, { ca: fs.readFileSync(tls.cert), servername: "attend.example.org", checkServerIdentity: () => undefined });
	try {
		const request = session.request({ ":path": "/api/notifications/stream", authorization: `Bearer ${admin}` });
		let text = "", headers;
		request.setEncoding("utf8").on("data", (d) => { text += d; }).on("response", (h) => { headers = h; });
		await eventually("the stream begins", () => headers && text.includes("retry:"));
		assert.equal(headers[":status"], 200);
		assert.match(headers["content-type"], /event-stream/);
		await cluster.student("through-http2", admin);
		await eventually("news come through", () => text.includes("event: notification"));
		request.close();
	} finally {
		session.destroy();
		await front.stop();
		fs.rmSync(tls.dir, { recursive: true, force: true });
	}
});

// Mail through the outbox, to a real SMTP server in this process.
"use strict";

const assert = require("node:assert/strict");
const net = require("node:net");
const { test } = require("node:test");
const { Server, eventually, listenTo } = require("./lib.js");
const { decoded, mailServer } = require("./peers.js");

const mailEnv = (port, user = "") => ({ SMTP_URL: `smtp://${user}127.0.0.1:${port}`, MAIL_FROM: "Muster Zürich <muster@example.org>" });

// A mail as the domain writes it.
function put(server, recipient, template = "password_changed", data = '{"name":"Ada"}') {
	const now = new Date().toISOString().replace("T", " ").replace("Z", "000");
	const id = `01890a5d-ac96-774b-bcce-${String(Math.floor(Math.random() * 1e12)).padStart(12, "0")}`;
	server.sql(`INSERT INTO outbox (id, recipient, template, data, created_at, next_try_at, attempts)
		VALUES ('${id}', '${recipient}', '${template}', '${data}', '${now}', '${now}', 0)`);
	return id;
}

test("a mail arrives in text and HTML, signed in, and the outbox forgets what was in it", async () => {
	const smtp = await mailServer({
		authOptional: false, allowInsecureAuth: true,
		onAuth: (auth, session, done) => done(auth.username === "u" && auth.password === "p@ss" ? null : new Error("no"), { user: "u" }),
	});
	const server = await Server.start({ env: mailEnv(smtp.port, "u:p%40ss@") });
	try {
		const id = put(server, "ada@example.org", "attendance_changed",
			'{"name":"Ada","event":"Logic & <b>","status":"late","reason":"Train"}');
		await eventually("the mail arrives", () => smtp.mails.length > 0, 30000);
		const [mail] = smtp.mails;
		assert.deepEqual(mail.to, ["ada@example.org"]);
		assert.equal(mail.from, "muster@example.org");
		assert.equal(mail.user, "u");
		assert.match(mail.text, /^From: =\?UTF-8\?B\?[A-Za-z0-9+/=]+\?=\r\n <muster@example\.org>\r\nTo: <ada@example\.org>\r\nSubject: Your attendance was changed\r\n/);
		const [text, html] = decoded(mail);
		assert.match(text, /your attendance at Logic & <b> was changed by hand\. {2}It is now: late\./);
		assert.match(html, /Logic &amp; &lt;b&gt;/);
		await eventually("it is struck out", () => server.sql(`SELECT 1 FROM outbox WHERE id = '${id}' AND sent_at IS NOT NULL AND data = '{}'`).length);
		const ready = await eventually("ready has asked the mail server", async () => {
			const r = await server.want(200, server.get("/v1/ready"));
			return r.checks.mail.status === "ok" && r;
		}, 30000);
		assert.equal(ready.status, "ok");
		assert.ok(!server.stderr.includes("p@ss") && !server.stderr.includes("p%40ss"));
	} finally {
		await server.discard();
		await smtp.close();
	}
});

test("a roster is reminded of its session, live, and by mail as each wishes", async () => {
	const smtp = await mailServer();
	const server = await Server.start({ env: mailEnv(smtp.port) });
	try {
		const admin = await server.admin();
		const [ada, bob] = await server.students(admin, 2);
		await server.want(200, server.request("PATCH", "/v1/auth/me", { token: bob.token, body: { mail: { reminders: false } } }));
		const course = await server.want(201, server.post("/api/v1/lecturer/courses", { code: "MA101", title: "Algorithms" }, admin));
		for (const { email } of [ada, bob])
			await server.want(201, server.post(`/api/v1/lecturer/courses/${course.id}/roster`, { email }, admin));
		const stream = await listenTo(server.port, "/api/notifications/stream", bob.token);
		const starts_at = new Date(Date.now() + 20 * 60000).toISOString().slice(0, 19) + "Z";
		await server.want(201, server.post("/api/v1/lecturer/sessions", { course_id: course.id, starts_at, duration_minutes: 60 }, admin));
		const live = await eventually("it is told live", () => stream.events.find((e) => e.data.type === "reminder"), 90000);
		assert.match(live.data.message, /^Algorithms \(MA101\) begins in (19|20) minutes\.$/);
		assert.equal(live.data.data.starts_at, starts_at);
		stream.close();
		const mails = (subject) => smtp.mails.filter((m) => m.text.includes(`\r\nSubject: ${subject}\r\n`));
		await eventually("the mail arrives", () => mails("A session is about to begin").length, 30000);
		assert.deepEqual(mails("A session is about to begin").map((m) => m.to), [[ada.email]]);
		assert.deepEqual(mails("A decision about you").map((m) => m.to[0]).sort(), [ada.email, bob.email].sort());
		assert.ok(decoded(mails("A session is about to begin")[0])[0].includes(`Algorithms (MA101) begins at ${starts_at.slice(0, 10)} ${starts_at.slice(11, 16)} UTC.`));
		assert.deepEqual((await server.want(200, server.get("/api/notifications", ada.token))).notifications.filter((n) => n.type === "reminder").map((n) => n.message), [live.data.message]);
		assert.equal(server.sql("SELECT 1 FROM outbox WHERE template = 'reminder'").length, 1);
	} finally {
		await server.discard();
		await smtp.close();
	}
});

test("451 puts a mail off, 550 drops it, and others go on", async () => {
	const seen = [];
	const smtp = await mailServer({
		onRcptTo(address, session, done) {
			seen.push(address.address);
			if (address.address.startsWith("later") && seen.filter((a) => a === address.address).length === 1)
				return done(Object.assign(new Error("greylisted"), { responseCode: 451 }));
			if (address.address.startsWith("never"))
				return done(Object.assign(new Error("no such user"), { responseCode: 550 }));
			return done();
		},
	});
	const server = await Server.start({ env: mailEnv(smtp.port) });
	try {
		const later = put(server, "later@example.org");
		const never = put(server, "never@example.org");
		put(server, "ada@example.org");
		await eventually("the others are done", () => smtp.mails.length === 1 && !server.sql(`SELECT 1 FROM outbox WHERE id = '${never}'`).length, 30000);
		const [row] = await eventually("it was put off", () => {
			const soon = new Date(Date.now() + 30000).toISOString().replace("T", " ").slice(0, 19);
			const rows = server.sql(`SELECT attempts, last_error, next_try_at > '${soon}' AS later FROM outbox WHERE id = '${later}' AND last_error <> ''`);
			return rows.length && rows;
		});
		assert.equal(row.attempts, 1);
		assert.ok(row.later);
		assert.match(row.last_error, /451/);
		server.sql(`UPDATE outbox SET next_try_at = '2020-01-01 00:00:00.000000' WHERE id = '${later}'`);
		await eventually("the second try arrives", () => smtp.mails.some((m) => m.to[0] === "later@example.org"), 30000);
		assert.ok(server.logs().some((l) => l.event_type === "mail.dropped"));
	} finally {
		await server.discard();
		await smtp.close();
	}
});

test("an address with line breaks reaches no command and no header", async () => {
	const commands = [];
	const smtp = await mailServer({ onRcptTo(address, session, done) { commands.push(address.address); done(); } });
	const server = await Server.start({ env: mailEnv(smtp.port) });
	try {
		put(server, "ada@example.org>\r\nRCPT TO:<eve@example.org");
		put(server, "ada@example.org\r\nBcc: eve@example.org");
		put(server, "good@example.org", "password_changed", '{"name":"Ada\\r\\nBcc: eve@example.org"}');
		await eventually("the good one arrives", () => smtp.mails.length === 1, 30000);
		await eventually("the bad ones are gone", () => !server.sql("SELECT 1 FROM outbox WHERE sent_at IS NULL").length, 30000);
		assert.deepEqual(commands, ["good@example.org"]);
		assert.ok(!/^Bcc/m.test(smtp.mails[0].text));
	} finally {
		await server.discard();
		await smtp.close();
	}
});

test("a mail server that says nothing holds up no one, and ready tells", async () => {
	const sockets = new Set();
	const silent = net.createServer((s) => { sockets.add(s); s.on("error", () => {}); });
	await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
	const server = await Server.start({ env: mailEnv(silent.address().port) });
	try {
		const id = put(server, "ada@example.org");
		await eventually("the job is hanging", () => sockets.size > 0, 30000);
		const admin = await server.admin();
		const begun = performance.now();
		await server.event(admin);
		assert.ok(performance.now() - begun < 1000);
		await eventually("the jobs of the database go on", () => server.sql("SELECT 1 FROM jobs WHERE name = 'event_counts'").length, 20000);
		await eventually("ready says so", async () => {
			const r = await server.want(200, server.get("/v1/ready"));
			return r.status === "degraded" && r.checks.mail.status === "failed";
		}, 60000);
		assert.equal(server.sql(`SELECT attempts FROM outbox WHERE id = '${id}' AND sent_at IS NULL`).length, 1);
	} finally {
		await server.discard();
		for (const s of sockets)
			s.destroy();
		silent.close();
	}
});

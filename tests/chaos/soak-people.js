// Who is at work in soak.js, and what they do.  Each work is a function that gives the next step.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { command, eventually, listenTo, pause } = require("./lib.js");
const { decoded } = require("../e2e/peers.js");

const STREAMS = 8, PATIENCE_MS = 60000, ROSTER = 20, SCANS = 5, SEMINAR_MINUTES = 600, ENROLMENTS = 5;

const counts = new Map();
const note = (what) => counts.set(what, (counts.get(what) || 0) + 1);
const count = (what) => counts.get(what) || 0;
const told = () => [...counts].map(([what, n]) => `${n} ${what}`).join(", ");

class Person {
	constructor(server, email, password, address) {
		Object.assign(this, { server, email, password, address });
	}

	// An answer; what was cut off, put off or limited is asked again, and who was signed in too long signs in again.  `tries` ends that with
	// the last answer.
	async ask(method, target, body, headers, tries = Infinity) {
		const content = Buffer.isBuffer(body) ? { raw: body } : { body };
		for (const end = performance.now() + PATIENCE_MS; ; await pause(25)) {
			assert.ok(performance.now() < end, `no answer within ${PATIENCE_MS} ms: ${method} ${target}; ${told()}`);
			const reply = await this.server.request(method, target,
				{ ...content, token: this.token, headers: { "x-forwarded-for": this.address, ...headers } }).catch(() => ({ status: "broken" }));
			if (reply.status === 401 && this.token)
				await this.renew();
			else if (![429, 503, "broken"].includes(reply.status) && reply.body?.error !== "idempotency_in_progress" || --tries < 1)
				return reply;
			note(reply.status);
		}
	}

	// As nobody: what else this one asks meanwhile goes on under the old token, and comes here too.
	asNobody(target, body) {
		return new Person(this.server, null, null, this.address).ask("POST", target, body);
	}

	// An answer that must have this status; its body.
	async want(status, method, target, body) {
		const reply = await this.ask(method, target, body);
		assert.equal(reply.status, status, `${method} ${target}: ${reply.text}`);
		return reply.body;
	}

	async signIn() {
		const reply = await this.asNobody("/api/auth/login", { username: this.email, password: this.password });
		assert.equal(reply.status, 200, reply.text);
		this.take(reply.body, "logins");
	}

	renew() {
		return this.renewing ??= this.refreshOrSignIn().finally(() => { this.renewing = null; });
	}

	// A refresh whose answer was lost is no use a second time.
	async refreshOrSignIn() {
		const reply = await this.asNobody("/api/auth/refresh", { refresh_token: this.refresh });
		if (reply.status === 200)
			this.take(reply.body, "refreshes");
		else
			await this.signIn();
	}

	take(body, what) {
		this.token = body.access_token;
		this.refresh = body.refresh_token;
		note(what);
	}
}

const lecture = (server, admin, everybody, acknowledged) => {
	let old = null;
	return async () => {
		const now = (await admin.ask("GET", "/v1/health")).headers.date;
		const event = (await admin.ask("POST", "/api/admin/events", { title: "Lecture", scheduled_at: new Date(now).toISOString() })).body;
		const code = (await admin.ask("POST", "/api/admin/qr-sessions", { event_id: event.id })).body;
		await Promise.all(everybody.map(async (student, i) => {
			const late = i === 0 && old, key = `${event.id}-${i}`;
			const reply = await student.ask("POST", "/api/attendance/mark", { qr_payload: (late || code).qr_payload }, { "idempotency-key": key });
			if (reply.status === 201)
				acknowledged.add(reply.body.attendance_id);
			note(reply.status === 201 ? "marks" : `marks refused (${reply.status})`);
		}));
		await admin.ask("GET", "/api/admin/events");
		old = code;
	};
};

const comings = (server, everybody) => {
	let n = 0;
	return async () => {
		const { email, password } = everybody[n++ % everybody.length], address = `10.${n >> 16 & 255}.${n >> 8 & 255}.${n & 255}`;
		const person = new Person(server, email, password, address);
		await person.signIn();
		await person.ask("GET", "/api/auth/me");
		await person.renew();
		await person.ask("POST", "/api/auth/logout", {});
		const guess = await new Person(server, "", "", address).ask("POST", "/api/auth/login", { username: `nobody${n}@example.org`, password });
		note(`guesses (${guess.status})`);
	};
};

const listening = (server, everybody, streams) => {
	let n = 0;
	return async () => {
		const student = everybody[n++ % everybody.length];
		await student.ask("GET", "/api/auth/me"); // so that its token is of use
		const stream = await listenTo(server.port, "/api/notifications/stream", student.token, { "x-forwarded-for": student.address }).catch(() => null);
		note(stream?.status === 200 ? "streams" : "streams refused");
		if (stream)
			streams.push(stream);
		while (streams.length > STREAMS)
			streams.shift().close();
	};
};

// What a form with these parts is on the wire.
async function form(parts) {
	const data = new FormData();
	for (const [name, value] of Object.entries(parts))
		data.append(name, Buffer.isBuffer(value) ? new Blob([value], { type: "image/jpeg" }) : value, ...(Buffer.isBuffer(value) ? ["selfie.jpg"] : []));
	const wire = new Response(data);
	return { body: Buffer.from(await wire.arrayBuffer()), headers: { "content-type": wire.headers.get("content-type") } };
}

// Marks with selfies; one of them is looked at, one student takes hers back, and the roll goes out as a file.  Where there are models, who
// has no face enrolled does that first.
const seminar = (lecturer, everybody, { pictures, models }, acknowledged) => {
	const formats = ["csv", "xlsx", "json"];
	let n = 0, strangers = everybody;
	const enrol = async (student) => { // the helper works no faster than ever, but its deadlines come faster: it may be too late
		const { body, headers } = await form({ consent: "true", file: pictures[everybody.indexOf(student) % pictures.length] });
		note(`faces enrolled (${(await student.ask("POST", "/api/v1/student/enroll-face", body, headers, ENROLMENTS)).status})`);
	};
	const scan = async (id, student, selfie) => {
		for (let i = 0; i < SCANS; i++) {
			const { qr_session_id, qr_nonce } = await lecturer.want(200, "GET", `/api/v1/lecturer/sessions/${id}/qr`);
			const { body, headers } = await form({ qr_session_id, qr_nonce, selfie });
			const reply = await student.ask("POST", "/api/v1/student/attendance", body, { "idempotency-key": `${id}-${student.email}-${i}`, ...headers });
			note(reply.status === 201 ? "marks with a selfie" : `marks with a selfie refused (${reply.status})`);
			if (reply.status !== 400) // the code went on to the next meanwhile
				return reply.body.attendance_id;
		}
		return null;
	};
	return async () => {
		for (const student of models ? strangers : [])
			await enrol(student);
		const { id } = await lecturer.want(201, "POST", "/api/v1/lecturer/sessions", { title: "Seminar", duration_minutes: SEMINAR_MINUTES, require_face: true });
		const marked = await Promise.all(everybody.map((student, i) => scan(id, student, pictures[i % pictures.length])));
		for (const mark of marked.filter(Boolean))
			acknowledged.add(mark);
		const first = marked.find(Boolean);
		if (first)
			note(`selfies looked at (${(await lecturer.ask("GET", `/api/v1/lecturer/attendance/${first}/selfie`)).status})`);
		strangers = [everybody[n++ % everybody.length]];
		assert.equal((await strangers[0].ask("DELETE", "/api/v1/student/face")).status, 204);
		note(`exports (${(await lecturer.ask("GET", `/api/v1/lecturer/sessions/${id}/export?format=${formats[n % formats.length]}`)).status})`);
		await lecturer.want(200, "GET", "/api/v1/lecturer/dashboard");
	};
};

// Somebody forgot the password, gets a mail, and signs in with another.
const forgetting = (everybody, smtp) => {
	let n = 0;
	return async () => {
		const person = everybody[n++ % everybody.length], password = `Another-Lighthouse-${n}`;
		smtp.mails.length = 0;
		const asked = await person.asNobody("/v1/auth/password-reset/request", { email: person.email });
		assert.equal(asked.status, 202, asked.text);
		const token = await eventually(`the mail for ${person.email} comes; ${told()}`, () => smtp.mails.filter((mail) => mail.to[0] === person.email)
			.map((mail) => /#([\w-]{43})/.exec(decoded(mail)[0])?.[1]).find(Boolean), PATIENCE_MS);
		const reply = await person.asNobody("/v1/auth/password-reset/confirm", { token, new_password: password });
		assert.ok([200, 400].includes(reply.status), reply.text); // 400: an answer was cut off, and the link is used
		person.password = password;
		await person.signIn();
		note("passwords reset by mail");
	};
};

// The operator takes over accounts beside the server, and writes them all out.
const administration = (server) => {
	const file = path.join(server.dir, "new.csv");
	let n = 0;
	return async () => {
		const rows = Array.from({ length: ROSTER }, (_, i) => `i${n}-${i}@example.org,Student ${i},student`);
		fs.writeFileSync(file, `email,full_name,role\n${rows.join("\n")}\n`);
		n++;
		const taken = await command(["import", "users", file, "--json"], { dir: server.dir });
		assert.equal(taken.code, 0, taken.stderr);
		assert.equal(JSON.parse(taken.stdout).added, ROSTER, taken.stdout);
		note("imports");
		const written = await command(["export", "users"], { dir: server.dir });
		assert.equal(written.code, 0, written.stderr);
		note("exports of all accounts");
	};
};

module.exports = { PATIENCE_MS, Person, administration, comings, count, forgetting, lecture, listening, note, seminar, told };

// Known secrets are planted, everything is exercised, and none is found again but in the reply that delivers it: not in another reply, a
// log line at debug level, a metric, a crash report, a command's output, a mail, or the database.  On both engines.
"use strict";

const { describe, test } = require("node:test");
const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { execFileSync } = require("node:child_process");
const { Postgres } = require("./cluster");
const { Server, command, eventually } = require("./lib");
const { decoded, mailServer, provider, walk } = require("./peers");
const { Canaries, spellings } = require("./canary-lib");

const REDIRECT = "http://127.0.0.1:9/callback"; // nobody listens there: the test reads the address
const ADMIN_EMAIL = "admin@example.org";
const NOBODY = "00000000-0000-7000-8000-000000000000";
const AWKWARD = "\"<&> +%\\/"; // characters that encodings change

// What a route may tell, and nobody else: members of its replies.
const DELIVERS = {
	"POST /api/auth/login": ["access_token", "refresh_token", "mfa_token"],
	"POST /api/auth/refresh": ["access_token", "refresh_token"],
	"POST /api/attendance/claim": ["claim"],
	"POST /api/admin/events/{id}/display": ["display_token"],
	"POST /v1/auth/signup": ["access_token", "refresh_token"],
	"POST /v1/auth/login": ["access_token", "refresh_token", "mfa_token"],
	"POST /v1/auth/refresh": ["access_token", "refresh_token"],
	"POST /v1/auth/mfa/totp/setup": ["secret"],
	"POST /v1/auth/mfa/totp/verify": ["backup_codes"],
	"POST /v1/auth/mfa/backup-codes/regenerate": ["backup_codes"],
	"POST /v1/auth/mfa/complete": ["access_token", "refresh_token"],
	"GET /v1/auth/oauth/{provider}/start": ["state", "binding"],
	"GET /v1/auth/oauth/{provider}/callback": ["access_token", "refresh_token", "link_token", "mfa_token"],
	"POST /v1/auth/oauth/{provider}/callback": ["access_token", "refresh_token", "link_token", "mfa_token"],
	"POST /v1/auth/oauth/{provider}/callback/complete": ["access_token", "refresh_token", "link_token", "mfa_token"],
	"POST /v1/auth/oauth/link/confirm": ["access_token", "refresh_token", "mfa_token"],
};
const SECRET_MEMBERS = new Set(Object.values(DELIVERS).flat());

// --- the stage: a server, and everything it speaks to, with known secrets ----

const random = () => crypto.randomBytes(18).toString("base64url");

async function sentryPeer() {
	const reports = [];
	const server = http.createServer((req, res) => {
		const parts = [];
		req.on("data", (d) => parts.push(d));
		req.on("end", () => {
			reports.push(Buffer.concat(parts).toString("latin1"));
			res.end("{}");
		});
	});
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
	return { reports, port: server.address().port, close: () => new Promise((resolve) => {
		server.closeAllConnections();
		server.close(resolve);
	}) };
}

const linkOf = (mail) => /\/app\/(\w+)#([\w-]{43})/.exec(decoded(mail)[0]);

class Stage {
	constructor() {
		this.canaries = new Canaries();
		this.replies = [];
	}

	async open(engine) {
		const s = this;
		const plant = (what, value = `canary-${random()}`) => s.canaries.plant(what, value);
		s.password = plant("password of the people", `Canary-1-${random()}${AWKWARD}`);
		s.adminPassword = plant("password of the administrator", `Canary-2-${random()}`);
		s.wrong = plant("password that nobody has", `Canary-3-${random()}${AWKWARD}`);
		s.typed = plant("secret in a place where none belongs", `canary-4-${random()}`);
		const clientSecret = plant("client secret");
		s.sentry = await sentryPeer();
		s.idp = await provider(REDIRECT, clientSecret);
		s.smtpPassword = plant("mail server's password", `canary-5-${random()} /@`);
		s.smtp = await mailServer({ authOptional: false, allowInsecureAuth: true,
			onAuth: (auth, session, done) => done(auth.password === s.smtpPassword ? null : new Error("no"), { user: "u" }),
			onRcptTo: (address, session, done) => done(/^refused/.test(address.address) ? new Error("nobody of that name") : null) });
		const mfaKey = plant("MFA_ENCRYPTION_KEY", `canary-${random()}${random()}`);
		s.canaries.plant("key of the sealed texts",
			Buffer.from(crypto.hkdfSync("sha256", mfaKey, Buffer.alloc(0), "muster fernet", 32)).toString("latin1"));
		s.metricsToken = plant("METRICS_TOKEN");
		s.env = { LOG_LEVEL: "DEBUG", SINGLE_DEVICE: "false", SIGNUP_POLICY: "open", ADMIN_EMAIL, ADMIN_PASSWORD: s.adminPassword,
			LOGIN_FAIL_IP_THRESHOLD: "100000", MFA_TOTP_DIGITS: "8", PUBLIC_BASE_URL: "https://attend.example.org", DOCS_ENABLED: "true",
			SECRET_KEY: plant("SECRET_KEY", `canary-${random()}${random()}`), MFA_ENCRYPTION_KEY: mfaKey, METRICS_TOKEN: s.metricsToken,
			QR_SIGNING_SECRET: plant("QR_SIGNING_SECRET", `canary-${random()}${random()}`),
			TOKEN_PEPPER: plant("TOKEN_PEPPER", `canary-${random()}${random()}`),
			SMTP_URL: `smtp://u:${encodeURIComponent(s.smtpPassword)}@127.0.0.1:${s.smtp.port}`, MAIL_FROM: "muster@example.org",
			OAUTH_PROVIDERS: "campus", OAUTH_CAMPUS_ISSUER: s.idp.issuer, OAUTH_CAMPUS_CLIENT_ID: "muster",
			OAUTH_CAMPUS_CLIENT_SECRET: clientSecret, OAUTH_CAMPUS_REDIRECT_URI: REDIRECT,
			REDIS_URL: `redis://:${plant("password of Redis")}@127.0.0.1:1/0`, // nobody there: it fails
			S3_ACCESS_KEY: plant("S3_ACCESS_KEY"), S3_SECRET_KEY: plant("S3_SECRET_KEY"),
			SENTRY_DSN: `http://${plant("key of SENTRY_DSN", crypto.randomBytes(16).toString("hex"))}@127.0.0.1:${s.sentry.port}/1` };
		if (engine === "postgresql") {
			s.pg = await Postgres.start();
			s.env.DATABASE_URL = s.pg.server.replace("postgresql:///", `postgresql://muster:${plant("database password")}@/`).replace("&user=muster", "");
		}
		s.server = await Server.start({ env: s.env });
	}

	async close() {
		await this.server?.discard();
		await this.pg?.stop();
		await Promise.all([this.sentry, this.smtp, this.idp].map((peer) => peer?.close()));
	}

	// Past the program, as an operator would.
	sql(text) {
		if (!this.pg)
			return this.server.sql(text);
		return this.pg.run(this.pg.server, text);
	}

	// One request.  `route` is "METHOD /template": what its reply delivers is a secret from then on.
	async call(route, { path: target, token, ...options } = {}) {
		const [method, template] = route.split(" ");
		const answer = await this.server.request(method, target || template, { token, ...options });
		const reply = { name: `the reply ${answer.status} of ${route}`, route, status: answer.status, body: answer.body, headers: answer.headers };
		reply.text = `${JSON.stringify(answer.headers)}\n${answer.bytes ? answer.bytes.toString("latin1") : answer.text}`;
		reply.reply = reply;
		this.replies.push(reply);
		this.harvest(route, reply, answer.body);
		for (const cookie of [answer.headers["set-cookie"] || []].flat()) {
			const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
			if (value)
				this.canaries.plant(`cookie ${name}`, value, reply);
		}
		if (answer.headers["x-device-token"])
			this.canaries.plant("device token", answer.headers["x-device-token"], reply);
		return reply;
	}

	harvest(route, reply, value) {
		for (const [name, member] of Object.entries(value && typeof value === "object" ? value : {})) {
			if (!SECRET_MEMBERS.has(name) || typeof member === "boolean" || member === null) {
				this.harvest(route, reply, member);
				continue;
			}
			// A schema's member in the description is an object, an account's state a word: no secrets.
			if ((typeof member === "object" && !Array.isArray(member)) || (typeof member === "string" && member.length < 20))
				continue;
			assert.ok(route.includes(" /api/v1/") || DELIVERS[route]?.includes(name), `${name} in ${reply.name}`);
			for (const secret of [member].flat())
				this.canaries.plant(`${name} of ${route}`, secret, reply);
		}
	}

	async want(status, route, options) {
		const reply = await this.call(route, options);
		assert.equal(reply.status, status, `${reply.name}: ${reply.text}`);
		return reply.body;
	}

	// --- people ----

	async signUp(name) {
		const email = `${name}@example.org`;
		const reply = await this.want(201, "POST /v1/auth/signup", { body: { name, email, password: this.password } });
		return { email, id: reply.user.id, token: reply.access_token, refresh: reply.refresh_token };
	}

	async login(email, password) {
		return (await this.want(200, "POST /v1/auth/login", { body: { email, password } })).access_token;
	}

	// The code of this moment, or of the next step.
	code(secret, at = "now") {
		const code = execFileSync("oathtool", ["--totp", "-b", "-d", "8", "-N", at, secret], { encoding: "utf8" }).trim();
		return this.canaries.plant("TOTP code", code);
	}

	// What stands behind the # of the newest such mail to somebody.
	async link(email, page) {
		return eventually(`a mail with ${page}`, () => {
			const mail = this.smtp.mails.findLast((m) => m.to.includes(email) && decoded(m)[0].includes(`/app/${page}#`));
			return mail && linkOf(mail)[2];
		}, 60000);
	}
}

// --- what is done ----

async function sessions(s) {
	const ada = await s.signUp("sessions");
	const web = { headers: { "x-muster-client": "web", origin: "https://attend.example.org" } };
	await s.want(200, "POST /v1/auth/login", { body: { email: ada.email, password: s.password }, ...web });
	const login = s.replies.at(-1);
	const cookies = login.headers["set-cookie"].map((c) => c.split(";")[0]).join("; ");
	const device = login.headers["x-device-token"];
	for (const surface of ["/v1", "/api"]) {
		const reply = await s.call(`POST ${surface}/auth/refresh`, { headers: { ...web.headers, cookie: s.cookie || cookies } });
		assert.equal(reply.status, 200, reply.text);
		s.cookie = reply.headers["set-cookie"].map((c) => c.split(";")[0]).join("; ");
	}
	await s.want(204, "POST /v1/auth/logout", { headers: { ...web.headers, cookie: s.cookie } });
	s.cookie = undefined;
	await s.want(200, "POST /v1/auth/login", { body: { email: ada.email, password: s.password }, headers: { "x-device-token": device } });
	await s.want(200, "POST /api/auth/login", { form: { username: ada.email, password: s.password, client_secret: s.typed } });
	const rotated = await s.want(200, "POST /v1/auth/refresh", { body: { refresh_token: ada.refresh } });
	await s.want(200, "POST /api/auth/refresh", { body: { refresh_token: rotated.refresh_token } });
	assert.equal((await s.call("POST /v1/auth/refresh", { body: { refresh_token: ada.refresh } })).status, 401); // reuse
	const token = await s.login(ada.email, s.password);
	const list = await s.want(200, "GET /v1/auth/sessions", { token });
	const other = list.sessions.find((x) => !x.current);
	await s.want(204, "DELETE /v1/auth/sessions/{id}", { path: `/v1/auth/sessions/${other.id}`, token });
	await s.want(200, "GET /v1/auth/me", { token });
	await s.want(200, "PATCH /v1/auth/me", { body: { name: "Ada" }, token });
	await s.want(200, "GET /api/auth/me", { token });
	const next = s.canaries.plant("a new password", `Canary-6-${random()}`);
	await s.want(200, "POST /v1/auth/password/change", { body: { current_password: s.password, new_password: next }, token });
	await s.want(204, "POST /api/auth/logout", { body: { refresh_token: (await s.want(200, "POST /api/auth/login",
		{ body: { username: ada.email, password: next } })).refresh_token } });
	await s.want(204, "POST /v1/auth/logout-all", { token });
	for (let i = 0; i < 10; i++) // until the address is locked
		await s.call("POST /v1/auth/login", { body: { email: ada.email, password: s.wrong } });
	assert.equal(s.replies.at(-1).status, 429);
	await s.call("POST /v1/auth/login", { body: { email: s.wrong, password: s.wrong } }); // the password in the wrong box
	await s.want(201, "POST /api/auth/signup", { body: { email: "asks@example.org", password: s.password, full_name: "Asks" } });
	await s.want(200, "GET /api/auth/approval-requests/{id}",
		{ path: `/api/auth/approval-requests/${s.replies.at(-1).body.approval_request_id}` });
}

async function mails(s) {
	const eve = await s.signUp("mails");
	await s.want(200, "POST /v1/auth/email/verify", { body: { token: await s.link(eve.email, "verify") } });
	await s.call("POST /v1/auth/email/verify/request", { token: eve.token });
	for (const email of [eve.email, "refused@example.org", s.typed])
		await s.call("POST /v1/auth/password-reset/request", { body: { email } });
	const token = await s.link(eve.email, "reset");
	const next = s.canaries.plant("password set by a link", `Canary-7-${random()}`);
	await s.want(422, "POST /v1/auth/password-reset/confirm", { body: { token, new_password: "short" } });
	await s.want(200, "POST /v1/auth/password-reset/confirm", { body: { token, new_password: next } });
	await s.want(400, "POST /v1/auth/password-reset/confirm", { body: { token, new_password: next } });
}

async function withFactor(s, name) {
	const person = await s.signUp(name);
	const setup = await s.want(200, "POST /v1/auth/mfa/totp/setup", { body: {}, token: person.token });
	const wrong = s.canaries.plant("a wrong code", String(crypto.randomInt(1e7, 1e8)));
	await s.want(401, "POST /v1/auth/mfa/totp/verify", { body: { code: wrong }, token: person.token });
	const { backup_codes: backup } = await s.want(200, "POST /v1/auth/mfa/totp/verify", { body: { code: s.code(setup.secret) }, token: person.token });
	return { ...person, secret: setup.secret, backup };
}

async function secondFactors(s) {
	const one = await withFactor(s, "factor-one");
	const pending = await s.want(200, "POST /api/auth/login", { body: { username: one.email, password: s.password } });
	await s.want(401, "POST /v1/auth/mfa/complete", { body: { mfa_token: pending.mfa_token, backup_code: one.backup[0].replace(/.$/, "?") } });
	const code = s.code(one.secret, "now + 30 seconds");
	await s.want(200, "POST /v1/auth/mfa/complete", { body: { mfa_token: pending.mfa_token, code } });
	const two = await withFactor(s, "factor-two");
	await s.want(200, "POST /v1/auth/mfa/backup-codes/regenerate", { body: { code: s.code(two.secret, "now + 30 seconds") }, token: two.token });
	const three = await withFactor(s, "factor-three");
	await s.want(200, "POST /v1/auth/mfa/disable", { body: { backup_code: three.backup[1] }, token: three.token });
}

async function start(s) {
	const begun = await s.call("GET /v1/auth/oauth/{provider}/start", { path: "/v1/auth/oauth/campus/start", headers: { accept: "application/json" } });
	assert.equal(begun.status, 200, begun.text);
	const back = await walk(begun.body.authorization_url, REDIRECT);
	return { state: begun.body.state, binding: begun.body.binding, search: back.search,
		cookie: begun.headers["set-cookie"][0].split(";")[0],
		code: s.canaries.plant("the provider's code", back.searchParams.get("code")) };
}

async function providers(s) {
	const callback = { path: "/v1/auth/oauth/campus/callback" };
	await s.want(200, "GET /v1/auth/oauth/providers");
	s.idp.as("eve"); // her address is an account's, and not proven
	const victim = await s.signUp("victim");
	let b = await start(s);
	const answer = await s.want(409, "POST /v1/auth/oauth/{provider}/callback",
		{ ...callback, body: { code: b.code, state: b.state, binding: b.binding } });
	const confirm = { link_token: answer.error.details.link_token, binding: b.binding };
	await s.want(401, "POST /v1/auth/oauth/link/confirm", { body: { ...confirm, password: s.wrong } });
	const linked = await s.want(200, "POST /v1/auth/oauth/link/confirm", { body: { ...confirm, password: s.password } });
	assert.equal(linked.user.id, victim.id);
	await s.want(200, "GET /v1/auth/oauth/identities", { token: linked.access_token });
	await s.want(204, "DELETE /v1/auth/oauth/identities/{provider}", { path: "/v1/auth/oauth/identities/campus", token: linked.access_token });
	s.idp.as("ada");
	b = await start(s);
	await s.want(200, "GET /v1/auth/oauth/{provider}/callback", { path: `/v1/auth/oauth/campus/callback${b.search}`, headers: { cookie: b.cookie } });
	b = await start(s);
	await s.want(200, "POST /v1/auth/oauth/{provider}/callback", { ...callback, form: { code: b.code, state: b.state, binding: b.binding } });
	b = await start(s);
	const other = await start(s);
	await s.want(401, "POST /v1/auth/oauth/{provider}/callback", { ...callback, body: { code: b.code, state: other.state, binding: other.binding } });
	b = await start(s);
	const landed = await s.call("GET /v1/auth/oauth/{provider}/callback", { path: `/v1/auth/oauth/campus/callback${b.search}`,
		headers: { cookie: b.cookie, accept: "text/html" } });
	const code = s.canaries.plant("a browser's code", landed.headers.location.split("#")[1], landed);
	await s.want(200, "POST /v1/auth/oauth/{provider}/callback/complete", { path: `${callback.path}/complete`, body: { code, binding: b.binding } });
}

async function attendance(s) {
	const token = await s.login(ADMIN_EMAIL, s.adminPassword);
	const event = await s.want(201, "POST /api/admin/events", { body: { title: "Lecture", scheduled_at: new Date().toISOString() }, token });
	const qr = await s.want(201, "POST /api/admin/qr-sessions", { body: { event_id: event.id }, token });
	const claim = await s.want(201, "POST /api/attendance/claim", { body: { qr_payload: qr.qr_payload } });
	const student = await s.signUp("scans");
	await s.want(201, "POST /api/attendance/mark", { body: { claim: claim.claim }, token: student.token });
	const display = await s.want(201, "POST /api/admin/events/{id}/display", { path: `/api/admin/events/${event.id}/display`, token });
	await s.want(200, "GET /api/admin/events/{id}/frames", { path: `/api/admin/events/${event.id}/frames`, token: display.display_token });
	return { event: event.id };
}

// --- every route, with good and bad input ----

function resolved(api, schema) {
	for (; schema?.$ref; schema = schema.$ref.slice(2).split("/").reduce((at, part) => at[part], api));
	return schema;
}

// An input that fits; what is a secret there is `secret`.
function fitting(api, schema, secret) {
	schema = resolved(api, schema);
	const type = [schema.type].flat()[0];
	if (schema.anyOf || schema.allOf)
		return fitting(api, (schema.anyOf || schema.allOf)[0], secret);
	if (schema.enum)
		return schema.enum[0];
	if (type === "object")
		return Object.fromEntries(Object.entries(schema.properties || {})
			.filter(([name, s]) => resolved(api, s).writeOnly || schema.required?.includes(name))
			.map(([name, s]) => [name, fitting(api, s, secret)]));
	if (type === "array")
		return [fitting(api, schema.items, secret)];
	if (type === "integer" || type === "number")
		return schema.minimum ?? 1;
	if (type === "boolean")
		return true;
	if (schema.format === "date-time")
		return new Date().toISOString();
	if (schema.format === "uuid")
		return NOBODY;
	return schema.writeOnly ? secret.slice(0, schema.maxLength) : "somebody@example.org".slice(0, schema.maxLength);
}

function inputs(api, operation, s) {
	const bad = s.typed;
	const all = [{}, { headers: { authorization: `Bearer ${bad}` } }, { headers: { authorization: `Basic ${Buffer.from(bad).toString("base64")}` } },
		{ headers: { cookie: ["rt", "dt", "ob"].map((c) => `__Host-muster_${c}=${bad}`).join("; "), "x-device-token": bad, "x-muster-client": "web",
			origin: "https://attend.example.org" } },
		{ query: `?token=${bad}&password=${encodeURIComponent(s.wrong)}` }];
	const content = resolved(api, operation.requestBody)?.content;
	if (!content)
		return all;
	const schema = Object.values(content)[0].schema, good = fitting(api, schema, s.wrong);
	const secrets = Object.entries(resolved(api, schema).properties || {}).filter(([, m]) => resolved(api, m).writeOnly).map(([name]) => name);
	const each = (value) => ({ ...good, ...Object.fromEntries(secrets.map((name) => [name, value])) });
	const json = { "content-type": "application/json" };
	return [...all, { body: good }, { body: { ...good, extra: bad } }, { body: each([bad]) }, { body: each({ x: bad }) },
		{ body: each(bad.repeat(100)) }, { raw: `{"password": "${bad}", `, headers: json }, { raw: `"${bad}"`, headers: json },
		{ raw: `password=${bad}`, headers: { "content-type": "text/plain" } }];
}

const operations = (api) => Object.entries(api.paths).flatMap(([template, methods]) => Object.entries(methods)
	.filter(([method]) => method !== "parameters")
	.map(([method, operation]) => ({ route: `${method.toUpperCase()} ${template}`, operation })));

// The path with ids in it: the event's own where it is only read.
function filled(route, event) {
	const [method, template] = route.split(" ");
	const ids = { id: method === "GET" && template.includes("/events/") ? event : NOBODY, provider: "campus" };
	return template.replace(/\{(\w+)\}/g, (_, name) => ids[name] || NOBODY);
}

async function everyRoute(s, { event }) {
	const api = await s.want(200, "GET /openapi.json");
	const who = { nobody: async () => undefined, student: () => s.login("scans@example.org", s.password),
		admin: () => s.login(ADMIN_EMAIL, s.adminPassword) };
	for (const { route, operation } of operations(api))
		for (const name of operation.security?.length ? Object.keys(who) : ["nobody"]) {
			const token = await who[name]();
			for (const { query = "", ...options } of inputs(api, operation, s))
				await s.call(route, { path: filled(route, event) + query, token: options.headers?.authorization ? undefined : token, ...options });
		}
	return api;
}

// Tables that are away make errors that nobody foresaw, on every route, with secrets at hand: the answer says nothing but that.
async function faults(s, api, { event }) {
	const person = await s.signUp("faults"), failed = new Set();
	const routes = operations(api).sort((x, y) => x.route.includes("logout-all") - y.route.includes("logout-all"));
	for (const table of ["users", "sessions", "login_failures", "one_time_secrets", "mfa_totp", "events", "qr_sessions", "attendance_records",
		"approval_requests", "notifications", "audit_logs"]) {
		const token = await s.login(ADMIN_EMAIL, s.adminPassword), before = s.replies.length;
		s.sql(`ALTER TABLE ${table} RENAME TO ${table}_away`);
		await s.call("POST /v1/auth/login", { body: { email: person.email, password: s.password } });
		await s.call("POST /api/auth/login", { body: { username: person.email, password: s.wrong } });
		await s.call("POST /v1/auth/refresh", { body: { refresh_token: person.refresh } });
		await s.call("POST /v1/auth/password-reset/confirm", { body: { token: s.typed, new_password: s.password } });
		await s.call("POST /v1/auth/mfa/totp/setup", { body: { password: s.password }, token: person.token });
		for (const { route, operation } of routes) {
			const content = resolved(api, operation.requestBody)?.content;
			await s.call(route, { path: filled(route, event), token: operation.security?.length ? token : undefined,
				body: content && fitting(api, Object.values(content)[0].schema, s.wrong) });
		}
		s.sql(`ALTER TABLE ${table}_away RENAME TO ${table}`);
		const errors = s.replies.slice(before).filter((r) => r.status === 500);
		assert.ok(errors.length > 0, `nothing failed without ${table}`);
		for (const { name, route, body, text } of errors) {
			failed.add(route);
			assert.equal(body.error.details ? body.error.details.reason || body.error.code.toLowerCase() : body.error, "internal_error", text);
			assert.doesNotMatch(text, /_away|select |insert |update |sqlite|no such|relation|column|\.c\b|line \d/i, name);
		}
	}
	assert.ok(failed.size >= 40, `only ${failed.size} routes failed: ${[...failed]}`);
	await eventually("the faults are reported", () => s.sentry.reports.length > 0, 30000);
}

async function commands(s) {
	const found = [];
	const run = async (args, env, input) => {
		const done = await command(args, { dir: s.server.dir, env: { ...s.env, ...env }, input });
		found.push({ name: `the output of muster ${args.join(" ")} ${Object.keys(env || {})}`, text: done.stdout + done.stderr });
		return done;
	};
	for (const args of [["config"], ["config", "--json"], ["config", "--docs"], ["doctor"], ["doctor", "--json"], ["openapi"], ["schema"],
		["admin", "list", "--json"], ["export", "users"], ["audit", "verify"], ["qr", "revoke-all"], ["migrate", "status"]]) {
		const done = await run(args);
		assert.ok(done.stdout.length > 0, `muster ${args.join(" ")} said nothing: ${done.stderr}`);
	}
	const next = s.canaries.plant("password given to a command", `Canary-8-${random()}`);
	assert.equal((await run(["admin", "create", "--email", "second@example.org", "--password-stdin"], {}, `${next}\n`)).code, 0);
	// Values that are refused: the line names the variable and not what it holds.
	const bad = s.typed;
	const refused = { DATABASE_URL: `mysql://u:${bad}@host/db`, SMTP_URL: `http://u:${bad}@host`, REDIS_URL: `http://:${bad}@host`,
		SECRET_KEY: bad, METRICS_TOKEN: `${bad}\u0007`, OAUTH_PROVIDERS: "campus,second", QR_SIGNING_SECRET: s.env.SECRET_KEY };
	for (const [name, value] of Object.entries(refused))
		await run(["config"], { [name]: value, ...(name === "SECRET_KEY" && { ENV: "prod" }) });
	await run(["config"], { SENTRY_DSN: `http://${bad}@` });
	await run(["doctor"], { DATABASE_URL: `postgresql://u:${bad}@127.0.0.1:1/none` });
	return found;
}

// --- where it is sought ----

function database(s) {
	if (!s.pg) {
		const files = fs.readdirSync(s.server.dir).filter((name) => name.startsWith("muster.db"));
		const dump = execFileSync("sqlite3", ["-cmd", ".timeout 5000", s.server.db, ".dump"], { encoding: "latin1", maxBuffer: 1 << 28 });
		return [{ name: "the dump", text: dump },
			...files.map((name) => ({ name, text: fs.readFileSync(path.join(s.server.dir, name), "latin1") }))];
	}
	const tables = s.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").split("\n");
	assert.ok(tables.includes("users") && tables.includes("one_time_secrets"));
	return tables.map((table) => ({ name: `table ${table}`, text: s.sql(`SELECT * FROM ${table}`) }));
}

function exercised(s, api) {
	const called = new Map();
	for (const { route, status } of s.replies)
		called.set(route, (called.get(route) || new Set()).add(Math.floor(status / 100)));
	for (const { route } of operations(api)) {
		const seen = called.get(route);
		assert.ok(seen, `${route} was not called`);
		if (/ \/(v1|api)\/auth\//.test(route))
			assert.ok(seen.has(2) || seen.has(3), `${route} never worked`);
	}
}

for (const engine of ["sqlite", "postgresql"]) {
	test(`no secret is found where it does not belong [${engine}]`, { timeout: 600000 }, async () => {
		const s = new Stage();
		try {
			await s.open(engine);
			await sessions(s);
			await mails(s);
			await secondFactors(s);
			await providers(s);
			const made = await attendance(s);
			const api = await everyRoute(s, made);
			await faults(s, api, made);
			await s.want(200, "GET /metrics", { token: s.metricsToken });
			const outputs = await commands(s);
			exercised(s, api);
			for (const mail of s.smtp.mails.filter(linkOf))
				s.canaries.plant(`link of ${linkOf(mail)[1]}`, linkOf(mail)[2], mail);
			const log = () => s.server.stderr.split("\n").map((text) => ({ name: "a log line", text }));
			const places = [...s.replies, ...log(), ...database(s), ...outputs, { name: "standard output", text: s.server.stdout },
				...s.sentry.reports.map((text) => ({ name: "a crash report", text })),
				...s.smtp.mails.map((mail) => ({ name: "a mail", text: `${mail.text}\n${decoded(mail).join("\n")}`, reply: mail }))];
			assert.deepEqual(s.canaries.sought(places), []);
			assert.ok(s.canaries.byValue.size > 100, `only ${s.canaries.byValue.size} secrets`);
			assert.ok(places.length > 1000 && s.sentry.reports.length > 0 && s.smtp.mails.length > 0);
			assert.ok(s.server.logs().some((l) => l.level === "DEBUG"));
			// The search finds what is there: each reply that delivers a secret holds it.
			for (const { what, value, replies } of s.canaries.byValue.values())
				for (const reply of [...replies].filter((r) => r.route))
					assert.ok(spellings(value).some((x) => reply.text.includes(x)), `${what} is not seen in ${reply.name}`);
		} finally {
			await s.close();
		}
	});
}

describe("the search itself", () => {
	test("finds a secret in every spelling, at every alignment, and no others", () => {
		const canaries = new Canaries(), secret = "Pass\"word & <9>";
		canaries.plant("it", secret);
		const b64 = (s) => Buffer.from(s).toString("base64");
		for (const text of [secret, secret.toLowerCase(), JSON.stringify({ password: secret }), encodeURIComponent(secret),
			new URLSearchParams({ p: secret }).toString(), Buffer.from(secret).toString("hex"),
			...["", "u", "us", "use"].map((head) => b64(`${head}${secret}:x`)), Buffer.from(`:${secret}`).toString("base64url")])
			assert.equal(canaries.sought([{ name: "x", text: `…${text}…` }]).length, 1, text);
		assert.deepEqual(canaries.sought([{ name: "x", text: "Pass\"word & <8>" }]), []);
		canaries.plant("a code", "12345678");
		assert.equal(canaries.sought([{ name: "x", text: "code=12345678&" }]).length, 1);
		assert.deepEqual(canaries.sought([{ name: "x", text: "at 12345678.5 of 912345678" }]), []);
	});
});

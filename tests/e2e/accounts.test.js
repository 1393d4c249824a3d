// The accounts surface of the real program: a second factor whose codes oathtool makes, a mailed link, a certified OpenID provider
// that nobody here wrote.
"use strict";

const { after, before, describe, test } = require("node:test");
const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const { execFileSync } = require("node:child_process");
const { Server, eventually } = require("./lib");
const { provider, walk } = require("./peers");

const PASSWORD = "Lighthouse-Keeper-9";
const MFA_KEY = "0123456789abcdef0123456789abcdef-of-the-e2e-tests";

const oathtool = (secret, at = "now") => execFileSync("oathtool", ["--totp", "-b", "-N", at, secret], { encoding: "utf8" }).trim();

async function signUp(server, name) {
	const email = `${name}@example.org`;
	const reply = await server.want(201, server.post("/v1/auth/signup", { name, email, password: PASSWORD }));
	return { email, token: reply.access_token, refresh: reply.refresh_token, id: reply.user.id };
}

// Fernet (github.com/fernet/spec) and HKDF as others write them: an independent reader of what the outbox keeps.
function openSealed(token, purpose, subject) {
	const key = Buffer.from(crypto.hkdfSync("sha256", MFA_KEY, Buffer.alloc(0), "muster fernet", 32));
	const raw = Buffer.from(token, "base64url");
	const body = raw.subarray(0, raw.length - 32);
	assert.ok(crypto.timingSafeEqual(crypto.createHmac("sha256", key.subarray(0, 16)).update(body).digest(), raw.subarray(-32)));
	const decipher = crypto.createDecipheriv("aes-128-cbc", key.subarray(16), body.subarray(9, 25));
	const text = Buffer.concat([decipher.update(body.subarray(25)), decipher.final()]).toString();
	const head = `${purpose}\n${subject}\n`;
	assert.ok(text.startsWith(head));
	return text.slice(head.length);
}

describe("accounts", () => {
	const REDIRECT = "http://127.0.0.1:9/callback"; // nobody listens there: the test reads the address
	let server, idp;

	before(async () => {
		idp = await provider(REDIRECT);
		server = await Server.start({ env: { SINGLE_DEVICE: "false", MFA_ENCRYPTION_KEY: MFA_KEY,
			PUBLIC_BASE_URL: "https://attend.example.org", OAUTH_PROVIDERS: "campus", OAUTH_CAMPUS_ISSUER: idp.issuer,
			OAUTH_CAMPUS_CLIENT_ID: "muster", OAUTH_CAMPUS_CLIENT_SECRET: "client-secret-of-muster",
			OAUTH_CAMPUS_REDIRECT_URI: REDIRECT, OAUTH_CAMPUS_NAME: "Campus" } });
	});
	after(async () => {
		await server?.discard();
		await idp?.close();
	});

	test("codes that oathtool makes open a second factor once", async () => {
		const u = await signUp(server, "mfa");
		const setup = await server.want(200, server.post("/v1/auth/mfa/totp/setup", {}, u.token));
		await server.want(200, server.post("/v1/auth/mfa/totp/verify", { code: oathtool(setup.secret) }, u.token));
		const pending = await server.want(200, server.post("/v1/auth/login", { email: u.email, password: PASSWORD }));
		assert.equal(pending.mfa_required, true);
		const code = oathtool(setup.secret, "now + 30 seconds");
		const answers = await Promise.all(Array.from({ length: 8 }, () =>
			server.post("/v1/auth/mfa/complete", { mfa_token: pending.mfa_token, code })));
		assert.equal(answers.filter((a) => a.status === 200).length, 1);
		const [row] = server.sql("SELECT secret FROM mfa_totp");
		assert.equal(openSealed(row.secret, "totp", u.id), setup.secret);
	});

	test("a mailed link sets a new password", async () => {
		const u = await signUp(server, "forgetful");
		await server.want(202, server.post("/v1/auth/password-reset/request", { email: u.email }, undefined,
			{ headers: { "x-forwarded-host": "evil.example", origin: "https://evil.example" } }));
		const mail = await eventually("the link is made", () =>
			server.sql("SELECT recipient, data FROM outbox WHERE template = 'password_reset'")[0], 20000);
		const link = openSealed(JSON.parse(mail.data).link, "mail", u.email);
		assert.match(link, /^https:\/\/attend\.example\.org\/app\/reset#[\w-]{43}$/);
		const token = link.split("#")[1];
		await server.want(200, server.post("/v1/auth/password-reset/confirm", { token, new_password: "Another-Lighthouse-9" }));
		assert.equal((await server.post("/v1/auth/password-reset/confirm", { token, new_password: PASSWORD })).status, 400);
		assert.equal((await server.post("/v1/auth/refresh", { refresh_token: u.refresh })).status, 401);
		await server.want(200, server.post("/v1/auth/login", { email: u.email, password: "Another-Lighthouse-9" }));
	});

	const start = () => server.want(200, server.get("/v1/auth/oauth/campus/start", undefined, { headers: { accept: "application/json" } }));

	test("a provider that nobody here wrote signs people in", async () => {
		const { providers } = await server.want(200, server.get("/v1/auth/oauth/providers"));
		assert.deepEqual(providers, [{ id: "campus", name: "Campus" }]);
		const ids = [];
		for (let i = 0; i < 2; i++) {
			const begun = await start();
			const back = await walk(begun.authorization_url, REDIRECT);
			assert.equal(back.searchParams.get("state"), begun.state);
			const code = back.searchParams.get("code");
			const body = { code, state: begun.state, iss: back.searchParams.get("iss"), binding: begun.binding };
			const reply = await server.want(200, server.post("/v1/auth/oauth/campus/callback", body));
			assert.equal(reply.user.email, "ada@example.org");
			assert.equal(reply.user.email_verified, true);
			ids.push(reply.user.id);
			assert.equal((await server.post("/v1/auth/oauth/campus/callback", body)).status, 400);
		}
		assert.equal(ids[0], ids[1]);
	});

	test("a browser is sent to the app with a code of its own", async () => {
		const first = await server.get("/v1/auth/oauth/campus/start");
		assert.equal(first.status, 302);
		const cookie = first.headers["set-cookie"][0].split(";")[0];
		const back = await walk(first.headers.location, REDIRECT);
		const landed = await server.get(`/v1/auth/oauth/campus/callback${back.search}`, undefined,
			{ headers: { cookie, accept: "text/html" } });
		assert.equal(landed.status, 303);
		assert.match(landed.headers.location, /^\/app\/oauth#[\w-]{43}$/);
		const code = landed.headers.location.split("#")[1];
		assert.equal((await server.post("/v1/auth/oauth/campus/callback/complete", { code })).status, 400);
		const reply = await server.want(200,
			server.post("/v1/auth/oauth/campus/callback/complete", { code }, undefined, { headers: { cookie } }));
		assert.equal(reply.user.email, "ada@example.org");
	});

	test("an address that the provider does not prove takes over no account", async () => {
		const victim = await signUp(server, "victim");
		idp.as("eve");
		const begun = await start();
		const back = await walk(begun.authorization_url, REDIRECT);
		const answer = await server.post("/v1/auth/oauth/campus/callback",
			{ code: back.searchParams.get("code"), state: begun.state, binding: begun.binding });
		assert.equal(answer.status, 409);
		assert.equal(answer.body.error.details.reason, "link_required");
		assert.equal(server.sql(`SELECT * FROM oauth_identities WHERE user_id = '${victim.id}'`).length, 0);
		const linked = await server.want(200, server.post("/v1/auth/oauth/link/confirm",
			{ link_token: answer.body.error.details.link_token, binding: begun.binding, password: PASSWORD }));
		assert.equal(linked.user.id, victim.id);
	});

	test("the provider refuses what it must, and so do we", async () => {
		idp.as("ada");
		const one = await start(), two = await start();
		const back = await walk(one.authorization_url, REDIRECT);
		const swapped = await server.post("/v1/auth/oauth/campus/callback",
			{ code: back.searchParams.get("code"), state: two.state, binding: two.binding }); // the verifier is another's
		assert.equal(swapped.status, 401);
		assert.equal(swapped.body.error.details.oauth_error, "code_refused");
	});
});

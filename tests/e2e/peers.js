// The servers that Muster speaks to, real ones, in this process.
"use strict";

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const http = require("node:http");
const { createRequire } = require("node:module");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { root } = require("./lib");

// None of these keeps a file from ending when a test of it has failed.
const web = createRequire(path.join(root, "web", "package.json"));
const { SMTPServer } = web("smtp-server");

// --- mail ----

// options: those of smtp-server; {port, mails, close()}
async function mailServer(options = {}) {
	const mails = [];
	const server = new SMTPServer({
		authOptional: true, hideSTARTTLS: true, logger: false,
		onData(stream, session, done) {
			const parts = [];
			stream.on("data", (d) => parts.push(d));
			stream.on("end", () => {
				mails.push({ to: session.envelope.rcptTo.map((r) => r.address), from: session.envelope.mailFrom.address,
					user: session.user, text: Buffer.concat(parts).toString("utf8") });
				done();
			});
		},
		...options,
	});
	server.on("error", () => {});
	await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
	server.server.unref();
	return { mails, port: server.server.address().port, close: () => new Promise((closed) => server.close(closed)) };
}

// Text and HTML of a mail.
function decoded(mail) {
	return [...mail.text.matchAll(/base64\r\n\r\n([A-Za-z0-9+/=\r\n]+?)\r\n--/g)].map((m) => Buffer.from(m[1], "base64").toString());
}

// --- an OpenID provider ----

// Certified, and written by nobody here.  It knows Ada, whose address it proves, and Eve, whose it does not.
async function provider(clientRedirect, clientSecret = "client-secret-of-muster") {
	const { default: Provider } = await import(pathToFileURL(web.resolve("oidc-provider")).href);
	const listener = http.createServer();
	await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
	listener.unref();
	const issuer = `http://127.0.0.1:${listener.address().port}`;
	const people = { ada: { email: "ada@example.org", email_verified: true, name: "Ada at Campus" },
		eve: { email: "victim@example.org", email_verified: false, name: "Eve" } };
	const p = new Provider(issuer, {
		clients: [{ client_id: "muster", client_secret: clientSecret, redirect_uris: [clientRedirect],
			response_types: ["code"], grant_types: ["authorization_code"] }],
		pkce: { required: () => true, methods: ["S256"] },
		claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
		features: { devInteractions: { enabled: false } },
		interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
		findAccount: (ctx, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
		cookies: { keys: ["e2e"] },
		jwks: { keys: [{ ...crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }),
			kid: "e2e-1", use: "sig", alg: "RS256" }] },
	});
	let who = "ada";
	const handle = p.callback();
	listener.on("request", async (req, res) => {
		if (!req.url.startsWith("/interaction/"))
			return handle(req, res);
		// Everybody signs in at once and consents to everything.
		const details = await p.interactionDetails(req, res);
		const grant = new p.Grant({ accountId: who, clientId: "muster" });
		grant.addOIDCScope("openid email profile");
		return p.interactionFinished(req, res, { login: { accountId: who }, consent: { grantId: await grant.save() } },
			{ mergeWithLastSubmission: details.prompt.name !== "login" });
	});
	return { issuer, as: (name) => { who = name; }, close: () => new Promise((resolve) => {
		listener.closeAllConnections();
		listener.close(resolve);
	}) };
}

// A browser of the provider's pages: follows redirects with cookies until the address lies elsewhere.
async function walk(start, stop) {
	const jar = new Map();
	let url = start;
	for (let i = 0; i < 12; i++) {
		if (url.startsWith(stop))
			return new URL(url);
		const res = await fetch(url, { redirect: "manual", headers: { cookie: [...jar].map(([k, v]) => `${k}=${v}`).join("; ") } });
		for (const c of res.headers.getSetCookie()) {
			const [, name, value] = /^([^=]+)=([^;]*)/.exec(c);
			jar.set(name, value);
		}
		assert.ok(res.status >= 300 && res.status < 400, `${res.status} at ${url}: ${await res.text()}`);
		url = new URL(res.headers.get("location"), url).href;
	}
	assert.fail("too many redirects");
}

// --- S3 ----

const KEY = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };

// The code of the error that a real store would answer, or null.  The signature is made again by AWS's own signer.
async function signatureFault(req, body) {
	const { SignatureV4 } = web("@smithy/signature-v4");
	const { Sha256 } = web("@aws-crypto/sha256-js");
	const authorization = req.headers.authorization || "";
	const [, id, names] = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/[^,]+,SignedHeaders=([^,]+),Signature=[0-9a-f]{64}$/.exec(authorization) || [];
	if (!id)
		return "AccessDenied";
	if (id !== KEY.accessKeyId)
		return "InvalidAccessKeyId";
	const date = req.headers["x-amz-date"];
	const at = new Date(date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
	if (Math.abs(Date.now() - at) > 15 * 60 * 1000)
		return "RequestTimeTooSkewed";
	if (crypto.createHash("sha256").update(body).digest("hex") !== req.headers["x-amz-content-sha256"])
		return "XAmzContentSHA256Mismatch";
	const url = new URL(req.url, `http://${req.headers.host}`);
	const signer = new SignatureV4({ credentials: KEY, region: "us-east-1", service: "s3", sha256: Sha256, uriEscapePath: false });
	const signed = await signer.sign({
		method: req.method, protocol: "http:", hostname: url.hostname, path: url.pathname,
		query: Object.fromEntries(url.searchParams),
		headers: Object.fromEntries(names.split(";").map((name) => [name, req.headers[name]])),
	}, { signingDate: at });
	const signature = (text) => text.slice(text.lastIndexOf("=") + 1);
	return signature(signed.headers.authorization) === signature(authorization) ? null : "SignatureDoesNotMatch";
}

// The part of S3 that Muster uses, over one bucket in memory.  {port, env, objects (name → {type, bytes}), broken, close()}
async function bucketServer() {
	const store = { objects: new Map(), broken: false };
	const listener = http.createServer(async (req, res) => {
		const parts = [];
		for await (const d of req)
			parts.push(d);
		const body = Buffer.concat(parts);
		const answer = (status, text = "", type = "application/xml") => res.writeHead(status, { "content-type": type }).end(text);
		const fault = store.broken ? "SlowDown" : await signatureFault(req, body);
		if (fault)
			return answer(store.broken ? 503 : 403, `<?xml version="1.0"?><Error><Code>${fault}</Code></Error>`);
		const url = new URL(req.url, "http://store");
		const [, bucket, ...rest] = decodeURIComponent(url.pathname).split("/");
		const name = rest.join("/"), object = store.objects.get(name), query = url.searchParams;
		if (bucket !== "rooms")
			return answer(404, "<Error><Code>NoSuchBucket</Code></Error>");
		if (!name) {
			const names = [...store.objects.keys()].sort()
				.filter((n) => n.startsWith(query.get("prefix")) && n > (query.get("start-after") || ""))
				.slice(0, Number(query.get("max-keys")));
			return answer(200, `<ListBucketResult>${names.map((n) => `<Contents><Key>${n}</Key></Contents>`).join("")}</ListBucketResult>`);
		}
		if (req.method === "PUT")
			store.objects.set(name, { type: req.headers["content-type"], bytes: body });
		if (req.method === "DELETE")
			store.objects.delete(name);
		if (req.method === "GET")
			return object ? answer(200, object.bytes, object.type) : answer(404, "<Error><Code>NoSuchKey</Code></Error>");
		return answer(req.method === "DELETE" ? 204 : 200);
	});
	await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
	listener.unref();
	store.env = {
		STORAGE_BACKEND: "s3", S3_ENDPOINT: `http://127.0.0.1:${listener.address().port}`, S3_BUCKET: "rooms",
		S3_ACCESS_KEY: KEY.accessKeyId, S3_SECRET_KEY: KEY.secretAccessKey,
	};
	store.close = () => new Promise((resolve) => {
		listener.closeAllConnections();
		listener.close(resolve);
	});
	return store;
}

module.exports = { bucketServer, decoded, mailServer, provider, walk };

// TLS for a trial: `muster tls-dev`, a server with what it made, and a browser that may use the camera there.
"use strict";

const assert = require("node:assert/strict");
const { X509Certificate, createHash } = require("node:crypto");
const fs = require("node:fs");
const https = require("node:https");
const path = require("node:path");
const { after, before, test } = require("node:test");
const tls = require("node:tls");

const { ADMIN, command, newDirectory } = require("./lib");
const { Server, heading, openBrowser, person, signIn } = require("./web-lib");

const NAME = "muster.test";
let dir;
before(() => { dir = newDirectory(); });
after(() => fs.rmSync(dir, { recursive: true, force: true }));

const made = (file) => path.join(dir, "var", "tls", file);
const make = (...args) => command(["tls-dev", ...args], { dir });

test("tls-dev makes a certificate for this machine, keeps what is there, and refuses what it cannot certify", async () => {
	const first = await make(NAME, "198.51.100.7");
	assert.equal(first.code, 0, first.stderr);
	assert.match(first.stdout, /HOST=0\.0\.0\.0 TLS_CERT_FILE=\S+cert\.pem TLS_KEY_FILE=\S+key\.pem muster serve/);
	assert.match(first.stdout, new RegExp(`https://${NAME}:`));
	assert.doesNotMatch(first.stdout, /PRIVATE KEY/);
	const modes = ["key.pem", "cert.pem", "authority.pem"].map((f) => fs.statSync(made(f)).mode & 0o777);
	assert.deepEqual(modes, [0o600, 0o644, 0o644]);
	assert.deepEqual(fs.readdirSync(made("")).sort(), ["authority.pem", "cert.pem", "key.pem"]);

	const [leaf, authority] = ["cert.pem", "authority.pem"].map((f) => new X509Certificate(fs.readFileSync(made(f))));
	assert.ok(authority.ca && authority.checkIssued(authority) && !leaf.ca && leaf.verify(authority.publicKey));
	assert.match(fs.readFileSync(made("key.pem"), "utf8"), /^-----BEGIN PRIVATE KEY-----/);
	for (const name of [NAME, "localhost"])
		assert.equal(leaf.checkHost(name), name);
	for (const address of ["198.51.100.7", "127.0.0.1", "::1"])
		assert.ok(leaf.checkIP(address), address);
	assert.equal(leaf.checkHost("muster.example"), undefined);

	const again = await make();
	assert.equal(again.code, 1);
	assert.match(again.stderr, /there already; --force/);
	assert.equal(new X509Certificate(fs.readFileSync(made("cert.pem"))).fingerprint256, leaf.fingerprint256);
	assert.equal((await make("--force", NAME)).code, 0);
	assert.notEqual(new X509Certificate(fs.readFileSync(made("cert.pem"))).fingerprint256, leaf.fingerprint256);
	assert.equal(fs.statSync(made("key.pem")).mode & 0o777, 0o600);

	for (const wrong of ["DNS:evil", "a,IP:1.2.3.4", "under_score", "two..dots", "x".repeat(64), ""])
		assert.equal((await make("--force", wrong)).code, 2, wrong);
	const elsewhere = await make("--dir", path.join(dir, "certificates"));
	assert.equal(elsewhere.code, 0, elsewhere.stderr);
	assert.ok(fs.existsSync(path.join(dir, "certificates", "key.pem")));
});

test("a server with that certificate: whoever knows the authority gets through, and a page has its camera", async () => {
	if (!fs.existsSync(made("cert.pem")))
		assert.equal((await make(NAME)).code, 0);
	const env = { TLS_CERT_FILE: made("cert.pem"), TLS_KEY_FILE: made("key.pem") };
	const secure = await Server.startOne({ dir, env });
	const browsers = [];
	try {
		const ca = fs.readFileSync(made("authority.pem"));
		const get = (options) => new Promise((resolve, reject) => {
			https.get({ host: "127.0.0.1", port: secure.port, path: "/health", agent: false, ...options }, (res) => {
				res.resume();
				resolve({ status: res.statusCode, protocol: res.socket.getProtocol() });
			}).on("error", reject);
		});
		assert.deepEqual(await get({ ca }), { status: 200, protocol: "TLSv1.3" });
		assert.equal((await get({ ca, servername: NAME, checkServerIdentity: (_, c) => tls.checkServerIdentity(NAME, c) })).status, 200);
		assert.deepEqual(await get({ ca, maxVersion: "TLSv1.2" }), { status: 200, protocol: "TLSv1.2" });
		await assert.rejects(get({ ca, checkServerIdentity: (_, c) => tls.checkServerIdentity("muster.example", c) }), /ALTNAME/);
		await assert.rejects(get({}), /certificate/);

		// A name that is not the loopback's, as a phone has it: there only HTTPS gives the camera.
		const { publicKey } = new X509Certificate(fs.readFileSync(made("cert.pem")));
		const pin = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
		const rules = `--host-resolver-rules=MAP ${NAME} 127.0.0.1`;
		const site = { base: `https://${NAME}:${secure.port}` };
		const stranger = await openBrowser([rules]);
		browsers.push(stranger);
		await assert.rejects((await person(stranger, site)).page.goto("/app/"), /ERR_CERT_AUTHORITY_INVALID/);
		const trusting = await openBrowser([rules, `--ignore-certificate-errors-spki-list=${pin}`]);
		browsers.push(trusting);
		const { page, complaints } = await person(trusting, site);
		await signIn(page, ADMIN.email, ADMIN.password);
		await heading(page, "Events");
		assert.equal(await page.evaluate(() => isSecureContext), true);
		assert.equal(await page.evaluate(async () => {
			const stream = await navigator.mediaDevices.getUserMedia({ video: true });
			const [track] = stream.getVideoTracks();
			track.stop();
			return track.kind;
		}), "video");
		await page.getByRole("link", { name: "Check in" }).first().click();
		await page.getByText("Hold the code inside the frame.").waitFor();
		assert.deepEqual(complaints, []);
	} finally {
		await Promise.all(browsers.map((b) => b.close()));
		await secure.stop("SIGKILL");
	}
});

test("ENV=prod gets no certificate of its own making", async () => {
	const secrets = Object.fromEntries(["SECRET_KEY", "QR_SIGNING_SECRET", "TOKEN_PEPPER", "MFA_ENCRYPTION_KEY"].map((name, i) =>
		[name, `${i}`.repeat(8) + createHash("sha256").update(name).digest("hex")]));
	const result = await command(["tls-dev"], { dir, env: { ENV: "prod", BCRYPT_ROUNDS: "12", ...secrets } });
	assert.equal(result.code, 1);
	assert.match(result.stderr, /ENV=dev and staging/);
});

// The description of the API, and the pages that show it.
"use strict";

const assert = require("node:assert/strict");
const { execFile } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { after, before, test } = require("node:test");
const zlib = require("node:zlib");
const { Server, command, root } = require("./lib.js");

let server;
before(async () => { server = await Server.start(); });
after(() => server.discard());

function redocly(file) {
	const program = path.join(root, "web", "node_modules", "@redocly", "cli", "bin", "cli.js");
	return new Promise((resolve) => {
		execFile(process.execPath, [program, "lint", "--config", path.join(__dirname, "redocly.yaml"), "--format", "json", file], {
			env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" },
			maxBuffer: 64 << 20,
		}, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }));
	});
}

test("/openapi.json is what `muster openapi` prints, is OpenAPI 3.1, and passes a linter without errors", async () => {
	const served = await server.want(200, server.get("/openapi.json"));
	const printed = await command(["openapi"]);
	assert.equal(printed.code, 0);
	assert.deepEqual(served, JSON.parse(printed.stdout));
	assert.match(served.openapi, /^3\.1\./);
	const file = path.join(server.dir, "openapi.json");
	fs.writeFileSync(file, printed.stdout);
	const lint = await redocly(file);
	assert.notEqual(lint.stdout, "", lint.stderr);
	const report = JSON.parse(lint.stdout);
	const errors = report.problems.filter((p) => p.severity === "error");
	assert.deepEqual(errors.map((p) => `${p.ruleId}: ${p.message} ${JSON.stringify(p.location && p.location[0] && p.location[0].pointer)}`), []);
	assert.equal(lint.code, 0);
});

test("every route of the description answers something of its own, not 404 or 405 for the path", async () => {
	const served = await server.want(200, server.get("/openapi.json"));
	const admin = await server.admin();
	for (const [template, methods] of Object.entries(served.paths)) {
		for (const method of Object.keys(methods).filter((m) => ["get", "post", "put", "patch", "delete"].includes(m))) {
			const target = template.replace(/\{[^}]*\}/g, "018f0000-0000-7000-8000-000000000000");
			const reply = await server.request(method.toUpperCase(), target, { token: admin });
			assert.notEqual(reply.status, 405, `${method} ${template}`);
			assert.ok(reply.status < 500, `${method} ${template}: ${reply.status} ${reply.text}`);
			assert.ok(Object.keys(methods[method].responses).includes(String(reply.status)),
				`${method} ${template} answered ${reply.status}, which it does not list`);
		}
	}
});

for (const page of ["/docs", "/redoc"]) {
	test(`${page} needs nothing from outside`, async () => {
		const html = await server.get(page);
		assert.equal(html.status, 200);
		assert.match(html.headers["content-type"], /^text\/html/);
		assert.match(html.headers["content-security-policy"], /default-src 'none'/);
		assert.doesNotMatch(html.text, /(src|href)="(https?:)?\/\//);
		const links = [...html.text.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g)].map((m) => m[1]);
		assert.ok(links.length >= 3, html.text);
		for (const link of links) {
			const plain = await server.get(link);
			assert.equal(plain.status, 200, link);
			assert.match(plain.headers["content-type"], link.endsWith(".css") ? /^text\/css/ : /javascript/);
			const packed = await server.get(link, undefined, { headers: { "accept-encoding": "gzip" } });
			assert.equal(packed.headers["content-encoding"], "gzip", link);
			assert.ok(zlib.gunzipSync(packed.bytes).equals(plain.bytes), link);
		}
	});
}

test("the pages load nothing from a foreign host", async () => {
	const redoc = await server.get("/docs/redoc.standalone.js");
	assert.ok(!redoc.text.includes("cdn.redoc.ly"));
	const init = await server.get("/docs/swagger-init.js");
	assert.match(init.text, /validatorUrl: null/);
});

test("outside ENV=dev the documents are not there unless switched on", async () => {
	const secrets = {};
	for (const [i, name] of ["SECRET_KEY", "QR_SIGNING_SECRET", "TOKEN_PEPPER", "MFA_ENCRYPTION_KEY"].entries())
		secrets[name] = String(i).repeat(8) + require("node:crypto").randomBytes(24).toString("hex");
	const env = { ...secrets, ENV: "staging", BCRYPT_ROUNDS: "10" };
	for (const [extra, status] of [[{}, 404], [{ DOCS_ENABLED: "true" }, 200]]) {
		const other = await Server.start({ env: { ...env, ...extra } });
		try {
			for (const page of ["/docs", "/redoc", "/openapi.json", "/docs/swagger-init.js"])
				assert.equal((await other.get(page)).status, status, page);
		} finally {
			await other.discard();
		}
	}
});

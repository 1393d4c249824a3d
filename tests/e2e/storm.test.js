// More logins at once than the server can hash.
"use strict";

const assert = require("node:assert/strict");
const os = require("node:os");
const { test } = require("node:test");
const { ADMIN, Server } = require("./lib.js");

test("a login for which there is no room is told so after the second that it shall wait, and the others are let in", async () => {
	// A hash of cost 13 takes half a second of a core, and no more than two of them wait for each core.
	const server = await Server.start({ env: { BCRYPT_ROUNDS: "13", LOGIN_FAIL_EMAIL_THRESHOLD: "1000", LOGIN_FAIL_IP_THRESHOLD: "100000" } });
	try {
		const login = async () => {
			const from = performance.now();
			const reply = await server.post("/api/auth/login", { username: ADMIN.email, password: ADMIN.password });
			return { reply, ms: performance.now() - from };
		};
		const answers = await Promise.all(Array.from({ length: 12 * os.cpus().length }, login));
		const refused = answers.filter(({ reply }) => reply.status === 503);
		assert.ok(refused.length > 0, "some were refused");
		assert.ok(refused.length < answers.length, "some were let in");
		for (const { reply, ms } of answers) {
			if (reply.status !== 503) {
				assert.equal(reply.status, 200, reply.text);
				continue;
			}
			assert.equal(reply.headers["retry-after"], "1");
			assert.ok(ms >= 999, `refused after ${ms} ms`);
		}
		assert.equal(await server.gauge("muster_refusals_held"), 0);
	} finally {
		await server.discard();
	}
});

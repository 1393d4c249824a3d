// The wall clock jumps under a running server: an hour, a day, a year, forward and back.  Whoever signs in then can mark, on both
// engines of time: what waits goes by the monotonic clock, which never jumps.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { ADMIN, STUDENT_PASSWORD, Load, Server, eventually, libraries, newDirectory } = require("./lib.js");

const HOUR = 3600, DAY = 24 * HOUR;

exports.title = "jumps of the clock";

function setClock(file, seconds) {
	const bytes = Buffer.alloc(8);
	bytes.writeBigInt64LE(BigInt(seconds) * 1000000n);
	const fd = fs.openSync(file, "r+"); // in place: it is mapped
	fs.writeSync(fd, bytes, 0, 8, 0);
	fs.closeSync(fd);
}

exports.run = async (long) => {
	const dir = newDirectory(), file = path.join(dir, "clock");
	fs.writeFileSync(file, Buffer.alloc(8));
	const server = await Server.startOne({ dir, env: { LD_PRELOAD: path.join(libraries, "clock.so"), CLOCK_FILE: file } });
	const jumps = long ? [60, 0, HOUR, 0, -HOUR, 0, DAY, -DAY, 30 * DAY, 365 * DAY, 0, -365 * DAY, 0] : [HOUR, 0, -DAY, 0];
	try {
		const everybody = await server.students(await server.admin(), 16);
		const load = new Load(() => server, everybody);
		const began = Date.now();
		for (const jump of jumps) {
			setClock(file, jump);
			await eventually("the server's clock has jumped", async () =>
				Math.abs(Date.parse((await server.get("/v1/health")).headers.date) - Date.now() - jump * 1000) < 60000);
			const admin = await server.login(ADMIN.email, ADMIN.password);
			for (const student of everybody)
				student.token = await server.login(student.email, STUDENT_PASSWORD);
			const ready = await server.want(200, server.get("/v1/ready"));
			assert.notEqual(ready.status, "down");
			await load.events(admin, 1);
			load.run();
			await load.finish();
		}
		assert.ok(!server.exit, "it is the same process");
		const bad = server.logs().filter((l) => ["ERROR", "CRITICAL"].includes(l.level));
		assert.deepEqual(bad, [], "nothing failed");
		assert.deepEqual(await server.stop(), { code: 0, signal: null });
		return `${jumps.length} jumps within ${((Date.now() - began) / 1000).toFixed(0)} s, ${everybody.length + 1} logins after each; ` +
			`${load.compare((text) => server.sql(text), true)}; refused: ${load.refused}`;
	} finally {
		await server.discard();
		fs.rmSync(dir, { recursive: true, force: true });
	}
};

// Every fdatasync takes a fifth of a second: group commit lets a lecture get by.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { Load, Server, libraries, newDirectory } = require("./lib.js");

exports.title = "slow disk";
exports.run = async (long) => {
	const dir = newDirectory(), env = { QR_EXPIRY_SECONDS: "86400" };
	let server = await Server.startOne({ dir, env });
	try {
		const admin = await server.admin();
		const load = new Load(() => server, await server.students(admin, 24));
		await load.events(admin, long ? 40 : 4);
		await server.stop();
		server = await Server.startOne({ dir, env: { ...env, LD_PRELOAD: path.join(libraries, "slowsync.so"), SLOWSYNC_US: "200000" } });
		const began = performance.now(), inFlight = long ? 64 : 32;
		load.run(inFlight);
		await load.finish();
		const rate = load.done / (performance.now() - began) * 1000;
		return `fdatasync of 200 ms, ${inFlight} marks in flight: ${load.compare((text) => server.sql(text), true)}; ` +
			`${rate.toFixed(0)} marks/s, longest wait ${Math.round(load.slowest)} ms, refused: ${load.refused}`;
	} finally {
		await server.discard();
		fs.rmSync(dir, { recursive: true, force: true });
	}
};

// Clients that send headers byte by byte, bodies byte by byte, or never read their replies; a lecture marks meanwhile.
"use strict";

const net = require("node:net");
const { Load, Server, eventually } = require("./lib.js");

exports.title = "slow-loris";

// What it sends at once, what it dribbles on; without the latter it reads nothing.
const KINDS = {
	headers: ["GET /v1/health HTTP/1.1\r\nHost: a\r\nX-Slow: ", "a"],
	bodies: ["POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{", " "],
	replies: ["GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(16), null],
};

// Resolves when the server has let go of it: seconds.
function slow(port, [first, more]) {
	return new Promise((resolve) => {
		const began = performance.now();
		const socket = net.connect({ host: "127.0.0.1", port }, () => {
			socket.write(first);
			if (more === null)
				socket.pause();
			else
				socket.resume();
		});
		// Who never reads is told nothing: a byte that is sent meets the reset.
		const timer = setInterval(() => socket.write(more ?? "G"), more === null ? 5000 : 500);
		const over = () => {
			clearInterval(timer);
			socket.destroy();
			resolve((performance.now() - began) / 1000);
		};
		socket.on("end", over);
		socket.on("error", over);
		socket.on("close", over);
	});
}

exports.run = async (long) => {
	const each = long ? 500 : 50, kinds = long ? Object.keys(KINDS) : ["headers"];
	const server = await Server.startOne({ env: { QR_EXPIRY_SECONDS: "86400", DOCS_ENABLED: "true" } });
	try {
		const admin = await server.admin();
		const load = new Load(() => server, await server.students(admin, 24));
		await load.events(admin, long ? 40 : 4);
		const before = await server.gauge("muster_http_connections");
		const all = kinds.map((kind) => Promise.all(Array.from({ length: each }, () => slow(server.port, KINDS[kind]))));
		await eventually("they are there", async () => await server.gauge("muster_http_connections") >= before + each / 2, 60000);
		load.run();
		await load.finish();
		const seconds = await Promise.all(all);
		const ends = kinds.map((kind, i) => `${each} × ${kind} ended after ${Math.min(...seconds[i]).toFixed(0)} to ${Math.max(...seconds[i]).toFixed(0)} s`);
		return `${ends.join(", ")}; ${load.compare((text) => server.sql(text), true)}, longest wait ${Math.round(load.slowest)} ms, refused: ${load.refused}`;
	} finally {
		await server.discard();
	}
};

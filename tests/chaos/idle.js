// Thousands of connections that say nothing, half of them after a request, while a lecture marks.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const net = require("node:net");
const { Load, Server, eventually } = require("./lib.js");

exports.title = "idle connections";

const rss = (server) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${server.child.pid}/status`, "utf8"))[1]) >> 10;

function connect(port, speaks) {
	return new Promise((resolve, reject) => {
		const socket = net.connect({ host: "127.0.0.1", port }, () => {
			if (!speaks)
				return resolve(socket);
			socket.once("data", () => resolve(socket));
			socket.write("GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n");
		});
		socket.on("error", reject);
		socket.on("close", () => { socket.gone = true; });
	});
}

exports.run = async (long) => {
	const want = long ? 10000 : 1000;
	const server = await Server.startOne({ env: { QR_EXPIRY_SECONDS: "86400" } });
	const idle = [];
	try {
		const admin = await server.admin();
		const load = new Load(() => server, await server.students(admin, 24));
		await load.events(admin, long ? 40 : 4);
		const before = rss(server);
		while (idle.length < want)
			idle.push(...await Promise.all(Array.from({ length: 100 }, (_, i) => connect(server.port, i % 2 === 0))));
		await eventually("all are counted", async () => await server.gauge("muster_http_connections") >= want);
		const open = await server.gauge("muster_http_connections");
		const began = performance.now();
		load.run(32);
		await load.finish();
		const rate = load.done / (performance.now() - began) * 1000, gone = idle.filter((s) => s.gone).length;
		assert.equal(load.refused, "none");
		const after = rss(server);
		for (const socket of idle)
			socket.destroy();
		await eventually("they are let go", async () => await server.gauge("muster_http_connections") < 100, 30000);
		return `${open} open, ${gone} of them closed by the server meanwhile; ${load.compare((text) => server.sql(text), true)} at ${rate.toFixed(0)} marks/s, ` +
			`longest wait ${Math.round(load.slowest)} ms; memory ${before} to ${after} MiB`;
	} finally {
		for (const socket of idle)
			socket.destroy();
		await server.discard();
	}
};

// kill -9 in the middle of the work, again and again.
"use strict";

const { Load, Server, newDirectory } = require("./lib.js");
const { Postgres } = require("../e2e/outage.js");
const fs = require("node:fs");

exports.title = "kill -9 storms";

async function storm(postgres, rounds) {
	const dir = newDirectory();
	const start = () => Server.startOne({ dir, env: { QR_EXPIRY_SECONDS: "86400", ...(postgres && { DATABASE_URL: postgres.url() }) } });
	let server = await start();
	try {
		const load = new Load(() => server, await server.students(await server.admin(), 24));
		const sql = (text) => (postgres ? postgres.rows(text) : server.sql(text));
		let compared;
		for (let round = 0; round < rounds; round++) {
			await load.events(await server.admin(), 4);
			const before = load.done;
			load.run(24);
			await load.until("the moment to kill", () => load.done >= before + 3 + (round * 17) % 60);
			server.child.kill("SIGKILL");
			await server.exited;
			await load.stop();
			await server.stop("SIGKILL");
			server = await start();
			compared = load.compare(sql);
		}
		return `${rounds} kills, ${compared}; unanswered or asked again: ${load.refused}`;
	} finally {
		await server.discard();
		fs.rmSync(dir, { recursive: true, force: true });
	}
}

exports.run = async (long) => {
	const postgres = await Postgres.start();
	try {
		const server = `PostgreSQL: ${await storm(postgres, long ? 25 : 3)}`;
		return long ? `${server}; SQLite: ${await storm(null, 25)}` : server;
	} finally {
		await postgres.discard();
	}
};

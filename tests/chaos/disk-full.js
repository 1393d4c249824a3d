// The disk is full and has space again, under load: 503 for exactly what was not done, reading goes on, and nobody has to do a thing.
// Then a disk so small that the database's own log fills it: nobody makes space there but the server.
"use strict";

const assert = require("node:assert/strict");
const { Disk, onDisk } = require("./disk.js");

exports.title = "full disk";
exports.mounts = true;

function filled(cycles) {
	const disk = Disk.make("tmpfs", 24);
	return onDisk(disk, async ({ server, load, admin }) => {
		let times = 0;
		for (let i = 0; i < cycles; i++) {
			await load.events(admin, 8);
			const refused = load.count(503), done = load.done;
			load.run();
			await load.until("some marks are in", () => load.done > done);
			disk.fill((i % 4) * 40960);
			// A log that has been longer has room of its own.
			await load.until("marks are refused, or all are in", () => load.count(503) >= refused + 20 || load.work.length === 0);
			times += load.count(503) > refused ? 1 : 0;
			await server.want(200, server.get("/api/auth/me", load.everybody[0].token));
			await server.want(200, server.get("/v1/health"));
			disk.empty();
			await load.finish();
		}
		assert.ok(times > 0, "the disk was never full");
		return `${cycles} times full, ${times} times before all was in; ${load.compare((text) => server.sql(text), true)}; refused meanwhile: ${load.refused}`;
	});
}

function tooSmall(events) {
	const disk = Disk.make("tmpfs", 20);
	return onDisk(disk, async ({ server, load, admin }) => {
		await load.events(admin, events);
		load.run();
		await load.finish();
		return `a disk of 20 MiB: ${load.compare((text) => server.sql(text), true)}; refused meanwhile: ${load.refused}`;
	});
}

exports.run = async (long) => `${await filled(long ? 10 : 1)}; ${await tooSmall(long ? 60 : 24)}`;

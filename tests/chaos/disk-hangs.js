// Every write to the disk stands still for a while (fsfreeze), as behind a stuck controller or a dead NFS server.
"use strict";

const { Disk, onDisk, sh } = require("./disk.js");
const { pause } = require("./lib.js");

exports.title = "disk that hangs";
exports.mounts = true;
exports.loop = true;
exports.run = (long) => {
	const cycles = long ? 3 : 1, ms = long ? 30000 : 2000, disk = Disk.make("ext4", 48);
	return onDisk(disk, async ({ server, load, admin }) => {
		for (let i = 0; i < cycles; i++) {
			await load.events(admin, 12);
			const done = load.done;
			load.run();
			await load.until("some marks are in", () => load.done > done);
			sh("/usr/sbin/fsfreeze", "-f", disk.dir);
			try {
				await pause(ms);
				await server.want(200, server.get("/v1/health"));
				await server.want(200, server.get("/api/auth/me", load.everybody[0].token));
			} finally {
				sh("/usr/sbin/fsfreeze", "-u", disk.dir);
			}
			await load.finish();
		}
		return `${cycles} times ${ms / 1000} s, ${load.compare((text) => server.sql(text), true)}; refused meanwhile: ${load.refused}; ` +
			`longest wait for a 201 ${Math.round(load.slowest)} ms`;
	});
};

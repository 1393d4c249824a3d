// The file system meets an error and goes read-only under load, as ext4 does: 503 until an operator has repaired it, nothing lost.
"use strict";

const { Disk, onDisk, sh } = require("./disk.js");

exports.title = "disk gone read-only";
exports.mounts = true;
exports.loop = true;
exports.run = (long) => {
	const cycles = long ? 5 : 1, disk = Disk.make("ext4", 48);
	return onDisk(disk, async (run) => {
		const { load, admin } = run;
		for (let i = 0; i < cycles; i++) {
			await load.events(admin, 12);
			const refused = load.count(503), done = load.done;
			load.run();
			await load.until("some marks are in", () => load.done > done);
			sh("mount", "-o", "remount,abort", disk.dir);
			await load.until("marks are refused", () => load.count(503) >= refused + 20);
			await run.server.want(200, run.server.get("/api/auth/me", load.everybody[0].token));
			const gone = run.server;
			await gone.stop("SIGTERM");
			disk.repair();
			await run.again();
			await load.finish();
		}
		return `${cycles} times, ${load.compare((text) => run.server.sql(text), true)}; refused meanwhile: ${load.refused}`;
	});
};

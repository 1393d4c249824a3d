// A disk of one's own below the server's directory, in a mount namespace that ends with this process.
"use strict";

const { execFileSync } = require("node:child_process");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { Load, Server, newDirectory } = require("./lib.js");

const sh = (...words) => execFileSync(words[0], words.slice(1), { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });

class Disk {
	// A tmpfs, or ext4 in a file.
	static make(kind, megabytes) {
		const disk = new Disk();
		disk.base = newDirectory();
		disk.dir = path.join(disk.base, "disk");
		fs.mkdirSync(disk.dir);
		if (kind === "tmpfs") {
			sh("mount", "-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", disk.dir);
		} else {
			disk.image = path.join(disk.base, "image");
			fs.closeSync(fs.openSync(disk.image, "w"));
			fs.truncateSync(disk.image, megabytes << 20);
			sh("/usr/sbin/mkfs.ext4", "-q", "-F", disk.image);
			disk.mount();
		}
		return disk;
	}

	mount() {
		sh("mount", "-o", "loop", this.image, this.dir);
	}

	repair() {
		sh("umount", this.dir);
		try {
			sh("/usr/sbin/e2fsck", "-fy", this.image);
		} catch (error) {
			assert.equal(error.status, 1, error.stdout); // 1: repaired
		}
		this.mount();
	}

	get free() {
		const s = fs.statfsSync(this.dir);
		return s.bavail * s.bsize;
	}

	fill(left) {
		const fd = fs.openSync(path.join(this.dir, "filler"), "a");
		const block = Buffer.alloc(4096, 1);
		try {
			while (this.free > left)
				fs.writeSync(fd, block);
		} catch (error) {
			assert.equal(error.code, "ENOSPC");
		} finally {
			fs.closeSync(fd);
		}
	}

	empty() {
		fs.rmSync(path.join(this.dir, "filler"));
	}

	discard() {
		sh("umount", "-l", this.dir);
		fs.rmSync(this.base, { recursive: true, force: true });
	}
}

// A server on the disk with students who are there; `body(server, load, admin)`.
async function onDisk(disk, body) {
	let server = await Server.startOne({ dir: disk.dir, env: { QR_EXPIRY_SECONDS: "86400" } });
	const run = {
		get server() { return server; },
		again: async () => { server = await Server.startOne({ dir: disk.dir, env: { QR_EXPIRY_SECONDS: "86400" } }); },
	};
	try {
		run.admin = await server.admin();
		run.load = new Load(() => server, await server.students(run.admin, 24));
		return await body(run);
	} finally {
		await run.load?.stop().catch(() => {});
		await server.stop("SIGKILL");
		disk.discard();
	}
}

module.exports = { Disk, onDisk, sh };

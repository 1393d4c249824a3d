// Servers that the tests take away and give back: PostgreSQL, Redis, and a wire between Muster and PostgreSQL that can be cut.
"use strict";

const { execFileSync, spawn } = require("node:child_process");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const { eventually, newDirectory } = require("./lib.js");

const SOCKET = ".s.PGSQL.5432";

// Runs beside this process and never outlives it: the shell ends it when its standard input ends.
function attached(words, options) {
	const child = spawn("sh", ["-c", '"$@" <&- & server=$!; cat >/dev/null; kill -KILL $server 2>/dev/null; wait $server', "sh", ...words],
		{ stdio: ["pipe", "ignore", "pipe"], ...options });
	child.text = "";
	child.stderr.on("data", (d) => { child.text += d; });
	child.stdin.on("error", () => {});
	child.over = new Promise((resolve) => child.once("close", resolve));
	return child;
}

// PostgreSQL with its default, durable settings.
class Postgres {
	// listen: an address of TCP, open to its /24; none: the socket alone
	static async start(listen = "") {
		const pg = new Postgres();
		pg.listen = listen;
		const versions = fs.existsSync("/usr/lib/postgresql") ? fs.readdirSync("/usr/lib/postgresql") : [];
		assert.ok(versions.length > 0, "PostgreSQL's server programs are missing (Debian package postgresql)");
		pg.bin = `/usr/lib/postgresql/${versions.sort((a, b) => a - b).at(-1)}/bin`;
		pg.dir = newDirectory();
		pg.as = [];
		if (process.getuid() === 0) { // it refuses to run as root
			execFileSync("chown", ["postgres", pg.dir]);
			pg.as = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"];
		}
		pg.data = path.join(pg.dir, "data");
		const words = [...pg.as, `${pg.bin}/initdb`, "-D", pg.data, "-U", "muster", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"];
		execFileSync(words[0], words.slice(1), { cwd: pg.dir, stdio: ["ignore", "ignore", "pipe"] });
		if (listen)
			fs.appendFileSync(path.join(pg.data, "pg_hba.conf"), `host all all ${listen}/24 trust\n`);
		await pg.begin();
		return pg;
	}

	url(dir = this.dir) {
		return `postgresql:///postgres?host=${dir}&user=muster`;
	}

	async begin() {
		this.child = attached([...this.as, `${this.bin}/postgres`, "-D", this.data, "-k", this.dir, "-h", this.listen], { cwd: this.dir });
		await eventually("PostgreSQL takes connections", () => {
			try {
				return this.value("SELECT 1") === "1";
			} catch {
				return false;
			}
		}, 120000);
	}

	// SIGINT: its fast shutdown, that cuts every session.  SIGQUIT: as if it had crashed.
	async end(signal = "SIGINT") {
		const pid = Number(fs.readFileSync(path.join(this.data, "postmaster.pid"), "utf8").split("\n")[0]);
		process.kill(pid, signal);
		await eventually("PostgreSQL is down", () => !fs.existsSync(path.join(this.dir, SOCKET)), 60000);
		this.child.stdin.end();
		await this.child.over;
	}

	value(text) {
		return execFileSync("psql", ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text, this.url()],
			{ encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
	}

	rows(text) {
		return JSON.parse(this.value(`SELECT coalesce(json_agg(t), '[]') FROM (${text}) t`));
	}

	async discard() {
		this.child.stdin.end();
		await this.child.over;
		fs.rmSync(this.dir, { recursive: true, force: true });
	}
}

class Redis {
	static async start(...words) {
		const redis = new Redis();
		redis.dir = newDirectory();
		redis.path = path.join(redis.dir, "socket");
		redis.words = words;
		await redis.begin();
		return redis;
	}

	get url() {
		return `unix://${this.path}`;
	}

	async begin() {
		this.child = attached(["redis-server", "--port", "0", "--unixsocket", this.path, "--save", "", "--appendonly", "no",
			"--dir", this.dir, ...this.words], { cwd: this.dir });
		await eventually("Redis takes connections (Debian package redis-server)", () => new Promise((resolve) => {
			const s = net.connect(this.path, () => s.end("PING\r\n"));
			s.on("data", (d) => resolve(/PONG|NOAUTH/.test(d)));
			s.on("error", () => resolve(false));
			s.on("close", () => resolve(false));
		}), 60000);
	}

	async end() {
		this.child.stdin.end();
		await this.child.over;
		fs.rmSync(this.path, { force: true });
	}

	async discard() {
		await this.end();
		fs.rmSync(this.dir, { recursive: true, force: true });
	}
}

/*
 * Stands between Muster and PostgreSQL.  cutAfter(texts, n): when a transaction that sent at least n of the texts is committed, the
 * answer is kept and the connection cut.  hold(): the answers to those who write are kept until release().
 */
class Wire {
	static async start(postgres) {
		const wire = new Wire();
		wire.target = path.join(postgres.dir, SOCKET);
		wire.dir = newDirectory();
		wire.lines = new Set();
		wire.cuts = 0;
		wire.server = net.createServer((client) => wire.connect(client));
		await new Promise((resolve) => wire.server.listen(path.join(wire.dir, SOCKET), resolve));
		return wire;
	}

	connect(client) {
		const line = { client, server: net.connect(this.target), kept: Buffer.alloc(0), writes: false, seen: new Set() };
		this.lines.add(line);
		const end = () => {
			client.destroy();
			line.server.destroy();
			this.lines.delete(line);
		};
		client.on("data", (d) => {
			line.writes ||= d.includes("BEGIN\0");
			for (const text of this.texts || [])
				if (d.includes(text))
					line.seen.add(text);
			line.server.write(d);
		});
		line.server.on("data", (d) => {
			line.kept = Buffer.concat([line.kept, d]);
			this.pass(line);
		});
		for (const socket of [client, line.server]) {
			socket.on("error", end);
			socket.on("close", end);
		}
	}

	// Message by message: a byte that says its kind, then its length.
	pass(line) {
		while (!(this.held && line.writes) && line.kept.length >= 5 && line.kept.length > line.kept.readInt32BE(1)) {
			const n = 1 + line.kept.readInt32BE(1), message = line.kept.subarray(0, n);
			const tag = message[0] === 0x43 ? message.toString("latin1", 5, n - 1) : "";
			line.kept = line.kept.subarray(n);
			if (tag === "COMMIT" && this.texts && line.seen.size >= this.atLeast) {
				this.texts = undefined;
				this.cuts++;
				line.client.destroy();
				return;
			}
			if (tag === "COMMIT" || tag === "ROLLBACK")
				line.seen.clear();
			line.client.write(message);
		}
	}

	cutAfter(texts, atLeast = 1) {
		this.texts = texts;
		this.atLeast = atLeast;
		for (const line of this.lines)
			line.seen.clear();
	}

	hold() {
		this.held = true;
	}

	release() {
		this.held = false;
		for (const line of [...this.lines])
			this.pass(line);
	}

	async discard() {
		for (const line of this.lines) {
			line.client.destroy();
			line.server.destroy();
		}
		await new Promise((resolve) => this.server.close(resolve));
		fs.rmSync(this.dir, { recursive: true, force: true });
	}
}

module.exports = { Postgres, Redis, Wire };

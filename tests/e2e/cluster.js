// Two or more real nodes on one real PostgreSQL, and nginx in front with the configuration that is shipped in deploy/.
"use strict";

const { execFile, execFileSync, spawn } = require("node:child_process");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const path = require("node:path");
const { Client, Server, eventually, newDirectory, root } = require("./lib.js");

// What nodes of one installation have in common.
const SECRETS = {
	SECRET_KEY: "0123456789abcdef0123456789abcdef-access",
	QR_SIGNING_SECRET: "0123456789abcdef0123456789abcdef-codes",
	TOKEN_PEPPER: "0123456789abcdef0123456789abcdef-pepper",
	MFA_ENCRYPTION_KEY: "0123456789abcdef0123456789abcdef-mfa",
};

// A server of its own, by tools/with-postgres.sh: it ends when its standard input does, so it never outlives this process.
class Postgres {
	static async start() {
		const pg = new Postgres();
		pg.stdout = pg.stderr = "";
		pg.made = 0;
		pg.child = spawn("sh", ["tools/with-postgres.sh", "sh", "-c", 'echo "$MUSTER_TEST_DATABASE_URL"; exec cat'],
			{ cwd: root, stdio: ["pipe", "pipe", "pipe"] });
		pg.child.stdout.on("data", (d) => { pg.stdout += d; });
		pg.child.stderr.on("data", (d) => { pg.stderr += d; });
		pg.exited = new Promise((resolve) => pg.child.once("close", resolve));
		pg.exited.then(() => { pg.gone = true; });
		await eventually("PostgreSQL runs", () => {
			assert.ok(!pg.gone, `PostgreSQL did not start: ${pg.stderr}`);
			return pg.stdout.includes("\n");
		}, 120000);
		pg.server = pg.stdout.trim();
		return pg;
	}

	// The URL of a new and empty database.
	database() {
		const name = `muster_${process.pid}_${++this.made}`;
		this.run(this.server, `CREATE DATABASE ${name}`);
		return this.server.replace("///postgres?", `///${name}?`);
	}

	run(url, text) {
		return execFileSync("psql", ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text, url], { encoding: "utf8" }).trim();
	}

	// Rows as objects, or [] for what gives none.
	query(url, text) {
		if (!/^\s*(SELECT|WITH)/i.test(text))
			return this.run(url, text), [];
		return JSON.parse(this.run(url, `SELECT coalesce(json_agg(t), '[]') FROM (${text}) t`));
	}

	async stop() {
		this.child.stdin.end();
		await this.exited;
	}
}

// deploy/nginx.conf with this machine's addresses in place of those that an operator sets.  tls: {cert, key}, or none for plain HTTP.
function frontConfig(ports, listen, tls, redirectSocket) {
	let text = fs.readFileSync(path.join(root, "deploy", "nginx.conf"), "utf8");
	const put = (pattern, value) => {
		assert.match(text, pattern, "deploy/nginx.conf is not as this test knows it");
		text = text.replace(pattern, () => value);
	};
	put(/\tserver 127\.0\.0\.1:8000 (.*);\n/, ports.map((p) => `\tserver 127.0.0.1:${p} max_fails=3 fail_timeout=1s;\n`).join(""));
	put(/\tlisten 80;\n\tlisten \[::\]:80;\n/, `\tlisten unix:${redirectSocket};\n`);
	put(/\tlisten 443 ssl http2;\n\tlisten \[::\]:443 ssl http2;\n/, `\tlisten ${listen}${tls ? " ssl http2" : ""};\n`);
	if (tls) {
		put(/ssl_certificate [^;]+;/, `ssl_certificate ${tls.cert};`);
		put(/ssl_certificate_key [^;]+;/, `ssl_certificate_key ${tls.key};`);
	} else {
		text = text.replace(/^\tssl_.*\n/gm, "");
	}
	return text;
}

class Nginx {
	// port: 0 for one that the system gives
	static async start(ports, tls, port = 0) {
		const nginx = new Nginx();
		nginx.dir = newDirectory();
		nginx.stderr = "";
		// The port is taken here and handed over open, so nobody can come between.
		const listener = net.createServer();
		await new Promise((resolve, reject) => listener.once("error", reject).listen(port, "127.0.0.1", 511, resolve));
		nginx.port = listener.address().port;
		nginx.file = nginx.write(frontConfig(ports, `127.0.0.1:${nginx.port}`, tls, path.join(nginx.dir, "redirect.sock")));
		nginx.child = spawn("nginx", ["-p", nginx.dir, "-c", nginx.file, "-e", "stderr"], {
			env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, NGINX: "3;" },
			stdio: ["ignore", "ignore", "pipe", listener._handle.fd],
		});
		nginx.child.on("error", (error) => { nginx.failed = error; });
		nginx.child.stderr.on("data", (d) => { nginx.stderr += d; });
		nginx.exited = new Promise((resolve) => nginx.child.once("close", resolve));
		nginx.exited.then(() => { nginx.gone = true; });
		listener.close();
		await eventually("nginx answers", async () => {
			assert.ok(!nginx.failed && !nginx.gone, `nginx did not start (Debian package nginx): ${nginx.failed || nginx.stderr}`);
			return fs.existsSync(path.join(nginx.dir, "pid"));
		}, 30000);
		return nginx;
	}

	// What stands around the shipped file in a distribution's nginx.conf.
	write(front) {
		const file = path.join(this.dir, "nginx.conf");
		const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((n) => `\t${n}_temp_path ${this.dir}/${n};\n`).join("");
		// Tests speak for many clients: as if a balancer stood before nginx.
		const real = "\tset_real_ip_from 127.0.0.1;\n\treal_ip_header X-Forwarded-For;\n";
		const user = process.getuid() === 0 ? "user root;\n" : "";
		fs.writeFileSync(file, `${user}daemon off;\nworker_processes 1;\npid ${this.dir}/pid;\nerror_log stderr warn;\n` +
			`events { worker_connections 4096; }\nhttp {\n\taccess_log off;\n${real}${temp}${front}}\n`);
		return file;
	}

	async stop() {
		if (!this.gone)
			this.child.kill("SIGTERM");
		await this.exited;
		fs.rmSync(this.dir, { recursive: true, force: true });
	}
}

let shared; // one PostgreSQL per test process, for those that ask for none of their own
async function sharedPostgres() {
	shared ||= await Postgres.start();
	shared.child.unref();
	for (const stream of [shared.child.stdin, shared.child.stdout, shared.child.stderr])
		stream.unref();
	return shared;
}

// As a Server to those who ask it; `nodes` are Servers too.
class Cluster extends Client {
	// options: as Server.start, and postgres, url (a database that is there), count, tls
	static async start(options = {}) {
		const c = new Cluster();
		c.postgres = options.postgres || await sharedPostgres();
		c.ownDir = !options.dir;
		c.dir = options.dir || newDirectory();
		c.startedAt = performance.now();
		const note = path.join(c.dir, "database-url");
		c.url = options.url || (fs.existsSync(note) ? fs.readFileSync(note, "utf8") : c.postgres.database());
		fs.writeFileSync(note, c.url);
		fs.mkdirSync(path.join(c.dir, "var"), { recursive: true });
		const { PORT, ...env } = options.env || {}; // of the whole, which is nginx's
		c.env = { ...SECRETS, TRUSTED_PROXIES: "127.0.0.1", ...env, DATABASE_URL: c.url };
		try {
			const starts = await Promise.allSettled(Array.from({ length: options.count || 2 }, () => c.startNode()));
			c.nodes = starts.filter((s) => s.value).map((s) => s.value); // those that came up are ended with the others
			const failed = starts.find((s) => s.reason);
			if (failed)
				throw failed.reason;
			c.nginx = await Nginx.start(c.nodes.map((n) => n.port), options.tls, Number(PORT || 0));
		} catch (error) {
			await c.discard();
			throw error;
		}
		c.port = c.nginx.port;
		c.base = `http://127.0.0.1:${c.port}`;
		c.agent = new http.Agent({ keepAlive: true, maxSockets: options.sockets || 64 });
		return c;
	}

	startNode(env) {
		return Server.startOne({ dir: this.dir, env: { ...this.env, ...env } });
	}

	get stderr() {
		return this.nodes.map((n) => n.stderr).join("");
	}

	get stdout() {
		return this.nodes.map((n) => n.stdout).join("");
	}

	logs() {
		return this.nodes.flatMap((n) => n.logs());
	}

	async gauge(name) {
		return (await Promise.all(this.nodes.map((n) => n.gauge(name)))).reduce((a, b) => a + b);
	}

	sql(text) {
		return this.postgres.query(this.url, text);
	}

	async stop(signal = "SIGTERM") {
		const exits = await Promise.all((this.nodes || []).map((n) => n.stop(signal)));
		if (this.nginx)
			await this.nginx.stop();
		this.nginx = null;
		this.agent?.destroy();
		return exits[0];
	}

	async discard() {
		await this.stop("SIGKILL");
		if (this.ownDir)
			fs.rmSync(this.dir, { recursive: true, force: true });
	}
}

// `nginx -t` on the file as it is shipped, but for addresses and the certificate: {code, text}.
function checkFront(tls) {
	const nginx = new Nginx();
	nginx.dir = newDirectory();
	const file = nginx.write(frontConfig([8000, 8001], "127.0.0.1:0", tls, path.join(nginx.dir, "redirect.sock")).replace("127.0.0.1:0", `unix:${nginx.dir}/front.sock`));
	return new Promise((resolve) => {
		execFile("nginx", ["-t", "-p", nginx.dir, "-c", file, "-e", "stderr"],
			{ env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } }, (error, _, stderr) => {
				fs.rmSync(nginx.dir, { recursive: true, force: true });
				resolve({ code: error ? error.code : 0, text: stderr });
			});
	});
}

module.exports = { Cluster, Nginx, Postgres, SECRETS, checkFront, sharedPostgres };

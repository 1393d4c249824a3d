// docs/operations.md is run as it stands: its commands in the order of the page, as an operator with a shell would, on one installation
// that begins as the Debian package leaves it, is upgraded, restored, rotated, and moves to PostgreSQL.  What stands in for the machine
// (sudo, systemctl, journalctl, sudoedit) are words of one line that ask this file; the program, its server, nginx's address, sqlite3 and
// psql are real.  An ini block is what the next sudoedit writes.  What needs another machine is in ELSEWHERE, by name.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { randomBytes } = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { test } = require("node:test");
const { Postgres } = require("./cluster.js");
const { Server, STUDENT_PASSWORD, eventually, muster, newDirectory, root, sqlite } = require("./lib.js");

const SECRETS = ["SECRET_KEY", "QR_SIGNING_SECRET", "TOKEN_PEPPER", "MFA_ENCRYPTION_KEY"];
const ELSEWHERE = [
	[/^make deb /, "deb-test"],
	[/^sudo apt-get install .*muster/, "deb-test"],
	[/^docker (build|run|exec) /, "image-test"],
	[/^sudo (apt-get install nginx|nginx -t|systemctl reload nginx)$/, "nodes.test.js tests the file behind it"],
	[/^sudo cp .*nginx\.conf/, "nodes.test.js, and deb-test that it is there"],
	[/^sudoedit .*nginx\/conf\.d/, "nodes.test.js"],
];

// The fenced blocks of the page in its order: {language, text, line}.
function blocks(page) {
	return [...page.matchAll(/^( *)```(\w+)\n([^]*?)^ *```$/gm)].map((m) => ({
		language: m[2], text: m[3].split("\n").map((l) => l.slice(m[1].length)).join("\n"), line: page.slice(0, m.index).split("\n").length,
	}));
}

// What `sudoedit` is told to write: NAME=VALUE lines, one for each name in the file.
function edited(file, lines, fresh) {
	let text = fs.readFileSync(file, "utf8");
	for (const [, name, value] of lines.matchAll(/^([A-Z_]+)=(.*)$/gm)) {
		const old = (new RegExp(`^${name}=(.*)$`, "m").exec(text) || ["", ""])[1].split(",");
		const base = name === "SECRET_KEY_RETIRED" ? fresh.SECRET_KEY.old : old[SECRETS.includes(name) && old.length > 1 ? 1 : 0];
		if (value === "NEW,OLD" || (value === "NEW" && old.length === 1))
			fresh[name] = { value: randomBytes(32).toString("hex"), old: base };
		const put = value.replace("NEW", () => fresh[name].value).replace("OLD", () => base);
		text = `${text.replace(new RegExp(`^${name}=.*\n`, "gm"), "")}${name}=${put}\n`;
	}
	fs.writeFileSync(file, text);
}

class Machine {
	static async start() {
		const m = new Machine();
		m.dir = newDirectory();
		m.state = path.join(m.dir, "state");
		m.config = path.join(m.dir, "etc", "muster.env");
		m.bin = path.join(m.dir, "bin");
		m.journal = "";
		m.fresh = {};
		for (const dir of [m.state, path.dirname(m.config), m.bin])
			fs.mkdirSync(dir, { mode: 0o700 });
		fs.writeFileSync(m.config, m.put(fs.readFileSync(path.join(root, "deploy", "muster.env"), "utf8")) +
			SECRETS.map((name) => `${name}=${randomBytes(32).toString("hex")}\n`).join(""));
		fs.symlinkSync(m.config, path.join(m.state, ".env"));
		fs.symlinkSync(muster, path.join(m.bin, "muster"));
		m.control = http.createServer((request, reply) => {
			m.act(new URL(request.url, "http://machine")).then((text) => reply.end(text), (error) => {
				reply.statusCode = 500;
				reply.end(`${error.stack}\n`);
			});
		});
		await new Promise((resolve) => m.control.listen(0, "127.0.0.1", resolve));
		const ask = (what) => `#!/bin/sh\nexec curl -sS --fail-with-body "http://127.0.0.1:${m.control.address().port}/${what}"\n`;
		const words = {
			systemctl: ask("systemctl/$1"), journalctl: ask("journalctl/$1$2"), sudoedit: ask("sudoedit"),
			sudo: `#!/bin/sh
if [ "$1" = -u ]; then
	[ "$2" != postgres ] || export PGHOST="$SUPER_HOST" PGUSER=muster PGDATABASE=postgres
	shift 2
fi
exec "$@"
`,
		};
		for (const [name, text] of Object.entries(words))
			fs.writeFileSync(path.join(m.bin, name), text, { mode: 0o755 });
		return m;
	}

	// The page's words for places, as this machine has them.
	put(text) {
		let out = text.replaceAll("/var/lib/muster", this.state).replaceAll("/etc/muster/muster.env", this.config)
			.replace("mail.example.org:587", "127.0.0.1:9").replaceAll("2026-11-21", new Date(Date.now() + 86400000).toISOString().slice(0, 10));
		if (this.port)
			out = out.replaceAll("https://attend.example.org", `http://127.0.0.1:${this.port}`).replaceAll("127.0.0.1:8000", `127.0.0.1:${this.port}`);
		if (this.pg) {
			const at = this.socket;
			out = out.replaceAll("ROLE muster", "ROLE operator").replaceAll("DATABASE muster OWNER muster", "DATABASE muster OWNER operator")
				.replace("postgresql://muster:a-long-word@127.0.0.1:5432/muster", `postgresql://operator:a-long-word@/muster?host=${at}`)
				.replace(/postgresql:\/\/muster:a-long-word@db1\S*,db2[^/]*\/muster\?/, `postgresql://operator:a-long-word@/muster?host=${this.dir}/away,${at}&`);
		}
		return out;
	}

	setting(name) {
		return new RegExp(`^${name}=(.*)$`, "m").exec(fs.readFileSync(this.config, "utf8"))[1];
	}

	// The directory of PostgreSQL's socket.
	get socket() {
		return new URLSearchParams(this.pg.server.split("?")[1]).get("host");
	}

	async serve() {
		// The file alone decides, but for a port that is free.
		const only = Object.fromEntries(["ENV", "HOST", "DATA_DIR", "DATABASE_URL", "BCRYPT_ROUNDS", "RATE_LIMIT_ENABLED", "ADMIN_EMAIL", "ADMIN_PASSWORD"]
			.map((name) => [name, undefined]));
		this.server = await Server.startOne({ dir: this.state, env: { ...only, PORT: String(this.port || 0) } });
		if (!this.port) {
			this.port = this.server.port;
			edited(this.config, `PORT=${this.port}`, this.fresh);
		}
	}

	async halt() {
		await this.server.stop();
		this.journal += this.server.stderr;
	}

	async act(url) {
		const [, word, verb] = url.pathname.split("/");
		if (word === "journalctl") // of a unit, and not of a program, it has systemd's own lines too
			return (verb === "-tmuster" ? "" : "Started muster.service\n") + this.journal + this.server.stderr;
		if (word === "sudoedit") {
			assert.ok(this.edit, "the page says sudoedit, and nothing to write");
			edited(this.config, this.edit, this.fresh);
			this.edit = null;
			return "";
		}
		assert.ok(["start", "stop", "restart"].includes(verb), `systemctl ${verb}`);
		if (verb !== "start")
			await this.halt();
		if (verb !== "stop")
			await this.serve();
		return "";
	}

	// One block in a shell that knows the function of the page.  It resolves to what was printed, and fails as its first command does.
	run(text, prelude) {
		const kept = Object.entries(process.env).filter(([name]) => /^(ASAN|UBSAN|TSAN)_OPTIONS$/.test(name));
		const env = { ...Object.fromEntries(kept), PATH: `${this.bin}:${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: "C.UTF-8",
			SUPER_HOST: this.pg ? this.socket : "" };
		return new Promise((resolve) => {
			const child = spawn("bash", ["--norc", "-eu", "-o", "pipefail", "-c", this.put(`${prelude}\n${text}`)],
				{ cwd: this.dir, env, stdio: ["ignore", "pipe", "pipe"] });
			let out = "";
			for (const stream of [child.stdout, child.stderr])
				stream.on("data", (d) => { out += d; });
			child.once("close", (code) => resolve({ code, out }));
		});
	}

	// Both engines take the page's SQL.
	sql(text) {
		for (const one of text.trim().split(/;\n?/).filter(Boolean))
			if (this.setting("DATABASE_URL").startsWith("sqlite:"))
				sqlite(path.join(this.state, "muster.db"), this.put(one));
			else
				this.pg.query(this.url, this.put(one));
	}

	get url() {
		return this.pg.server.replace("///postgres?", "///muster?");
	}

	async discard() {
		if (this.server && !this.server.exit)
			await this.server.discard();
		this.control.close();
		await this.pg?.stop();
		fs.rmSync(this.dir, { recursive: true, force: true });
	}
}

// What happens at the site between the pages' lines: somebody signs up, is let in, marks.
async function somebodyMarks(machine, password) {
	const s = machine.server, email = `s${Date.now()}@students.example.org`;
	await s.want(201, s.post("/api/auth/signup", { email, password: STUDENT_PASSWORD, full_name: "Mai Tran" }));
	const admin = await s.login("chief@example.org", password);
	const { requests } = await s.want(200, s.get("/api/admin/approval-requests?status=pending", admin));
	await s.want(200, s.post(`/api/admin/approval-requests/${requests[0].id}/decide`, { decision: "approved" }, admin));
	const student = await s.login(email, STUDENT_PASSWORD);
	const event = await s.event(admin);
	const code = await s.qr(admin, event.id);
	await s.want(201, s.mark(code.qr_payload, student));
	return event.id;
}

test("every command of docs/operations.md does what the page says", { timeout: 600000 }, async () => {
	const page = fs.readFileSync(path.join(root, "docs", "operations.md"), "utf8");
	const all = blocks(page);
	assert.ok(all.length > 25, "the page has its blocks");
	const prelude = all.find((b) => b.text.startsWith("muster()")).text;
	const machine = await Machine.start();
	const used = new Set(), queries = [], said = [];
	let password, event;
	try {
		await machine.serve();
		for (const block of all) {
			const where = `docs/operations.md:${block.line}`;
			if (block.language === "ini") {
				assert.equal(machine.edit ?? null, null, `${where}: nobody writes the lines before`);
				machine.edit = machine.put(block.text);
			} else if (block.language === "sql") {
				queries.push(block.text);
				machine.sql(block.text);
			} else {
				assert.equal(block.language, "sh", where);
				if (/^sudo -u postgres/.test(block.text))
					machine.pg = await Postgres.start();
				const here = block.text.split("\n").filter((line) => {
					const why = ELSEWHERE.find(([pattern]) => pattern.test(line));
					if (why)
						used.add(why);
					return !why;
				}).join("\n").replace("EVENT", event);
				const done = await machine.run(here, prelude);
				said.push(done.out);
				assert.equal(done.code, 0, `${where}:\n${here}\n${done.out}`);
				assert.doesNotMatch(done.out, /[1-9]\d* failed, /, where);
				password = /chief@example\.org\npassword: (\S+)$/m.exec(done.out)?.[1] ?? password;
				if (machine.server.exit === undefined && password && /chief/.test(done.out))
					event = await somebodyMarks(machine, password);
			}
		}
		assert.equal(machine.edit ?? null, null, "the page's last lines are written by nobody");
		assert.deepEqual(ELSEWHERE.filter((e) => !used.has(e)).map(String), [], "the page says this no more");
		queries.forEach((q) => machine.sql(q));
		const printed = said.join("\n");
		for (const promise of [/created administrator chief@example\.org\n/, /by-hand\.db is sound\n/, /muster\.db\.before-restore-\d{8}-\d{6}\n/,
			/SECRET_KEY: of an older value|SECRET_KEY: an older value/, /\d+ codes? revoked/, /intact: /])
			assert.match(printed, promise);
		assert.match(fs.readFileSync(path.join(machine.dir, "attendance.csv"), "utf8"), /Mai Tran/);
		await eventually("the server on PostgreSQL has the event", async () =>
			machine.pg.query(machine.url, "SELECT count(*) AS n FROM attendance_records")[0].n >= 1);
	} finally {
		await machine.discard();
	}
});

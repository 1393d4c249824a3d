// A backup under load, restored elsewhere: every row that was there, and nothing half.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { Server, command, newDirectory, sqlite } = require("./lib.js");

const TABLES = ["users", "events", "qr_sessions", "attendance_records", "used_nonces", "verification_logs", "audit_logs", "sessions"];
const counts = (file) => Object.fromEntries(TABLES.map((t) => [t, sqlite(file, `SELECT COUNT(*) AS n FROM ${t}`)[0].n]));

test("a backup under load restores to one state of the database", async () => {
	const dir = newDirectory();
	const server = await Server.start({ dir });
	try {
		const admin = await server.admin();
		const students = await Promise.all(Array.from({ length: 8 }, (_, i) => server.student(`s${i}`, admin)));
		let go = true, marked = 0;
		const load = students.map(async (s) => {
			while (go) {
				const event = await server.event(admin);
				const code = await server.qr(admin, event.id);
				await server.want(201, server.mark(code.qr_payload, s.token));
				marked++;
			}
		});
		Promise.all(load).catch(() => {}); // when a backup fails, that is told, and not what its end breaks off
		const files = [];
		for (let i = 0; i < 4; i++) {
			const before = marked;
			const made = await command(["backup", path.join(dir, `copy${i}.db`)], { dir });
			assert.equal(made.code, 0, made.stderr);
			assert.ok(marked > before, "marks went on meanwhile");
			files.push({ file: made.stdout.trim(), before });
		}
		go = false;
		await Promise.all(load);
		for (const { file, before } of files) {
			assert.equal(fs.statSync(file).mode & 0o777, 0o600);
			assert.ok(!fs.existsSync(`${file}-wal`) && !fs.existsSync(`${file}.new`));
			const n = counts(file);
			assert.ok(n.attendance_records >= before, "what was acknowledged before it began is in it");
			assert.equal(n.attendance_records, n.used_nonces, "no mark is in it by half");
			assert.equal(n.attendance_records, n.verification_logs);
			assert.equal(sqlite(file, "SELECT COUNT(*) AS n FROM audit_logs WHERE action = 'attendance_marked'")[0].n, n.attendance_records);
		}

		const last = files.at(-1).file, live = path.join(dir, "muster.db");
		const running = await command(["restore", last], { dir });
		assert.equal(running.code, 1);
		assert.match(running.stderr, /stop the server first/);
		await server.stop();
		const old = counts(live);
		const restored = await command(["restore", last], { dir });
		assert.equal(restored.code, 0, restored.stderr);
		const want = counts(last);
		assert.deepEqual(counts(live), { ...want, audit_logs: want.audit_logs + 1 });
		assert.equal(sqlite(live, "SELECT action FROM audit_logs ORDER BY seq DESC LIMIT 1")[0].action, "restore");
		assert.deepEqual(counts(path.resolve(dir, /^what was there before is in (.*)$/m.exec(restored.stdout)[1])), old);
		const again = await Server.start({ dir });
		try {
			await again.admin();
			assert.equal((await command(["audit", "verify"], { dir })).code, 0);
		} finally {
			await again.stop();
		}
	} finally {
		await server.stop("SIGKILL");
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("restore refuses what is damaged, foreign or newer, and changes nothing", async () => {
	const dir = newDirectory();
	try {
		assert.equal((await command(["seed"], { dir })).code, 0);
		const made = await command(["backup"], { dir });
		assert.equal(made.code, 0, made.stderr);
		const good = path.resolve(dir, made.stdout.trim());
		assert.match(good, /backups\/muster-\d{8}-\d{6}\.db$/);
		assert.equal((await command(["restore", "--check", good], { dir })).code, 0);
		const before = counts(path.join(dir, "muster.db"));
		const variants = {
			"damaged.db": (f) => {
				const bytes = fs.readFileSync(good);
				bytes.fill(0x5a, 4096 * 4, 4096 * 9);
				fs.writeFileSync(f, bytes);
			},
			"short.db": (f) => fs.writeFileSync(f, fs.readFileSync(good).subarray(0, 20000)),
			"text.db": (f) => fs.writeFileSync(f, "not a database at all, but long enough to look at".repeat(50)),
			"foreign.db": (f) => sqlite(f, "CREATE TABLE t (a)"),
			"newer.db": (f) => {
				fs.copyFileSync(good, f);
				sqlite(f, "INSERT INTO schema_migrations VALUES (9000, 'later', 'x', '2026-01-01 00:00:00.000000')");
			},
			"orphan.db": (f) => {
				fs.copyFileSync(good, f);
				sqlite(f, "PRAGMA foreign_keys = OFF; INSERT INTO enrollments VALUES ('a', 'b', '2026-01-01 00:00:00.000000')");
			},
		};
		for (const [name, make] of Object.entries(variants)) {
			const file = path.join(dir, name);
			make(file);
			const r = await command(["restore", file], { dir });
			assert.equal(r.code, 1, `${name}: ${r.stdout}`);
			assert.match(r.stderr, /^muster: /);
		}
		assert.equal((await command(["restore", path.join(dir, "none.db")], { dir })).code, 1);
		assert.deepEqual(counts(path.join(dir, "muster.db")), before);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

test("a backup replaces no file that is there, is audited, and half of one is none", async () => {
	const dir = newDirectory(), live = path.join(dir, "muster.db"), good = path.join(dir, "good.db");
	const server = await Server.start({ dir });
	try {
		assert.equal((await command(["backup", good], { dir })).code, 0);
		assert.deepEqual(sqlite(live, "SELECT action, entity_type, entity_id FROM audit_logs WHERE action = 'backup'"),
			[{ action: "backup", entity_type: "backup", entity_id: "good.db" }]);
		fs.symlinkSync("nowhere", path.join(dir, "link.db"));
		for (const file of [live, good, path.join(dir, "link.db")]) {
			const before = fs.lstatSync(file).ino;
			const refused = await command(["backup", file], { dir });
			assert.equal(refused.code, 1, refused.stdout);
			assert.match(refused.stderr, /is there already/);
			assert.equal(fs.lstatSync(file).ino, before);
		}
		await server.want(200, server.get("/v1/ready"));

		const folder = path.join(dir, "var", "backups");
		const doctor = async () => JSON.parse((await command(["doctor", "--json"], { dir })).stdout).checks.find((c) => c.check === "backup").status;
		fs.mkdirSync(folder, { recursive: true });
		fs.copyFileSync(good, path.join(folder, "muster-20261101-030000.db.new"));
		assert.equal(await doctor(), "warning", "one that was killed is none");
		assert.equal((await command(["backup"], { dir })).code, 0);
		assert.equal(await doctor(), "ok");
	} finally {
		await server.discard();
	}
});

test("each restore keeps what it finds, also when what an earlier one kept is restored", async () => {
	const dir = newDirectory(), live = path.join(dir, "muster.db"), good = path.join(dir, "good.db");
	const name = (file) => sqlite(file, "SELECT full_name FROM users ORDER BY id LIMIT 1")[0].full_name;
	const restore = async (file) => {
		const done = await command(["restore", file], { dir });
		assert.equal(done.code, 0, done.stderr);
		return path.resolve(dir, /^what was there before is in (.*)$/m.exec(done.stdout)[1]);
	};
	try {
		assert.equal((await command(["seed"], { dir })).code, 0);
		assert.equal((await command(["backup", good], { dir })).code, 0);
		const first = name(live), kept = [];
		for (const other of ["Second", "Third"]) {
			sqlite(live, `UPDATE users SET full_name = '${other}'`);
			kept.push(await restore(good));
			assert.equal(name(live), first);
		}
		kept.push(await restore(kept[0]));
		assert.equal(name(live), "Second");
		assert.deepEqual(kept.map(name), ["Second", "Third", first]);
		assert.ok(kept.every((file) => /muster\.db\.before-restore-\d{8}-\d{6}$/.test(file)));
		assert.deepEqual(fs.readdirSync(dir).filter((f) => /\.new/.test(f)), []);
	} finally {
		fs.rmSync(dir, { recursive: true, force: true });
	}
});

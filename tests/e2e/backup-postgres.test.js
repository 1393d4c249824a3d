// A PostgreSQL database backed up under load by its own tools, and restored elsewhere and in place.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { SECRETS, sharedPostgres } = require("./cluster.js");
const { fillEveryTable } = require("./every-row.js");
const { Server, command, newDirectory } = require("./lib.js");

const SECRET = "s3cret-word";

async function setUp() {
	const pg = await sharedPostgres();
	const url = pg.database(), dir = newDirectory();
	const env = (at) => ({ ...SECRETS, DATABASE_URL: at });
	return {
		pg, url, dir, env,
		run: (args, at = url, extra) => command(args, { dir, env: { ...env(at), ...extra } }),
		async sums(at = url) {
			const done = await command(["checksum", "--json"], { dir, env: env(at) });
			assert.equal(done.code, 0, done.stderr);
			return Object.fromEntries(JSON.parse(done.stdout).tables.map((t) => [t.name, [t.rows, t.checksum]]));
		},
		remove: () => fs.rmSync(dir, { recursive: true, force: true }),
	};
}
const without = (sums, ...names) => Object.fromEntries(Object.entries(sums).filter(([name]) => !names.includes(name)));

test("a backup under load restores to one state; another, to every row", async () => {
	const s = await setUp();
	const server = await Server.start({ dir: s.dir, env: s.env(s.url) });
	try {
		const admin = await server.admin();
		const students = await Promise.all(Array.from({ length: 4 }, (_, i) => server.student(`s${i}`, admin)));
		let go = true, marked = 0;
		const load = students.map(async (who) => {
			while (go) {
				const event = await server.event(admin);
				await server.want(201, server.mark((await server.qr(admin, event.id)).qr_payload, who.token));
				marked++;
			}
		});
		const before = marked, file = path.join(s.dir, "under-load.dump");
		const made = await s.run(["backup", file]);
		go = false;
		await Promise.all(load);
		assert.equal(made.code, 0, made.stderr);
		assert.equal(made.stdout.trim(), file);
		assert.equal(fs.statSync(file).mode & 0o777, 0o600);
		assert.ok(!fs.existsSync(`${file}.new`));

		const running = await s.run(["restore", file]);
		assert.equal(running.code, 1);
		assert.match(running.stderr, /stop the servers first/);
		await server.stop();

		const fresh = s.pg.database();
		const restored = await s.run(["restore", file], fresh);
		assert.equal(restored.code, 0, restored.stderr);
		assert.doesNotMatch(restored.stdout, /before/, "there was nothing to keep");
		const [n] = s.pg.query(fresh, `SELECT (SELECT count(*) FROM attendance_records) AS marks, (SELECT count(*) FROM used_nonces) AS nonces,
			(SELECT count(*) FROM audit_logs WHERE action = 'attendance_marked') AS audits`);
		assert.ok(n.marks >= before, "what was acknowledged before it began is in it");
		assert.equal(n.nonces, n.marks, "no mark is in it by half");
		assert.equal(n.audits, n.marks);

		// Now with something in every table, which a move from SQLite brings, and nobody writing: equal to the last bit.
		const lite = path.join(s.dir, "every.db"), full = s.pg.database(), copy = s.pg.database();
		assert.equal((await s.run(["seed"], `sqlite:///${lite}`)).code, 0);
		fillEveryTable(lite, s.pg, s.url);
		assert.equal((await s.run(["import", "database", lite], full)).code, 0);
		const backup = await s.run(["backup"], full);
		assert.equal(backup.code, 0, backup.stderr);
		assert.match(backup.stdout, /backups\/muster-\d{8}-\d{6}\.dump\n$/);
		const dump = path.resolve(s.dir, backup.stdout.trim());
		assert.equal((await s.run(["restore", "--check", dump], full)).code, 0);
		assert.equal((await s.run(["restore", dump], copy)).code, 0);
		const want = await s.sums(full), have = await s.sums(copy);
		assert.ok(Object.values(want).every(([rows]) => rows >= 3));
		assert.deepEqual(without(have, "audit_logs"), without(want, "audit_logs"));
		assert.equal(have.audit_logs[0], want.audit_logs[0]); // one row tells of the backup, the other one of the restoring
		assert.deepEqual(s.pg.query(copy, "SELECT action FROM audit_logs ORDER BY seq DESC LIMIT 1"), [{ action: "restore" }]);
		const exported = await s.run(["export", "users"], copy);
		for (const part of ["email,full_name,role,is_active\r\n", '\nstudent@example.com,', ',"Zoë '])
			assert.ok(exported.stdout.includes(part), part);

		// In place: what was there is kept, and comes back the same way.
		s.pg.run(copy, "DELETE FROM outbox; UPDATE users SET full_name = 'Somebody Else'");
		const changed = await s.sums(copy);
		const back = await s.run(["restore", dump], copy);
		assert.equal(back.code, 0, back.stderr);
		const [, kept] = /^what was there before is in (.*\.dump\.before-restore-\d{8}-\d{6})$/m.exec(back.stdout);
		assert.deepEqual(without(await s.sums(copy), "audit_logs"), without(want, "audit_logs"));
		assert.equal((await s.run(["restore", kept], copy)).code, 0);
		assert.deepEqual(without(await s.sums(copy), "audit_logs"), without(changed, "audit_logs"));

		const again = await Server.start({ dir: s.dir, env: s.env(fresh) });
		try {
			await again.want(201, again.post("/api/admin/events", { title: "Next", scheduled_at: new Date().toISOString() }, await again.admin()));
		} finally {
			await again.stop();
		}
		assert.equal((await s.run(["audit", "verify"], fresh)).code, 0);
	} finally {
		await server.stop("SIGKILL");
		s.remove();
	}
});

test("restore refuses what is damaged, foreign or newer, and changes nothing", async () => {
	const s = await setUp();
	try {
		assert.equal((await s.run(["seed"])).code, 0);
		const good = path.join(s.dir, "good.dump"), lite = path.join(s.dir, "muster.db"), bytes = (f) => fs.readFileSync(f);
		assert.equal((await s.run(["backup", good])).code, 0);
		assert.equal((await s.run(["seed"], "sqlite:///./muster.db")).code, 0);
		const foreign = s.pg.database(), newer = s.pg.database();
		s.pg.run(foreign, "CREATE TABLE t (a int)");
		assert.equal((await s.run(["migrate", "up"], newer)).code, 0);
		s.pg.run(newer, "INSERT INTO schema_migrations VALUES (9000, 'later', 'x', now())");
		const dumpOf = (at, name) => {
			execFileSync("pg_dump", ["--format=custom", "--file", path.join(s.dir, name), at]);
			return path.join(s.dir, name);
		};
		const put = (name, data) => (fs.writeFileSync(path.join(s.dir, name), data), path.join(s.dir, name));
		const middle = Buffer.from(bytes(good));
		middle.fill(0x5a, Math.floor(middle.length * 0.97));
		const refused = {
			short: put("short.dump", bytes(good).subarray(0, Math.floor(bytes(good).length * 0.6))),
			damaged: put("damaged.dump", middle),
			text: put("text.dump", "not a dump at all ".repeat(100)),
			foreign: dumpOf(foreign, "foreign.dump"),
			newer: dumpOf(newer, "newer.dump"),
			lite,
			none: path.join(s.dir, "none.dump"),
		};
		const before = await s.sums();
		for (const [name, file] of Object.entries(refused)) {
			const r = await s.run(["restore", file]);
			assert.equal(r.code, 1, `${name}: ${r.stdout}`);
			assert.match(r.stderr, /^muster: /);
		}
		assert.match((await s.run(["restore", lite])).stderr, /muster import database/);
		assert.match((await s.run(["restore", good], "sqlite:///./muster.db")).stderr, /made from PostgreSQL/);
		assert.match((await s.run(["restore", good], newer)).stderr, /newer than the backup's/);
		assert.deepEqual(await s.sums(), before);
	} finally {
		s.remove();
	}
});

test("the tools get no secret among their arguments, and no more of the environment than they need", async () => {
	const s = await setUp();
	try {
		const bin = path.join(s.dir, "bin"), note = path.join(s.dir, "note");
		const real = execFileSync("sh", ["-c", "command -v pg_dump"], { encoding: "utf8" }).trim();
		fs.mkdirSync(bin);
		fs.writeFileSync(path.join(bin, "pg_dump"), `#!/bin/sh\n{ echo "ARGS $*"; env; } >'${note}'\nexec '${real}' "$@"\n`, { mode: 0o755 });
		const at = s.url.replace("postgresql:///", `postgresql+psycopg2://muster:${SECRET}@/`).replace("&user=muster", "&connect_timeout=7");
		assert.equal((await s.run(["migrate", "up"], at)).code, 0);
		const made = await s.run(["backup", path.join(s.dir, "x.dump")], at, { PATH: `${bin}:${process.env.PATH}` });
		assert.equal(made.code, 0, made.stderr);
		const text = fs.readFileSync(note, "utf8");
		assert.doesNotMatch(text.split("\n")[0], new RegExp(SECRET));
		assert.match(text, new RegExp(`^PGPASSWORD=${SECRET}$`, "m"));
		assert.match(text, /^PGUSER=muster$/m);
		for (const patience of ["connect_timeout='7'", "tcp_user_timeout='30000'", "--lock-wait-timeout="])
			assert.ok(text.split("\n")[0].includes(patience), `it does not wait for ever: ${patience}`);
		assert.doesNotMatch(text, /SECRET_KEY|PEPPER|MFA_ENCRYPTION|ADMIN_PASSWORD/);
	} finally {
		s.remove();
	}
});

test("without the tools a backup fails and says why, and doctor knows", async () => {
	const s = await setUp();
	try {
		assert.equal((await s.run(["migrate", "up"])).code, 0);
		const failed = await s.run(["backup"], s.url, { PATH: s.dir });
		assert.equal(failed.code, 1);
		assert.match(failed.stderr, /no pg_dump in PATH: install/);
		assert.deepEqual(fs.readdirSync(path.join(s.dir, "var", "backups")), []);
		const checks = async (extra) => JSON.parse((await s.run(["doctor", "--json"], s.url, extra)).stdout).checks;
		assert.ok((await checks({ PATH: s.dir })).some((c) => c.check === "backup tools" && c.status === "warning"));
		assert.ok(!(await checks()).some((c) => c.check === "backup tools"));
		fs.writeFileSync(path.join(s.dir, "pg_dump"), "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n", { mode: 0o755 });
		assert.ok((await checks({ PATH: `${s.dir}:${process.env.PATH}` })).some((c) => /version 9.*must not be older/.test(c.message)));
	} finally {
		s.remove();
	}
});

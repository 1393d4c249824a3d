// Half a day within minutes: the server's clocks run SOAK_SPEED times as fast (clock.c), so its jobs, lives, limits and deadlines do too:
// 180 on an idle machine, 60 on one where others work.
// Meanwhile people sign in and out, refresh, mark with codes that end and with selfies, guess passwords from ever new addresses, listen to
// streams, take files home, reset passwords by mail, and accounts are imported.  What must hold:
//
//	memory       in use: the straight line through what was seen in the last two thirds rises by GROWTH_MIB at most.  What the allocator
//	             keeps for later follows the busiest moment: the resident memory stays below RESIDENT_MIB
//	descriptors  and threads: at rest at the end no more than at rest after the first third, but for one descriptor for each face helper,
//	             and those of the database, which come as readers are first needed: two for each connection there may be
//	log          the write-ahead log stays below WAL_MIB
//	files        as many selfies are stored as there are rows of them, but for those that the sweep may not judge yet
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { ADMIN, STUDENT_PASSWORD, Server, eventually, libraries, newDirectory, pause } = require("./lib.js");
const { account, models, portraits } = require("../e2e/face-lib.js");
const { picture } = require("../e2e/face-stub.js");
const { mailServer } = require("../e2e/peers.js");
const { PATIENCE_MS, Person, administration, comings, count, forgetting, lecture, listening, seminar, told } = require("./soak-people.js");

const SPEED = Number(process.env.SOAK_SPEED || 180), GROWTH_MIB = 1, RESIDENT_MIB = 64, WAL_MIB = 65, DATABASE_FILES = 33, LOOK_MS = 1000;
// How often, in seconds of its clock: nothing here is timed by the machine but how many times it was done.
const LECTURE_S = 600, CODE_S = 540, LOGIN_S = 60, STREAM_S = 60, SEMINAR_S = 600, FORGET_S = 900, IMPORT_S = 1800;
const SEMINAR = 6, FORGETFUL = 4, LECTURER = "noether@university.example.org";

exports.title = "half a day";

// Does each of `works` again and again for so many seconds of the server's clock, then waits until all are at rest.
async function work(works, seconds) {
	const end = performance.now() + seconds * 1000 / SPEED;
	await Promise.all(works.map(async ([every_s, step]) => {
		while (performance.now() < end) {
			const next = performance.now() + every_s * 1000 / SPEED;
			await step();
			await pause(Math.max(0, Math.min(next, end) - performance.now()));
		}
	}));
}

function resident(pid) {
	const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
	return Number(/^VmRSS:\s+(\d+)/m.exec(status)[1]) / 1024;
}

const heap = async (server) => await server.gauge("muster_heap_bytes") / 1048576;

// The processes that it started: helpers that look at pictures.
function helpers(pid) {
	const tasks = fs.readdirSync(`/proc/${pid}/task`);
	return tasks.flatMap((task) => fs.readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ")).filter((word) => word.trim());
}

// What is open, without the helpers' ends; the database's files apart.
function descriptors(pid, db) {
	const folder = `/proc/${pid}/fd`, all = fs.readdirSync(folder).map((fd) => {
		try {
			return fs.readlinkSync(`${folder}/${fd}`);
		} catch {
			return ""; // closed meanwhile
		}
	}).filter(Boolean);
	const files = all.filter((name) => name.startsWith(db)).length;
	return { fds: all.length - files - helpers(pid).length, files };
}

// The rise over all of them of the straight line that fits best.
function rise(samples) {
	const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
	const t = mean(samples.map((s) => s.t)), y = mean(samples.map((s) => s.heap));
	const slope = mean(samples.map((s) => (s.t - t) * (s.heap - y))) / mean(samples.map((s) => (s.t - t) ** 2));
	return slope * (samples.at(-1).t - samples[0].t);
}

// At rest, and with no more descriptors and threads than at an earlier rest: what is surplus goes by itself.
async function look(server, streams, before = { fds: Infinity, threads: Infinity }) {
	while (streams.length)
		streams.pop().close();
	server.agent.destroy();
	const { pid } = server.child, gauge = (name) => server.gauge(name).catch(() => NaN);
	await eventually("it is at rest", async () => await gauge("muster_http_connections") <= 2 && await gauge("muster_sse_clients") === 0 &&
		await gauge("muster_write_queue_length") === 0 && await gauge("muster_http_body_bytes") === 0, PATIENCE_MS);
	const seen = () => ({ ...descriptors(pid, server.db), threads: fs.readdirSync(`/proc/${pid}/task`).length });
	await eventually("descriptors and threads come back", () => seen().fds <= before.fds && seen().threads <= before.threads, PATIENCE_MS).catch(() => {});
	return { ...seen(), heap: await heap(server), rss: resident(pid), helpers: Math.max(0, ...helpers(pid).map(resident)), wal: fs.statSync(`${server.db}-wal`).size / 1048576 };
}

// Files of selfies; the sweep takes those that no mark keeps.
async function checkFiles(server) {
	const folder = path.join(server.dir, "var", "uploads", "selfies");
	const files = () => (fs.existsSync(folder) ? fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).length : 0);
	const rows = () => server.sql("SELECT count(*) AS n FROM selfies")[0].n;
	await eventually("what no mark keeps is swept", () => files() === rows(), PATIENCE_MS);
	return rows();
}

// Ten seconds of its clock pass within a twentieth of ours: on a busy machine a turn may wait longer for the writer, or a mail for the mail
// server's answer, and comes again.  No job fails for another reason.
function checkFailures(server, line) {
	const failed = server.logs().filter((l) => l.event_type === "job.failed" && l.error); // without: that it could not be noted either
	const others = failed.filter((l) => l.error !== "OVERLOADED" && !/^mail server: Timeout/.test(l.message));
	assert.equal(others.length, 0, `jobs failed: ${others.slice(0, 5).map((l) => JSON.stringify(l)).join("\n")}\n${line}`);
	return `${line}; ${failed.length} turns of jobs put off`;
}

// How many turns there were; the hourly jobs came round.
async function checkJobs(server, hours) {
	const text = (await server.get("/metrics")).text;
	const runs = Object.fromEntries([...text.matchAll(/^muster_job_runs_total\{job="(\w+)"\} (\d+)/mg)].map((m) => [m[1], Number(m[2])]));
	assert.ok(runs.session_expire >= Math.floor(hours / 2), `session_expire ran ${runs.session_expire} times in ${hours} hours`);
	return Object.values(runs).reduce((a, b) => a + b, 0);
}

// Looks at the memory every LOOK_MS while `work` is under way.
async function watched(server, work, samples) {
	const timer = setInterval(() => heap(server).then((seen) => samples.push({ t: performance.now(), heap: seen }), () => {}), LOOK_MS);
	await work.finally(() => clearInterval(timer));
}

const DONE = ["logins", "refreshes", "streams", "marks with a selfie", "selfies looked at (200)", "exports (200)", "passwords reset by mail", "imports",
	"exports of all accounts"];

async function soak(server, people, hours, { smtp, faces }) {
	const as = ({ email }, i) => new Person(server, email, STUDENT_PASSWORD, `10.254.0.${i + 1}`);
	const admin = new Person(server, ADMIN.email, ADMIN.password, "10.255.0.1"), lecturer = new Person(server, LECTURER, STUDENT_PASSWORD, "10.255.0.2");
	const everybody = people.map(as), streams = [], acknowledged = new Set(), samples = [];
	const forgetful = everybody.splice(0, FORGETFUL);
	await Promise.all([admin, lecturer, ...everybody].map((person) => person.signIn()));
	const works = [[LECTURE_S, lecture(server, admin, everybody, acknowledged)], [LOGIN_S, comings(server, everybody)],
		[STREAM_S, listening(server, everybody, streams)], [SEMINAR_S, seminar(lecturer, everybody.slice(0, SEMINAR), faces, acknowledged)],
		[FORGET_S, forgetting(forgetful, smtp)], [IMPORT_S, administration(server)]];
	const began = Date.parse((await server.get("/v1/health")).headers.date), looks = [await look(server, streams)];
	for (let third = 0; third < 3; third++) {
		const marks = count("marks");
		await watched(server, work(works, hours * 1200), third > 0 ? samples : []);
		looks.push(await look(server, streams, looks[1]));
		assert.ok(count("marks") > marks, `nobody was marked; ${told()}`);
	}
	const passed = (Date.parse((await server.get("/v1/health")).headers.date) - began) / 3600000;
	assert.ok(passed >= hours, `its clock went on by ${passed} hours`);
	const turns = await checkJobs(server, hours), files = await checkFiles(server);
	assert.ok(!server.exit, "it is the same process");
	const rows = new Set(server.sql("SELECT id FROM attendance_records").map((r) => r.id));
	assert.equal([...acknowledged].filter((id) => !rows.has(id)).length, 0, "an acknowledged mark is missing");
	for (const what of DONE)
		assert.ok(count(what) > 0, `no ${what}; ${told()}`);
	return { looks, passed, turns, files, rise: rise(samples) };
}

function judge({ looks, passed, turns, files, rise }) {
	const each = (name, digits = 0) => looks.map((l) => l[name].toFixed(digits)).join(", ");
	const line = `${passed.toFixed(1)} hours, ${turns} runs of jobs, ${told()}, ${files} selfies kept; memory in use rises by ${rise.toFixed(2)} MiB within the ` +
		`last two thirds; before and after each third: in use ${each("heap", 1)} MiB, resident ${each("rss", 1)} MiB, of the largest ` +
		`helper ${each("helpers", 1)} MiB, descriptors ${each("fds")} and of the database ${each("files")}, threads ${each("threads")}, log ${each("wal", 1)} MiB`;
	const [, second] = looks, last = looks.at(-1);
	assert.ok(rise <= GROWTH_MIB, `memory grows: ${line}`);
	assert.ok(Math.max(...looks.map((l) => l.rss)) <= RESIDENT_MIB, `the allocator keeps too much: ${line}`);
	assert.ok(last.fds <= second.fds, `descriptors leak: ${line}`);
	assert.ok(last.files <= DATABASE_FILES, `the database is open too often: ${line}`);
	assert.ok(last.threads <= second.threads, `threads leak: ${line}`);
	assert.ok(last.wal <= WAL_MIB, `the log grows: ${line}`);
	return line;
}

async function accounts(server) {
	const list = await server.students(await server.admin(), 24 + FORGETFUL);
	await account(server, "lecturer", LECTURER.split("@")[0]);
	return list;
}

exports.run = async (long) => {
	// The page cache and the pool are kept small, or they would grow with the tables and hide what else does.
	const dir = newDirectory(), smtp = await mailServer(), pictures = portraits("2021");
	const faces = pictures.length ? { models, pictures } : { pictures: [picture("face 0")] };
	const env = { SQLITE_CACHE_MB: "1", DATABASE_POOL_SIZE: "2", QR_EXPIRY_SECONDS: String(CODE_S), RATE_LIMIT_ENABLED: "true",
		TRUSTED_PROXIES: "127.0.0.1", SMTP_URL: `smtp://127.0.0.1:${smtp.port}`, MAIL_FROM: "muster@example.org", FACE_MODELS_DIR: faces.models,
		FACE_TIMEOUT_SECONDS: "60", PUBLIC_BASE_URL: "https://attend.example.org", PASSWORD_RESET_EXPIRE_MINUTES: "240" };
	let server = await Server.startOne({ dir });
	try {
		const people = await accounts(server);
		await server.stop();
		server = await Server.startOne({ dir, env: { ...env, LD_PRELOAD: path.join(libraries, "clock.so"), CLOCK_SPEED: String(SPEED) } });
		const seen = await soak(server, people, long ? 12 : 0.5, { smtp, faces });
		assert.deepEqual(await server.stop(), { code: 0, signal: null });
		return checkFailures(server, judge(seen));
	} finally {
		await server.discard();
		await smtp.close();
		fs.rmSync(dir, { recursive: true, force: true });
	}
};

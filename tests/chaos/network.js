// Two nodes and a PostgreSQL, each node on a wire of its own (network namespaces on a bridge).  The wire of the leading node is cut under
// load: the other takes over the jobs and the marks go on there; when the wire is whole again both serve, and what hung is answered.
"use strict";

const { execFileSync } = require("node:child_process");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const { SECRETS } = require("../e2e/cluster.js");
const { Postgres } = require("../e2e/outage.js");
const { Load, Server, eventually, newDirectory, pause } = require("./lib.js");

const NET = "10.77.0", LONG = 180000;
// A turn of these jobs comes this often, in seconds.
const PERIODS = { approval_expire: 30, event_counts: 10, notify_marks: 10, password_reset: 5 };

exports.title = "a node cut off";
exports.network = true;

const ip = (text) => execFileSync("ip", text.split(" "), { stdio: ["ignore", "pipe", "pipe"] });

function makeNetwork(nodes) {
	fs.mkdirSync("/run/netns", { recursive: true });
	execFileSync("mount", ["-t", "tmpfs", "tmpfs", "/run/netns"]);
	ip("link set lo up");
	ip("link add muster0 type bridge");
	ip(`addr add ${NET}.1/24 dev muster0`);
	ip("link set muster0 up");
	for (let i = 0; i < nodes; i++) {
		ip(`netns add node${i}`);
		ip(`link add wire${i} type veth peer name eth0 netns node${i}`);
		ip(`link set wire${i} master muster0 up`);
		ip(`-n node${i} addr add ${NET}.${i + 2}/24 dev eth0`);
		ip(`-n node${i} link set eth0 up`);
		ip(`-n node${i} link set lo up`);
	}
}

async function startNode(i, dir) {
	const server = await Server.startOne({ dir, wrap: ["ip", "netns", "exec", `node${i}`], env: { ...SECRETS, HOST: `${NET}.${i + 2}`,
		QR_EXPIRY_SECONDS: "86400", DATABASE_URL: `postgresql://muster@${NET}.1/postgres` } });
	server.host = `${NET}.${i + 2}`;
	return server;
}

// Every turn that is noted stands after the claim of who did it and before the next one's; and nobody does a turn that another did within
// its period.  A turn locks the leader's row first, so the order in which these rows were noted is the order of the commits.
function checkTurns(postgres) {
	const noted = postgres.rows("SELECT name, leader, extract(epoch FROM started) AS at FROM turns ORDER BY seq");
	let leads = null;
	for (const { name, leader } of noted)
		if (name === "leader")
			leads = leader;
		else
			assert.equal(leader, leads, `a turn of ${name} is noted after another's claim`);
	const turns = noted.filter((t) => t.name !== "leader");
	for (const [name, seconds] of Object.entries(PERIODS)) {
		const times = turns.filter((t) => t.name === name).map((t) => t.at);
		for (let i = 1; i < times.length; i++)
			assert.ok(times[i] - times[i - 1] > seconds - 1, `${name} ran twice within ${times[i] - times[i - 1]} s`);
	}
	return turns.length;
}

async function cuts(postgres, nodes, times) {
	const admin = await nodes[0].admin(), everybody = await nodes[0].students(admin, 24);
	const loads = nodes.map((node) => new Load(() => node, everybody));
	postgres.value(`CREATE TABLE turns (seq BIGSERIAL, name TEXT, leader TEXT, started TIMESTAMPTZ);
		CREATE FUNCTION note_turn() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO turns (name, leader, started) VALUES (NEW.name, NEW.leader, NEW.last_started_at); RETURN NULL; END $$;
		CREATE TRIGGER note_first AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION note_turn();
		CREATE TRIGGER note_turn AFTER UPDATE ON jobs FOR EACH ROW WHEN (NEW.name <> 'leader' OR
			(NEW.leader, NEW.last_started_at) IS DISTINCT FROM (OLD.leader, OLD.last_started_at)) EXECUTE FUNCTION note_turn();
		INSERT INTO turns (name, leader, started) SELECT name, leader, last_started_at FROM jobs WHERE name = 'leader'`);
	const leader = () => postgres.value("SELECT leader FROM jobs WHERE name = 'leader'");
	const works = (name) => Number(postgres.value(`SELECT count(*) FROM turns WHERE name <> 'leader' AND leader = '${name}'`)) > 0;
	const order = [await eventually("one leads and works", () => leader() && works(leader()) && leader(), LONG)];
	let longest = 0;
	for (let round = 0; round < times; round++) {
		order.push(leader()); // a node that was starved may have lost it without a cut
		const cut = nodes.findIndex((n) => n.child.pid === Number(order.at(-1).split(":")[1])), other = 1 - cut;
		assert.ok(cut >= 0, order.at(-1));
		for (const load of loads) {
			await load.events(admin, 6);
			load.start = load.done;
			load.run(8);
		}
		for (const load of loads)
			await load.until("both are at work", () => load.done > load.start, LONG);
		ip(`link set wire${cut} down`);
		const began = performance.now();
		await loads[other].finish(LONG);
		order.push(await eventually("the other leads and works", () => leader() !== order.at(-1) && works(leader()) && leader(), LONG));
		longest = Math.max(longest, performance.now() - began);
		await pause(1000);
		ip(`link set wire${cut} up`);
		await eventually("it is ready again", async () => (await nodes[cut].get("/v1/ready").catch(() => ({}))).body?.status === "ok", LONG);
		await loads[cut].finish(LONG);
	}
	const all = new Load(null, []);
	for (const load of loads)
		for (const [id, mark] of load.acknowledged)
			all.acknowledged.set(id, mark);
	const compared = all.compare((text) => postgres.rows(text), true), turns = checkTurns(postgres);
	return `${times} cuts, ${compared}; ${turns} turns of jobs, none twice and none after another's claim; ` +
		`the other led and worked after ${(longest / 1000).toFixed(0)} s at most; asked again: ${loads.map((l) => l.refused).join(" and ")}`;
}

exports.run = async (long) => {
	makeNetwork(2);
	const dir = newDirectory(), postgres = await Postgres.start(`${NET}.1`), nodes = [];
	try {
		for (let i = 0; i < 2; i++)
			nodes.push(await startNode(i, dir));
		return await cuts(postgres, nodes, long ? 4 : 1);
	} finally {
		for (const node of nodes)
			await node.stop("SIGKILL");
		await postgres.discard();
		fs.rmSync(dir, { recursive: true, force: true });
	}
};

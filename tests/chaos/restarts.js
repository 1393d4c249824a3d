// PostgreSQL and Redis stopped, crashed and cut off under load, and one of two nodes killed: the end-to-end tests of these, with outages
// that last.
"use strict";

const { spawnSync } = require("node:child_process");
const assert = require("node:assert/strict");
const path = require("node:path");
const { root } = require("./lib.js");

const FILES = ["outage", "redis", "nodes-kill"];

exports.title = "restarts of PostgreSQL, Redis and nodes";
exports.run = async (long) => {
	const ms = long ? 20000 : 0;
	const done = spawnSync(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=tap", ...FILES.map((f) => path.join("tests", "e2e", `${f}.test.js`))],
		{ cwd: root, encoding: "utf8", env: { ...process.env, MUSTER_OUTAGE_MS: String(ms), NODE_TEST_CONTEXT: undefined } }); // or node takes itself for a part of the run, and runs nothing
	const number = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, "m").exec(done.stdout)?.[1]);
	assert.equal(done.status, 0, done.stdout);
	assert.ok(number("pass") > 0, done.stdout);
	return `${number("pass")} of ${number("tests")} scenarios (${FILES.join(", ")}), outages of ${ms / 1000} s and more`;
};

// The short forms of tests/chaos: each breaks something on purpose and prints its counts; `make chaos` runs the long ones, and those that
// take too long for here.
"use strict";

const assert = require("node:assert/strict");
const { execFile } = require("node:child_process");
const path = require("node:path");
const { describe, test } = require("node:test");
const { muster, root } = require("./lib.js");

const NAMES = ["slowloris", "disk-full", "disk-readonly", "disk-hangs", "clock", "idle"];

describe("broken on purpose", { concurrency: 2 }, () => {
	for (const name of NAMES)
		test(name, async (t) => {
			const { error, stdout, stderr } = await new Promise((resolve) => execFile(process.execPath,
				[path.join(root, "tests", "chaos", "run.js"), "--short", name],
				{ env: { CHAOS_LIBS: path.join(path.dirname(muster), "chaos"), ...process.env, MUSTER: muster } },
				(e, out, err) => resolve({ error: e, stdout: out, stderr: err })));
			assert.ok(!error && stdout.startsWith(`${name}: `), `${stdout}${stderr}`);
			t.diagnostic(stdout.trim());
		});
});

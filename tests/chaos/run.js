// node tests/chaos/run.js [--short] [NAME…]: each scenario prints one line of counts.  What it takes (root, mounts, loop devices, network
// namespaces) and is not to be had here is said, and the scenario is left out.
"use strict";

const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const NAMES = ["kills", "disk-full", "disk-readonly", "disk-hangs", "disk-slow", "restarts", "network", "clock", "idle", "slowloris", "soak"];
const INSIDE = "MUSTER_CHAOS_INSIDE";

// The words that put a program where it may mount and make networks, or null.
function namespaces(scenario) {
	const flags = scenario.network ? "-mn" : "-m";
	for (const words of [["unshare", flags], ["unshare", `-r${flags.slice(1)}`]]) {
		if (words[1].includes("r") && (scenario.loop || scenario.network))
			continue;
		if (spawnSync(words[0], [...words.slice(1), "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0)
			return words;
	}
	return null;
}

function missing(scenario) {
	if (scenario.loop && !fs.existsSync("/dev/loop-control"))
		return "no loop devices here";
	return null;
}

async function one(name, long) {
	const scenario = require(path.join(__dirname, `${name}.js`));
	const why = missing(scenario);
	if (why)
		return console.log(`${name}: left out, ${why}`), true;
	if ((scenario.mounts || scenario.network) && !process.env[INSIDE]) {
		const words = namespaces(scenario);
		if (!words)
			return console.log(`${name}: left out, namespaces of one's own are not allowed here`), true;
		const args = [...words.slice(1), process.execPath, __filename, ...(long ? [] : ["--short"]), name];
		return spawnSync(words[0], args, { stdio: "inherit", env: { ...process.env, [INSIDE]: "1" } }).status === 0;
	}
	const began = performance.now();
	try {
		const line = await scenario.run(long);
		console.log(`${name}: ${scenario.title}: ${line} (${((performance.now() - began) / 1000).toFixed(0)} s)`);
		return true;
	} catch (error) {
		console.log(`${name}: FAILED: ${error.stack}${error.stderr ? `\n${error.stderr}` : ""}`);
		return false;
	}
}

(async () => {
	const words = process.argv.slice(2), long = !words.includes("--short");
	const names = words.filter((w) => !w.startsWith("--"));
	for (const name of names)
		if (!NAMES.includes(name))
			throw new Error(`there is no ${name}; there are ${NAMES.join(", ")}`);
	let failed = 0;
	for (const name of names.length ? names : NAMES)
		failed += await one(name, long) ? 0 : 1;
	process.exitCode = failed ? 1 : 0;
})();

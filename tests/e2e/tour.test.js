// docs/api.md is run as it stands: every command of its console blocks in one shell against a fresh server, and what it prints must be
// what the page says, but for ids, times and tokens.  MUSTER_TOUR=FILE writes the page with what was printed this time (`make tour`).
"use strict";

const assert = require("node:assert/strict");
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { ADMIN, Server, root } = require("./lib.js");

const MARK = "@@tour@@";

// The page as pieces of text and of commands with what they print.
function read(page) {
	const pieces = [];
	for (const part of page.split(/^(```console\n[^]*?^```\n)/m)) {
		if (!part.startsWith("```console\n")) {
			pieces.push({ text: part });
			continue;
		}
		const commands = [];
		for (const line of part.split("\n").slice(1, -2)) {
			if (line.startsWith("$ "))
				commands.push({ command: line.slice(2), prints: [] });
			else
				commands.at(-1).prints.push(line);
		}
		pieces.push({ commands });
	}
	return pieces;
}

function write(pieces) {
	return pieces.map((p) => (p.text !== undefined ? p.text
		: `\`\`\`console\n${p.commands.map((c) => [`$ ${c.command}`, ...c.printed].join("\n")).join("\n")}\n\`\`\`\n`)).join("");
}

function alike(lines) {
	return lines.map((l) => l
		.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "ID")
		.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, "TIME"));
}

test("every command of docs/api.md answers what the page says", async () => {
	const file = path.join(root, "docs", "api.md");
	const pieces = read(fs.readFileSync(file, "utf8"));
	const commands = pieces.flatMap((p) => p.commands || []);
	assert.ok(commands.length > 40, "the page has its commands");
	const server = await Server.startOne({ env: { OPEN_LECTURER_SIGNUP: undefined } });
	try {
		const script = commands.map((c) => `${c.command}\nprintf '\\n${MARK}%s\\n' "$?"\n`).join("");
		const run = spawnSync("bash", ["--norc", "-c", script], { encoding: "utf8", timeout: 120000, stdio: ["ignore", "pipe", "pipe"],
			env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8", api: server.base, PASSWORD: ADMIN.password } });
		assert.equal(run.error, undefined, String(run.error));
		assert.equal(run.stderr, "");
		const outputs = run.stdout.split(new RegExp(`${MARK}(\\d+)\\n`));
		for (const [i, c] of commands.entries()) {
			c.printed = outputs[2 * i].split("\n").filter((l) => l !== "");
			assert.equal(outputs[2 * i + 1], "0", `${c.command}: ${c.printed.join("\n")}`);
		}
	} finally {
		await server.discard();
	}
	if (process.env.MUSTER_TOUR) {
		fs.writeFileSync(process.env.MUSTER_TOUR, write(pieces));
		return;
	}
	for (const c of commands)
		assert.deepEqual(alike(c.printed), alike(c.prints), c.command);
});

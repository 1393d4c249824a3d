// Prints the 10,000 most common passwords, in lower case, each once, in byte order, one a line.
// The package's list is in order of frequency; core/asset.h's "passwords.txt" is searched by halving, hence the order.
"use strict";
const list = require(process.argv[2]);
const seen = new Set();
for (const word of list) {
	seen.add(word.toLowerCase());
	if (seen.size === 10000)
		break;
}
if (seen.size !== 10000)
	throw new Error(`only ${seen.size} passwords in the list`);
const lines = [...seen].map((word) => Buffer.from(word, "utf8")).sort(Buffer.compare);
process.stdout.write(lines.map((b) => b.toString("utf8") + "\n").join(""));

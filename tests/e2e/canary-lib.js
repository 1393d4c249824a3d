// Secrets that must not be found where they do not belong: planted ones and those that replies deliver, sought in every spelling that
// a program could have left behind.
"use strict";

const assert = require("node:assert/strict");

const PREFIX = 8; // every spelling is at least this long; the search looks its beginnings up

// What base64 of any text makes of `bytes` inside it, wherever they begin: three alignments, without the characters at both ends that
// also depend on the neighbours.
function base64Cores(bytes) {
	return [0, 1, 2].map((shift) => {
		const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64").replace(/=+$/, "");
		const first = Math.ceil(shift * 8 / 6), last = Math.floor((shift + bytes.length) * 8 / 6);
		return text.slice(first, last);
	});
}

function spellings(secret) {
	const bytes = Buffer.from(secret), hex = bytes.toString("hex");
	const percent = hex.replace(/../g, "%$&");
	const all = [secret, secret.toLowerCase(), secret.toUpperCase(), JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret),
		new URLSearchParams({ s: secret }).toString().slice(2),
		secret.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;"),
		hex, hex.toUpperCase(), percent, percent.toUpperCase(),
		...base64Cores(bytes), ...base64Cores(bytes).map((text) => text.replaceAll("+", "-").replaceAll("/", "_"))];
	return [...new Set(all)];
}

class Canaries {
	constructor() {
		this.byValue = new Map(); // value -> {what, replies: Set of the replies that deliver it}
	}

	// A secret; with a reply: the one that may hold it.
	plant(what, value, reply) {
		assert.equal(typeof value, "string", what);
		assert.ok(value.length >= PREFIX, `${what} is too short to be sought`);
		const entry = this.byValue.get(value) || { what, value, replies: new Set() };
		this.byValue.set(value, entry);
		if (reply)
			entry.replies.add(reply);
		return value;
	}

	index() {
		const index = new Map();
		for (const entry of this.byValue.values())
			for (const spelling of spellings(entry.value)) {
				const head = spelling.slice(0, PREFIX);
				index.set(head, [...(index.get(head) || []), { entry, spelling }]);
			}
		return index;
	}

	// Everything found in places = [{name, text, reply?}]: ["password of Ada in a log line", …].
	sought(places) {
		const index = this.index(), found = new Set();
		for (const { name, text, reply } of places)
			for (let i = 0; i + PREFIX <= text.length; i++)
				for (const { entry, spelling } of index.get(text.slice(i, i + PREFIX)) || [])
					if (text.startsWith(spelling, i) && !entry.replies.has(reply) && !insideNumber(text, i, spelling))
						found.add(`${entry.what} in ${name}: …${text.slice(Math.max(0, i - 40), i + 12)}…`);
		return [...found];
	}
}

// Digits of a code inside a longer number or name are chance.
function insideNumber(text, at, spelling) {
	return /^\d+$/.test(spelling) && /[\w.-]/.test((text[at - 1] || " ") + (text[at + spelling.length] || " "));
}

module.exports = { Canaries, spellings };

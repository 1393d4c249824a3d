// Bytes as a careless or hostile peer sends them, against the real program.  tests/unit/http_framing.c has the long table; here
// stand those framings that matter most between a proxy and the server, and the deadlines and ceilings as they are configured.
"use strict";

const assert = require("node:assert/strict");
const net = require("node:net");
const { after, before, test } = require("node:test");
const { Server } = require("./lib.js");

const HOST = "Host: muster.example.org\r\n";
let server;
before(async () => { server = await Server.start(); });
after(() => server.discard());

// One connection; answers are taken off it one after the other.
class Raw {
	static async open() {
		const raw = new Raw();
		raw.bytes = Buffer.alloc(0);
		raw.ended = false;
		raw.wake = () => {};
		raw.socket = net.connect({ host: "127.0.0.1", port: server.port, allowHalfOpen: true });
		raw.socket.setNoDelay(true);
		const more = () => raw.wake();
		raw.socket.on("data", (d) => { raw.bytes = Buffer.concat([raw.bytes, d]); more(); });
		raw.socket.on("end", () => { raw.ended = true; more(); });
		raw.socket.on("error", () => { raw.ended = true; more(); });
		raw.socket.on("close", () => { raw.ended = true; more(); });
		await new Promise((resolve, reject) => { raw.socket.once("connect", resolve); raw.socket.once("error", reject); });
		return raw;
	}

	send(text) {
		this.socket.write(text, "latin1");
		return this;
	}

	// The first thing that `take` gives; null when the connection ends before.
	async until(take, ms = 15000) {
		const end = performance.now() + ms;
		for (;;) {
			const got = take();
			if (got !== undefined)
				return got;
			if (this.ended)
				return null;
			const left = end - performance.now();
			assert.ok(left > 0, `no answer in ${ms} ms; so far: ${this.bytes.toString("latin1")}`);
			let timer;
			await new Promise((resolve) => { this.wake = resolve; timer = setTimeout(resolve, left); });
			clearTimeout(timer);
		}
	}

	// {status, headers, body}; interim answers count.
	answer({ head = false } = {}) {
		return this.until(() => {
			const end = this.bytes.indexOf("\r\n\r\n");
			if (end < 0)
				return undefined;
			const lines = this.bytes.subarray(0, end).toString("latin1").split("\r\n");
			const headers = Object.fromEntries(lines.slice(1).map((l) => {
				const colon = l.indexOf(":");
				return [l.slice(0, colon).toLowerCase(), l.slice(colon + 1).trim()];
			}));
			const status = Number(lines[0].split(" ")[1]);
			const length = head || status < 200 ? 0 : Number(headers["content-length"] || 0);
			if (this.bytes.length < end + 4 + length)
				return undefined;
			const body = this.bytes.subarray(end + 4, end + 4 + length).toString("utf8");
			this.bytes = this.bytes.subarray(end + 4 + length);
			return { status, headers, body };
		});
	}

	async statuses(n) {
		const list = [];
		for (let i = 0; i < n; i++) {
			const a = await this.answer();
			list.push(a ? a.status : 0);
		}
		return list;
	}

	end(ms) {
		return this.until(() => undefined, ms);
	}

	close() {
		this.socket.destroy();
	}
}

async function withRaw(work) {
	const raw = await Raw.open();
	try {
		return await work(raw);
	} finally {
		raw.close();
	}
}

const LOGIN = JSON.stringify({ username: "nobody@example.org", password: "Wrong-Password-1" });
const POST = "POST /api/auth/login HTTP/1.1\r\n" + HOST + "Content-Type: application/json\r\n";

test("pipelined requests are answered in their order", () => withRaw(async (raw) => {
	raw.send("GET /v1/health HTTP/1.1\r\n" + HOST + "X-Request-ID: one\r\n\r\n" +
		POST + `X-Request-ID: two\r\nContent-Length: ${LOGIN.length}\r\n\r\n${LOGIN}` +
		"GET /nowhere HTTP/1.1\r\n" + HOST + "X-Request-ID: three\r\n\r\n" +
		"GET /v1/health HTTP/1.1\r\n" + HOST + "X-Request-ID: four\r\nConnection: close\r\n\r\n");
	const seen = [];
	for (let i = 0; i < 4; i++) {
		const a = await raw.answer();
		seen.push([a.status, a.headers["x-request-id"]]);
	}
	assert.deepEqual(seen, [[200, "one"], [401, "two"], [404, "three"], [200, "four"]]);
	await raw.end();
}));

test("a client that waits for 100 Continue gets it, and then its answer", () => withRaw(async (raw) => {
	raw.send(POST + `Expect: 100-continue\r\nContent-Length: ${LOGIN.length}\r\n\r\n`);
	assert.equal((await raw.answer()).status, 100);
	raw.send(LOGIN);
	assert.equal((await raw.answer()).status, 401);
}));

test("a body that is announced too long is refused without being asked for", () => withRaw(async (raw) => {
	raw.send(POST + "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n");
	assert.equal((await raw.answer()).status, 413);
	await raw.end();
}));

test("a body in chunks is the same body", () => withRaw(async (raw) => {
	const half = LOGIN.length >> 1;
	const chunk = (s) => `${s.length.toString(16)}\r\n${s}\r\n`;
	raw.send(POST + "Transfer-Encoding: chunked\r\n\r\n").send(chunk(LOGIN.slice(0, half)))
		.send(chunk(LOGIN.slice(half))).send("0\r\n\r\n").send("GET /v1/health HTTP/1.1\r\n" + HOST + "\r\n");
	assert.deepEqual(await raw.statuses(2), [401, 200]);
}));

test("HEAD has the header of GET and no body", () => withRaw(async (raw) => {
	raw.send("HEAD /v1/health HTTP/1.1\r\n" + HOST + "\r\n");
	const first = await raw.answer({ head: true });
	assert.equal(first.status, 200);
	assert.ok(Number(first.headers["content-length"]) > 0);
	raw.send("GET /v1/health HTTP/1.1\r\n" + HOST + "\r\n");
	assert.equal((await raw.answer()).status, 200);
}));

// Each would make a proxy and the server see two different requests.
const smuggling = {
	"Content-Length with Transfer-Encoding": POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"two lengths": POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
	"two Hosts": "GET /v1/health HTTP/1.1\r\n" + HOST + "Host: other.example.org\r\n\r\n",
	"no Host": "GET /v1/health HTTP/1.1\r\n\r\n",
	"a foreign coding": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"chunked twice": POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"a blank before the colon": POST + "Content-Length : 2\r\n\r\n{}",
	"a folded header": "GET /v1/health HTTP/1.1\r\n" + HOST + "X-A: b\r\n c\r\n\r\n",
	"NUL in a header": "GET /v1/health HTTP/1.1\r\n" + HOST + "X-A: b\0c\r\n\r\n",
	"a negative chunk": POST + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
};
for (const [what, bytes] of Object.entries(smuggling))
	test(`${what}: 400 and the end, whatever follows`, () => withRaw(async (raw) => {
		raw.send(bytes + "GET /v1/health HTTP/1.1\r\n" + HOST + "X-Request-ID: smuggled\r\n\r\n");
		const a = await raw.answer();
		assert.equal(a.status, 400);
		assert.equal(await raw.answer(), null, "nothing comes after the refusal");
		assert.ok(!server.stderr.includes("smuggled"));
	}));

test("too many and too long headers are refused", async () => {
	await withRaw(async (raw) => {
		raw.send("GET /v1/health HTTP/1.1\r\n" + HOST + "X-Long: " + "a".repeat(20000) + "\r\n\r\n");
		const a = await raw.answer();
		assert.ok(a === null || a.status === 431 || a.status === 413, JSON.stringify(a));
	});
	await withRaw(async (raw) => {
		raw.send("GET /v1/health HTTP/1.1\r\n" + HOST + "X-A: b\r\n".repeat(150) + "\r\n");
		const a = await raw.answer();
		assert.ok(a === null || a.status === 400 || a.status === 431, JSON.stringify(a));
	});
});

test("who sends one byte now and then is cut, and nobody else waits", () => withRaw(async (raw) => {
	const started = performance.now();
	raw.send("GET /v1/health HTTP/1.1\r\n" + HOST + "X-Slow: ");
	const drip = setInterval(() => raw.socket.write("a", () => {}), 500);
	try {
		await withRaw(async (other) => {
			other.send("GET /v1/health HTTP/1.1\r\n" + HOST + "\r\n");
			assert.equal((await other.answer()).status, 200);
		});
		await raw.end(20000);
	} finally {
		clearInterval(drip);
	}
	const seconds = (performance.now() - started) / 1000;
	assert.ok(seconds > 8 && seconds < 15, `cut after ${seconds} s, 10 s are allowed`);
}));

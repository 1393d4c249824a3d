// What the end-to-end tests stand on: the real program in a directory of its own, on a port that the system gives it.
// Nothing here sleeps to wait: conditions are asked again until a deadline.
"use strict";

const { spawn, execFile, execFileSync } = require("node:child_process");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");
const { after } = require("node:test");

const root = path.resolve(__dirname, "..", "..");
const muster = process.env.MUSTER || path.join(root, "build", "muster");
const ADMIN = { email: "admin@dsclub.com", password: "Rooms-and-Rows-42" };
const STUDENT_PASSWORD = "Lecture-Hall-17";

// What a test that failed leaves running would keep its file from ending.
const running = new Set();
if (process.argv[1]?.endsWith(".test.js")) // and no script that one starts
	after(() => running.forEach((child) => child.kill("SIGKILL")));

// Asks `condition` until it gives something true, and returns that.
async function eventually(what, condition, ms = 10000) {
	const end = performance.now() + ms;
	for (;;) {
		const value = await condition();
		if (value)
			return value;
		if (performance.now() > end)
			assert.fail(`not within ${ms} ms: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
}

function newDirectory() {
	return fs.mkdtempSync(path.join(os.tmpdir(), "muster-e2e-"));
}

function environment(extra) {
	const env = {
		PATH: process.env.PATH,
		ENV: "dev",
		HOST: "127.0.0.1",
		PORT: "0",
		DATA_DIR: "./var",
		DATABASE_URL: "sqlite:///./muster.db",
		BCRYPT_ROUNDS: "4",
		RATE_LIMIT_ENABLED: "false",
		ADMIN_EMAIL: ADMIN.email,
		ADMIN_PASSWORD: ADMIN.password,
		...extra,
	};
	if (env.FACE_PROGRAM) // a script, and the sandbox runs no interpreter
		env.SANDBOX ??= "off";
	for (const name of ["ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"])
		if (process.env[name])
			env[name] = process.env[name];
	return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
}

// Requests to whatever listens on `port`, and the steps that most tests share.
class Client {
	// {status, headers, text, body}; body is the parsed JSON, if it is any.
	request(method, target, { token, body, headers, raw, form } = {}) {
		return new Promise((resolve, reject) => {
			const all = { ...headers };
			let data = raw;
			if (body !== undefined) {
				data = JSON.stringify(body);
				all["content-type"] = "application/json";
			} else if (form !== undefined) {
				data = new URLSearchParams(form).toString();
				all["content-type"] = "application/x-www-form-urlencoded";
			}
			if (data !== undefined)
				all["content-length"] = Buffer.byteLength(data);
			if (token)
				all.authorization = `Bearer ${token}`;
			const req = http.request({ host: this.host || "127.0.0.1", port: this.port, method, path: target, headers: all, agent: this.agent });
			req.on("error", (e) => {
				e.message = `${method} ${target}: ${e.message}${req.reusedSocket ? ", on a connection that was kept" : ""}`;
				reject(e);
			});
			req.on("response", (res) => {
				if (/event-stream/.test(res.headers["content-type"] || "")) { // its end never comes
					resolve({ status: res.statusCode, headers: res.headers, text: "" });
					req.destroy();
					return;
				}
				const parts = [];
				res.on("data", (d) => parts.push(d));
				res.on("error", reject);
				res.on("end", () => {
					const bytes = Buffer.concat(parts);
					const text = bytes.toString("utf8");
					let json;
					if (/json/.test(res.headers["content-type"] || "") && text)
						json = JSON.parse(text);
					resolve({ status: res.statusCode, headers: res.headers, bytes, text, body: json });
				});
			});
			req.end(data);
		});
	}

	get(target, token, options) {
		return this.request("GET", target, { token, ...options });
	}

	post(target, body, token, options) {
		return this.request("POST", target, { body, token, ...options });
	}

	// One number of /metrics, without a label.
	async gauge(name) {
		return Number(new RegExp(`^${name} (\\S+)$`, "m").exec((await this.get("/metrics")).text)[1]);
	}

	// The body of an answer that must have this status.
	async want(status, promise) {
		const answer = await promise;
		assert.equal(answer.status, status, `${answer.status} instead of ${status}: ${answer.text}`);
		return answer.body;
	}

	async login(email, password) {
		const reply = await this.want(200, this.post("/api/auth/login", { username: email, password }));
		return reply.access_token;
	}

	admin() {
		return this.login(ADMIN.email, ADMIN.password);
	}

	// A new student, approved; {email, id, token}.
	async student(name, adminToken) {
		const email = `${name}@students.example.org`;
		const signup = await this.want(201, this.post("/api/auth/signup",
			{ email, password: STUDENT_PASSWORD, full_name: `Student ${name}` }));
		const decided = await this.want(200, this.post(`/api/admin/approval-requests/${signup.approval_request_id}/decide`,
			{ decision: "approved" }, adminToken));
		return { email, id: decided.user.id, token: await this.login(email, STUDENT_PASSWORD) };
	}

	// The same with another role.
	async staff(name, role, adminToken) {
		const made = await this.student(name, adminToken);
		await this.want(200, this.request("PATCH", `/api/admin/users/${made.id}`, { token: adminToken, body: { role } }));
		return { ...made, token: await this.login(made.email, STUDENT_PASSWORD) };
	}

	// For what a test needs before it begins: asks again while it is told that the server is busy.
	patient() {
		const other = Object.create(this);
		other.request = (...args) => eventually("the server has room", async () => {
			const reply = await this.request(...args);
			return reply.status !== 503 && reply;
		}, 60000);
		return other;
	}

	// n of them, eight at a time.
	async students(adminToken, n, name = "s") {
		const list = [], server = this.patient();
		for (let i = 0; i < n; i += 8)
			list.push(...await Promise.all(Array.from({ length: Math.min(8, n - i) }, (_, k) => server.student(`${name}${i + k}`, adminToken))));
		return list;
	}

	event(adminToken, extra) {
		return this.want(201, this.post("/api/admin/events",
			{ title: "Lecture", scheduled_at: new Date().toISOString(), ...extra }, adminToken));
	}

	qr(adminToken, eventId) {
		return this.want(201, this.post("/api/admin/qr-sessions", { event_id: eventId }, adminToken));
	}

	mark(qrPayload, token, options) {
		return this.post("/api/attendance/mark", { qr_payload: qrPayload }, token, options);
	}

}

class Server extends Client {
	// options: dir (kept when given), env, wrap (words to put before the program)
	// MUSTER_E2E=nodes: two nodes on one PostgreSQL behind nginx stand where one server would.
	static start(options = {}) {
		return process.env.MUSTER_E2E === "nodes" ? require("./cluster.js").Cluster.start(options) : Server.startOne(options);
	}

	static async startOne(options = {}) {
		const server = new Server();
		server.ownDir = !options.dir;
		server.dir = options.dir || newDirectory();
		server.db = path.join(server.dir, "muster.db");
		server.stderr = "";
		server.stdout = "";
		server.startedAt = performance.now();
		const words = [...(options.wrap || []), muster, "serve"];
		server.child = spawn(words[0], words.slice(1), {
			cwd: server.dir, env: environment(options.env), stdio: ["ignore", "pipe", "pipe"],
		});
		running.add(server.child);
		server.exited = new Promise((resolve) => server.child.once("close", (code, signal) => {
			server.exit = { code, signal };
			running.delete(server.child);
			resolve(server.exit);
		}));
		server.child.stdout.on("data", (d) => { server.stdout += d; });
		server.child.stderr.on("data", (d) => { server.stderr += d; });
		await eventually("the server listens", () => {
			if (server.exit)
				assert.fail(`the server ended at once: ${JSON.stringify(server.exit)}\n${server.stderr}`);
			const line = server.logs().find((l) => l.event_type === "server.listening");
			if (line)
				server.port = line.port;
			return line;
		}, 30000);
		server.base = `http://127.0.0.1:${server.port}`;
		server.agent = new http.Agent({ keepAlive: true, maxSockets: options.sockets || 64 });
		return server;
	}

	// The complete JSON lines so far.
	logs() {
		return this.stderr.split("\n").slice(0, -1).filter((l) => l.startsWith("{")).map((l) => JSON.parse(l));
	}

	async stop(signal = "SIGTERM") {
		if (!this.exit)
			this.child.kill(signal);
		const exit = await this.exited;
		this.agent?.destroy();
		const refused = this.logs().filter((l) => l.event_type === "sandbox.refused");
		assert.deepEqual(refused, [], "the sandbox refused what the server needs");
		return exit;
	}

	// Ends the server, if it still runs, and removes its directory.
	async discard() {
		await this.stop("SIGKILL");
		if (this.ownDir)
			fs.rmSync(this.dir, { recursive: true, force: true });
	}

	sql(text) {
		return sqlite(this.db, text);
	}
}

// A listener to an event stream; `events` grows as they come.
function listenTo(port, path, token, headers = {}) {
	const stream = { events: [], comments: 0, ended: false };
	let text = "";
	return new Promise((resolve, reject) => {
		const req = http.request({ host: "127.0.0.1", port, path, agent: false,
			headers: { authorization: `Bearer ${token}`, ...headers } });
		stream.close = () => req.destroy();
		req.on("error", (e) => { stream.ended = true; reject(e); });
		req.on("response", (res) => {
			stream.status = res.statusCode;
			stream.headers = res.headers;
			res.setEncoding("utf8");
			res.on("data", (d) => {
				text += d;
				for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
					const fields = {};
					for (const line of text.slice(0, end).split("\n")) {
						const colon = line.indexOf(":");
						fields[line.slice(0, colon)] = line.slice(colon + 1).trim();
					}
					if (fields.event)
						stream.events.push({ name: fields.event, id: fields.id, data: JSON.parse(fields.data), at: performance.now() });
					else
						stream.comments++;
				}
			});
			res.on("error", () => { stream.ended = true; });
			res.on("close", () => { stream.ended = true; });
			resolve(stream);
		});
		req.end();
	});
}

// The shell as an operator starts it.
function sqlite(file, text) {
	const out = execFileSync("sqlite3", ["-json", "-cmd", ".timeout 5000", file, text],
		{ env: { ...process.env, TZ: "UTC" }, encoding: "utf8" });
	return out.trim() ? JSON.parse(out) : [];
}

// One command of the program: {code, stdout, stderr}.
function command(args, { dir, env, input } = {}) {
	return new Promise((resolve) => {
		const child = execFile(muster, args, { cwd: dir || root, env: environment(env) }, (error, stdout, stderr) => {
			resolve({ code: error ? error.code : 0, signal: error ? error.signal : null, stdout, stderr });
		});
		child.stdin.on("error", () => {}); // a command that reads nothing may be gone already
		child.stdin.end(input || "");
	});
}

module.exports = { ADMIN, Client, STUDENT_PASSWORD, Server, command, environment, eventually, listenTo, muster, newDirectory, root, sqlite };

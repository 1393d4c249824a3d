// Faces and selfies from the phone to the reviewer: with a helper that sees what the test says, and with the real one where the models are.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");
const { test } = require("node:test");
const { Server, eventually, newDirectory } = require("./lib.js");
const { account, enrol, layer, mark, realFaces, session } = require("./face-lib.js");
const { bucketServer } = require("./peers.js");
const stub = require("./face-stub.js");

// The answer to an upload that was announced and never sent.
function headersAlone(server, target, length, token) {
	return new Promise((resolve, reject) => {
		const req = http.request(server.base + target, { method: "POST", agent: false, headers: {
			"content-type": "multipart/form-data; boundary=x", "content-length": length, ...(token && { authorization: `Bearer ${token}` }),
		} });
		req.on("response", (res) => {
			resolve(res.statusCode);
			req.destroy();
		});
		req.on("error", reject);
		req.flushHeaders();
	});
}

async function stubServer(env = {}) {
	const dir = newDirectory();
	const server = await Server.startOne({ dir, env: { FACE_PROGRAM: stub.install(dir), FACE_MODELS_DIR: "stub", FACE_TIMEOUT_SECONDS: "60", ...env } });
	server.ownDir = true;
	return server;
}

test("a selfie is compared, kept in the bucket, shown to the lecturer and deleted on request", async () => {
	const s3 = await bucketServer();
	const server = await stubServer(s3.env);
	try {
		const lecturer = await account(server, "lecturer", "noether"), other = await account(server, "lecturer", "artin");
		const ada = await account(server, "student", "ada"), bob = await account(server, "student", "bob");
		const { id } = await session(server, lecturer, { require_face: true });
		for (const token of [ada, bob])
			assert.equal((await enrol(server, token, stub.picture("face 0"))).status, 201);
		assert.equal(s3.objects.size, 0); // pictures of an enrolment are not kept

		const selfie = stub.picture("face 20");
		const good = await mark(server, lecturer, id, ada, selfie);
		assert.equal(good.status, 201, JSON.stringify(good.body));
		assert.equal(good.body.status, "present");
		assert.equal(layer(good).verdict, "pass");
		assert.equal(s3.objects.size, 1);
		const [[name, object]] = s3.objects;
		assert.match(name, /^selfies\/\d{4}-\d\d-\d\d\/[0-9a-f-]{36}$/);
		assert.deepEqual(object.bytes, selfie);

		const foreign = await mark(server, lecturer, id, bob, stub.picture("face 80"));
		assert.equal(foreign.status, 201);
		assert.equal(foreign.body.status, "flagged");
		assert.deepEqual(layer(foreign), { layer: "face", verdict: "flag", detail: "not the enrolled face" });

		const look = `/api/v1/lecturer/attendance/${good.body.attendance_id}/selfie`;
		const seen = await server.get(look, lecturer);
		assert.equal(seen.status, 200);
		assert.deepEqual(seen.bytes, selfie);
		assert.equal(seen.headers["content-type"], "image/jpeg");
		assert.equal(seen.headers["cache-control"], "private, no-store");
		await server.want(404, server.get(look, other));
		await server.want(403, server.get(look, ada));

		await server.want(204, server.request("DELETE", "/api/v1/student/face", { token: ada }));
		assert.deepEqual([...s3.objects.keys()].length, 1);
		assert.ok(!s3.objects.has(name));
		await server.want(404, server.get(look, lecturer));

		s3.broken = true;
		const cleo = await account(server, "student", "cleo");
		const away = await mark(server, lecturer, id, cleo, selfie);
		assert.equal(away.status, 503);
		s3.broken = false;
		const later = await mark(server, lecturer, id, cleo, selfie);
		assert.equal(later.status, 201);
		assert.equal(layer(later).detail, "no face is enrolled");
	} finally {
		await server.discard();
		await s3.close();
	}
});

test("policy reject refuses another face and leaves no row; without a selfie too", async () => {
	const server = await stubServer();
	try {
		const lecturer = await account(server, "lecturer", "noether"), ada = await account(server, "student", "ada");
		const { id } = await session(server, lecturer, { require_face: true, policy: { face: "reject" } });
		assert.equal((await enrol(server, ada, stub.picture("face 0"))).status, 201);
		for (const selfie of [stub.picture("face 90"), stub.picture("verdict 5"), null]) {
			const refused = await mark(server, lecturer, id, ada, selfie);
			assert.equal(refused.status, 403, JSON.stringify(refused.body));
			assert.equal(refused.body.error.details.reason, "face_mismatch");
		}
		const good = await mark(server, lecturer, id, ada, stub.picture("face 0"));
		assert.equal(good.body.status, "present", JSON.stringify(good.body));
		const [row] = server.sql("SELECT layers FROM verification_logs");
		const face = JSON.parse(row.layers).find((l) => l.layer === "face");
		assert.equal(face.score, 1);
		assert.equal(face.threshold, 0.5);
	} finally {
		await server.discard();
	}
});

// The processes that this server started, by its own number: nothing else is ever touched.
function helpersOf(server) {
	return execFileSync("ps", ["-o", "pid=", "--ppid", String(server.child.pid)], { encoding: "utf8" })
		.split("\n").map(Number).filter(Boolean);
}

test("a helper killed mid-request flags the mark, and the next mark has another helper", async () => {
	const server = await stubServer();
	try {
		const lecturer = await account(server, "lecturer", "noether");
		const ada = await account(server, "student", "ada"), bob = await account(server, "student", "bob");
		const { id } = await session(server, lecturer, { require_face: true, policy: { face: "reject" } });
		for (const token of [ada, bob])
			assert.equal((await enrol(server, token, stub.picture("face 0"))).status, 201);
		const [pid] = await eventually("there is one helper", () => {
			const pids = helpersOf(server);
			return pids.length === 1 && pids;
		});
		const pending = mark(server, lecturer, id, ada, stub.picture("hang"));
		await eventually("the helper has the picture", () => fs.existsSync(path.join(server.dir, "hanging")));
		process.kill(pid, "SIGKILL");
		const late = await pending;
		assert.equal(late.status, 201, JSON.stringify(late.body));
		assert.equal(late.body.status, "flagged");
		assert.deepEqual(layer(late), { layer: "face", verdict: "flag", detail: "not_checked" });
		const next = await mark(server, lecturer, id, bob, stub.picture("face 0"));
		assert.equal(next.body.status, "present", JSON.stringify(next.body));
	} finally {
		await server.discard();
	}
});

// Every thread and helper for pictures is held until the test lets go: whatever a mark without a selfie waited for, it would wait for ever.
test("marks without a selfie are answered while every helper is held", async () => {
	const server = await stubServer();
	try {
		const lecturer = await account(server, "lecturer", "noether");
		const faces = await session(server, lecturer, { require_face: true }), plain = await session(server, lecturer);
		const many = async (name, n) => {
			const all = [];
			while (all.length < n)
				all.push(await account(server, "student", `${name}${all.length}`));
			return all;
		};
		const held = await many("held", os.cpus().length + 6), free = await many("free", 8); // more than the pool has threads
		await Promise.all(held.map((token) => enrol(server, token, stub.picture("face 0"))));
		let answered = 0;
		const waiting = Promise.allSettled(held.map((token) => mark(server, lecturer, faces.id, token, stub.picture("face 0 held")).finally(() => answered++)));
		await eventually("marks with a selfie wait for a thread", async () => (await server.gauge("muster_files_queue_length")) > 0, 30000);
		assert.match((await server.get("/metrics")).text, /^muster_pool_busy\{pool="files"\} [1-9]/m);
		assert.ok((await server.gauge("muster_face_helpers_busy")) > 0);
		for (const id of [plain.id, faces.id]) {
			const marks = await Promise.all(free.map((token) => mark(server, lecturer, id, token)));
			assert.deepEqual(marks.map((m) => m.status), free.map(() => 201));
		}
		await server.want(200, server.get("/api/v1/student/attendance", free[0]));
		assert.equal(answered, 0);
		fs.writeFileSync(path.join(server.dir, "released"), "");
		for (const late of await waiting)
			assert.equal(late.value?.body.status, "present", JSON.stringify(late));
		assert.equal(await server.gauge("muster_files_queue_length"), 0);
		assert.equal(await server.gauge("muster_face_waiting"), 0);
	} finally {
		await server.discard();
	}
});

test("without models faces are not asked for, and a selfie is only a picture", async () => {
	const server = await Server.startOne();
	try {
		const lecturer = await account(server, "lecturer", "noether"), ada = await account(server, "student", "ada");
		const refused = await server.want(409, server.post("/api/v1/lecturer/sessions", { title: "A", duration_minutes: 60, require_face: true }, lecturer));
		assert.equal(refused.error.details.reason, "face_unavailable");
		const { id } = await session(server, lecturer);
		for (const [picture, status, reason] of [
			[Buffer.from("GIF89a"), 415, "unsupported_media_type"],
			[stub.picture("").subarray(0, 60), 422, "validation_error"],
			[Buffer.concat([stub.picture(""), Buffer.alloc(5 << 20)]), 413, "body_too_large"],
		]) {
			const answer = await mark(server, lecturer, id, ada, picture);
			assert.equal(answer.status, status, JSON.stringify(answer.body));
			assert.equal(answer.body.error.details.reason, reason);
		}
		const good = await mark(server, lecturer, id, ada, stub.picture(""));
		assert.equal(good.body.status, "present", JSON.stringify(good.body));
		assert.equal((layer(good) || { detail: "not_checked" }).detail, "not_checked");
		assert.equal(await headersAlone(server, "/api/v1/student/attendance", 3 << 20), 401);
		assert.equal(await headersAlone(server, "/api/v1/student/attendance", 3 << 20, "forged"), 401);
	} finally {
		await server.discard();
	}
});

const percentile = (values, p) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * p))];

// Asserts verdicts, never times: those are printed.
test("real faces: the same person passes or is flagged, nobody passes as another", async (t) => {
	const { missing, server, people, photo } = await realFaces();
	if (missing)
		return t.diagnostic(`faces are not compared here: ${missing}`);
	try {
		const lecturer = await account(server, "lecturer", "noether");
		const honest = await session(server, lecturer, { require_face: true });
		const proxied = await session(server, lecturer, { require_face: true });
		const students = [];
		for (const id of people) {
			students.push(await account(server, "student", id.toLowerCase()));
			const enrolled = await enrol(server, students.at(-1), photo(id, "gpo2015"));
			assert.equal(enrolled.status, 201, JSON.stringify(enrolled.body));
		}
		const took = [];
		const timed = async (...args) => {
			const began = performance.now();
			const answer = await mark(...args);
			took.push(performance.now() - began);
			assert.equal(answer.status, 201, JSON.stringify(answer.body));
			return layer(answer).verdict;
		};
		// Ten a second: each begins on its tenth of a second, whether or not the one before is done.
		const tenth = (i) => new Promise((resolve) => setTimeout(resolve, 100 * i));
		const own = await Promise.all(people.map(async (id, i) => {
			await tenth(i);
			return timed(server, lecturer, honest.id, students[i], photo(id, "2021"));
		}));
		const others = await Promise.all(people.map(async (id, i) => {
			await tenth(i);
			return timed(server, lecturer, proxied.id, students[i], photo(people[(i + 1) % people.length], "2021"));
		}));
		assert.ok(own.every((v) => v === "pass" || v === "flag"), own.join(" "));
		assert.ok(own.filter((v) => v === "pass").length > people.length / 2, own.join(" "));
		assert.ok(others.every((v) => v === "flag"), others.join(" "));
		t.diagnostic(`${took.length} marks with a selfie, ten a second: median ${percentile(took, 0.5).toFixed(0)} ms, ` +
			`p95 ${percentile(took, 0.95).toFixed(0)} ms, each with the request for the code before it`);
	} finally {
		await server.discard();
	}
});

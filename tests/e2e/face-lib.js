// Students with faces, for the end-to-end tests: enrolments and marks with pictures; real models and portraits, where they are.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { Server, root } = require("./lib.js");

const PASSWORD = "Lecture-Hall-17";
const data = path.resolve(root, "..", "shared", "face");

async function account(server, role, name) {
	const email = `${name}@university.example.org`;
	await server.want(201, server.post("/api/v1/auth/register", { email, password: PASSWORD, full_name: `Some ${name}`, role }));
	const login = await server.want(200, server.post("/api/v1/auth/login", { email, password: PASSWORD }));
	return login.access_token;
}

// {status, body}; `parts`: [name, text or Buffer]
async function send(server, token, target, parts) {
	const form = new FormData();
	for (const [name, value] of parts)
		form.append(name, Buffer.isBuffer(value) ? new Blob([value], { type: "image/jpeg" }) : value, ...(Buffer.isBuffer(value) ? ["selfie.jpg"] : []));
	const res = await fetch(server.base + target, { method: "POST", body: form, headers: token ? { authorization: `Bearer ${token}` } : {} });
	return { status: res.status, body: await res.json() };
}

const enrol = (server, token, ...pictures) =>
	send(server, token, "/api/v1/student/enroll-face", [["consent", "true"], ...pictures.map((p) => ["file", p])]);

function session(server, lecturer, extra) {
	return server.want(201, server.post("/api/v1/lecturer/sessions", { title: "Algebra", duration_minutes: 60, ...extra }, lecturer));
}

// `more`: further parts.
async function mark(server, lecturer, id, student, selfie, more = []) {
	const code = await server.want(200, server.get(`/api/v1/lecturer/sessions/${id}/qr`, lecturer));
	const parts = [["qr_session_id", code.qr_session_id], ["qr_nonce", code.qr_nonce], ["classroom_photo", "ignored"], ...more];
	return send(server, student, "/api/v1/student/attendance", selfie ? [...parts, ["selfie", selfie]] : parts);
}

// A mark that answers the session's liveness challenge with {straight, left, right}.
async function markTurned(server, lecturer, id, student, seen) {
	const { challenge, poses } = await server.want(200, server.get(`/api/v1/student/liveness?event_id=${id}`, student));
	return mark(server, lecturer, id, student, null, [["liveness_challenge", challenge], ...poses.map((p) => ["selfie", seen[p]])]);
}

const layer = (answer, name = "face") => answer.body.layers.find((l) => l.layer === name);

const models = path.join(data, "models"), photos = path.join(data, "photos"), index = path.join(photos, "INDEX.tsv");

// The portraits of one year ("gpo2015" or "2021"), where there are models and portraits; none elsewhere.
const portraits = (year) => fs.existsSync(index) ? fs.readdirSync(photos).filter((f) => f.endsWith(`_${year}.jpg`)).map((f) => fs.readFileSync(path.join(photos, f))) : [];

// {server, people: [id], photo(id, "gpo2015" or "2021")}, or {missing: why faces cannot be compared here}.
async function realFaces(env = {}) {
	if (!fs.existsSync(index))
		return { missing: `there is no ${path.join("..", "shared", "face")}` };
	const server = await Server.startOne({ env: { FACE_MODELS_DIR: models, FACE_TIMEOUT_SECONDS: "60", ...env } });
	if (!server.logs().some((l) => l.event_type === "faces.ready")) {
		const missing = String(server.logs().find((l) => l.event_type === "faces.unavailable")?.message);
		await server.discard();
		return { missing };
	}
	const people = fs.readFileSync(index, "utf8").trim().split("\n").slice(1).map((l) => l.split("\t")[0]);
	return { server, people, photo: (id, year) => fs.readFileSync(path.join(photos, `${id}_${year}.jpg`)) };
}

module.exports = { account, enrol, layer, mark, markTurned, models, portraits, realFaces, session };

// The cheat lab: what people try, against the real program, and an honest room beside it.  Prints how much was refused, flagged and
// missed, and how many honest students were flagged.
"use strict";

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const { after, before, test } = require("node:test");
const { STUDENT_PASSWORD, Server, eventually } = require("./lib");
const faces = require("./face-lib");

const HALL = { latitude: 52.5163, longitude: 13.3777 };
const HALL_IP = "192.0.2.17"; // everybody in the hall, behind one address
const HOME_IP = "198.51.100.9";
const ROOM = 40, FRIENDS = 30;
const AGENT = "Mozilla/5.0 (Linux; Android 14; SameModel)"; // and all with the same phone

let server, lecturer;
const score = []; // {what, tried, refused, flagged}, or {what, missing}: not tried, and why

before(async () => {
	server = await Server.start({ env: { TRUSTED_PROXIES: "127.0.0.1", SIGNUP_POLICY: "open", SINGLE_DEVICE: "false", RATE_LIMIT_ENABLED: "false" } });
	lecturer = (await register("lecturer", "lecturer")).token;
});
after(async () => {
	await server?.discard();
	const pad = (s, n) => String(s).padEnd(n);
	console.log(["", `${pad("what was tried", 58)}${pad("tried", 7)}${pad("refused", 9)}${pad("flagged", 9)}counted`,
		...score.map((s) => s.missing ? `${pad(s.what, 58)}not tried: ${s.missing}` : `${pad(s.what, 58)}${pad(s.tried, 7)}${pad(s.refused, 9)}${pad(s.flagged, 9)}${s.tried - s.refused - s.flagged}`)].join("\n"));
});

async function register(name, role = "student") {
	const email = `${name}@campus.example.org`;
	await server.want(201, server.post("/api/v1/auth/register", { email, password: STUDENT_PASSWORD, full_name: name, role }));
	const login = await server.want(200, server.post("/api/v1/auth/login", { email, password: STUDENT_PASSWORD }));
	return { name, email, token: login.access_token };
}

// A few at a time: how many passwords may wait to be hashed depends on how fast the machine is.
async function many(prefix, n) {
	const all = [];
	while (all.length < n)
		all.push(...await Promise.all(Array.from({ length: Math.min(2, n - all.length) }, (_, i) => register(`${prefix}${all.length + i}`))));
	return all;
}
const session = (more = {}) => server.want(201, server.post("/api/v1/lecturer/sessions", { title: "Lecture", duration_minutes: 60, ...more }, lecturer));
const code = (s) => server.want(200, server.get(`/api/v1/lecturer/sessions/${s.id}/qr`, lecturer));
const from = (ip) => ({ headers: { "x-forwarded-for": ip, "user-agent": AGENT } });
const mark = (who, body, ip = HALL_IP) => server.post("/api/v1/student/attendance", body, who.token, from(ip));
const inHall = (i = 0) => ({ latitude: HALL.latitude + (i % 7) * 0.00004, longitude: HALL.longitude - (i % 5) * 0.00004, accuracy: 15 + (i % 4) * 20 });

// Counts the replies of one trick.
function judge(what, replies) {
	const refused = replies.filter((r) => r.status >= 400 && r.status < 500).length;
	const flagged = replies.filter((r) => r.status === 201 && r.body.status === "flagged").length;
	score.push({ what, tried: replies.length, refused, flagged });
	for (const r of replies)
		assert.ok(r.status < 500, `${what}: ${r.status} ${r.text}`);
	return { refused, flagged, counted: replies.length - refused - flagged };
}
const reason = (reply) => reply.body.error.details.reason;

function browserKey() {
	const pair = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
	const { kty, crv, x, y } = pair.publicKey.export({ format: "jwk" });
	const sign = (text) => crypto.sign("sha256", Buffer.from(text), { key: pair.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url");
	return { jwk: { kty, crv, x, y }, sign };
}

async function claim(payload, ip) {
	const key = browserKey();
	const made = await server.want(201, server.post("/api/attendance/claim", { qr_payload: payload, public_key: key.jwk }, undefined, from(ip)));
	return { claim: made.claim, proof: key.sign(made.claim), key };
}

test("an honest room is not flagged: one address, one phone model, positions as phones give them", async () => {
	const s = await session({ ...HALL, geofence_radius_m: 60, networks: ["192.0.2.0/24"] });
	const { qr_payload } = await code(s);
	const room = await many("honest", ROOM);
	const replies = await Promise.all(room.map((who, i) => mark(who, { qr_payload, imei: `phone-${who.name}`, ...inHall(i) })));
	const { refused, flagged } = judge("honest students", replies);
	assert.deepEqual([refused, flagged], [0, 0]);
});

test("a picture sent on and used after its time is refused", async () => {
	const s = await session({ rotate_seconds: 2 });
	const old = await code(s);
	const late = await many("relay", 5);
	await eventually("the code is over", async () => Date.parse((await code(s)).issued_at) >= Date.parse(old.expires_at), 30000);
	const replies = await Promise.all(late.map((who) => mark(who, { qr_payload: old.qr_payload }, HOME_IP)));
	assert.equal(judge("relayed picture, too late", replies).refused, 5);
	assert.deepEqual([...new Set(replies.map(reason))], ["token_expired"]);
});

test("a link sent on in time is flagged: the place and the network are not the room's", async () => {
	const s = await session({ ...HALL, geofence_radius_m: 60, networks: ["192.0.2.0/24"] });
	const { qr_payload } = await code(s);
	const home = await many("forward", 5);
	const replies = await Promise.all(home.map((who) => mark(who, { qr_payload, latitude: 52.45, longitude: 13.3, accuracy: 20 }, HOME_IP)));
	assert.equal(judge("forwarded link, true position", replies).flagged, 5);
	const liars = await many("liar", 5);
	const lies = await Promise.all(liars.map((who, i) => mark(who, { qr_payload, ...inHall(i) }, HOME_IP)));
	assert.equal(judge("forwarded link, position invented, network of home", lies).flagged, 5);
	const silent = await many("silent", 5);
	const none = await Promise.all(silent.map((who, i) => mark(who, { qr_payload, ...(i % 2 ? { latitude: 0, longitude: 0 } : {}) })));
	assert.equal(judge("no position, or 0/0", none).flagged, 5);
});

test("a mark cannot be had twice, nor with a code of another session, nor with one made up", async () => {
	const s = await session(), other = await session({ starts_at: new Date(Date.now() + 3600_000).toISOString() });
	const shown = await code(s), who = await register("replay");
	await server.want(201, mark(who, { qr_payload: shown.qr_payload }));
	const again = [await mark(who, { qr_payload: shown.qr_payload }), await mark(who, { qr_session_id: shown.qr_session_id, qr_nonce: shown.qr_nonce })];
	assert.equal(judge("the same code again", again).refused, 2);
	assert.deepEqual([...new Set(again.map(reason))], ["duplicate_attendance"]);
	const foreign = await register("foreign");
	const made = [await mark(foreign, { qr_session_id: other.id, qr_nonce: shown.qr_nonce }),
		await mark(foreign, { qr_session_id: s.id, qr_nonce: `${shown.qr_nonce.slice(0, -1)}${shown.qr_nonce.endsWith("A") ? "B" : "A"}` }),
		await mark(foreign, { qr_payload: (await code(other)).qr_payload })];
	assert.equal(judge("another session's code, a forged one, one of the future", made).refused, 3);
});

test("one phone that marks for two flags both", async () => {
	const s = await session();
	const { qr_payload } = await code(s);
	const [owner, friend] = await many("shared", 2);
	const first = await mark(owner, { qr_payload, imei: "one-phone" }), second = await mark(friend, { qr_payload, imei: "one-phone" });
	assert.deepEqual([first.body.status, second.body.status], ["present", "flagged"]);
	const queue = await server.want(200, server.get(`/api/v1/lecturer/sessions/${s.id}/flagged`, lecturer));
	assert.deepEqual(queue.flagged.map((r) => r.student.full_name).sort(), ["shared0", "shared1"], "the first as well, once the second came");
	for (const r of queue.flagged)
		assert.equal(r.layers[0].layer, "signature", "what was judged at first still stands");
	assert.ok(queue.flagged[0].layers.filter((l) => l.layer === "device").some((l) => l.verdict === "flag"));
	score.push({ what: "one phone for two accounts", tried: 2, refused: 0, flagged: queue.total });
});

test("a stolen claim is worth nothing without the key it was made with", async () => {
	const s = await session();
	const { qr_payload } = await code(s);
	const c = await claim(qr_payload, HALL_IP), thief = await register("thief");
	const replies = [await mark(thief, { claim: c.claim }), await mark(thief, { claim: c.claim, proof: browserKey().sign(c.claim) })];
	assert.equal(judge("a claim without its key, with another's", replies).refused, 2);
	const owner = await register("owner");
	await server.want(201, mark(owner, { claim: c.claim, proof: c.proof }));
	const spent = [await mark(await register("second"), { claim: c.claim, proof: c.proof })];
	assert.equal(judge("a claim that was spent", spent).refused, 1);
});

test(`an accomplice in the room who mints ${FRIENDS} claims and sends them on, keys and all, gets them flagged`, async () => {
	const s = await session({ ...HALL, geofence_radius_m: 60 });
	const { qr_payload } = await code(s);
	const friends = await many("friend", FRIENDS);
	const claims = await Promise.all(friends.map(() => claim(qr_payload, HALL_IP)));
	const replies = await Promise.all(friends.map((who, i) => mark(who, { claim: claims[i].claim, proof: claims[i].proof, ...inHall(i) }, HOME_IP)));
	const { counted } = judge(`${FRIENDS} claims minted in the room, used at home, position invented`, replies);
	assert.equal(counted, 0);
	const seen = await server.want(200, server.get(`/api/v1/lecturer/sessions/${s.id}/flagged`, lecturer));
	assert.ok(seen.flagged.every((r) => r.flags.includes("scanned_elsewhere")));
});

test("a student who is in two places within minutes is flagged", async () => {
	const here = await session({ ...HALL, geofence_radius_m: 60 }), there = await session({ latitude: 48.1374, longitude: 11.5755, geofence_radius_m: 60 });
	const who = await register("traveller");
	await server.want(201, mark(who, { qr_payload: (await code(here)).qr_payload, ...inHall() }));
	const second = [await mark(who, { qr_payload: (await code(there)).qr_payload, latitude: 48.1374, longitude: 11.5755, accuracy: 10 })];
	assert.equal(judge("500 km in a moment", second).flagged, 1);
});

// Real models over real portraits, of 2015 for the enrolment and of 2021 for the lecture; a server of its own, which has them.
test("somebody else's selfie is flagged, and so are stills and two people's pictures where heads are to be turned", async (t) => {
	const what = ["honest selfies, six years older", "somebody else's selfie", "one still picture for three head turns", "two people's pictures for three head turns"];
	const { missing, server: own, people, photo } = await faces.realFaces();
	if (missing) {
		score.push(...what.map((w) => ({ what: w, missing })));
		return t.diagnostic(`faces are not compared here: ${missing}`);
	}
	try {
		const teacher = await faces.account(own, "lecturer", "faces");
		const room = [];
		for (const id of people) {
			const token = await faces.account(own, "student", id.toLowerCase());
			assert.equal((await faces.enrol(own, token, photo(id, "gpo2015"))).status, 201);
			room.push({ token, selfie: photo(id, "2021"), enrolled: photo(id, "gpo2015") });
		}
		const neighbour = (i) => room[(i + 1) % room.length];
		const all = async (members, act, tried = room) => {
			const { id } = await faces.session(own, teacher, { require_face: true, ...members });
			return Promise.all(tried.map((who, i) => act(id, who, i)));
		};
		const honest = await all({}, (id, who) => faces.mark(own, teacher, id, who.token, who.selfie));
		assert.equal(judge(what[0], honest).refused, 0);
		assert.ok(honest.every((r) => faces.layer(r).detail !== "not the enrolled face"), "nobody is taken for another");
		const swapped = await all({}, (id, who, i) => faces.mark(own, teacher, id, who.token, neighbour(i).selfie));
		assert.deepEqual(judge(what[1], swapped), { refused: 0, flagged: room.length, counted: 0 });
		const refused = await all({ policy: { face: "reject" } }, (id, who, i) => faces.mark(own, teacher, id, who.token, neighbour(i).selfie));
		assert.equal(judge(`${what[1]}, policy reject`, refused).refused, room.length);
		const live = { require_liveness: true }, few = room.slice(0, 6); // three pictures each
		const stills = await all(live, (id, who) => faces.markTurned(own, teacher, id, who.token, { straight: who.enrolled, left: who.enrolled, right: who.enrolled }), few);
		assert.deepEqual(judge(what[2], stills), { refused: 0, flagged: few.length, counted: 0 });
		const mixed = await all(live, (id, who, i) => faces.markTurned(own, teacher, id, who.token, { straight: who.enrolled, left: neighbour(i).enrolled, right: neighbour(i).selfie }), few);
		assert.deepEqual(judge(what[3], mixed), { refused: 0, flagged: few.length, counted: 0 });
		assert.deepEqual([...new Set(mixed.map((r) => faces.layer(r).detail))], ["the pictures of the liveness challenge show different faces"]);
	} finally {
		await own.discard();
	}
});

// Faces and devices in the app: consent, pictures and deletion; check-ins that ask for a selfie, for head turns or for a registered
// device; another phone and the administrator's decision.  What the camera shows is said by what stands behind the end of each JPEG that
// the page makes (face-stub.js); with models beside the checkout, real faces are sent as well.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");

const stub = require("./face-stub.js");
const { eventually, newDirectory, root } = require("./lib");
const { PASSWORD, Server, clean, fits, heading, person, signIn, signInAdmin, together, violations } = require("./web-lib");

const shared = path.resolve(root, "..", "shared", "face");

let server, browser, admin, lecturer;
async function faceServer(env) {
	const dir = newDirectory();
	const made = await Server.startOne({ dir, env: { SINGLE_DEVICE: "false", FACE_PROGRAM: stub.install(dir), FACE_MODELS_DIR: "stub", FACE_TIMEOUT_SECONDS: "60", ...env } });
	made.ownDir = true;
	return made;
}
together(async (s) => {
	({ server, browser, admin } = s);
	lecturer = (await server.staff("prof", "lecturer", admin)).token;
}, faceServer);

async function link(of, token, id) {
	return `/c#${(await of.want(200, of.get(`/api/v1/lecturer/sessions/${id}/qr`, token))).qr_payload}`;
}
const session = (extra, of = server, token = lecturer) => of.want(201, of.post("/api/v1/lecturer/sessions", { title: "Algebra", duration_minutes: 60, ...extra }, token));

// Nothing here is about an app without a network, so it need not be fetched whole by each.
const visitor = (of, options) => person(browser, of, { reducedMotion: "reduce", serviceWorkers: "block", ...options });

// What stands before the camera of this page: text of the stub, or by the pose that the page asks for.
async function camera(page, sees) {
	await page.addInitScript((start) => {
		globalThis.sees = start;
		const { mediaDevices } = navigator; // small pictures are drawn faster
		const open = mediaDevices?.getUserMedia.bind(mediaDevices);
		if (open)
			mediaDevices.getUserMedia = () => open({ video: { width: 320, height: 240, frameRate: 10 } });
		const toBlob = HTMLCanvasElement.prototype.toBlob;
		HTMLCanvasElement.prototype.toBlob = function (done, ...rest) {
			const pose = document.querySelector(".pose")?.classList[1];
			const text = typeof globalThis.sees === "string" ? globalThis.sees : globalThis.sees[pose];
			toBlob.call(this, (blob) => done(new Blob([blob, text], { type: blob.type })), ...rest);
		};
	}, sees);
}
const nowSees = (page, sees) => page.evaluate((s) => {
	globalThis.sees = s;
}, sees);

// A student who is signed in, with a phone.
async function phone(name, sees, options = {}) {
	const student = await server.student(name, admin);
	const one = await visitor(server, { viewport: { width: 390, height: 844 }, ...options });
	await camera(one.page, sees);
	await signIn(one.page, student.email, PASSWORD);
	await heading(one.page, "My attendance");
	return { ...one, student };
}
async function scan(page, extra) {
	const made = await session(extra);
	await page.goto("about:blank");
	await page.goto(await link(server, lecturer, made.id));
	return made;
}
// A camera that its owner does not allow.  (An empty page has none at all.)
const blocked = (page) => page.addInitScript(() => {
	if (navigator.mediaDevices)
		navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
});
const button = (page, name) => page.getByRole("button", { name, exact: true });
async function take(page, use) {
	await button(page, "Take the picture").click();
	await button(page, use).click();
}

test("a face is enrolled with consent, tried, enrolled anew and deleted without a trace", async () => {
	const { page, context, student, complaints } = await phone("ada", "verdict 8");
	await page.goto("/app/more");
	await page.getByRole("link", { name: "My face" }).click();
	await heading(page, "My face");
	await clean(page, "consent");
	await button(page, "Agree and take pictures").click();
	assert.equal(await page.getByRole("heading", { name: "Pictures of your face" }).count(), 0, "without the tick nothing begins");
	await page.getByRole("checkbox", { name: /^I agree/ }).check();
	await button(page, "Agree and take pictures").click();
	await button(page, "Take the picture").click();
	await clean(page, "a picture to look at");
	await button(page, "Take another").click();
	await take(page, "Use this picture");
	await button(page, "Enrol my face").click();
	await page.getByText("The face is blurred. Hold still.").waitFor();
	await clean(page, "a picture that will not do");
	assert.deepEqual(server.sql("SELECT COUNT(*) AS n FROM face_references"), [{ n: 0 }]);
	await button(page, "Remove picture 1").click();
	await nowSees(page, "face 0");
	await take(page, "Use this picture");
	await nowSees(page, "face 20");
	await page.getByLabel("From a file").setInputFiles({ name: "me.jpg", mimeType: "image/jpeg", buffer: stub.picture("face 20") });
	await button(page, "Use this picture").click();
	await page.getByText("2 of at most 3 pictures.").waitFor();
	await button(page, "Enrol my face").click();
	await page.getByText("Your face is enrolled.").waitFor();
	await page.getByText("From 2 pictures, which were thrown away.").waitFor();
	await clean(page, "enrolled");
	assert.deepEqual(server.sql("SELECT COUNT(*) AS n FROM face_references WHERE consent_at IS NOT NULL"), [{ n: 2 }]);

	await button(page, "Try it").click();
	await take(page, "Compare");
	await page.getByText("That is you").waitFor();
	await nowSees(page, "face 90");
	await take(page, "Compare");
	await page.getByText("Not recognised").waitFor();
	await nowSees(page, "verdict 6");
	await take(page, "Compare");
	await page.getByText("There are several faces in the picture").waitFor();
	await clean(page, "a trial");
	await button(page, "Close").click();

	await button(page, "Enrol anew").click();
	await nowSees(page, "face 110");
	await take(page, "Use this picture");
	await button(page, "Enrol my face").click();
	await page.getByText("another face than the enrolled one").waitFor();
	await button(page, "Cancel").click();

	await button(page, "Delete my face").click();
	await clean(page, "before deleting");
	await page.getByRole("dialog").getByRole("button", { name: "Delete my face" }).click();
	await page.getByRole("checkbox", { name: /^I agree/ }).waitFor();
	assert.deepEqual(server.sql("SELECT COUNT(*) AS n FROM face_references"), [{ n: 0 }]);
	assert.equal(student.email, "ada@students.example.org");
	assert.deepEqual(complaints, []);
	await context.close();
});

async function enrol(page) {
	await page.goto("/app/face");
	await page.getByRole("checkbox", { name: /^I agree/ }).check();
	await button(page, "Agree and take pictures").click();
	await take(page, "Use this picture");
	await button(page, "Enrol my face").click();
	await page.getByText("Your face is enrolled.").waitFor();
}

// An administrator looks at the only mark that waits, decides after its picture is gone, and is on record for it.
async function looked() {
	const looks = () => server.sql("SELECT COUNT(*) AS n FROM audit_logs WHERE entity_type = 'selfie'")[0].n;
	const desk = await visitor(server);
	await signInAdmin(desk.page);
	await desk.page.goto("/app/flagged");
	const show = button(desk.page, "Show the selfie of Student bob");
	await show.waitFor();
	assert.equal(looks(), 0, "nobody looks who only reads the queue");
	await show.click();
	const picture = desk.page.getByRole("img", { name: "Selfie of Student bob at check-in" });
	await picture.waitFor();
	await eventually("the picture is drawn", () => picture.evaluate((c) => c.width === 320));
	assert.equal(looks(), 1);
	await clean(desk.page, "a selfie in the queue");
	await button(desk.page, "Hide the selfie of Student bob").click();
	await show.waitFor();
	server.sql("DELETE FROM selfies");
	await desk.page.reload();
	await desk.page.getByText("The selfie is gone: selfies are kept for 30 days").waitFor();
	assert.deepEqual(desk.complaints, []);
	await desk.context.close();
}

test("a session asks for a selfie: looked at, sent, and what came of it; refused, and tried again with the same scan", async () => {
	const { page, context, complaints } = await phone("bob", "face 0");
	await enrol(page);
	await scan(page, { require_face: true });
	await heading(page, "This session asks for a selfie");
	await clean(page, "selfie");
	await take(page, "Send and check in");
	await heading(page, "You are checked in");
	await page.getByText("the enrolled face", { exact: true }).waitFor();
	await clean(page, "a mark with its layers");
	assert.deepEqual(server.sql("SELECT COUNT(*) AS n FROM selfies"), [{ n: 1 }]);

	await nowSees(page, "face 90");
	await scan(page, { require_face: true });
	await nowSees(page, "face 90");
	await take(page, "Send and check in");
	await page.getByText("The lecturer looks at your mark, because of this:").waitFor();
	await page.getByText("not the enrolled face").waitFor();
	await clean(page, "a flagged mark");
	await looked();

	await scan(page, { require_face: true, policy: { face: "reject" } });
	await nowSees(page, "face 90");
	await take(page, "Send and check in");
	await heading(page, "Not checked in");
	await page.getByText("and this session insists on it").waitFor();
	await page.reload();
	await heading(page, "Not checked in");
	await button(page, "Try again").click();
	await take(page, "Send and check in");
	await heading(page, "You are checked in");

	await scan(page, { require_face: true });
	await button(page, "Go on without a selfie").click();
	await page.getByText("no selfie was sent").waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
});

test("a selfie that meets a dead network waits, and is sent once", async () => {
	const { page, context } = await phone("carl", "face 0");
	await enrol(page);
	await scan(page, { require_face: true });
	await heading(page, "This session asks for a selfie");
	await context.setOffline(true);
	await take(page, "Send and check in");
	await heading(page, "No connection, nothing is lost");
	await context.setOffline(false);
	await heading(page, "You are checked in");
	await page.getByText("the enrolled face", { exact: true }).waitFor();
	await context.close();
});

test("without a camera the phone's camera app takes the picture", async () => {
	const { page, context, complaints } = await phone("dora", "face 0");
	await blocked(page);
	await scan(page, { require_face: true });
	await page.getByText("The camera is blocked").waitFor();
	await clean(page, "a blocked camera");
	const input = page.getByLabel("Use the camera app");
	assert.equal(await input.getAttribute("capture"), "user");
	await input.setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("not a picture") });
	await page.getByText("That file is no picture that can be read.").waitFor();
	await input.setInputFiles({ name: "me.jpg", mimeType: "image/jpeg", buffer: stub.picture("face 0") });
	await button(page, "Send and check in").click();
	await heading(page, "You are checked in");
	await page.getByText("no face is enrolled").waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
});

test("three head turns, as the server chose; a photograph is told from a head", async () => {
	const turning = { straight: "face 0 yaw 0", left: "face 0 yaw 35", right: "face 0 yaw -35" };
	const { page, context, complaints } = await phone("emma", "face 0");
	await enrol(page);
	await page.addInitScript(() => { // each turn has four seconds; here a head turns faster
		const timer = setTimeout;
		globalThis.setTimeout = (fn, ms, ...rest) => timer(fn, ms === 4000 ? 100 : ms, ...rest);
	});
	await scan(page, { require_face: true, require_liveness: true });
	await heading(page, "This session asks for three selfies");
	await clean(page, "head turns");
	await nowSees(page, turning);
	await button(page, "Start").click();
	await heading(page, "You are checked in");
	await page.getByText("the enrolled face, turned as asked").waitFor();

	await scan(page, { require_face: true, require_liveness: true });
	await nowSees(page, { straight: "face 0", left: "face 0", right: "face 0" });
	await button(page, "Start").click();
	await page.getByText("the head was not turned as asked").waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
});

test("head turns without a camera: three pictures by the camera app, in the order asked", async () => {
	const { page, context } = await phone("finn", { straight: "face 0", left: "face 0 yaw 35", right: "face 0 yaw -35" });
	await blocked(page);
	await nowSees(page, "face 0");
	await scan(page, { require_face: true, require_liveness: true });
	await button(page, "Start").click();
	for (let n = 1; n <= 3; n++) {
		await page.getByText(`Picture ${n} of 3`).waitFor();
		if (n === 1)
			await clean(page, "a turn");
		await page.getByLabel("Take this picture").setInputFiles({ name: "me.jpg", mimeType: "image/jpeg", buffer: stub.picture("") });
	}
	await heading(page, "You are checked in");
	await page.getByText("no face is enrolled").waitFor();
	await context.close();
});

test("a session asks for the device: this browser is registered and signs; another one asks, and administrators decide", async () => {
	const first = await phone("gina", "face 0");
	await scan(first.page, { require_device: true });
	await heading(first.page, "This session asks for your device");
	await clean(first.page, "device step");
	await button(first.page, "Register this browser and go on").click();
	await heading(first.page, "You are checked in");
	assert.equal(await first.page.getByText("The lecturer looks at your mark").count(), 0);
	await scan(first.page, { require_device: true, policy: { device: "reject" } });
	await heading(first.page, "You are checked in");
	await first.page.goto("/app/device");
	await first.page.getByText("It holds a key that never leaves it").waitFor();
	await clean(first.page, "a registered device");

	const second = await visitor(server, { viewport: { width: 390, height: 844 } });
	await signIn(second.page, first.student.email, PASSWORD);
	await heading(second.page, "My attendance");
	await scan(second.page, { require_device: true, policy: { device: "reject" } });
	await second.page.getByText("Another device is registered for you.").waitFor();
	await button(second.page, "Go on without").click();
	await heading(second.page, "Not checked in");
	await second.page.getByText("This session insists on your registered device.").waitFor();
	await second.page.goto("/app/device");
	await button(second.page, "Ask for this browser").click();
	await second.page.getByLabel("Why").fill("The old phone is broken");
	await clean(second.page, "asking");
	await button(second.page, "Ask").click();
	await second.page.getByText("Reason: The old phone is broken").waitFor();
	await clean(second.page, "a request that waits");

	const desk = await visitor(server);
	await signInAdmin(desk.page);
	await desk.page.goto("/app/devices");
	await desk.page.getByText("The old phone is broken").waitFor();
	await clean(desk.page, "requests");
	await button(desk.page, "Deny the device of Student gina").click();
	await desk.page.getByRole("dialog").getByRole("button", { name: "Deny" }).click();
	await desk.page.getByText("Student gina keeps the device there was.").waitFor();
	await desk.page.getByText("Nobody asks for another device").waitFor();

	await second.page.reload();
	await button(second.page, "Ask for this browser").click();
	await second.page.getByLabel("Why").fill("Really broken");
	await button(second.page, "Ask").click();
	await second.page.getByText("Reason: Really broken").waitFor();
	await desk.page.reload();
	await button(desk.page, "Approve the device of Student gina").click();
	await desk.page.getByText("The other device of Student gina is registered.").waitFor();
	await second.page.goto("/c");
	await button(second.page, "Try again").click();
	await heading(second.page, "You are checked in");
	for (const p of [first, second, desk]) {
		assert.deepEqual(p.complaints, []);
		await p.context.close();
	}
});

test("the lecturer asks for selfies and head turns by the form; German is complete", async () => {
	const desk = await visitor(server);
	await signIn(desk.page, "prof@students.example.org", PASSWORD);
	await heading(desk.page, "Sessions");
	await button(desk.page, "New session").first().click();
	await desk.page.getByLabel("Title").fill("With faces");
	await desk.page.getByText("Lateness, place, network, device").click();
	await desk.page.getByRole("checkbox", { name: /^Ask for a selfie/ }).check();
	await desk.page.getByRole("checkbox", { name: /^With three head turns/ }).check();
	await clean(desk.page, "session form");
	await button(desk.page, "Create session").click();
	await desk.page.getByRole("link", { name: /With faces/ }).waitFor();
	assert.deepEqual(server.sql("SELECT require_face AS f, require_liveness AS l FROM events WHERE title = 'With faces'"), [{ f: 1, l: 1 }]);

	const german = await visitor(server, { locale: "de-DE", colorScheme: "dark", viewport: { width: 320, height: 640 } });
	const student = await server.student("hans", admin);
	await german.page.goto("/app/");
	await german.page.getByLabel("E-Mail").fill(student.email);
	await german.page.getByLabel("Passwort", { exact: true }).fill(PASSWORD);
	await german.page.getByRole("button", { name: "Anmelden" }).click();
	await heading(german.page, "Meine Anwesenheit");
	for (const [target, word] of [["/app/face", "Mein Gesicht"], ["/app/device", "Mein Gerät"]]) {
		await german.page.goto(target);
		await heading(german.page, word);
		await german.page.locator(".panel").first().waitFor();
		assert.deepEqual(await violations(german.page), [], target);
		await fits(german.page, target);
	}
	await german.page.goto(await link(server, lecturer, (await session({ require_face: true, require_device: true })).id));
	await heading(german.page, "Hier wird Ihr Gerät verlangt");
	await german.page.getByRole("button", { name: "Ohne weitermachen" }).click();
	await heading(german.page, "Hier wird ein Selfie verlangt");
	await fits(german.page, "a selfie in German");
	assert.deepEqual(await violations(german.page), [], "a selfie in German");
	for (const p of [desk, german]) {
		assert.deepEqual(p.complaints, []);
		await p.context.close();
	}
});

test("without models nothing of faces is offered", async () => {
	const plain = await Server.start({ env: { SINGLE_DEVICE: "false" } });
	const student = await plain.student("ida", await plain.admin());
	const { page, context } = await visitor(plain);
	await signIn(page, student.email, PASSWORD);
	await heading(page, "My attendance");
	await page.goto("/app/more");
	await page.getByRole("link", { name: "My device" }).waitFor();
	await page.goto("/app/face");
	await page.getByText("Faces are not compared here").waitFor();
	await clean(page, "no faces");
	await Promise.all([page.waitForResponse((r) => r.url().endsWith("/api/v1/student/face")), page.goto("/app/more")]);
	await page.getByRole("link", { name: "My device" }).waitFor();
	assert.equal(await page.getByRole("link", { name: "My face" }).count(), 0);
	await context.close();
	await plain.discard();
});

test("real faces, by the camera app: who enrolled passes, somebody else is flagged", async (t) => {
	if (!fs.existsSync(shared))
		return t.diagnostic("faces are not compared here: there is no ../shared/face");
	const real = await Server.start({ env: { SINGLE_DEVICE: "false", FACE_MODELS_DIR: path.join(shared, "models"), FACE_TIMEOUT_SECONDS: "60" } });
	const photo = (name) => path.join(shared, "photos", `${name}.jpg`);
	const enrolled = "D000622_2021", own = "D000622_gpo2015", foreign = "L000570_gpo2015";
	try {
		if (!real.logs().some((l) => l.event_type === "faces.ready"))
			return t.diagnostic("faces are not compared here: the helper has no models");
		const token = await real.admin(), prof = (await real.staff("prof", "lecturer", token)).token;
		const student = await real.student("real", token);
		const { page, context } = await visitor(real);
		await blocked(page);
		await signIn(page, student.email, PASSWORD);
		await heading(page, "My attendance");
		await page.goto("/app/face");
		await page.getByRole("checkbox", { name: /^I agree/ }).check();
		await button(page, "Agree and take pictures").click();
		await page.getByLabel("From a file").setInputFiles(photo(enrolled));
		await button(page, "Use this picture").click();
		await button(page, "Enrol my face").click();
		await page.getByText("Your face is enrolled.").waitFor({ timeout: 60000 });
		for (const [selfie, words] of [[own, "the enrolled face"], [foreign, "not the enrolled face"]]) {
			await page.goto("about:blank");
			await page.goto(await link(real, prof, (await session({ require_face: true }, real, prof)).id));
			await page.getByLabel("Use the camera app").setInputFiles(photo(selfie));
			await button(page, "Send and check in").click();
			await page.getByText(words, { exact: true }).waitFor({ timeout: 60000 });
		}
		await context.close();
	} finally {
		await real.discard();
	}
});

// Makes the pictures of this folder with the real program: MUSTER=build/muster node docs/screens/make.js [part of a name …]
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const stub = require("../../tests/e2e/face-stub");
const { command, newDirectory } = require("../../tests/e2e/lib");
const { PASSWORD, Server, heading, openBrowser, person, signIn, signInAdmin } = require("../../tests/e2e/web-lib");

const HOUR_MS = 3600_000;
const SIZES = {
	phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
	laptop: { viewport: { width: 1280, height: 800 } },
};
const NAMES = ["Amara Okafor", "Jonas Weber", "Mei-Ling Chen", "Priya Raman", "Lucas Silva", "Sofia Rossi", "Hannah Klein", "Tomas Novak"];
const EVENTS = [
	["Introduction to data science", -21 * 24, "Room 2.14"], ["Cleaning messy data", -14 * 24, "Room 2.14"], ["Regression, honestly", -7 * 24, "Room 2.14"],
	["Neural networks from scratch", -0.25, "Lecture hall B"], ["Hackathon kick-off", 6 * 24, "Atrium"], ["Guest talk: maps and models", 13 * 24, undefined],
];
const UNMARKED = [1, 4, 6]; // these have not checked in to today's event
const DARK = ["face", "check-in-turn", "sign-in", "attendance", "approvals", "statistics", "check-in-done"]; // the others differ only in colour
const wanted = process.argv.slice(2);

async function furnish(server, token) {
	const students = [];
	for (const name of NAMES) {
		const email = `${name.split(/[ -]/)[0].toLowerCase()}@students.example.org`;
		const signup = await server.want(201, server.post("/api/auth/signup", { email, password: PASSWORD, full_name: name }));
		await server.want(200, server.post(`/api/admin/approval-requests/${signup.approval_request_id}/decide`, { decision: "approved" }, token));
		students.push({ email, token: await server.login(email, PASSWORD) });
	}
	const events = [];
	for (const [i, [title, hours, notes]] of EVENTS.entries()) {
		const at = new Date(Math.round((Date.now() + hours * HOUR_MS) / 900_000) * 900_000);
		const event = await server.event(token, { title, notes, scheduled_at: at.toISOString() });
		events.push(event);
		if (hours > 0)
			continue;
		const { qr_payload: payload } = await server.qr(token, event.id);
		for (const [j, student] of students.entries())
			if ((j * 5 + i * 3) % 8 < 5 + (i % 3))
				await server.want(201, server.mark(payload, student.token));
	}
	return { students, now: events[3] };
}

// A lecturer with a course of four past weeks and a session that is open, some of it flagged.
async function furnishCampus(server, token, students) {
	const email = "adler@staff.example.org";
	const signup = await server.want(201, server.post("/api/auth/signup", { email, password: PASSWORD, full_name: "Iris Adler" }));
	await server.want(200, server.post(`/api/admin/approval-requests/${signup.approval_request_id}/decide`, { decision: "approved", approved_role: "lecturer" }, token));
	const lecturer = await server.login(email, PASSWORD);
	const course = await server.want(201, server.post("/api/v1/lecturer/courses", { code: "AL1", title: "Algorithms" }, lecturer));
	for (const s of students)
		await server.want(201, server.post(`/api/v1/lecturer/courses/${course.id}/roster`, { email: s.email }, lecturer));
	const lines = ["email,session,starts_at,ends_at,course,status"];
	for (let week = 1; week <= 4; week++)
		for (const [i, s] of students.entries()) {
			const at = Date.now() - week * 7 * 24 * HOUR_MS;
			const status = i === 6 ? "absent" : ["present", "present", "late", "present", "absent", "present", "excused"][(i * 3 + week) % 7];
			lines.push([s.email, "Algorithms", new Date(at).toISOString(), new Date(at + HOUR_MS).toISOString(), "AL1", status].join(","));
		}
	const file = path.join(server.dir, "weeks.csv");
	fs.writeFileSync(file, `${lines.join("\n")}\n`);
	await command(["import", "attendance", file, "--owner", email], { dir: server.dir });
	const place = { latitude: 52.5163, longitude: 13.3777 };
	const session = await server.want(201, server.post("/api/v1/lecturer/sessions",
		{ course_id: course.id, title: "Shortest paths", duration_minutes: 90, late_after_minutes: 15, geofence_radius_m: 80, ...place }, lecturer));
	const code = await server.want(200, server.get(`/api/v1/lecturer/sessions/${session.id}/qr`, lecturer));
	for (const [i, s] of students.entries())
		if (i !== 6)
			await server.want(201, server.post("/api/v1/student/attendance",
				{ qr_payload: code.qr_payload, latitude: place.latitude + (i % 5 === 2 ? 0.02 : 0.0002), longitude: place.longitude, accuracy: 15, imei: `phone-${i === 5 ? 1 : i}` }, s.token));
	const requests = [["Tomas Novak", "New phone; the old one fell into the river"], ["Mei-Ling Chen", "The screen is broken"]];
	for (const [name, reason] of requests) {
		const { token: own } = students[NAMES.indexOf(name)];
		await server.want(201, server.post("/api/v1/student/device/bind", { imei: `old phone of ${name}` }, own));
		await server.want(202, server.post("/api/v1/student/device/bind", { imei: `new phone of ${name}`, reason }, own));
	}
	return { email, course, session, lecturer };
}

// What a student meets who checks in to sessions that ask for more than a scan.
async function stepsOfCheckIn(server, { lecturer, visit, look, page }) {
	const scan = async (extra) => {
		const session = await server.want(201, server.post("/api/v1/lecturer/sessions", { title: "Graph theory", duration_minutes: 90, ...extra }, lecturer));
		return `/c#${(await server.want(200, server.get(`/api/v1/lecturer/sessions/${session.id}/qr`, lecturer))).qr_payload}`;
	};
	await visit(page, "/app/device", "device", page.locator(".panel"));
	await visit(page, "/app/face", "face", page.locator(".facts"));
	await page.getByRole("checkbox").check();
	await page.getByRole("button", { name: "Agree and take pictures" }).click();
	await look(page, "face-pictures", page.locator(".face-guide"));
	await visit(page, await scan({ require_device: true }), "check-in-device", page.getByRole("button", { name: "Go on without" }));
	await visit(page, await scan({ require_face: true }), "check-in-selfie", page.locator(".face-guide"));
	await page.getByRole("button", { name: "Go on without a selfie" }).click();
	await look(page, "check-in-flagged", page.locator(".result .layers"));
	await visit(page, await scan({ require_face: true, require_liveness: true }), "check-in-turns", page.locator(".face-guide"));
	await page.getByRole("button", { name: "Start" }).click();
	await look(page, "check-in-turn", page.locator(".pose"));
}

// A window in which no stream keeps the network busy, since a picture waits until it is idle.
async function still(browser, server, options) {
	const one = await person(browser, server, { ...options, reducedMotion: "reduce" });
	await one.context.route("**/api/notifications/stream", (route) => route.abort());
	return one;
}

async function main() {
	const dir = newDirectory();
	const server = await Server.startOne({ dir, env: { SINGLE_DEVICE: "false", FACE_PROGRAM: stub.install(dir), FACE_MODELS_DIR: "stub" } });
	server.ownDir = true;
	const browser = await openBrowser();
	const token = await server.admin();
	const { students, now } = await furnish(server, token);
	const campus = await furnishCampus(server, token, students);
	const ask = (name) => server.want(201, server.post("/api/auth/signup",
		{ email: `${name.toLowerCase().replace(/ /g, ".")}@students.example.org`, password: PASSWORD, full_name: name }));
	const payload = async () => (await server.qr(token, now.id)).qr_payload;

	const tours = [...Object.entries(SIZES).map(([name, o]) => [name, o]), ["dark", { ...SIZES.phone, colorScheme: "dark" }]];
	for (const [size, options] of tours) {
		const look = async (page, name, ready) => {
			await ready.waitFor(); // also of a page that is not wanted: the next may need what it does
			if ((wanted.length && !wanted.some((w) => `${size}-${name}`.includes(w))) || (size === "dark" && !DARK.includes(name)))
				return;
			await page.waitForLoadState("networkidle").catch(() => undefined);
			await page.screenshot({ path: path.join(__dirname, `${size}-${name}.png`), animations: "disabled" });
		};
		const visit = async (page, target, name, ready) => {
			await page.goto("about:blank");
			await page.goto(target);
			await look(page, name, ready);
		};

		let { page, context } = await still(browser, server, options);
		await visit(page, "/app/", "sign-in", page.locator("form"));
		await visit(page, "/app/forgot", "forgot", page.locator("form"));
		await visit(page, "/app/signup", "sign-up", page.locator("form"));
		await page.getByLabel("Name", { exact: true }).fill("Noor Haddad");
		await page.getByLabel("E-mail").fill(`noor.${size}@students.example.org`);
		await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
		await page.getByRole("button", { name: "Create account" }).click();
		await look(page, "waiting", page.locator(".waiting"));
		await visit(page, "/c", "check-in", page.locator(".result.idle"));
		await visit(page, `/c#${await payload()}`, "check-in-sign-in", page.locator("form"));
		await signIn(page, students[UNMARKED[tours.findIndex(([n]) => n === size)]].email, PASSWORD, { at: null });
		await look(page, "check-in-done", page.locator(".result.good"));
		await visit(page, `/c#${"A".repeat(60)}`, "check-in-refused", page.locator(".result.bad"));
		await visit(page, "/app/attendance", "attendance", page.locator(".rows li").first());
		await page.getByRole("link", { name: "Shortest paths" }).click();
		await look(page, "record-own", page.locator(".story"));
		await visit(page, "/app/events", "events-student", page.locator(".rows li").first());
		await visit(page, "/app/scan", "scan", page.locator(".aim"));
		await visit(page, "/app/notifications", "notifications", page.locator(".rows li").first());
		await visit(page, "/app/more", "account", page.locator(".settings"));
		await visit(page, "/app/account", "security", page.getByText("This device"));
		await stepsOfCheckIn(server, { lecturer: campus.lecturer, visit, look, page });
		await page.goto("/app/account");
		await page.getByRole("button", { name: "Set up" }).click();
		await page.getByRole("button", { name: "Next" }).click();
		await look(page, "second-factor", page.locator("code.secret"));
		await context.close();

		({ page, context } = await still(browser, server, options));
		await signInAdmin(page);
		await ask(`Ravi ${size}`);
		await visit(page, "/app/events", "events", page.locator(".rows li").first());
		await page.getByRole("button", { name: "New event" }).click();
		await look(page, "event-new", page.getByRole("dialog"));
		await visit(page, `/app/events/${now.id}`, "event", page.locator("tbody tr").first());
		await page.getByRole("button", { name: "On another computer" }).click();
		await look(page, "elsewhere", page.getByRole("dialog").getByLabel("Link"));
		await visit(page, `/app/project/${now.id}`, "projector", page.locator(".qr"));
		await visit(page, "/app/codes", "codes", page.locator(".rows li").first());
		await visit(page, "/app/approvals", "approvals", page.locator(".rows li").first());
		await visit(page, "/app/statistics", "statistics", page.locator(".bars li").first());
		await visit(page, "/app/audit", "audit", page.locator(".rows li").first());
		await visit(page, "/app/users", "users", page.locator(".rows li").first());
		await visit(page, "/app/devices", "devices", page.locator(".rows li").first());
		await visit(page, "/app/flagged", "review", page.locator(".layers").first());
		await page.getByRole("link", { name: "Whole record of Mei-Ling Chen" }).click();
		await look(page, "record", page.locator(".story"));
		await page.goBack();
		await page.getByRole("checkbox", { name: /^All of this page/ }).check();
		await page.getByRole("button", { name: "Decide about those chosen" }).click();
		await look(page, "review-many", page.getByRole("dialog"));
		await context.close();

		({ page, context } = await still(browser, server, options));
		await signIn(page, campus.email, PASSWORD);
		await look(page, "sessions", page.locator(".rows li").first());
		await page.getByRole("button", { name: "New session" }).first().click();
		await look(page, "session-new", page.getByRole("dialog"));
		await visit(page, `/app/sessions/${campus.session.id}`, "session", page.locator("tbody tr").first());
		await visit(page, `/app/screen/${campus.session.id}`, "screen", page.locator(".latest"));
		await visit(page, `/app/courses/${campus.course.id}`, "course", page.locator(".rows li").first());
		await visit(page, "/app/reports", "reports", page.locator(".bars li").first());
		await context.close();
	}
	await browser.close();
	await server.discard();
}

main().catch((e) => {
	console.error(e);
	process.exit(1);
});

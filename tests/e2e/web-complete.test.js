// The complete story in one go, all of it in browsers: sign up, approve, create, project, scan, count, flag, decide, be told, export.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");

const {
	Server, approve, createCourse, createSession, decide, filmOf, heading, importRoster, openBrowser, person, saved, signInAdmin, signUp,
} = require("./web-lib");

const HALL = { latitude: 48.1508, longitude: 11.5805 };
const STREET = { latitude: 48.1598, longitude: 11.5805, accuracy: 10 }; // a kilometre off
const SCAN_S = 120, ROTATE_MIN_S = 130, ROTATE_MAX_S = 300;

// A code's life is cut from the clock: one whose present piece is long enough to scan it in peace.
function calmRotation() {
	const now = Date.now() / 1000;
	for (let s = ROTATE_MIN_S; s <= ROTATE_MAX_S; s++)
		if (s - (now % s) > SCAN_S)
			return s;
	throw new Error("there is always one");
}

test("sign up, approve, create, project, scan through the camera, live count, flag, decide, be told, export", async () => {
	const server = await Server.start({ env: { SINGLE_DEVICE: "false" } });
	const camera = path.join(server.dir, "camera.y4m");
	const browsers = await Promise.all([openBrowser(), openBrowser([`--use-file-for-fake-video-capture=${camera}`])]);
	try {
		const desk = await person(browsers[0], server);
		const phone = await person(browsers[1], server, {
			viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, permissions: ["camera", "geolocation"], geolocation: STREET,
		});

		await signUp(phone.page, "Amara Okafor", "amara@students.example.org");
		await signInAdmin(desk.page);
		await approve(desk.page, "Amara Okafor");
		await heading(phone.page, "My attendance");

		await createCourse(desk.page, "GT1", "Graph theory");
		await importRoster(desk.page, "email\namara@students.example.org\n", "1 new, 0 there already, 0 wrong.");
		await desk.page.getByText("Amara Okafor").waitFor();
		await createSession(desk.page, "GT1 · Graph theory", { at: HALL, rotate: calmRotation() });
		await desk.page.getByRole("link", { name: /Graph theory/ }).click();
		await desk.page.getByRole("link", { name: "Show QR code" }).click();
		const qr = desk.page.getByRole("img", { name: "QR code for checking in" });
		await qr.waitFor();
		await desk.page.locator(".project-count b", { hasText: /^0$/ }).waitFor();

		await filmOf(camera, desk.page, qr);
		await phone.page.getByRole("link", { name: "Check in" }).first().click();
		await heading(phone.page, "You are checked in");
		await desk.page.locator(".project-count b", { hasText: /^1$/ }).waitFor();
		await desk.page.locator(".latest").getByText("Amara Okafor").waitFor();
		await phone.page.getByRole("link", { name: "My attendance" }).click();
		await phone.page.locator(".rows").getByText("Under review").waitFor();

		await desk.page.getByRole("link", { name: "Close" }).click();
		await desk.page.getByRole("heading", { name: /To review/ }).waitFor();
		await desk.page.locator(".layers").getByText("Place", { exact: true }).waitFor();
		await decide(desk.page, "Amara Okafor", "late", "Seen at the side door");
		await phone.page.locator(".toast").getByText(/now: late.*side door/).waitFor();
		await phone.page.locator(".rows").getByText("Late").waitFor();
		await desk.page.locator("tbody").getByText("Late").waitFor();
		assert.match(await saved(desk.page, "Export CSV"), /Amara Okafor,amara@students\.example\.org,late,[^\r]*geofence[^\r]*\r\n/);

		for (const p of [desk, phone])
			assert.deepEqual(p.complaints, []);
		assert.ok(fs.statSync(camera).size > 0);
	} finally {
		await Promise.all(browsers.map((b) => b.close()));
		await server.discard();
	}
});

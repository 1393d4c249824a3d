// A course, its session and its students in the app: roster, screen, check-in from a place, review, dispute, export.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");

const { PASSWORD, clean, createCourse, createSession, decide, eventually, heading, importRoster, person, saved, signIn, together } = require("./web-lib");

const HERE = { latitude: 52.52, longitude: 13.405 };
const AWAY = { latitude: 52.53, longitude: 13.405, accuracy: 10 }; // a good kilometre

let server, browser, admin;
together((s) => { ({ server, browser, admin } = s); });

test("course, roster, session, screen, check-in from elsewhere, review, dispute, decision, export", async () => {
	const lecturer = await server.staff("prof", "lecturer", admin), reviewer = await server.staff("rev", "reviewer", admin);
	const lena = await server.student("lena", admin), max = await server.student("max", admin);
	const desk = await person(browser, server, { reducedMotion: "reduce" });
	const { page } = desk;
	await signIn(page, lecturer.email, PASSWORD);
	await heading(page, "Sessions");
	await clean(page, "no sessions");

	await createCourse(page, "AL1", "Algorithms");
	await importRoster(page, `email,full_name\n${lena.email},\n${max.email},\nno address,Nobody\nnew@students.example.org,New Here\n`,
		"3 new, 0 there already, 1 wrong.", async () => {
			await clean(page, "import");
			assert.deepEqual(server.sql("SELECT COUNT(*) AS n FROM enrollments"), [{ n: 0 }], "a look changes nothing");
		});
	await page.getByText("New Here").waitFor();
	await clean(page, "course");

	await createSession(page, "AL1 · Algorithms", { at: HERE, look: () => clean(page, "new session") });
	await page.getByRole("link", { name: /Algorithms/ }).click();
	await page.getByRole("link", { name: "Show QR code" }).click();
	const qr = page.getByRole("img", { name: "QR code for checking in" });
	const link = await qr.getAttribute("data-text");
	await clean(page, "screen");

	const phone = await person(browser, server, { permissions: ["geolocation"], geolocation: AWAY, reducedMotion: "reduce" });
	await signIn(phone.page, lena.email, PASSWORD);
	await heading(phone.page, "My attendance");
	await phone.page.getByText("Open now").waitFor();
	await phone.page.goto("about:blank");
	await phone.page.goto(new URL(link).pathname + new URL(link).hash);
	await heading(phone.page, "You are checked in");
	await page.locator(".project-count b").getByText("1").waitFor();
	await page.getByText("Student lena").waitFor();
	await page.getByRole("button", { name: "Hide names" }).click();
	await page.getByText("Student lena").waitFor({ state: "detached" });

	await phone.page.goto("/app/attendance");
	await phone.page.getByText("Under review").waitFor();
	await clean(phone.page, "own records");
	await phone.page.getByRole("button", { name: /^Disagree with/ }).click();
	await phone.page.getByLabel("What is wrong").fill("The phone was wrong about the place");
	await clean(phone.page, "dispute");
	await phone.page.getByRole("button", { name: "Send" }).click();
	await phone.page.getByText("You disagreed:").waitFor();

	await page.goto("/app/sessions");
	await page.getByRole("link", { name: /Algorithms/ }).click();
	await page.getByRole("heading", { name: /To review/ }).waitFor();
	await page.getByText("The phone was wrong about the place").waitFor();
	await clean(page, "session");
	const judge = await person(browser, server, { reducedMotion: "reduce" });
	await signIn(judge.page, reviewer.email, PASSWORD);
	await heading(judge.page, "To review");
	await clean(judge.page, "queue");
	await decide(judge.page, "Student lena", "late", "Seen on the stairs");
	await judge.page.getByText("Nothing waits").waitFor();

	const row = page.locator("tbody tr").filter({ hasText: "Student lena" });
	await row.getByText("Late").waitFor();
	await row.focus();
	await page.keyboard.press("p");
	await page.getByRole("status").getByText("Student lena: Present.").waitFor();
	await row.getByText("Present").waitFor();
	await row.focus();
	await page.keyboard.press("u");
	await row.getByText("Late").waitFor();
	await page.getByRole("button", { name: "The rest is absent" }).click();
	await page.getByRole("button", { name: "Mark absent" }).click();
	await page.locator("tbody tr").filter({ hasText: "Student max" }).getByText("Absent").waitFor();
	const text = await saved(page, "Export CSV");
	assert.match(text, /^attendance_id,full_name,email,status,marked_at,distance_m,flags,reason\r\n/);
	assert.match(text, /Student lena,lena@students\.example\.org,late,/);
	await page.goto("/app/reports");
	await page.getByText("Attendance over time").waitFor();
	await page.getByText("no rate yet").waitFor(); // the session is not over
	await clean(page, "reports");
	for (const p of [desk, phone, judge]) {
		assert.deepEqual(p.complaints, []);
		await p.context.close();
	}
	await eventually("the student was told", () => server.sql("SELECT COUNT(*) AS n FROM notifications WHERE title = 'Attendance reviewed'")[0].n > 0);
});

// An account's security in the app: a second factor from set-up to sign-in, a forgotten password by mail, sessions; and accounts and
// records by an administrator's hand.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { test } = require("node:test");

const { decoded, mailServer } = require("./peers");
const { PASSWORD, Server, clean, eventually, heading, person, signIn, signInAdmin, signUp, together } = require("./web-lib");

const STEP_MS = 30000;
const NEW_PASSWORD = "Another-Hall-18";
const oathtool = (secret, at) => execFileSync("oathtool", ["--totp", "-b", "-N", at, secret], { encoding: "utf8" }).trim();

let server, browser, admin;
together((s) => { ({ server, browser, admin } = s); });

test("a second factor: set up in the app, then asked for at the door; a backup code instead", async () => {
	const student = await server.student("factor", admin);
	const { page, context, complaints } = await person(browser, server, { reducedMotion: "reduce" });
	await signIn(page, student.email, PASSWORD);
	await heading(page, "My attendance");
	await page.goto("/app/account");
	await page.getByRole("button", { name: "Set up" }).click();
	await page.getByRole("button", { name: "Next" }).click();
	const secret = await page.locator("code.secret").textContent();
	await page.getByRole("img", { name: "QR code for the authenticator app" }).waitFor();
	await clean(page, "set-up");
	await page.getByLabel("Code of the app").fill("000000");
	await page.getByRole("button", { name: "Switch on" }).click();
	await page.getByText("The code is wrong or was used before.").waitFor();
	await page.getByLabel("Code of the app").fill(oathtool(secret, "now"));
	await page.getByRole("button", { name: "Switch on" }).click();
	await page.getByRole("heading", { name: "Your backup codes" }).waitFor();
	const codes = await page.locator(".backup-codes code").allTextContents();
	assert.equal(codes.length, 10);
	await clean(page, "backup codes");
	await page.getByRole("button", { name: "I have kept them" }).click();
	await page.getByRole("button", { name: "Switch off" }).waitFor();
	await clean(page, "account");
	await page.goto("/app/more");
	await page.getByRole("button", { name: "Sign out" }).click();

	await signIn(page, student.email, PASSWORD, { at: null });
	await page.getByLabel("Code of the app").waitFor();
	await clean(page, "second factor");
	await page.getByLabel("Code of the app").fill(oathtool(secret, `@${Math.floor((Date.now() + STEP_MS) / 1000)}`));
	await page.getByRole("button", { name: "Sign in" }).click();
	await heading(page, "My attendance");
	await page.goto("/app/more");
	await page.getByRole("button", { name: "Sign out" }).click();
	await signIn(page, student.email, PASSWORD, { at: null });
	await page.getByRole("button", { name: "Use a backup code" }).click();
	await page.getByLabel("Backup code", { exact: true }).fill(codes[3]);
	await page.getByRole("button", { name: "Sign in" }).click();
	await heading(page, "My attendance");
	assert.deepEqual(complaints, []);
	await context.close();
});

test("a forgotten password: the link of the mail sets a new one, once", async () => {
	const smtp = await mailServer();
	const public_ = await Server.start({ env: { SMTP_URL: `smtp://127.0.0.1:${smtp.port}`, MAIL_FROM: "muster@example.org", PUBLIC_BASE_URL: "https://attend.example.org" } });
	const student = await public_.student("forgets", await public_.admin());
	const { page, context, complaints } = await person(browser, public_, { reducedMotion: "reduce" });
	await page.goto("/app/");
	await page.getByRole("link", { name: "Forgotten your password?" }).click();
	await heading(page, "Forgotten password");
	await clean(page, "forgot");
	await page.getByLabel("E-mail").fill(student.email);
	await page.getByRole("button", { name: "Send the link" }).click();
	await page.getByText("Look at your mail").waitFor();
	const link = () => smtp.mails.filter((m) => m.to[0] === student.email).flatMap(decoded).join("\n").match(/\/app\/reset#[\w.~-]+/)?.[0];
	await eventually("the mail arrives", link, 30000);
	await page.goto(link());
	await heading(page, "New password");
	assert.equal(new URL(page.url()).hash, "", "the secret is out of the address bar");
	await clean(page, "reset");
	await page.getByLabel("New password").fill(NEW_PASSWORD);
	await page.getByRole("button", { name: "Set the password" }).click();
	await page.getByText("Your password is changed").waitFor();
	await page.goto("about:blank");
	await page.goto(link());
	await page.getByLabel("New password").fill("Third-Hall-19");
	await page.getByRole("button", { name: "Set the password" }).click();
	await page.getByText("This link does not work any more").waitFor();
	await signIn(page, student.email, NEW_PASSWORD);
	await heading(page, "My attendance");
	assert.deepEqual(complaints, []);
	await context.close();
	await public_.discard();
	await smtp.close();
});

test("who approves is warned of an address that is not confirmed yet", async () => {
	const smtp = await mailServer();
	const mailing = await Server.start({ env: { SMTP_URL: `smtp://127.0.0.1:${smtp.port}`, MAIL_FROM: "muster@example.org", PUBLIC_BASE_URL: "https://attend.example.org" } });
	const newcomer = await person(browser, mailing, { reducedMotion: "reduce" }), boss = await person(browser, mailing, { reducedMotion: "reduce" });
	await signUp(newcomer.page, "Una Known", "una@students.example.org");
	await signInAdmin(boss.page);
	await boss.page.getByRole("link", { name: "Approvals" }).first().click();
	const warning = boss.page.getByText("The address is not confirmed yet");
	await warning.waitFor();
	await clean(boss.page, "the warning");
	const link = () => smtp.mails.flatMap(decoded).join("\n").match(/\/app\/verify#[\w.~-]+/)?.[0];
	await eventually("the mail arrives", link, 30000);
	await newcomer.page.goto(link());
	await newcomer.page.getByRole("button", { name: "Confirm" }).click();
	await newcomer.page.getByText("Your address is confirmed").waitFor();
	await warning.waitFor({ state: "detached" });
	await boss.page.getByRole("button", { name: "Approve Una Known" }).waitFor();
	await newcomer.context.close();
	await boss.context.close();
	await mailing.discard();
	await smtp.close();
});

test("sessions: another device is signed out from here, and the password changed", async () => {
	const student = await server.student("sessions", admin);
	const there = await person(browser, server);
	await signIn(there.page, student.email, PASSWORD);
	await heading(there.page, "My attendance");
	const { page, context } = await person(browser, server, { reducedMotion: "reduce" });
	await signIn(page, student.email, PASSWORD);
	await heading(page, "My attendance");
	await page.goto("/app/account");
	await page.getByText("This device").waitFor();
	await clean(page, "sessions");
	await page.getByLabel("Present password").fill(PASSWORD);
	await page.getByLabel("New password").fill(NEW_PASSWORD);
	await page.getByRole("button", { name: "Change password" }).click();
	await page.getByText("Your other sessions have ended.").waitFor();
	await there.page.goto("/app/attendance");
	await there.page.getByRole("button", { name: "Sign in" }).waitFor();
	await signIn(there.page, student.email, NEW_PASSWORD, { at: null });
	await heading(there.page, "My attendance");
	await page.reload();
	const others = page.getByRole("button", { name: /^Sign out (?!everywhere)/ });
	await others.first().waitFor();
	await others.first().click();
	await others.first().waitFor({ state: "detached" });
	await there.page.goto("/app/attendance");
	await there.page.getByRole("button", { name: "Sign in" }).waitFor();
	await there.context.close();
	await context.close();
});

test("an administrator finds an account, changes its role, switches it off and on", async () => {
	const student = await server.student("zoe", admin);
	const { page, context, complaints } = await person(browser, server, { reducedMotion: "reduce" });
	await signInAdmin(page);
	await page.goto("/app/users");
	await page.getByLabel("Name or address").fill("zoe");
	await page.getByRole("button", { name: "Role of Student zoe" }).waitFor();
	await clean(page, "users");
	await page.getByRole("button", { name: "Role of Student zoe" }).click();
	await page.getByRole("dialog").getByLabel("Role").selectOption("lecturer");
	await page.getByRole("button", { name: "Save" }).click();
	await page.getByText("Lecturer ·").waitFor();
	await page.getByRole("button", { name: "Switch off Student zoe" }).click();
	await page.getByRole("dialog").getByRole("button", { name: "Switch off" }).click();
	await page.getByRole("button", { name: "Switch on Student zoe" }).waitFor();
	assert.equal((await server.post("/api/auth/login", { username: student.email, password: PASSWORD })).status, 401);
	await page.getByRole("button", { name: "Switch on Student zoe" }).click();
	await page.getByRole("button", { name: "Switch off Student zoe" }).waitFor();
	assert.deepEqual(complaints, []);
	await context.close();
});

test("attendance by hand: recorded, changed, removed, always with a reason", async () => {
	const student = await server.student("hand", admin);
	const event = await server.event(admin, { title: "By hand" });
	const { page, context, complaints } = await person(browser, server, { reducedMotion: "reduce" });
	await signInAdmin(page);
	await page.goto(`/app/events/${event.id}`);
	await page.getByRole("button", { name: "Add by hand" }).click();
	await page.getByLabel("Who").fill("hand@");
	await page.getByRole("button", { name: "Choose Student hand" }).click();
	await clean(page, "add by hand");
	await page.getByLabel("Reason").fill("Phone was broken");
	await page.getByRole("button", { name: "Save" }).click();
	await page.locator("tbody").getByText("Phone was broken").waitFor();
	await page.getByRole("button", { name: "Change the record of Student hand" }).click();
	await page.getByLabel("Status").selectOption("late");
	await page.getByLabel("Reason").fill("Came at ten");
	await page.getByRole("button", { name: "Save" }).click();
	await page.locator("tbody").getByText("Late").waitFor();
	const [workbook] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export Excel" }).click()]);
	assert.match(workbook.suggestedFilename(), /^By-hand-.*\.xlsx$/);
	await page.getByRole("button", { name: "Change the record of Student hand" }).click();
	await page.getByLabel("Reason").fill("Mixed up");
	await page.getByRole("button", { name: "Remove the record" }).click();
	await page.getByText("Nobody has checked in yet").waitFor();
	assert.deepEqual(server.sql("SELECT COUNT(*) AS n FROM attendance_records"), [{ n: 0 }]);
	assert.equal(student.email, "hand@students.example.org");
	assert.deepEqual(complaints, []);
	await context.close();
});

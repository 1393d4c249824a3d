// Uploads in a bucket: the real program against an S3-compatible store that checks every signature.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { Server, command, eventually, newDirectory } = require("./lib.js");
const { bucketServer } = require("./peers.js");

test("doctor asks the bucket, and says what the store has against the request", async () => {
	const s3 = await bucketServer();
	const dir = newDirectory();
	try {
		for (const [env, status, message] of [
			[s3.env, "ok", /^rooms answers$/],
			[{ ...s3.env, S3_SECRET_KEY: "another" }, "failed", /^the store answered 403 SignatureDoesNotMatch$/],
			[{ ...s3.env, S3_ACCESS_KEY: "nobody" }, "failed", /^the store answered 403 InvalidAccessKeyId$/],
			[{ ...s3.env, S3_BUCKET: "attic" }, "failed", /^the store answered 404 NoSuchBucket$/],
			[{ ...s3.env, S3_ENDPOINT: "http://127.0.0.1:1" }, "failed", /connect/],
		]) {
			const { stdout } = await command(["doctor", "--json"], { dir, env });
			const found = JSON.parse(stdout).checks.find((c) => c.check === "bucket");
			assert.equal(found.status, status, JSON.stringify(found));
			assert.match(found.message, message);
			assert.ok(!stdout.includes("another"));
		}
	} finally {
		await s3.close();
	}
});

test("ready tells when the bucket is away, and stays up", async () => {
	const s3 = await bucketServer();
	const storage = async (s) => (await s.want(200, s.get("/v1/ready"))).checks.storage.status;
	const good = await Server.startOne({ env: s3.env });
	const bad = await Server.startOne({ env: { ...s3.env, S3_SECRET_KEY: "another" } });
	try {
		await eventually("the bucket answers", async () => await storage(good) === "ok", 60000);
		await eventually("the bucket refuses", async () => await storage(bad) === "failed", 60000);
		const ready = await bad.want(200, bad.get("/v1/ready"));
		assert.equal(ready.status, "degraded");
		assert.ok(!bad.stderr.includes("another"));
	} finally {
		await good.discard();
		await bad.discard();
		await s3.close();
	}
});

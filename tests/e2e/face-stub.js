// A muster-face for the end-to-end tests of everything around it, over the real protocol (src/net/face_protocol.h): what stands behind the
// end of a JPEG says what it "sees".  "face DEGREES": one face, as like another as the cosine of the degrees between them; "verdict N":
// that verdict; "yaw DEGREES": the face is turned so far to its own left; "hang": no answer, but a file of that sense in the server's
// directory; "held": no answer before there is a file "released" there.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const MAGIC = 0x4d464332, SOCKET = 3, NUMBERS = 128, ANSWER = 36 + 512 * 4;
const GOOD = 1, NONE = 5, OFF_POSE = 9, TURNED = 2;

function readAll(n) {
	const bytes = Buffer.alloc(n);
	for (let at = 0; at < n;) {
		const got = fs.readSync(SOCKET, bytes, at, n - at);
		if (got === 0)
			process.exit(0);
		at += got;
	}
	return bytes;
}

function writeAll(bytes) {
	for (let at = 0; at < bytes.length;)
		at += fs.writeSync(SOCKET, bytes, at);
}

function see(picture, purpose) {
	const end = picture.indexOf(Buffer.from([0xff, 0xd9]));
	const text = end < 0 ? "" : picture.subarray(end + 2).toString("latin1");
	const answer = Buffer.alloc(ANSWER);
	const face = /face (\d+)/.exec(text), verdict = /verdict (\d+)/.exec(text), yaw = Number(/yaw (-?\d+)/.exec(text)?.[1] ?? 0);
	const offPose = purpose !== TURNED && Math.abs(yaw) > 25;
	const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
	if (text.includes("hang"))
		for (fs.writeFileSync("hanging", "");;)
			wait(1000);
	while (text.includes("held") && !fs.existsSync("released"))
		wait(10);
	answer.writeUInt32LE(MAGIC, 0);
	answer.writeUInt32LE(verdict ? Number(verdict[1]) : !face ? NONE : offPose ? OFF_POSE : GOOD, 4);
	answer.writeFloatLE(yaw, 20);
	if (face && !offPose) {
		answer.writeUInt32LE(NUMBERS, 32);
		answer.writeFloatLE(Math.cos(face[1] * Math.PI / 180), 36);
		answer.writeFloatLE(Math.sin(face[1] * Math.PI / 180), 40);
	}
	return answer;
}

function serve() {
	const hello = Buffer.alloc(16 + 72 + 160);
	hello.writeUInt32LE(MAGIC, 0);
	hello.writeUInt32LE(1, 4);
	hello.writeFloatLE(0.5, 8);
	hello.writeFloatLE(0.42, 12);
	hello.fill("a", 16, 16 + 64);
	hello.write("a stub", 88);
	writeAll(hello);
	for (;;) {
		const ask = readAll(12);
		writeAll(see(readAll(ask.readUInt32LE(4)), ask.readUInt32LE(8)));
	}
}

// A program in `dir`, for FACE_PROGRAM: helpers are started with an empty environment, so it names its interpreter in full.
function install(dir) {
	const program = path.join(dir, "face-stub");
	fs.writeFileSync(program, `#!${process.execPath}\nrequire(${JSON.stringify(__filename)}).serve();\n`, { mode: 0o755 });
	return program;
}

// A whole JPEG, 8 x 8 and grey, in which the stub sees this.
function picture(sees) {
	return Buffer.concat([
		Buffer.from("ffd8ffdb004300", "hex"), Buffer.alloc(64, 16), Buffer.from("ffc0000b0800080008010111" + "00", "hex"),
		Buffer.from("ffc4001400" + "01" + "00".repeat(16), "hex"), Buffer.from("ffc4001410" + "01" + "00".repeat(16), "hex"),
		Buffer.from("ffda0008010100003f003fffd9", "hex"), Buffer.from(sees),
	]);
}

module.exports = { install, picture, serve };

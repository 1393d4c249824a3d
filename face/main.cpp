// muster-face DIRECTORY: says hello on descriptor 3, then answers one picture after the other until the server closes its end.
//
// Started by muster with an empty environment and no other descriptor.  It holds nothing between two pictures, so the server may kill
// it at any time; it does not trust the pictures, and the server does not trust it with anything but pictures.
#include <cmath>
#include <cstdio>
#include <cstring>

#include <unistd.h>

#include "engine.h"
#include "sandbox.h"

namespace {

// False at the end of the connection.
bool read_all(void *to, size_t n)
{
	for (auto *p = static_cast<uint8_t *>(to); n > 0;) {
		ssize_t got = read(FACE_SOCKET, p, n);
		if (got <= 0)
			return false;
		p += got;
		n -= size_t(got);
	}
	return true;
}

bool write_all(const void *from, size_t n)
{
	for (auto *p = static_cast<const uint8_t *>(from); n > 0;) {
		ssize_t put = write(FACE_SOCKET, p, n);
		if (put <= 0)
			return false;
		p += put;
		n -= size_t(put);
	}
	return true;
}

void examine(Engine *engine, const std::vector<uint8_t> &bytes, face_purpose purpose, face_answer &ret)
{
	Image image;

	ret.magic = FACE_MAGIC;
	ret.face_px = ret.yaw = ret.sharpness = ret.light = NAN;
	try {
		Decoded d = decode(bytes.data(), bytes.size(), image);
		if (d != Decoded::Good) {
			ret.verdict = d == Decoded::TooLarge ? FACE_TOO_LARGE : FACE_NOT_DECODED;
			return;
		}
		ret.width = uint32_t(image.full_width);
		ret.height = uint32_t(image.full_height);
		if (engine)
			engine->examine(image, purpose, ret);
		else
			ret.verdict = FACE_NO_MODEL;
	} catch (const std::bad_alloc &) {
		ret.verdict = FACE_TOO_LARGE;
	} catch (const std::exception &) {
		ret.verdict = FACE_NOT_DECODED;
	}
}

void say(face_hello &hello, const std::string &message)
{
	snprintf(hello.message, sizeof(hello.message), "%s", message.c_str());
}

} // namespace

int main(int argc, char **argv)
{
	face_hello hello = {};
	face_ask ask;
	std::string message = "FACE_MODELS_DIR is not set";
	std::unique_ptr<Engine> engine;

	if (argc != 2) {
		fprintf(stderr, "usage: muster-face DIRECTORY (started by muster, with a socket as descriptor %d)\n", int(FACE_SOCKET));
		return 2;
	}
	(void)!nice(10); // requests come first
	if (argv[1][0])
		engine = load_engine(find_models(argv[1]), message);
	hello.magic = FACE_MAGIC;
	say(hello, message);
	if (engine) {
		hello.has_model = 1;
		hello.accept = engine->recogniser->accept;
		hello.review = engine->recogniser->review;
		snprintf(hello.model_sha256, sizeof(hello.model_sha256), "%s", engine->recogniser->sha256);
	}
	if (!close_sandbox() || !write_all(&hello, sizeof(hello)))
		return 1;
	std::vector<uint8_t> bytes;
	while (read_all(&ask, sizeof(ask))) {
		face_answer answer = {};
		if (ask.magic != FACE_MAGIC || ask.bytes == 0 || ask.bytes > FACE_ASK_MAX ||
			(ask.purpose != FACE_STRAIGHT && ask.purpose != FACE_TURNED))
			return 1;
		bytes.resize(ask.bytes);
		if (!read_all(bytes.data(), bytes.size()))
			return 0;
		examine(engine.get(), bytes, face_purpose(ask.purpose), answer);
		if (!write_all(&answer, sizeof(answer)))
			return 0;
	}
	return 0;
}

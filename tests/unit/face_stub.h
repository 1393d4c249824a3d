/*
 * A muster-face for tests of everything around it: the test's own program, started by the server under that name.  It speaks the real
 * protocol and reads its answers out of the pictures: what stands behind the end of the JPEG says what it "sees".
 *
 *	face DEGREES    one good face; two faces are as like as the cosine of the degrees between them (accept 0.5, review 0.42)
 *	yaw DEGREES     with a face: turned so far to its own left; seen as off pose unless it is asked for turned
 *	verdict NUMBER  that verdict, no template
 *	die             ends without an answer
 *	nonsense        an answer of no known verdict
 */
#ifndef MUSTER_TESTS_FACE_STUB_H
#define MUSTER_TESTS_FACE_STUB_H

#include <math.h>

#include "face_env.h"
#include "net/face_protocol.h"

static inline bool
stub_read(void *to, size_t n)
{
	for (char *p = to; n > 0;) {
		ssize_t got = read(FACE_SOCKET, p, n);
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static inline void
stub_see(const char *text, uint32_t purpose, struct face_answer *ret)
{
	const char *face = strstr(text, "face "), *verdict = strstr(text, "verdict "), *yaw = strstr(text, "yaw ");

	ret->verdict = FACE_NONE;
	ret->yaw = yaw ? strtof(yaw + 4, NULL) : 0;
	if (verdict)
		ret->verdict = (uint32_t)strtol(verdict + 8, NULL, 10);
	if (!face)
		return;
	double angle = strtod(face + 5, NULL) * 3.14159265358979 / 180;
	ret->verdict = FACE_GOOD;
	if (purpose != FACE_TURNED && fabsf(ret->yaw) > 25) {
		ret->verdict = FACE_OFF_POSE;
		return;
	}
	ret->numbers = 128;
	ret->face_template[0] = (float)cos(angle);
	ret->face_template[1] = (float)sin(angle);
}

/* Before anything else in main(). */
static inline void
stub_main(const char *name)
{
	struct face_hello hello = {.magic = FACE_MAGIC, .has_model = 1, .accept = 0.5f, .review = 0.42f, .message = "a stub"};
	struct face_answer answer = {.magic = FACE_MAGIC, .width = 8, .height = 8};
	struct face_ask ask;
	static char picture[1 << 20];

	if (strcmp(name, "muster-face") != 0)
		return;
	memset(hello.model_sha256, 'a', FACE_SHA256_CHARS);
	if (write(FACE_SOCKET, &hello, sizeof(hello)) != (ssize_t)sizeof(hello))
		_exit(1);
	while (stub_read(&ask, sizeof(ask)) && ask.bytes < sizeof(picture) && stub_read(picture, ask.bytes)) {
		const char *text = memmem(picture, ask.bytes, "\xff\xd9", 2); /* the end of the picture */
		picture[ask.bytes] = '\0';
		text = text ? text + 2 : "";
		if (strstr(text, "die"))
			_exit(1);
		memset(answer.face_template, 0, sizeof(answer.face_template));
		answer.numbers = 0;
		stub_see(text, ask.purpose, &answer);
		if (strstr(text, "nonsense"))
			answer.verdict = FACE_VERDICT_COUNT;
		if (write(FACE_SOCKET, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
			break;
	}
	_exit(0);
}

static inline struct span
stub_picture(struct arena *a, const char *sees)
{
	struct span jpeg = grey_jpeg(a);
	struct buf b;

	buf_init(&b, a, jpeg.n + 40);
	buf_add(&b, jpeg.p, jpeg.n);
	buf_str(&b, sees);
	return buf_span(&b);
}

/* "FACE_PROGRAM=…", this program itself. */
static inline const char *
stub_program(void)
{
	static char text[4200] = "FACE_PROGRAM=";
	ssize_t n = readlink("/proc/self/exe", text + 13, 4096);

	assert_true(n > 0);
	text[13 + n] = '\0';
	return text;
}

/* --- forms ---- */

struct form {
	struct buf b;
};

static inline void
form_text(struct form *f, struct arena *a, const char *name, const char *value)
{
	if (!f->b.arena)
		buf_init(&f->b, a, 2000);
	buf_printf(&f->b, "--x\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", name, value);
}

static inline void
form_file(struct form *f, struct arena *a, const char *name, struct span bytes)
{
	if (!f->b.arena)
		buf_init(&f->b, a, bytes.n + 2000);
	buf_printf(&f->b, "--x\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n", name);
	buf_add(&f->b, bytes.p, bytes.n);
	buf_str(&f->b, "\r\n");
}

#define FORM_TYPE "multipart/form-data; boundary=x"

static inline struct span
form_end(struct form *f)
{
	buf_str(&f->b, "--x--\r\n");
	return buf_span(&f->b);
}

static inline struct test_reply *
send_form(struct test *t, const char *path, const struct test_user *u, struct form *f)
{
	struct span body = form_end(f);

	return call_with(t, &(struct test_request){.method = POST,
				    .path = path,
				    .bearer = u->bearer,
				    .content_type = FORM_TYPE,
				    .body = (const char *)body.p,
				    .body_n = body.n});
}

#endif

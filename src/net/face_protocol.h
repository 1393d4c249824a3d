/*
 * What the server and muster-face say to each other over one socket pair, in C and C++.  Both run on one machine and come from one
 * build, so these structs travel as they are; `magic` catches a helper of another version.
 *
 *	helper → server   struct face_hello, once, when the models are loaded and the sandbox is closed
 *	server → helper   struct face_ask, then `bytes` of the picture
 *	helper → server   struct face_answer
 */
#ifndef MUSTER_NET_FACE_PROTOCOL_H
#define MUSTER_NET_FACE_PROTOCOL_H

#include <stdint.h>

enum {
	FACE_MAGIC = 0x4d464332,      /* changes with anything below */
	FACE_SOCKET = 3,              /* the helper's descriptor */
	FACE_ASK_MAX = 21 << 20,      /* UPLOAD_MAX_IMAGE_MB is at most 20 */
	FACE_TEMPLATE_MAX = 512,      /* numbers of a template */
	FACE_SHA256_CHARS = 64,
};

/* What became of a picture; the order is part of the protocol. */
enum face_verdict {
	FACE_UNSET = 0,
	FACE_GOOD,        /* one face, good enough: there is a template */
	FACE_NO_MODEL,    /* the picture decodes, and that is all that could be found out */
	FACE_NOT_DECODED, /* no picture, or a broken one */
	FACE_TOO_LARGE,   /* more pixels or scans than are decoded here */
	FACE_NONE,
	FACE_SEVERAL,
	FACE_TOO_SMALL,
	FACE_BLURRED,
	FACE_OFF_POSE,
	FACE_BAD_LIGHT,
	FACE_VERDICT_COUNT
};

/* What a picture is for. */
enum face_purpose {
	FACE_PURPOSE_UNSET = 0,
	FACE_STRAIGHT, /* to be compared: a face that is turned away will not do */
	FACE_TURNED,   /* its pose is measured and not judged */
};

struct face_hello {
	uint32_t magic;
	uint32_t has_model;
	float accept, review; /* cosine: accepted from, to be reviewed from */
	char model_sha256[FACE_SHA256_CHARS + 8]; /* of the recogniser */
	char message[160];    /* for the operator: what was found */
};
struct face_ask {
	uint32_t magic, bytes, purpose;
};
struct face_answer {
	uint32_t magic, verdict;
	uint32_t width, height; /* of the upright picture, pixels; 0 when it was not decoded */
	float face_px, yaw, sharpness, light; /* width of the face; degrees to its own left, about; NAN when not measured */
	uint32_t numbers;       /* of the template; 0: none */
	float face_template[FACE_TEMPLATE_MAX]; /* of length 1 */
};

#endif

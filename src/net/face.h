/*
 * Faces and the decoding of pictures, in other processes: a small pool of muster-face helpers (face/), each sandboxed and started
 * with an empty environment and no descriptor but its socket.  A helper that is late, dies or answers nonsense is killed, and another
 * is started for the next picture; after several failures in a row only every few seconds.
 *
 * Blocking: for pools of threads that may wait.  Nothing here knows people; templates are numbers.
 */
#ifndef MUSTER_NET_FACE_H
#define MUSTER_NET_FACE_H

#include "core/conf.h"
#include "core/metrics.h"
#include "net/face_protocol.h"

enum { FACE_START_MS = 30000, FACE_PROCESSES_MAX = 16 };

struct faces;
struct face_model { /* the recogniser */
	char sha256[FACE_SHA256_CHARS + 1];
	double accept, review; /* cosine: the same person from `accept`; from `review` a person must look */
};
struct faces_options {
	const char *program;    /* path of muster-face */
	const char *models_dir; /* "": none, pictures are only decoded */
	int processes;          /* at most FACE_PROCESSES_MAX */
	struct metrics *metrics; /* NULL: none */
};
/* Starts one helper, where there is a models directory, and hears what it found; never fails, see faces_message(). */
struct faces *faces_open(const struct faces_options *o);
/* The same from the configuration: FACE_MODELS_DIR, and FACE_PROGRAM or muster-face beside this program; one helper a core.  `metrics` may be NULL. */
struct faces *faces_open_configured(const struct config *conf, struct metrics *metrics);
enum { FACE_PATH_BYTES = 4096 };
void faces_program(const struct config *conf, char ret[FACE_PATH_BYTES]); /* the program that this would start */
void faces_close(struct faces *f);

/* NULL: there is no known model, and faces cannot be checked; it stays so until the next start.  `f` may be NULL. */
const struct face_model *faces_model(const struct faces *f);
const char *faces_message(const struct faces *f); /* what was found, in words for the operator */

/* False: no helper answered within the time, waiting for a free one included.  *ret is then untouched. */
bool faces_examine(struct faces *f, struct span picture, enum face_purpose purpose, int deadline_ms, struct face_answer *ret);
/* "several faces are in the picture": why a verdict is not FACE_GOOD, for a person. */
const char *face_verdict_text(enum face_verdict v);
const char *face_verdict_name(enum face_verdict v); /* "several_faces" */
/* Of two templates of length 1: -1 to 1. */
double face_likeness(const float *a, const float *b, size_t n);

#ifdef FACES_INSIDE
/* For tests: the process of each helper that runs now. */
int faces_pids(struct faces *f, pid_t ret[FACE_PROCESSES_MAX]);
#endif

#endif

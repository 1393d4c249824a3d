/*
 * A helper belongs to one thread while it works; the lock covers only who has which.  All waiting is against one deadline by the
 * monotonic clock.  Whatever goes wrong with a helper ends it: there is no state in it worth saving, and a stream that lost its place
 * must not answer for the next picture.
 */
#define FACES_INSIDE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/time.h"
#include "net/face.h"

enum { FAILURES_FREE = 3, RETRY_US = 5000000 };

struct helper {
	pid_t pid; /* 0: none */
	int fd;
	bool busy;
};

struct faces {
	char *program, *models_dir;
	struct helper helpers[FACE_PROCESSES_MAX];
	int n;
	pthread_mutex_t lock; /* of helpers[].busy, .pid, failures, retry_us */
	pthread_cond_t freed;
	struct metrics *metrics;
	int failures;         /* in a row */
	int64_t retry_us;     /* monotonic: no helper is started before */
	bool has_model;
	struct face_model model;
	char message[160];
};

static const struct {
	const char *name, *text;
} verdicts[FACE_VERDICT_COUNT] = {
	[FACE_UNSET] = {"", ""},
	[FACE_GOOD] = {"good", "one face, well to be seen"},
	[FACE_NO_MODEL] = {"not_checked", "faces are not checked here"},
	[FACE_NOT_DECODED] = {"not_decoded", "the picture cannot be read"},
	[FACE_TOO_LARGE] = {"too_large", "the picture has too many pixels"},
	[FACE_NONE] = {"no_face", "no face is in the picture"},
	[FACE_SEVERAL] = {"several_faces", "several faces are in the picture"},
	[FACE_TOO_SMALL] = {"too_small", "the face is too small; come closer"},
	[FACE_BLURRED] = {"blurred", "the face is blurred; hold still"},
	[FACE_OFF_POSE] = {"off_pose", "the face is turned away; look at the camera"},
	[FACE_BAD_LIGHT] = {"bad_light", "the face is too dark or too bright"},
};

const char *
face_verdict_text(enum face_verdict v)
{
	return v > 0 && v < FACE_VERDICT_COUNT ? verdicts[v].text : "the picture cannot be judged";
}

const char *
face_verdict_name(enum face_verdict v)
{
	return v > 0 && v < FACE_VERDICT_COUNT ? verdicts[v].name : "not_decoded";
}

double
face_likeness(const float *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

static void
tell(struct faces *f, enum metric id, const char *label, int64_t n)
{
	if (f->metrics)
		metrics_add(f->metrics, id, label, n);
}

/* --- bytes against a deadline ---- */

static bool
ready(int fd, short events, int64_t deadline_us)
{
	for (;;) {
		int64_t left_us = deadline_us - time_monotonic_us();
		struct pollfd p = {.fd = fd, .events = events};
		if (left_us <= 0)
			return false;
		int n = poll(&p, 1, (int)(left_us / 1000) + 1);
		if (n == 1)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

static bool
put_all(int fd, const void *from, size_t n, int64_t deadline_us)
{
	for (const char *p = from; n > 0;) {
		ssize_t put = FAULT("face.send") ? 0 : send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (!ready(fd, POLLOUT, deadline_us))
				return false;
			continue;
		}
		if (put <= 0)
			return false;
		p += put;
		n -= (size_t)put;
	}
	return true;
}

static bool
get_all(int fd, void *to, size_t n, int64_t deadline_us)
{
	for (char *p = to; n > 0;) {
		if (!ready(fd, POLLIN, deadline_us))
			return false;
		ssize_t got = FAULT("face.receive") ? 0 : recv(fd, p, n, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

/* --- life of a helper ---- */

static void
helper_kill(struct faces *f, struct helper *h)
{
	pthread_mutex_lock(&f->lock);
	pid_t pid = h->pid;
	h->pid = 0;
	pthread_mutex_unlock(&f->lock);
	if (!pid)
		return;
	close(h->fd);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* Standard streams lead nowhere, `theirs` becomes FACE_SOCKET, everything above is closed; no signal of ours is inherited. */
static bool
spawn(const struct faces *f, int theirs, pid_t *ret)
{
	char *const argv[] = {(char *)(uintptr_t) "muster-face", f->models_dir, NULL}, *const env[] = {NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;

	if (posix_spawn_file_actions_init(&files) != 0 || posix_spawnattr_init(&attr) != 0)
		BUG("out of memory");
	sigemptyset(&none);
	sigfillset(&all);
	bool good = posix_spawnattr_setsigmask(&attr, &none) == 0 && posix_spawnattr_setsigdefault(&attr, &all) == 0 &&
		    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0;
	for (int fd = 0; fd < FACE_SOCKET; fd++)
		good = good && posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0) == 0;
	good = good && posix_spawn_file_actions_adddup2(&files, theirs, FACE_SOCKET) == 0 &&
	       posix_spawn_file_actions_addclosefrom_np(&files, FACE_SOCKET + 1) == 0 &&
	       !FAULT("face.spawn") && posix_spawn(ret, f->program, &files, &attr, argv, env) == 0;
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return good;
}

/* A copy of `fd` that is above the numbers the helper's own descriptors get. */
static int
lift(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FACE_SOCKET + 1);

	close(fd);
	return high;
}

static bool
helper_start(struct faces *f, struct helper *h, int64_t deadline_us, struct face_hello *ret)
{
	int pair[2];
	pid_t pid;

	if (FAULT("face.socket") || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	pair[1] = lift(pair[1]);
	bool started = pair[1] >= 0 && spawn(f, pair[1], &pid);
	if (pair[1] >= 0)
		close(pair[1]);
	if (!started) {
		close(pair[0]);
		return false;
	}
	tell(f, M_FACE_STARTS, NULL, 1);
	pthread_mutex_lock(&f->lock);
	h->fd = pair[0];
	h->pid = pid;
	pthread_mutex_unlock(&f->lock);
	if (get_all(h->fd, ret, sizeof(*ret), deadline_us) && ret->magic == FACE_MAGIC)
		return true;
	helper_kill(f, h);
	return false;
}

/* --- who has which ---- */

static bool
wait_freed(struct faces *f, int64_t deadline_us)
{
	const struct timespec at = time_spec(deadline_us);

	return pthread_cond_timedwait(&f->freed, &f->lock, &at) == 0;
}

/* A helper that is free, if there can be one that runs rather than one to be started. */
static struct helper *
pick(struct faces *f)
{
	struct helper *found = NULL;

	for (int i = 0; i < f->n; i++) {
		struct helper *h = &f->helpers[i];
		if (h->busy)
			continue;
		if (h->pid)
			return h;
		found = found ? found : h;
	}
	return found;
}

static struct helper *
helper_take(struct faces *f, int64_t deadline_us)
{
	struct helper *h;

	tell(f, M_FACE_WAITING, NULL, 1);
	pthread_mutex_lock(&f->lock);
	while (!(h = pick(f)))
		if (!wait_freed(f, deadline_us))
			break;
	if (h && !h->pid && f->failures >= FAILURES_FREE && time_monotonic_us() < f->retry_us)
		h = NULL;
	if (h)
		h->busy = true;
	pthread_mutex_unlock(&f->lock);
	tell(f, M_FACE_WAITING, NULL, -1);
	tell(f, M_FACE_BUSY, NULL, h != NULL);
	return h;
}

static void
helper_give(struct faces *f, struct helper *h, bool good)
{
	pthread_mutex_lock(&f->lock);
	h->busy = false;
	f->failures = good ? 0 : f->failures + 1;
	if (!good)
		f->retry_us = time_monotonic_us() + RETRY_US;
	pthread_cond_signal(&f->freed);
	pthread_mutex_unlock(&f->lock);
	tell(f, M_FACE_BUSY, NULL, -1);
}

static bool
answer_good(const struct face_answer *a)
{
	if (a->magic != FACE_MAGIC || a->verdict == FACE_UNSET || a->verdict >= FACE_VERDICT_COUNT || a->numbers > FACE_TEMPLATE_MAX)
		return false;
	for (uint32_t i = 0; i < a->numbers; i++)
		if (!isfinite(a->face_template[i]))
			return false;
	return (a->numbers > 0) == (a->verdict == FACE_GOOD);
}

static bool
converse(struct faces *f, struct helper *h, struct span picture, enum face_purpose purpose, int64_t deadline_us, struct face_answer *ret)
{
	const struct face_ask ask = {FACE_MAGIC, (uint32_t)picture.n, purpose};
	struct face_hello hello;
	struct face_answer answer;

	if (!h->pid) {
		if (!helper_start(f, h, deadline_us, &hello))
			return false;
		/* Other models now than at our start: its templates would be compared with strangers. */
		if (!hello.has_model != !f->has_model || (f->has_model && strncmp(hello.model_sha256, f->model.sha256, FACE_SHA256_CHARS) != 0))
			return false;
	}
	if (!put_all(h->fd, &ask, sizeof(ask), deadline_us) || !put_all(h->fd, picture.p, picture.n, deadline_us) ||
		!get_all(h->fd, &answer, sizeof(answer), deadline_us) || !answer_good(&answer))
		return false;
	*ret = answer;
	return true;
}

bool
faces_examine(struct faces *f, struct span picture, enum face_purpose purpose, int deadline_ms, struct face_answer *ret)
{
	int64_t deadline_us = time_monotonic_us() + deadline_ms * INT64_C(1000);

	if (!f || picture.n == 0 || picture.n > FACE_ASK_MAX)
		return false;
	struct helper *h = helper_take(f, deadline_us);
	if (!h) {
		tell(f, M_FACE_PICTURES, "no_helper", 1);
		return false;
	}
	bool good = converse(f, h, picture, purpose, deadline_us, ret);
	if (good)
		tell(f, M_FACE_PICTURES, "answered", 1);
	else
		tell(f, M_FACE_PICTURES, time_monotonic_us() >= deadline_us ? "late" : "failed", 1);
	if (!good)
		helper_kill(f, h);
	helper_give(f, h, good);
	return good;
}

/* --- opening ---- */

static void
meet_first(struct faces *f)
{
	struct face_hello hello;

	if (!f->models_dir[0]) { /* no model, so nothing to learn from a helper; one is started for the first picture */
		(void)snprintf(f->message, sizeof(f->message), "FACE_MODELS_DIR is not set");
		return;
	}
	if (!helper_start(f, &f->helpers[0], time_monotonic_us() + FACE_START_MS * INT64_C(1000), &hello)) {
		(void)snprintf(f->message, sizeof(f->message), "muster-face does not start");
		return;
	}
	(void)snprintf(f->message, sizeof(f->message), "%.*s", (int)sizeof(hello.message), hello.message);
	f->has_model = hello.has_model;
	memcpy(f->model.sha256, hello.model_sha256, FACE_SHA256_CHARS);
	f->model.accept = (double)hello.accept;
	f->model.review = (double)hello.review;
}

struct faces *
faces_open(const struct faces_options *o)
{
	struct faces *f = calloc(1, sizeof(*f));
	pthread_condattr_t attr;

	if (!f || !(f->program = strdup(o->program)) || !(f->models_dir = strdup(o->models_dir)) || pthread_condattr_init(&attr) != 0 ||
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 || pthread_cond_init(&f->freed, &attr) != 0 ||
		pthread_mutex_init(&f->lock, NULL) != 0)
		BUG("no memory for the faces");
	pthread_condattr_destroy(&attr);
	f->metrics = o->metrics;
	f->n = o->processes < 1 ? 1 : o->processes > FACE_PROCESSES_MAX ? FACE_PROCESSES_MAX : o->processes;
	meet_first(f);
	return f;
}

void
faces_program(const struct config *conf, char ret[FACE_PATH_BYTES])
{
	static const char name[] = "/muster-face";
	ssize_t n = readlink("/proc/self/exe", ret, FACE_PATH_BYTES - sizeof(name));

	ret[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(ret, '/');
	memcpy(slash ? slash : ret, name, sizeof(name));
	if (conf->face_program[0])
		(void)str_copy(ret, FACE_PATH_BYTES, conf->face_program);
}

struct faces *
faces_open_configured(const struct config *conf, struct metrics *metrics)
{
	char path[FACE_PATH_BYTES];
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	faces_program(conf, path);
	return faces_open(&(const struct faces_options){.program = path,
		.models_dir = conf->face_models_dir,
		.processes = (int)(cores < FACE_PROCESSES_MAX ? cores : FACE_PROCESSES_MAX),
		.metrics = metrics});
}

void
faces_close(struct faces *f)
{
	if (!f)
		return;
	for (int i = 0; i < f->n; i++)
		helper_kill(f, &f->helpers[i]);
	pthread_cond_destroy(&f->freed);
	pthread_mutex_destroy(&f->lock);
	free(f->program);
	free(f->models_dir);
	free(f);
}

const struct face_model *
faces_model(const struct faces *f)
{
	return f && f->has_model ? &f->model : NULL;
}

const char *
faces_message(const struct faces *f)
{
	return f->message;
}

int
faces_pids(struct faces *f, pid_t ret[FACE_PROCESSES_MAX])
{
	int n = 0;

	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < f->n; i++)
		if (f->helpers[i].pid)
			ret[n++] = f->helpers[i].pid;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/*
 * The helper as the server uses it: what it says of pictures, good and hostile, and that nothing a picture or a person with a kill
 * command does to it reaches the server.
 */
#define FACES_INSIDE
#include "face_env.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "core/time.h"
#include "net/face.h"

enum { PATIENCE_MS = 60000 };

static struct arena arena;

static struct faces *
open_faces(const char *models, int processes)
{
	return faces_open(&(const struct faces_options){.program = face_program(&arena), .models_dir = models, .processes = processes});
}

static struct faces *
open_models(int processes)
{
	struct faces *f = open_faces(FACE_MODELS, processes);

	assert_non_null(faces_model(f));
	return f;
}

static struct face_answer
examine(struct faces *f, struct span picture)
{
	struct face_answer a = {0};

	if (!faces_examine(f, picture, FACE_STRAIGHT, PATIENCE_MS, &a))
		print_error("no answer\n");
	assert_int_not_equal(a.verdict, FACE_UNSET);
	return a;
}

/* With one helper, which has answered. */
static struct faces *
open_awake(void)
{
	struct faces *f = open_faces("", 1);

	assert_int_equal(examine(f, grey_jpeg(&arena)).verdict, FACE_NO_MODEL);
	return f;
}

static void
without_models_pictures_are_decoded(void **state)
{
	struct faces *f = open_faces("", 1);
	struct span good = grey_jpeg(&arena);

	(void)state;
	assert_null(faces_model(f));
	assert_string_equal(faces_message(f), "FACE_MODELS_DIR is not set");
	struct face_answer a = examine(f, good);
	assert_int_equal(a.verdict, FACE_NO_MODEL);
	assert_int_equal(a.width, 8);
	assert_int_equal(a.height, 8);
	assert_int_equal(a.numbers, 0);
	assert_int_equal(examine(f, (struct span){good.p, good.n - 2}).verdict, FACE_NOT_DECODED);
	faces_close(f);
	f = open_faces("/proc/nowhere", 1);
	assert_null(faces_model(f));
	faces_close(f);
}

static void
a_helper_that_is_not_there_is_no_helper(void **state)
{
	struct faces *f = faces_open(&(const struct faces_options){.program = "/proc/nowhere/muster-face", .models_dir = "", .processes = 2});
	struct face_answer a;

	(void)state;
	assert_null(faces_model(f));
	for (int i = 0; i < 10; i++)
		assert_false(faces_examine(f, grey_jpeg(&arena), FACE_STRAIGHT, PATIENCE_MS, &a));
	faces_close(f);
	assert_false(faces_examine(NULL, grey_jpeg(&arena), FACE_STRAIGHT, PATIENCE_MS, &a));
}

/* --- hostile pictures ---- */

static struct span
with_u16(struct span s, size_t at, unsigned v)
{
	uint8_t *p = arena_new(&arena, uint8_t, s.n);

	memcpy(p, s.p, s.n);
	p[at] = (uint8_t)(v >> 8);
	p[at + 1] = (uint8_t)v;
	return (struct span){p, s.n};
}

/* The frame of grey_jpeg() begins after its 69 bytes of table: height, then width. */
enum { FRAME_AT = 71, HEIGHT_AT = FRAME_AT + 5, WIDTH_AT = FRAME_AT + 7 };

static struct span
png_header(uint32_t width, uint32_t height)
{
	static const char text[] = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0\0\0\0\0\x08\x02\0\0\0\0\0\0\0\0\0\0\0IDAT";
	uint8_t *p = arena_new(&arena, uint8_t, sizeof(text));

	memcpy(p, text, sizeof(text));
	for (int i = 0; i < 4; i++) {
		p[16 + i] = (uint8_t)(width >> (24 - 8 * i));
		p[20 + i] = (uint8_t)(height >> (24 - 8 * i));
	}
	return (struct span){p, sizeof(text) - 1};
}

static void
hostile_pictures_are_refused_and_the_helper_lives(void **state)
{
	struct span good = grey_jpeg(&arena);
	const struct {
		const char *name;
		struct span bytes;
		enum face_verdict want;
	} cases[] = {
		{"one byte", SPAN_LIT("x"), FACE_NOT_DECODED},
		{"magic alone", SPAN_LIT("\xff\xd8\xff"), FACE_NOT_DECODED},
		{"text", SPAN_LIT("<svg xmlns='http://www.w3.org/2000/svg'/>"), FACE_NOT_DECODED},
		{"GIF", SPAN_LIT("GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;"), FACE_NOT_DECODED},
		{"half", {good.p, good.n / 2}, FACE_NOT_DECODED},
		{"no end", {good.p, good.n - 2}, FACE_NOT_DECODED},
		{"no height", with_u16(good, HEIGHT_AT, 0), FACE_NOT_DECODED},
		{"higher than its bytes", with_u16(good, HEIGHT_AT, 4000), FACE_NOT_DECODED},
		{"65500 x 65500", with_u16(with_u16(good, HEIGHT_AT, 65500), WIDTH_AT, 65500), FACE_TOO_LARGE},
		{"PNG that ends", SPAN_LIT("\x89PNG\r\n\x1a\n"), FACE_NOT_DECODED},
		{"PNG with a wrong checksum", png_header(30000, 30000), FACE_NOT_DECODED},
		{"good", good, FACE_NO_MODEL},
	};
	struct faces *f = open_awake();
	pid_t before[FACE_PROCESSES_MAX], after[FACE_PROCESSES_MAX];

	(void)state;
	assert_int_equal(faces_pids(f, before), 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct face_answer a = examine(f, cases[i].bytes);
		if (a.verdict != cases[i].want)
			print_error("%s: %s\n", cases[i].name, face_verdict_name((enum face_verdict)a.verdict));
		assert_int_equal(a.verdict, cases[i].want);
	}
	/* Every byte of the small one wrong in turn. */
	for (size_t at = 0; at < good.n; at++) {
		uint8_t *p = arena_new(&arena, uint8_t, good.n);
		memcpy(p, good.p, good.n);
		p[at] ^= (uint8_t)(1 + at % 255);
		enum face_verdict v = (enum face_verdict)examine(f, (struct span){p, good.n}).verdict;
		assert_true(v == FACE_NO_MODEL || v == FACE_NOT_DECODED || v == FACE_TOO_LARGE);
	}
	assert_int_equal(faces_pids(f, after), 1);
	assert_int_equal(before[0], after[0]);
	faces_close(f);
}

/* --- a helper that dies ---- */

struct asker {
	struct faces *f;
	struct span picture;
	int deadline_ms;
	bool answered;
	pthread_t thread;
};

static void *
ask(void *arg)
{
	struct asker *k = arg;
	struct face_answer a;

	k->answered = faces_examine(k->f, k->picture, FACE_STRAIGHT, k->deadline_ms, &a);
	return NULL;
}

/* Stopped, the helper has the picture and does not answer; then it is killed.  The one who asked hears at once, the next is served. */
static void
a_helper_killed_mid_request_is_replaced(void **state)
{
	struct faces *f = open_awake();
	struct asker k = {.f = f, .picture = grey_jpeg(&arena), .deadline_ms = PATIENCE_MS};
	pid_t pid[FACE_PROCESSES_MAX], next[FACE_PROCESSES_MAX];
	int64_t began_us = time_monotonic_us();

	(void)state;
	assert_int_equal(faces_pids(f, pid), 1);
	assert_int_equal(kill(pid[0], SIGSTOP), 0);
	assert_int_equal(pthread_create(&k.thread, NULL, ask, &k), 0);
	assert_int_equal(kill(pid[0], SIGKILL), 0);
	pthread_join(k.thread, NULL);
	assert_true(time_monotonic_us() - began_us < PATIENCE_MS * INT64_C(1000));
	if (k.answered) /* it was killed before it was asked, and replaced for this very picture */
		print_message("killed before it was asked\n");
	assert_int_equal(examine(f, k.picture).verdict, FACE_NO_MODEL);
	assert_int_equal(faces_pids(f, next), 1);
	assert_int_not_equal(next[0], pid[0]);
	faces_close(f);
}

static void
a_helper_that_is_late_is_killed(void **state)
{
	struct faces *f = open_awake();
	struct face_answer a;
	pid_t pid[FACE_PROCESSES_MAX], next[FACE_PROCESSES_MAX];

	(void)state;
	assert_int_equal(faces_pids(f, pid), 1);
	assert_int_equal(kill(pid[0], SIGSTOP), 0);
	assert_false(faces_examine(f, grey_jpeg(&arena), FACE_STRAIGHT, 50, &a));
	assert_int_equal(faces_pids(f, next), 0);
	assert_int_equal(kill(pid[0], 0), -1);
	assert_int_equal(examine(f, grey_jpeg(&arena)).verdict, FACE_NO_MODEL);
	faces_close(f);
}

/* The value on this line of /metrics; -1: there is none. */
static long
metric(const struct metrics *m, const char *name)
{
	struct buf b;

	buf_init(&b, &arena, 1 << 14);
	metrics_print(m, &b, NULL);
	const char *line = strstr(buf_cstr(&b), arena_printf(&arena, "\n%s ", name));
	return line ? strtol(line + strlen(name) + 2, NULL, 10) : -1;
}
#define PICTURES(result) "muster_face_pictures_total{result=\"" result "\"}"

static void
what_becomes_of_pictures_is_counted(void **state)
{
	struct metrics *m = metrics_open(0);
	const struct faces_options o = {.program = face_program(&arena), .models_dir = "", .processes = 1, .metrics = m};
	struct faces *f = faces_open(&o);
	struct face_answer a;
	pid_t pid[FACE_PROCESSES_MAX];

	(void)state;
	assert_int_equal(metric(m, "muster_face_starts_total"), 0);
	examine(f, grey_jpeg(&arena));
	examine(f, grey_jpeg(&arena));
	assert_int_equal(metric(m, "muster_face_starts_total"), 1);
	assert_int_equal(metric(m, PICTURES("answered")), 2);
	assert_int_equal(faces_pids(f, pid), 1);
	assert_int_equal(kill(pid[0], SIGSTOP), 0);
	assert_false(faces_examine(f, grey_jpeg(&arena), FACE_STRAIGHT, 50, &a));
	assert_int_equal(metric(m, PICTURES("late")), 1);
	examine(f, grey_jpeg(&arena));
	assert_int_equal(faces_pids(f, pid), 1);
	assert_int_equal(kill(pid[0], SIGKILL), 0);
	assert_false(faces_examine(f, grey_jpeg(&arena), FACE_STRAIGHT, PATIENCE_MS, &a));
	assert_int_equal(metric(m, PICTURES("failed")), 1);
	examine(f, grey_jpeg(&arena));
	assert_int_equal(metric(m, "muster_face_starts_total"), 3);
	assert_int_equal(metric(m, "muster_face_waiting"), 0);
	assert_int_equal(metric(m, "muster_face_helpers_busy"), 0);
	faces_close(f);

	f = faces_open(&(const struct faces_options){.program = "/proc/nowhere/muster-face", .models_dir = "", .processes = 1, .metrics = m});
	for (int i = 0; i < 5; i++)
		assert_false(faces_examine(f, grey_jpeg(&arena), FACE_STRAIGHT, PATIENCE_MS, &a));
	assert_int_equal(metric(m, PICTURES("failed")) + metric(m, PICTURES("no_helper")), 1 + 5);
	faces_close(f);
	metrics_close(m);
}

static void
many_askers_share_few_helpers(void **state)
{
	enum { ASKERS = 12 };
	struct faces *f = open_faces("", 2);
	struct asker k[ASKERS];
	pid_t pid[FACE_PROCESSES_MAX];

	(void)state;
	for (int i = 0; i < ASKERS; i++) {
		k[i] = (struct asker){.f = f, .picture = grey_jpeg(&arena), .deadline_ms = PATIENCE_MS};
		assert_int_equal(pthread_create(&k[i].thread, NULL, ask, &k[i]), 0);
	}
	for (int i = 0; i < ASKERS; i++) {
		pthread_join(k[i].thread, NULL);
		assert_true(k[i].answered);
	}
	assert_true(faces_pids(f, pid) <= 2);
	faces_close(f);
}

/* What /proc says of a running helper: no capability to gain privileges, a filter, no file but the socket and /dev/null. */
static void
the_helper_is_sandboxed(void **state)
{
	struct faces *f = open_awake();
	pid_t pid[FACE_PROCESSES_MAX];

	(void)state;
	assert_int_equal(faces_pids(f, pid), 1);
	const char *status = arena_printf(&arena, "%.*s", 4000, (const char *)file_read(&arena, arena_printf(&arena, "/proc/%d/status", (int)pid[0])).p);
	assert_non_null(strstr(status, "\nNoNewPrivs:\t1\n"));
	assert_non_null(strstr(status, "\nSeccomp:\t2\n"));
	assert_non_null(strstr(status, "\nThreads:\t1\n"));
	faces_close(f);
}

/* --- faces ---- */

enum { PEOPLE_MAX = 40 };

static size_t
read_index(struct arena *a, const char *ret[PEOPLE_MAX])
{
	char *text = arena_printf(a, "%s", (const char *)file_read(a, FACE_PHOTOS "/INDEX.tsv").p);
	size_t n = 0;

	for (char *line = strchr(text, '\n'); line && line[1] && n < PEOPLE_MAX; line = strchr(line + 1, '\n'))
		ret[n++] = arena_strndup(a, line + 1, strcspn(line + 1, "\t"));
	return n;
}

static void
the_same_person_is_known_and_no_other(void **state)
{
	struct faces *f = open_models(2);
	const struct face_model *m = faces_model(f);
	const char *people[PEOPLE_MAX];
	size_t n = read_index(&arena, people);
	struct face_answer *old = calloc(PEOPLE_MAX, sizeof(*old)), *new = calloc(PEOPLE_MAX, sizeof(*new));

	(void)state;
	assert_true(n >= 10);
	assert_true(m->review > 0 && m->review <= m->accept);
	for (size_t i = 0; i < n; i++) {
		old[i] = examine(f, photo(&arena, arena_printf(&arena, "%s_gpo2015.jpg", people[i])));
		new[i] = examine(f, photo(&arena, arena_printf(&arena, "%s_2021.jpg", people[i])));
		assert_int_equal(old[i].verdict, FACE_GOOD);
		assert_int_equal(new[i].verdict, FACE_GOOD);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			double likeness = face_likeness(old[i].face_template, new[k].face_template, old[i].numbers);
			if (i == k ? likeness < m->review : likeness >= m->accept)
				print_error("%s and %s: %.3f\n", people[i], people[k], likeness);
			assert_true(i == k ? likeness >= m->review : likeness < m->accept);
		}
	free(old);
	free(new);
	faces_close(f);
}

/* The eight ways a camera may have been held, as Exif says them: a segment before the first one, and the pixels turned with it would be
 * the upright face again; the pixels here are not turned, so of all but the first and the mirrored nobody is to be recognised. */
static void
exif_orientation_is_followed(void **state)
{
	static const char exif[] = "\xff\xe1\0\x22"
				   "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0";
	struct faces *f = open_models(1);
	struct span plain = photo(&arena, "T000472_gpo2015.jpg");
	struct face_answer upright = examine(f, plain);

	(void)state;
	assert_int_equal(upright.verdict, FACE_GOOD);
	for (int o = 1; o <= 8; o++) {
		struct buf b;
		buf_init(&b, &arena, plain.n + sizeof(exif));
		buf_add(&b, plain.p, 2);
		buf_add(&b, exif, sizeof(exif) - 1);
		b.p[2 + 4 + 6 + 8 + 2 + 9] = (char)o;
		buf_add(&b, plain.p + 2, plain.n - 2);
		struct face_answer a = examine(f, buf_span(&b));
		bool turned = o >= 5;
		assert_int_equal(a.width, turned ? upright.height : upright.width);
		double likeness = face_likeness(a.face_template, upright.face_template, a.numbers);
		if (o <= 2)
			assert_int_equal(a.verdict, FACE_GOOD);
		assert_true(o == 1 ? likeness > 0.999 : o == 2 ? likeness > 0.9 : likeness < faces_model(f)->review);
	}
	faces_close(f);
}

static void
pictures_without_one_good_face_say_why(void **state)
{
	struct faces *f = open_models(1);

	(void)state;
	assert_int_equal(examine(f, grey_jpeg(&arena)).verdict, FACE_NONE);
	assert_int_equal(examine(f, photo(&arena, "astronaut.png")).verdict, FACE_GOOD);
	struct span whole = photo(&arena, "T000472_2021.jpg");
	assert_int_equal(examine(f, (struct span){whole.p, whole.n * 95 / 100}).verdict, FACE_NOT_DECODED);
	faces_close(f);
}

/* Are models, photos and a helper with OpenCV there?  Says what is missing. */
static bool
models_present(void)
{
	const char *missing = NULL;

	arena_init(&arena);
	if (access(FACE_MODELS, R_OK) != 0 || access(FACE_PHOTOS "/INDEX.tsv", R_OK) != 0) {
		missing = "there is no " FACE_MODELS;
	} else {
		struct faces *f = open_faces(FACE_MODELS, 1);
		if (!faces_model(f))
			missing = arena_strdup(&arena, faces_message(f));
		faces_close(f);
	}
	if (missing)
		print_message("# faces are not compared here: %s\n", missing);
	arena_release(&arena);
	return !missing;
}

static int
open_arena(void **state)
{
	(void)state;
	arena_init(&arena);
	return 0;
}

static int
close_arena(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_models_pictures_are_decoded, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(a_helper_that_is_not_there_is_no_helper, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(hostile_pictures_are_refused_and_the_helper_lives, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(a_helper_killed_mid_request_is_replaced, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(a_helper_that_is_late_is_killed, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(what_becomes_of_pictures_is_counted, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(many_askers_share_few_helpers, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(the_helper_is_sandboxed, open_arena, close_arena),
	};
	static const struct CMUnitTest with_models[] = {
		cmocka_unit_test_setup_teardown(the_same_person_is_known_and_no_other, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(exif_orientation_is_followed, open_arena, close_arena),
		cmocka_unit_test_setup_teardown(pictures_without_one_good_face_say_why, open_arena, close_arena),
	};

	signal(SIGPIPE, SIG_IGN);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return failed + (models_present() ? cmocka_run_group_tests(with_models, NULL, NULL) : 0);
}

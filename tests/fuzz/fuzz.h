/*
 * Fuzz targets: one function per parser of untrusted bytes.  libFuzzer calls them (libfuzzer.c, `make fuzz`), and the unit program
 * api_fuzz calls the same functions over the corpus in tests/data/fuzz, so that no input that ever failed can fail unseen again.
 *
 * A target does more than not crash: what it accepts must keep the parser's own promises (ceilings, canonical forms, a value that is
 * written and read again is the same).  It must be a function of its input alone; services it needs come from fuzz_server(), whose
 * clock stands still and whose secrets are those of the tests.
 */
#ifndef MUSTER_TESTS_FUZZ_H
#define MUSTER_TESTS_FUZZ_H

#include "support.h"

struct fuzz_target {
	const char *name;                             /* also the corpus' directory */
	size_t max_bytes;                             /* longer inputs teach nothing more */
	void (*run)(struct arena *a, struct span in); /* `a` is emptied after each input */
};
extern const struct fuzz_target fuzz_targets[]; /* ended by a NULL name */
const struct fuzz_target *fuzz_target_find(const char *name);
void fuzz_run(const struct fuzz_target *target, const uint8_t *p, size_t n);
void fuzz_end(void); /* closes what the targets opened */

/* A promise of the parser under test. */
#define HOLDS(what)                                             \
	do {                                                    \
		if (!(what))                                    \
			fuzz_broken(__FILE__, __LINE__, #what); \
	} while (0)
_Noreturn void fuzz_broken(const char *file, int line, const char *what);

/* Migrated, with a lecturer, an administrator and a student; see fuzz.c for its configuration. */
struct test *fuzz_server(void);
/* The ctx of nobody over it. */
void fuzz_ctx(struct ctx *cx, struct arena *a);

/* The input as a C string; NUL ends it. */
const char *fuzz_text(struct arena *a, struct span in);
/* Cuts the first line off `in`, without its end, as a C string. */
const char *fuzz_line(struct arena *a, struct span *in);
bool span_eq(struct span a, struct span b);

/* core.c */
void fuzz_json(struct arena *a, struct span in);
void fuzz_csv(struct arena *a, struct span in);
void fuzz_dotenv(struct arena *a, struct span in);
void fuzz_image(struct arena *a, struct span in);
void fuzz_encode(struct arena *a, struct span in);
void fuzz_words(struct arena *a, struct span in);
/* tokens.c */
void fuzz_jws(struct arena *a, struct span in);
void fuzz_jwks(struct arena *a, struct span in);
void fuzz_fernet(struct arena *a, struct span in);
void fuzz_qr(struct arena *a, struct span in);
/* http.c */
void fuzz_multipart(struct arena *a, struct span in);
void fuzz_cookie(struct arena *a, struct span in);
void fuzz_forwarded(struct arena *a, struct span in);
void fuzz_pairs(struct arena *a, struct span in);
/* server.c, dispatch.c, provider.c: what they open is closed by fuzz_end() */
void fuzz_http(struct arena *a, struct span in);
void fuzz_http_end(void);
void fuzz_dispatch(struct arena *a, struct span in);
void fuzz_dispatch_end(void);
void fuzz_redirect(struct arena *a, struct span in);
void fuzz_provider(struct arena *a, struct span in);
void fuzz_provider_end(void);
/* domain.c */
void fuzz_fields(struct arena *a, struct span in);
void fuzz_query(struct arena *a, struct span in);
void fuzz_email(struct arena *a, struct span in);
void fuzz_mail(struct arena *a, struct span in);
void fuzz_news(struct arena *a, struct span in);

#endif

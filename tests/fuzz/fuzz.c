/* The table of targets and what they share. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct fuzz_target fuzz_targets[] = {
	{"json", 4096, fuzz_json},
	{"csv", 4096, fuzz_csv},
	{"dotenv", 2048, fuzz_dotenv},
	{"image", 4096, fuzz_image},
	{"encode", 512, fuzz_encode},
	{"words", 256, fuzz_words},
	{"jws", 4096, fuzz_jws},
	{"jwks", 4096, fuzz_jwks},
	{"fernet", 2048, fuzz_fernet},
	{"qr", 800, fuzz_qr},
	{"multipart", 4096, fuzz_multipart},
	{"cookie", 1024, fuzz_cookie},
	{"forwarded", 1024, fuzz_forwarded},
	{"pairs", 2048, fuzz_pairs},
	{"fields", 4096, fuzz_fields},
	{"query", 2048, fuzz_query},
	{"email", 1200, fuzz_email},
	{"mail", 2048, fuzz_mail},
	{"news", 1024, fuzz_news},
	{"http", 4096, fuzz_http},
	{"dispatch", 4096, fuzz_dispatch},
	{"redirect", 512, fuzz_redirect},
	{"provider", 4096, fuzz_provider},
	{NULL, 0, NULL},
};

static struct test *server;
static struct arena arena;

const struct fuzz_target *
fuzz_target_find(const char *name)
{
	for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
		if (strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

void
fuzz_run(const struct fuzz_target *target, const uint8_t *p, size_t n)
{
	target->run(&arena, (struct span){p, n});
	arena_reset(&arena);
}

void
fuzz_end(void)
{
	fuzz_http_end();
	fuzz_dispatch_end();
	fuzz_provider_end();
	if (server)
		test_close(server);
	server = NULL;
	arena_release(&arena);
}

void
fuzz_broken(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

struct test *
fuzz_server(void)
{
	if (!server)
		server = test_open(TEST_CONF("PUBLIC_BASE_URL=https://attend.example.org"));
	return server;
}

void
fuzz_ctx(struct ctx *cx, struct arena *a)
{
	ctx_init(cx, a, &fuzz_server()->srv);
}

const char *
fuzz_text(struct arena *a, struct span in)
{
	return in.n ? arena_strndup(a, (const char *)in.p, in.n) : "";
}

const char *
fuzz_line(struct arena *a, struct span *in)
{
	const uint8_t *end = in->n ? memchr(in->p, '\n', in->n) : NULL;
	size_t n = end ? (size_t)(end - in->p) : in->n;
	const char *line = fuzz_text(a, (struct span){in->p, n});

	in->p += n + (end != NULL);
	in->n -= n + (end != NULL);
	return line;
}

bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

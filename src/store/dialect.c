/*
 * Type words of migrations into the words of one engine (see migrate.h).  A word counts only outside of comments and quotes, in
 * capitals; blocks for one engine pass as they are, or vanish.
 */
#include "store/engine.h"

#include <ctype.h>
#include <string.h>

struct reader {
	bool sqlite;
	struct buf out;
	int depth, words;   /* parentheses open; words of the statement so far */
	bool create, table; /* the statement is CREATE …, CREATE TABLE … */
	bool closed;	    /* … and its list of columns has ended */
	char before[64];    /* the last word: a BOOLEAN's column */
};

static bool
word_is(const char *p, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(p, word, n) == 0;
}

static const char *
sqlite_word(const char *p, size_t n)
{
	static const char *const words[][2] = {{"UUID", "TEXT"}, {"TIMESTAMPTZ", "TEXT"}, {"BIGINT", "INTEGER"},
		{"BYTEA", "BLOB"}, {"SEQ", "INTEGER PRIMARY KEY"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (word_is(p, n, words[i][0]))
			return words[i][1];
	return NULL;
}

static const char *
after_double(const char *p)
{
	const char *q = p + strspn(p, " \t\n");

	return q > p && strncmp(q, "PRECISION", 9) == 0 ? q + 9 : NULL;
}

/* Returns where reading goes on. */
static const char *
map_word(struct reader *r, const char *p, size_t n)
{
	const char *other;

	r->create = r->words == 0 ? word_is(p, n, "CREATE") : r->create;
	r->table = r->words == 1 ? r->create && word_is(p, n, "TABLE") : r->table;
	r->words++;
	if (r->closed && word_is(p, n, "KEYED")) {
		if (r->sqlite)
			buf_str(&r->out, "STRICT, WITHOUT ROWID");
		else if (r->out.n && r->out.p[r->out.n - 1] == ' ')
			r->out.p[--r->out.n] = 0;
		r->closed = false;
	} else if (!r->sqlite && word_is(p, n, "SEQ")) {
		buf_str(&r->out, "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY");
	} else if (r->sqlite && word_is(p, n, "BOOLEAN")) {
		buf_printf(&r->out, "INTEGER CHECK (%s IN (0,1))", r->before);
	} else if (r->sqlite && word_is(p, n, "DOUBLE") && (other = after_double(p + n))) {
		buf_str(&r->out, "REAL");
		return other;
	} else if (r->sqlite && (other = sqlite_word(p, n))) {
		buf_str(&r->out, other);
	} else {
		buf_add(&r->out, p, n);
	}
	(void)str_copy(r->before, n < sizeof(r->before) ? n + 1 : sizeof(r->before), p);
	return p + n;
}

static void
map_sign(struct reader *r, char c)
{
	if (c == '(')
		r->depth++;
	else if (c == ')' && --r->depth == 0 && r->table)
		r->closed = true;
	else if (c == ';' && r->depth == 0) {
		if (r->closed && r->sqlite)
			buf_str(&r->out, " STRICT");
		r->words = 0;
		r->create = r->table = r->closed = false;
	}
	buf_chr(&r->out, c);
}

/* How many bytes at `p` are a comment or a quoted text; 0: none. */
static size_t
opaque_bytes(const char *p)
{
	const char *end = NULL;

	if (p[0] == '-' && p[1] == '-')
		return strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*')
		end = (end = strstr(p + 2, "*/")) ? end + 1 : NULL;
	else if (p[0] == '\'' || p[0] == '"')
		end = strchr(p + 1, p[0]); /* a doubled quote reads as two texts, which is as well */
	else
		return 0;
	return end ? (size_t)(end - p) + 1 : strlen(p);
}

static bool
line_is(const char *p, const char *mark)
{
	size_t n = strlen(mark);

	return strncmp(p, mark, n) == 0 && p[n + strspn(p + n, " \t\r")] == (strchr(p + n, '\n') ? '\n' : 0);
}

/* At the start of a line: passes over a block for one engine, copying it when it is ours. */
static const char *
take_block(struct reader *r, const char *p)
{
	bool ours = line_is(p, r->sqlite ? "-- @sqlite" : "-- @postgres");

	if (!ours && !line_is(p, r->sqlite ? "-- @postgres" : "-- @sqlite"))
		return p;
	for (p += strcspn(p, "\n"); *p;) {
		p++;
		size_t n = strcspn(p, "\n");
		if (line_is(p, "-- @end"))
			return p + n + (p[n] == '\n');
		if (ours)
			buf_add(&r->out, p, n + (p[n] == '\n'));
		p += n;
	}
	return p;
}

const char *
dialect_text(struct arena *a, bool sqlite, const char *text)
{
	struct reader r = {.sqlite = sqlite};
	bool line_start = true;

	buf_init(&r.out, a, strlen(text) + 256);
	for (const char *p = text; *p;) {
		if (line_start) {
			const char *next = take_block(&r, p);
			if (next != p) {
				p = next;
				continue;
			}
		}
		line_start = *p == '\n';
		size_t n = opaque_bytes(p);
		if (n) {
			buf_add(&r.out, p, n);
			p += n;
		} else if (isalpha((unsigned char)*p) || *p == '_') {
			for (n = 1; isalnum((unsigned char)p[n]) || p[n] == '_'; n++)
				;
			p = map_word(&r, p, n);
		} else {
			map_sign(&r, *p++);
		}
	}
	return buf_cstr(&r.out);
}

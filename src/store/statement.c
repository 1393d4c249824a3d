/*
 * The registry of statements.  SQL() puts each into the linker section "muster_sql"; here every text is read once per store and
 * its
 * `{?n …}` groups are expanded to fixed texts, one per combination, so that a variant is a table look-up at run time and its
 * query plan never depends on an argument.
 *
 * Variant v holds the groups whose bit is set in v.  Groups that hang on the same argument share a bit.  A text with `{+…}` groups
 * has one variant more, the last: the one that does many calls at once.
 */
#include "store/engine.h"

#include <string.h>

/* Weak: a program without statements has no such section. */
extern const struct sql __start_muster_sql[] __attribute__((weak));
extern const struct sql __stop_muster_sql[] __attribute__((weak));

static const char kinds_known[] = "tuirbmx";

/* Reads the digits of `$n` or `{?n`; 0 when there are none. */
static int
read_number(const char **p)
{
	int n = 0;

	for (; **p >= '0' && **p <= '9' && n < 1000; (*p)++)
		n = n * 10 + (**p - '0');
	return n;
}

/* The bit of the group that hangs on argument `n` (from 1); -1 when there are too many groups. */
static int
group_bit(struct statement *st, int n)
{
	for (int i = 0; i < st->n_groups; i++)
		if (st->group_param[i] == n - 1)
			return i;
	if (st->n_groups == GROUPS_MAX)
		return -1;
	st->group_param[st->n_groups] = (uint8_t)(n - 1);
	return st->n_groups++;
}

/* First reading: counts groups and checks every number. */
static const char *
survey(struct statement *st, bool used[PARAMS_MAX])
{
	bool inside = false, quoted = false;

	for (const char *p = st->sql->text; *p;) {
		if (*p == '\'') {
			quoted = !quoted;
		} else if (quoted) {
			;
		} else if (p[0] == '{' && p[1] == '+') {
			if (inside)
				return "a group is nested or names no argument";
			inside = st->many = true;
		} else if (p[0] == '{' && p[1] == '?') {
			p += 2;
			int n = read_number(&p);
			if (inside || n < 1 || n > st->n_params)
				return "a group is nested or names no argument";
			if (group_bit(st, n) < 0)
				return "too many groups";
			inside = true;
			continue;
		} else if (*p == '}' && inside) {
			inside = false;
		} else if (*p == '$') {
			p++;
			int n = read_number(&p);
			if (n < 1 || n > st->n_params)
				return "a $ parameter has no kind";
			used[n - 1] = true;
			continue;
		} else if (*p == '?') {
			return "parameters are written $1, $2, …";
		}
		p++;
	}
	if (st->many && st->n_groups)
		return "a text for many calls has no other groups";
	if (st->many && (st->n_params == 0 || strchr(st->sql->kinds, 'x')))
		return "a text for many calls has parameters, and no bytes";
	return inside || quoted ? "a group or a text does not end" : NULL;
}

/* The arguments of many calls as a table: one array per parameter, and the number of the call. */
static void
put_table(struct buf *b, const struct statement *st)
{
	buf_str(b, "unnest(");
	for (int i = 1; i <= st->n_params; i++)
		buf_printf(b, "%s$%d", i > 1 ? ", " : "", i);
	buf_str(b, ") WITH ORDINALITY AS many (");
	for (int i = 1; i <= st->n_params; i++)
		buf_printf(b, "p%d, ", i);
	buf_str(b, "number)");
}

static const char *
expand(struct arena *a, struct statement *st, unsigned variant)
{
	struct buf b;
	bool quoted = false, inside = false, keep = true, many = st->many && variant == 1U << st->n_groups;

	buf_init(&b, a, strlen(st->sql->text) + 1);
	for (const char *p = st->sql->text; *p; p++) {
		if (*p == '\'')
			quoted = !quoted;
		if (!quoted && p[0] == '{' && p[1] == '?') {
			p += 2;
			keep = variant & (1U << group_bit(st, read_number(&p)));
			p--;
			inside = true;
		} else if (!quoted && p[0] == '{' && p[1] == '+') {
			p++;
			keep = many;
			inside = true;
		} else if (!quoted && *p == '}' && inside) {
			inside = false;
			keep = true;
		} else if (!quoted && many && inside && *p == '@') {
			put_table(&b, st);
		} else if (!quoted && many && *p == '$') {
			buf_str(&b, "many.p");
		} else if (keep) {
			buf_chr(&b, *p);
		}
	}
	return buf_cstr(&b);
}

unsigned
statement_variants(const struct statement *st)
{
	return (1U << st->n_groups) + st->many;
}

const char *
statement_parse(struct arena *a, const struct sql *sql, struct statement *ret)
{
	bool used[PARAMS_MAX] = {false};
	struct statement st = {.sql = sql};
	size_t n = strlen(sql->kinds);

	if (n > PARAMS_MAX)
		return "too many parameters";
	if (strspn(sql->kinds, kinds_known) != n)
		return "an unknown kind of parameter";
	st.n_params = (uint8_t)n;
	const char *wrong = survey(&st, used);
	if (wrong)
		return wrong;
	for (size_t i = 0; i < n; i++) {
		bool group = false;
		for (int g = 0; g < st.n_groups; g++)
			group = group || st.group_param[g] == i;
		if (!used[i] && !group)
			return "a kind has no $ parameter";
	}
	st.texts = arena_new(a, const char *, statement_variants(&st));
	for (unsigned v = 0; v < statement_variants(&st); v++)
		st.texts[v] = expand(a, &st, v);
	*ret = st;
	return NULL;
}

void
statements_open(struct statements *s, struct arena *a)
{
	size_t n = __start_muster_sql ? (size_t)(__stop_muster_sql - __start_muster_sql) : 0;

	*s = (struct statements){.rows = arena_new(a, struct statement, n), .count = n};
	for (size_t i = 0; i < n; i++) {
		const struct sql *sql = &__start_muster_sql[i];
		const char *wrong = statement_parse(a, sql, &s->rows[i]);
		if (wrong)
			BUG("statement %s: %s", sql->name, wrong);
		s->rows[i].first = s->n_variants;
		s->n_variants += statement_variants(&s->rows[i]);
	}
}

/* --- arguments ------------------------------------------------------------------------------------------------------------- */

struct val
val_int(int64_t v)
{
	return v == FIELD_NONE ? val_null() : (struct val){.kind = VAL_INT, .i = v};
}

struct val
val_num(double v)
{
	return isnan(v) ? val_null() : (struct val){.kind = VAL_NUM, .d = v};
}

struct val
val_text(const char *v)
{
	return v ? (struct val){.kind = VAL_TEXT, .s = v} : val_null();
}

struct val
val_bytes(struct span v)
{
	return v.p ? (struct val){.kind = VAL_BYTES, .x = v} : val_null();
}

struct val
val_null(void)
{
	return (struct val){.kind = VAL_NULL};
}

static bool
kind_fits(char kind, const struct val *v)
{
	switch (v->kind) {
	case VAL_NULL:
		return true;
	case VAL_INT: /* a bool is 0 or 1: a stray enum tri would be 2 */
		return kind == 'i' || kind == 'm' || kind == 'r' || (kind == 'b' && (v->i == 0 || v->i == 1));
	case VAL_NUM:
		return kind == 'r';
	case VAL_TEXT:
		return kind == 't' || kind == 'u';
	case VAL_BYTES:
		return kind == 'x';
	}
	return false;
}

struct call
call_make(const struct statements *s, const struct sql *sql, const struct val *args, size_t n)
{
	if (!__start_muster_sql || sql < __start_muster_sql || sql >= __stop_muster_sql)
		BUG("statement %s was not made by SQL()", sql->name);

	struct call c = {.st = &s->rows[sql - __start_muster_sql], .args = args, .expect = -1};
	if (n != c.st->n_params)
		BUG("statement %s takes %d arguments, not %zu", sql->name, c.st->n_params, n);
	for (size_t i = 0; i < n; i++)
		if (!kind_fits(sql->kinds[i], &args[i]))
			BUG("statement %s: argument $%zu is not of kind '%c'", sql->name, i + 1, sql->kinds[i]);
	for (int g = 0; g < c.st->n_groups; g++)
		if (args[c.st->group_param[g]].kind != VAL_NULL)
			c.variant |= 1U << g;
	return c;
}

/*
 * SQLite is copied by its backup interface, through files that never fail; to the program that is another process's write.  On
 * PostgreSQL rows are kept in tables of the same names in a schema `torture`, as tests/support_sql.c keeps those of migrations.
 * Files are never written in place, so hard links keep them.
 */
#include "torture/state.h"

#include <ftw.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORD_MIN = 20, CODE_MIN = 4, QUIET_MS = 10000, TABLES_MAX = 100 };

static struct {
	struct test *t; /* whose the rest is */
	sqlite3 *file, *copy;
	PGconn *pg;
} own;

/* --- connections ---- */

static PGresult *
ask(const char *sql)
{
	PGresult *r = PQexec(own.pg, sql);

	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(own.pg));
	return r;
}

static void
drop_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

static const char pg_functions[] =
	"DROP SCHEMA IF EXISTS torture CASCADE; CREATE SCHEMA torture; SET search_path = torture;"
	"CREATE FUNCTION relations() RETURNS SETOF name LANGUAGE sql AS"
	" $$ SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname $$;"
	/* Numbers that the server gives are gone when what took them is undone: of no table are they part of the state. */
	"CREATE FUNCTION columns(name) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)"
	" FROM pg_attribute WHERE attrelid = format('public.%I', $1)::regclass AND attnum > 0 AND attidentity = '' $$;"
	"CREATE FUNCTION keep() RETURNS void LANGUAGE plpgsql AS $$ DECLARE r name; BEGIN"
	" FOR r IN SELECT relname FROM pg_class WHERE relnamespace = 'torture'::regnamespace AND relkind = 'r' LOOP"
	"  EXECUTE format('DROP TABLE torture.%I', r); END LOOP;"
	" CREATE TABLE torture.sequences_ AS SELECT * FROM pg_sequences WHERE schemaname = 'public';"
	" FOR r IN SELECT torture.relations() LOOP"
	"  EXECUTE format('CREATE TABLE torture.%1$I AS TABLE public.%1$I', r); END LOOP; END $$;"
	"CREATE FUNCTION put_back() RETURNS void LANGUAGE plpgsql AS $$ DECLARE r name; s record; BEGIN"
	" SET LOCAL session_replication_role = replica;"
	" FOR r IN SELECT torture.relations() LOOP EXECUTE format('DELETE FROM public.%I', r);"
	"  EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE torture.%1$I', r); END LOOP;"
	" FOR s IN SELECT * FROM torture.sequences_ LOOP"
	"  PERFORM setval(format('public.%I', s.sequencename), coalesce(s.last_value, 1), s.last_value IS NOT NULL);"
	" END LOOP; END $$; SET search_path = public";

static void
open_own(struct test *t)
{
	if (own.t == t)
		return;
	state_forget(own.t);
	own.t = t;
	if (t->pg_url) {
		own.pg = PQconnectdb(t->pg_url);
		(void)PQsetNoticeReceiver(own.pg, drop_notice, NULL);
		PQclear(ask(pg_functions));
		return;
	}
	assert_int_equal(sqlite3_open_v2(t->db_path, &own.file, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
	assert_int_equal(sqlite3_open_v2(":memory:", &own.copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix"), SQLITE_OK);
	sqlite3_busy_timeout(own.file, QUIET_MS);
	sqlite3_exec(own.file, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
}

/* --- reading ---- */

struct rows {
	struct arena *a;
	const char **items;
	size_t n, cap;
};

static void
add_row(struct rows *rows, const char *text)
{
	if (rows->n == rows->cap) {
		const char **more = arena_new(rows->a, const char *, rows->cap ? rows->cap * 2 : 64);
		if (rows->n)
			memcpy(more, rows->items, rows->n * sizeof(*more));
		rows->items = more;
		rows->cap = rows->cap ? rows->cap * 2 : 64;
	}
	rows->items[rows->n++] = text;
}

static void
read_rows(struct rows *rows, const char *sql)
{
	struct buf b;

	if (own.pg) {
		PGresult *r = ask(sql);
		for (int i = 0; i < PQntuples(r); i++) {
			buf_init(&b, rows->a, 256);
			for (int c = 0; c < PQnfields(r); c++)
				buf_printf(&b, "|%s", PQgetisnull(r, i, c) ? "null" : PQgetvalue(r, i, c));
			add_row(rows, buf_cstr(&b) + 1);
		}
		PQclear(r);
		return;
	}
	sqlite3_stmt *st = NULL;
	assert_int_equal(sqlite3_prepare_v2(own.file, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		buf_init(&b, rows->a, 256);
		for (int c = 0; c < sqlite3_column_count(st); c++) {
			const char *text = (const char *)sqlite3_column_text(st, c);
			buf_printf(&b, "|%s", text ? text : "null");
		}
		add_row(rows, buf_cstr(&b) + 1);
	}
	sqlite3_finalize(st);
}

static size_t
word_length(const char *p)
{
	return strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=.");
}

/* An id or a secret by its length, or a code that is typed. */
static bool
is_chance(const char *p, size_t n)
{
	bool letters = strcspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") < n;

	return n >= WORD_MIN || (n >= CODE_MIN && letters && strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") >= n);
}

static uint64_t
hash(const char *p, size_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; n > 0; n--, p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	return h;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *
mask(struct arena *a, const struct state *old, const char *row)
{
	struct buf b;

	buf_init(&b, a, strlen(row) + 1);
	while (*row) {
		size_t n = word_length(row);
		bool chance = is_chance(row, n);
		uint64_t h = chance ? hash(row, n) : 0;
		if (chance && !bsearch(&h, old->known, old->n_known, sizeof(h), by_number))
			buf_chr(&b, '*');
		else
			buf_add(&b, row, n ? n : 1);
		row += n ? n : 1;
	}
	return buf_cstr(&b);
}

static void
learn_words(struct arena *a, struct state *s)
{
	size_t n = 0, cap = 0;
	uint64_t *known = NULL;

	for (int counting = 1; counting >= 0; counting--) {
		known = counting ? NULL : arena_new(a, uint64_t, cap + 1);
		for (size_t i = 0; i < s->n; i++)
			for (size_t k = 0; k < s->tables[i].n; k++)
				for (const char *p = s->tables[i].rows[k]; *p;) {
					size_t length = word_length(p);
					bool chance = is_chance(p, length);
					cap += counting && chance;
					if (!counting && chance)
						known[n++] = hash(p, length);
					p += length ? length : 1;
				}
	}
	qsort(known, n, sizeof(*known), by_number);
	s->known = known;
	s->n_known = n;
}

void
state_read(struct test *t, struct arena *a, const struct state *old, struct state *ret)
{
	struct rows names = {.a = a}, columns = {.a = a};
	struct state s = {0};

	open_own(t);
	read_rows(&names, own.pg ? "SELECT torture.relations()"
				 : "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name");
	if (own.pg)
		read_rows(&columns, "SELECT torture.columns(r) FROM torture.relations() r");
	s.tables = arena_new(a, struct state_table, names.n);
	s.n = names.n;
	for (size_t i = 0; i < s.n; i++) {
		struct rows rows = {.a = a};
		read_rows(&rows, arena_printf(a, "SELECT %s FROM \"%s\"%s", own.pg ? columns.items[i] : "*", names.items[i],
					 str_eq(names.items[i], "login_failures") ? " WHERE failures > 0" : "")); /* 0 is none */
		for (size_t k = 0; old && k < rows.n; k++)
			rows.items[k] = mask(a, old, rows.items[k]);
		if (rows.n)
			qsort(rows.items, rows.n, sizeof(*rows.items), by_text);
		s.tables[i] = (struct state_table){names.items[i], rows.items, rows.n};
	}
	if (!old)
		learn_words(a, &s);
	*ret = s;
}

/* --- comparing ---- */

static bool
same(const struct state_table *a, const struct state_table *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->rows[i], b->rows[i]) != 0)
			return false;
	return true;
}

/*
 * Traces are written of a request that failed, too.  A sign-in is counted as a failure before its password is looked at; what it
 * reserved is given back when it is not judged, which cannot be while nothing can be written.
 */
static bool
is_left_out(const char *table, enum but but)
{
	if (str_eq(table, "audit_logs") || str_eq(table, "idempotency_keys") || str_eq(table, "jobs"))
		return but >= BUT_TRACES;
	return str_eq(table, "login_failures") && but == BUT_COUNTS;
}

const char *
state_differs(const struct state *a, const struct state *b, enum but but)
{
	for (size_t i = 0; i < a->n; i++)
		if (!same(&a->tables[i], &b->tables[i]) && !is_left_out(a->tables[i].name, but))
			return a->tables[i].name;
	return NULL;
}

bool
state_same_table(const struct state *a, const struct state *b, const char *table)
{
	for (size_t i = 0; i < a->n; i++)
		if (str_eq(a->tables[i].name, table))
			return same(&a->tables[i], &b->tables[i]);
	return false;
}

static void
print_missing(const struct state_table *from, const struct state_table *in, const char *sign)
{
	for (size_t i = 0; i < from->n; i++)
		if (!in->n || !bsearch(&from->rows[i], in->rows, in->n, sizeof(*in->rows), by_text))
			print_error("    %s %s: %.400s\n", sign, from->name, from->rows[i]);
}

void
state_print_difference(const struct state *want, const struct state *have)
{
	for (size_t i = 0; i < want->n; i++)
		if (!same(&want->tables[i], &have->tables[i])) {
			print_missing(&want->tables[i], &have->tables[i], "-");
			print_missing(&have->tables[i], &want->tables[i], "+");
		}
}

/* --- keeping ---- */

static const char *const folders[] = {"uploads", "archive", "backups"};
enum { FOLDERS = sizeof(folders) / sizeof(folders[0]) };
static const char *files_from, *files_to;

static int
link_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char to[600];

	(void)st;
	(void)ftw;
	(void)snprintf(to, sizeof(to), "%s%s", files_to, path + strlen(files_from));
	return type == FTW_D ? mkdir(to, 0700) : link(path, to);
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
copy_files(struct test *t, const char *from, const char *to)
{
	files_from = arena_printf(&t->arena, "%s/%s", t->dir, from);
	files_to = arena_printf(&t->arena, "%s/%s", t->dir, to);
	(void)nftw(files_to, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	if (access(files_from, F_OK) == 0 && nftw(files_from, link_entry, 16, FTW_PHYS) != 0)
		fail_msg("%s cannot be copied", files_from);
}

static void
copy_database(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int rc = b ? sqlite3_backup_step(b, -1) : SQLITE_ERROR;

	(void)sqlite3_backup_finish(b);
	if (rc != SQLITE_DONE)
		fail_msg("the database cannot be copied: %s", sqlite3_errmsg(to));
}

void
state_keep(struct test *t)
{
	open_own(t);
	for (size_t i = 0; i < FOLDERS; i++)
		copy_files(t, folders[i], arena_printf(&t->arena, "%s.kept", folders[i]));
	if (own.pg)
		PQclear(ask("SELECT torture.keep()"));
	else
		copy_database(own.file, own.copy);
}

void
state_put_back(struct test *t)
{
	for (size_t i = 0; i < FOLDERS; i++)
		copy_files(t, arena_printf(&t->arena, "%s.kept", folders[i]), folders[i]);
	if (own.pg)
		PQclear(ask("SELECT torture.put_back()"));
	else
		copy_database(own.copy, own.file);
}

void
state_forget(struct test *t)
{
	if (!t || own.t != t)
		return;
	if (own.pg) {
		PQclear(ask("DROP SCHEMA torture CASCADE"));
		PQfinish(own.pg);
	}
	sqlite3_close(own.file);
	sqlite3_close(own.copy);
	memset(&own, 0, sizeof(own));
}

bool
state_is_quiet(struct test *t)
{
	static const char others[] = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
				     " AND backend_type = 'client backend' AND state IS DISTINCT FROM 'idle'";
	int64_t until = time_monotonic_us() + QUIET_MS * INT64_C(1000);

	open_own(t);
	for (bool quiet = !own.pg; !quiet;) {
		PGresult *r = ask(others);
		quiet = PQntuples(r) == 0;
		PQclear(r);
		if (!quiet && time_monotonic_us() > until)
			return false;
		if (!quiet)
			(void)poll(NULL, 0, 1);
	}
	return true;
}

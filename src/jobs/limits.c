/*
 * A row that this program does not know, or whose value it would refuse, is passed over: another version may have written it.
 */
#include "jobs/limits.h"

#include <stdlib.h>

#include "audit/audit.h"
#include "core/log.h"
#include "store/bus.h"
#include "store/db.h"

struct limits {
	struct config *conf;
	int64_t *configured; /* one per row of the configuration; only the live ones count */
};

static bool
is_live(size_t i)
{
	return str_eq(conf_rows[i].type, "int_live");
}

struct limits *
limits_open(struct config *conf)
{
	struct limits *l = calloc(1, sizeof(*l));

	if (!l || !(l->configured = calloc(conf_row_count, sizeof(*l->configured))))
		BUG("out of memory");
	l->conf = conf;
	for (size_t i = 0; i < conf_row_count; i++)
		if (is_live(i))
			l->configured[i] = conf_live(conf_live_member(conf, &conf_rows[i]));
	return l;
}

void
limits_close(struct limits *l)
{
	if (!l)
		return;
	free(l->configured);
	free(l);
}

static const struct field limit_set_fields[] = {
	F(struct limit_set, name, 0, 0, 0, NULL),
	F(struct limit_set, value, 0, 0, 0, NULL),
	F(struct limit_set, changed_at, F_TIME, 0, 0, NULL),
};
static const struct schema limit_set_schema = SCHEMA("LimitSet", struct limit_set, limit_set_fields);

SQL(LIMITS_ALL, "", "SELECT name, value, changed_at FROM limits ORDER BY name");

enum err
limits_list(struct ctx *cx, struct list *ret)
{
	return db_all(cx, &LIMITS_ALL, &limit_set_schema, ret);
}

static enum err
look_run(struct ctx *cx, void *arg)
{
	return limits_list(cx, arg);
}

/* What row i shall be. */
static int64_t
wanted(const struct limits *l, size_t i, const struct list *set)
{
	const struct limit_set *rows = set->items;

	for (size_t k = 0; k < set->count; k++)
		if (conf_live_row(rows[k].name) == &conf_rows[i] && rows[k].value >= conf_rows[i].min &&
			rows[k].value <= conf_rows[i].max)
			return rows[k].value;
	return l->configured[i];
}

enum err
limits_look(struct ctx *cx, struct limits *l)
{
	struct list set;

	TRY(db_read(cx, look_run, &set));
	for (size_t i = 0; i < conf_row_count; i++) {
		if (!is_live(i))
			continue;
		conf_int_live *member = conf_live_member(l->conf, &conf_rows[i]);
		int64_t value = wanted(l, i, &set);
		if (conf_live(member) == value)
			continue;
		atomic_store_explicit(&member->now, value, memory_order_relaxed);
		log_info(cx, "limits.changed", conf_rows[i].names, LOG_INT("value", value));
	}
	return OK;
}

SQL(LIMIT_SET, "tim",
	"INSERT INTO limits (name, value, changed_at) VALUES ($1, $2, $3)"
	" ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at");
SQL(LIMIT_RESET, "t", "DELETE FROM limits WHERE name = $1");

enum err
limits_set(struct ctx *cx, const char *name, int64_t value)
{
	static const char nobody[] = "00000000-0000-0000-0000-000000000000";
	const struct conf_row *row = conf_live_row(name);

	if (!row)
		return fail(cx, ERR_NOT_FOUND, "There is no live limit %s.", name);
	if (value == FIELD_NONE)
		TRY(db_exec(cx, &LIMIT_RESET, NULL, V(name)));
	else if (value < row->min || value > row->max)
		return fail(cx, ERR_VALIDATION, "%s must be %lld to %lld.", name, (long long)row->min, (long long)row->max);
	else
		TRY(db_exec(cx, &LIMIT_SET, NULL, V(name), V(value), V(cx->now_us)));
	bus_tell(cx, NEWS_LIMITS, nobody, NULL);
	if (value == FIELD_NONE)
		return audit_ok(cx, AUDIT_LIMIT_CHANGED, "limit", NULL, AUDIT_TEXT("name", name));
	return audit_ok(cx, AUDIT_LIMIT_CHANGED, "limit", NULL, AUDIT_TEXT("name", name), AUDIT_INT("value", value));
}

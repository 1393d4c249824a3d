/*
 * Every statement of the program, in every variant, prepared on the engine that this run uses: the whole program is linked here, and
 * its statements register themselves, so nobody has to list them.  `make unit` proves SQLite, `make unit-pg` PostgreSQL.
 */
#include "support.h"

#include <string.h>

#include "store/engine.h"

static bool
is_registered(const struct statements *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->rows[i].sql->name, name) == 0)
			return true;
	return false;
}

/* One statement of each layer that has any: else the section could have lost a layer, and nobody would see. */
static void
every_layer_is_there(void **state)
{
	static const char *const names[] = {
		"PING", "AUDIT_INSERT", "NOTIFICATION_INSERT", "IDENTITY_INSERT", "NONCES_DROP", "READY_MAIL", "MARKS_FROM",
		"EXPORT_USERS",
	};
	struct statements s;
	struct arena a;

	(void)state;
	arena_init(&a);
	statements_open(&s, &a);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!is_registered(&s, names[i]))
			fail_msg("%s is not among the %zu statements", names[i], s.count);
	arena_release(&a);
}

static void
each_is_prepared(void **state)
{
	struct test *t = test_open(NULL);
	const char *message = "";

	(void)state;
	assert_string_equal(db_engine_name(t->srv.store), t->pg_url ? "postgresql" : "sqlite");
	if (!db_prepare_all(t->srv.store, &message))
		fail_msg("%s", message);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layer_is_there),
		cmocka_unit_test(each_is_prepared),
	};

	return cmocka_run_group_tests_name("statements", tests, NULL, NULL);
}

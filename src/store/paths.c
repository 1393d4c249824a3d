/*
 * libpq finds some files by the URL, some by PG… variables, some at fixed places under HOME.  All are named, there or not: whoever asks
 * passes over what is missing.
 */
#include "store/paths.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "store/engine.h"
#include "store/tool.h"

static size_t
add_options(struct arena *a, PQconninfoOption *options, const char **files, size_t n)
{
	static const char *const named[] = {"passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir"};

	for (PQconninfoOption *o = options; o && o->keyword; o++)
		for (size_t i = 0; o->val && o->val[0] == '/' && i < sizeof(named) / sizeof(named[0]) && n < DB_FILES_MAX; i++)
			if (strcmp(o->keyword, named[i]) == 0)
				files[n++] = arena_strdup(a, o->val);
	PQconninfoFree(options);
	return n;
}

static void
postgres_paths(struct arena *a, const char *url, struct db_paths *ret)
{
	static const char *const tools[DB_TOOLS_MAX] = {"pg_dump", "pg_restore"}, *const home_files[] = {".pgpass", ".postgresql"};
	const char *rest = strchr(url, ':'), *home = getenv("HOME"), *service = getenv("PGSERVICEFILE");
	size_t n = 0, found = 0;

	for (size_t i = 0; home && home[0] == '/' && i < sizeof(home_files) / sizeof(home_files[0]); i++)
		ret->files[n++] = arena_printf(a, "%s/%s", home, home_files[i]);
	if (service)
		ret->files[n++] = arena_strdup(a, service);
	n = add_options(a, PQconninfoParse(arena_printf(a, "postgresql%s", rest ? rest : "://"), NULL), ret->files, n);
	(void)add_options(a, PQconndefaults(), ret->files, n);
	for (size_t i = 0; i < DB_TOOLS_MAX; i++) {
		const char *path = tool_find(a, tools[i]);
		if (path)
			ret->tools[found++] = path;
	}
}

void
db_paths(struct arena *a, const char *url, struct db_paths *ret)
{
	const char *message = "", *path = url_is_sqlite(url) ? sqlite_path(a, url, &message) : NULL;

	*ret = (struct db_paths){0};
	ret->file = path;
	if (path) {
		const char *slash = strrchr(path, '/');
		ret->folder = slash ? arena_strndup(a, path, (size_t)(slash - path) + (slash == path)) : ".";
	} else if (url_is_postgres(url)) {
		postgres_paths(a, url, ret);
	}
}

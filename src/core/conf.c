/*
 * Configuration: from environment and .env into struct config.
 *
 * Invariant: the struct is complete and every rule holds when conf_load() returns it; nobody checks a variable again.  Messages
 * name the variable and never repeat the value of a secret.
 */
#include "core/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/conf_parts.h"

enum { DOTENV_MAX_BYTES = 256 << 10, VALUE_MAX_BYTES = 16 << 10, LINE_MAX_BYTES = 512 };

const struct conf_row conf_rows[] = {
#define C(type_, member_, names_, fallback_, min_, max_, choices_, flags_, text_) \
	{.names = (names_),                                                       \
		.fallback = (fallback_),                                          \
		.choices = (choices_),                                            \
		.text = (text_),                                                  \
		.type = #type_,                                                   \
		.min = (min_),                                                    \
		.max = (max_),                                                    \
		.flags = (flags_),                                                \
		.offset = offsetof(struct config, member_)},
#include "tables/config.def"
#undef C
};
const size_t conf_row_count = sizeof(conf_rows) / sizeof(conf_rows[0]);

const struct conf_row *
conf_live_row(const char *name)
{
	char own[64];

	for (size_t i = 0; i < conf_row_count; i++)
		if (str_eq(conf_rows[i].type, "int_live") && str_eq(conf_row_name(&conf_rows[i], own), name))
			return &conf_rows[i];
	return NULL;
}

conf_int_live *
conf_live_member(struct config *c, const struct conf_row *row)
{
	return (conf_int_live *)(void *)((char *)c + row->offset);
}

struct entry {
	const char *name, *value;
	struct entry *older;
};

bool
conf_wrong(struct conf_making *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!m->wrong)
		m->wrong = arena_vprintf(m->a, fmt, ap);
	va_end(ap);
	return false;
}

static void
conf_append(struct arena *a, struct conf_list *l, const char *item)
{
	const char **items = arena_new(a, const char *, l->count + 1);

	if (l->count)
		memcpy(items, l->items, l->count * sizeof(*items));
	items[l->count++] = item;
	l->items = items;
}

void
conf_warn(struct conf_making *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_append(m->a, &m->c->warnings, arena_vprintf(m->a, fmt, ap));
	va_end(ap);
}

const char *
conf_row_name(const struct conf_row *row, char ret[64])
{
	size_t n = strcspn(row->names, "|");

	str_copy(ret, n + 1 < 64 ? n + 1 : 64, row->names);
	return ret;
}

bool
conf_row_named(const struct conf_row *row, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = row->names; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strncmp(p, name, n) == 0 && (p[n] == 0 || p[n] == '|'))
			return true;
	return false;
}

bool
conf_is_set(const struct conf_making *m, const void *member)
{
	size_t offset = (size_t)((const char *)member - (const char *)m->c);

	for (size_t i = 0; i < conf_row_count; i++)
		if (conf_rows[i].offset == offset)
			return m->set[i];
	BUG("no row of the configuration at %zu", offset);
}

bool
conf_list_has(const struct conf_list *l, const char *item)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i], item) == 0)
			return true;
	return false;
}

static struct conf_list
split_list(struct arena *a, const char *value)
{
	struct conf_list l = {0};

	for (const char *p = value;; p++) {
		size_t n = strcspn(p, ",");
		const char *item = str_trim(a, arena_strndup(a, p, n));
		if (*item)
			conf_append(a, &l, item);
		p += n;
		if (!*p)
			return l;
	}
}

static bool
set_int(struct conf_making *m, const struct conf_row *row, const char *name, const char *value, void *at)
{
	if (str_int(value, row->min, row->max, at))
		return true;
	return conf_wrong(m, "%s must be a whole number from %lld to %lld", name, (long long)row->min, (long long)row->max);
}

static bool
set_bool(struct conf_making *m, const char *name, const char *value, bool *at)
{
	static const char *const words[] = {"true", "false", "1", "0", "yes", "no", "on", "off"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(words[i], value) == 0) {
			*at = i % 2 == 0;
			return true;
		}
	return conf_wrong(m, "%s must be true or false", name);
}

static bool
set_enum(struct conf_making *m, const struct conf_row *row, const char *name, const char *value, int *at)
{
	int i = 1;

	for (const char *p = row->choices;; i++) {
		size_t n = strcspn(p, "|");
		if (strlen(value) == n && strncasecmp(p, value, n) == 0) {
			*at = i;
			return true;
		}
		if (!p[n])
			break;
		p += n + 1;
	}
	char *choices = arena_strdup(m->a, row->choices);
	for (char *p = choices; *p; p++)
		if (*p == '|')
			*p = ' ';
	return conf_wrong(m, strchr(row->choices, '|') ? "%s must be one of: %s" : "%s must be %s", name, choices);
}

static bool
set_list(struct conf_making *m, const struct conf_row *row, const char *name, const char *value, struct conf_list *at)
{
	size_t max = row->type[0] == 's' ? SECRETS_MAX : (size_t)(row->max ? row->max : 100);
	struct conf_list l = split_list(m->a, value);

	if (l.count < (size_t)row->min || l.count > max)
		return conf_wrong(m, "%s must have %s%zu items", name, l.count > max ? "at most " : "at least ",
			l.count > max ? max : (size_t)row->min);
	*at = l;
	return true;
}

bool
conf_set_row(struct conf_making *m, const struct conf_row *row, const char *value)
{
	void *at = (char *)m->c + row->offset;
	char name[64];
	size_t n = strlen(value);

	conf_row_name(row, name);
	if (n > VALUE_MAX_BYTES || !str_utf8_valid(span_str(value)) || str_has_control(value))
		return conf_wrong(m, "%s must be plain UTF-8 text of at most %d bytes on one line", name, VALUE_MAX_BYTES);
	switch (row->type[0]) {
	case 'i':
		return set_int(m, row, name, value, at);
	case 'b':
		return set_bool(m, name, value, at);
	case 'e':
		return set_enum(m, row, name, value, at);
	case 'l':
	case 's':
		return set_list(m, row, name, value, at);
	case 't':
		if ((int64_t)n < row->min || (row->max && (int64_t)n > row->max))
			return conf_wrong(m, "%s must have from %lld to %lld bytes", name, (long long)row->min,
				(long long)(row->max ? row->max : VALUE_MAX_BYTES));
		*(const char **)at = arena_strdup(m->a, value);
		return true;
	default:
		BUG("%s has type %s", name, row->type);
	}
}

static const char *
entry_value(const struct entry *newest, const char *name, size_t n)
{
	for (const struct entry *e = newest; e; e = e->older)
		if (strlen(e->name) == n && memcmp(e->name, name, n) == 0)
			return e->value[0] ? e->value : NULL;
	return NULL;
}

static const char *
env_value(const char *const *env, const char *name, size_t n)
{
	for (; env && *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return (*env)[n + 1] ? *env + n + 1 : NULL;
	return NULL;
}

/* The environment's value by any of the row's names, else the file's; NULL when neither has one. */
static const char *
row_value(const struct conf_row *row, const char *const *env, const struct entry *file)
{
	for (int source = 0; source < 2; source++)
		for (const char *p = row->names; *p;) {
			size_t n = strcspn(p, "|");
			const char *v = source == 0 ? env_value(env, p, n) : entry_value(file, p, n);
			if (v)
				return v;
			p += n + (p[n] == '|');
		}
	return NULL;
}

struct file_reading {
	struct conf_making *m;
	struct entry *newest;
};

static void
add_entry(void *arg, const char *name, const char *value)
{
	struct file_reading *f = arg;
	struct entry *e = arena_new(f->m->a, struct entry, 1);

	*e = (struct entry){name, value, f->newest};
	f->newest = e;
}

/* A missing file is an empty one. */
static bool
read_dotenv(struct conf_making *m, const char *path, struct entry **ret)
{
	struct file_reading f = {.m = m};
	struct buf text;
	int line;

	*ret = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || conf_wrong(m, "%s cannot be read: %s", path, strerror(errno));
	buf_init(&text, m->a, 4096);
	char *chunk = arena_alloc(m->a, 4096, 1);
	ssize_t n;
	while ((n = read(fd, chunk, 4096)) > 0 && text.n <= DOTENV_MAX_BYTES)
		buf_add(&text, chunk, (size_t)n);
	int error = errno;
	close(fd);
	if (n < 0)
		return conf_wrong(m, "%s cannot be read: %s", path, strerror(error));
	if (text.n > DOTENV_MAX_BYTES)
		return conf_wrong(m, "%s is larger than %d bytes", path, DOTENV_MAX_BYTES);
	if (!dotenv_parse(m->a, buf_span(&text), add_entry, &f, &line))
		return conf_wrong(m, "%s line %d is not NAME=value", path, line);
	*ret = f.newest;
	return true;
}

static bool
is_row(const char *name)
{
	for (size_t i = 0; i < conf_row_count; i++)
		if (conf_row_named(&conf_rows[i], name))
			return true;
	return false;
}

static void
add_extra(struct conf_making *m, const char *name, const char *value)
{
	struct config *c = m->c;

	if (!value[0] || conf_extra(c, name)[0])
		return;
	struct conf_extra *extras = arena_new(m->a, struct conf_extra, c->extra_count + 1);
	if (c->extra_count)
		memcpy(extras, c->extras, c->extra_count * sizeof(*extras));
	extras[c->extra_count++] = (struct conf_extra){arena_strdup(m->a, name), arena_strdup(m->a, value)};
	c->extras = extras;
}

static void
collect_others(struct conf_making *m, const char *const *env, const struct entry *file)
{
	for (; env && *env; env++) {
		size_t n = strcspn(*env, "=");
		const char *name = arena_strndup(m->a, *env, n);
		if ((*env)[n] && str_starts(name, "OAUTH_") && !is_row(name))
			add_extra(m, name, *env + n + 1);
	}
	for (const struct entry *e = file; e; e = e->older) { /* newest first: later lines win */
		if (is_row(e->name))
			continue;
		if (str_starts(e->name, "OAUTH_"))
			add_extra(m, e->name, e->value);
		else if (!conf_list_has(&m->c->unknown, e->name))
			conf_append(m->a, &m->c->unknown, e->name);
	}
}

const char *
conf_extra(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->extra_count; i++)
		if (strcmp(c->extras[i].name, name) == 0)
			return c->extras[i].value;
	return "";
}

static bool
load(struct conf_making *m, const char *const *env, const char *dotenv)
{
	struct entry *file = NULL;

	if (dotenv && !read_dotenv(m, dotenv, &file))
		return false;
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];
		const char *value = row_value(row, env, file);
		m->set[i] = value != NULL;
		if (!value)
			value = row->fallback;
		if (row->type[0] == 't' && !*value)
			*(const char **)(void *)((char *)m->c + row->offset) = "";
		else if (*value && !conf_set_row(m, row, value))
			return false;
	}
	collect_others(m, env, file);
	if (m->c->env == ENV_DEV && !conf_secrets(m))
		return false;
	return conf_rules(m);
}

struct config *
conf_load(const char *const *env, const char *dotenv, const char **ret_message)
{
	static _Thread_local char line[LINE_MAX_BYTES];
	struct arena *a = calloc(1, sizeof(*a));

	if (!a)
		BUG("out of memory");
	arena_init(a);
	struct conf_making m = {.a = a, .c = arena_new(a, struct config, 1), .set = arena_new(a, bool, conf_row_count)};
	m.c->arena = a;
	if (load(&m, env, dotenv))
		return m.c;
	str_copy(line, sizeof(line), m.wrong ? m.wrong : "the configuration is not valid");
	*ret_message = line;
	conf_free(m.c);
	return NULL;
}

void
conf_free(struct config *c)
{
	if (!c)
		return;
	struct arena *a = c->arena; /* c itself lives there */
	arena_release(a);
	free(a);
}

static bool
is_secret_name(const char *name)
{
	if (str_starts(name, "OAUTH_") && str_ends(name, "_CLIENT_SECRET"))
		return true;
	for (size_t i = 0; i < conf_row_count; i++)
		if ((conf_rows[i].flags & CONF_SECRET) && conf_row_named(&conf_rows[i], name))
			return true;
	return false;
}

void
conf_scrub_environment(void)
{
	size_t kept = 0;

	/* The strings are the ones that /proc/PID/environ shows: unsetenv() alone would leave them there. */
	for (size_t i = 0; environ && environ[i]; i++) {
		char name[64], *value = strchr(environ[i], '=');
		size_t n = value ? (size_t)(value - environ[i]) : 0;
		if (n && n < sizeof(name)) {
			str_copy(name, n + 1, environ[i]);
			if (is_secret_name(name)) {
				explicit_bzero(value + 1, strlen(value + 1));
				continue;
			}
		}
		environ[kept++] = environ[i];
	}
	if (environ)
		environ[kept] = NULL;
}

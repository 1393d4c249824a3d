/*
 * Configuration: tables/config.def declares every variable once; this module reads environment and .env into struct config.
 * The environment wins over .env; an empty value is unset; unknown names in .env are ignored.
 */
#ifndef MUSTER_CORE_CONF_H
#define MUSTER_CORE_CONF_H

#include <stdatomic.h>
#include <stdio.h>

#include "core/limits.h"
#include "core/str.h"

/* Values of the enum rows, in the order of their choices. */
enum conf_env { ENV_DEV = 1, ENV_STAGING, ENV_PROD };
enum conf_signup { SIGNUP_OPEN = 1, SIGNUP_APPROVAL };
enum conf_hash { HASH_BCRYPT = 1, HASH_ARGON2ID, HASH_PBKDF2_SHA256 };
enum conf_sandbox { SANDBOX_AUTO = 1, SANDBOX_REQUIRED, SANDBOX_OFF };
enum conf_storage { STORAGE_LOCAL = 1, STORAGE_S3 };

struct conf_list { /* comma-separated, trimmed, empty items dropped */
	const char **items;
	size_t count;
};

typedef const char *conf_text; /* "" when unset and without default */
typedef int64_t conf_int;
typedef struct {
	_Atomic int64_t now;
} conf_int_live; /* read it by conf_live() */
typedef bool conf_bool;
typedef struct conf_list conf_list;
typedef struct conf_list conf_secret; /* current first, at most SECRETS_MAX */
typedef int conf_enum;               /* 1-based index into the row's choices */

struct conf_extra {
	const char *name, *value;
};

struct config { /* one member per row of tables/config.def, whose head explains the columns */
#define C(type, member, names, fallback, min, max, choices, flags, text) conf_##type member;
#include "tables/config.def"
#undef C
	struct arena *arena;     /* owns every text above */
	struct conf_list warnings; /* lines for the log at start */
	struct conf_list unknown;  /* names in .env that no row declares: a debug line each */
	const char *generated_admin_password; /* made in this very start, to be printed once; else NULL */
	struct conf_extra *extras; /* OAUTH_<NAME>_… of the providers in OAUTH_PROVIDERS */
	size_t extra_count;
};

enum conf_flag {
	CONF_SECRET = 1,   /* masked when printed, cut from the process environment */
	CONF_GENERATE = 2, /* in dev made once into DATA_DIR/secrets.env */
	CONF_URL = 4,      /* a URL that may hold a password: only that part is masked */
};

struct conf_row {
	const char *names, *fallback, *choices, *text, *type;
	int64_t min, max;
	int flags;
	size_t offset;
};
extern const struct conf_row conf_rows[];
extern const size_t conf_row_count;

/* What holds at this moment: `muster limits` changes it under way. */
static inline int64_t
conf_live(const conf_int_live *member)
{
	return atomic_load_explicit(&member->now, memory_order_relaxed);
}
/* The row of a live member by its documented name; NULL: there is none. */
const struct conf_row *conf_live_row(const char *name);
conf_int_live *conf_live_member(struct config *c, const struct conf_row *row);

/*
 * Reads everything.  `env` is a NULL-terminated environ-like array; `dotenv` a path or NULL.  On error *ret_message is one clear line
 * naming the variable, and the result is NULL.  Rules over several variables (equal secrets, missing secrets in prod) are checked
 * here too.  The line lives until the thread's next conf_load().  Generated secrets are written to DATA_DIR/secrets.env (0600) in
 * ENV=dev only.
 */
struct config *conf_load(const char *const *env, const char *dotenv, const char **ret_message);
void conf_free(struct config *c); /* wipes secrets */

/* OAUTH_<NAME>_ISSUER and its like, which no row can declare.  "" when unset. */
const char *conf_extra(const struct config *c, const char *name);

/* Removes every CONF_SECRET variable from the process environment. */
void conf_scrub_environment(void);

bool conf_list_has(const struct conf_list *l, const char *item);
void conf_print(const struct config *c, FILE *out, bool as_json);  /* effective values, secrets masked */
void conf_print_docs(FILE *out);                                   /* docs/configuration.md */
void conf_print_example(FILE *out);                                /* .env.example */

/* One .env text → calls `set(arg, name, value)` per line; false with the line number on a malformed one. */
bool dotenv_parse(struct arena *a, struct span text, void (*set)(void *arg, const char *name, const char *value), void *arg,
		  int *ret_line);

#endif

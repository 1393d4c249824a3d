/*
 * Checks of the database.  It is opened as it is: doctor migrates nothing, so a database that is not there yet is a finding and not made.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/doctor.h"
#include "store/backup.h"
#include "store/db.h"
#include "store/migrate.h"
#include "store/paths.h"

enum { APPROVAL_JOB_LATE_S = 120 };

/* A pooler in transaction mode would hand our session's prepared statements and locks to somebody else. */
static bool
looks_like_pooler(const char *url)
{
	return !str_starts(url, "sqlite:") && (strstr(url, ":6543") || strstr(url, "pgbouncer=true") || strstr(url, ".pooler."));
}

static bool
check_schema(struct report *r, struct app *app)
{
	char *text = NULL;
	size_t size = 0;
	const char *message = "";
	int pending = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		BUG("out of memory");
	enum err result = migrate_status(&app->arena, app->conf->database_url, out, false, &pending, &message);
	fclose(out);
	free(text);
	if (result != OK)
		report_add(r, FINDING_FAILED, "database", "check DATABASE_URL, and that the server behind it runs", "%s", message);
	else if (pending > 0)
		report_add(r, FINDING_WARNING, "schema", "muster migrate up (serve does it by itself unless AUTO_MIGRATE=false)",
			"%d migrations are missing", pending);
	else
		report_add(r, FINDING_OK, "schema", NULL, "up to date");
	return result == OK && pending == 0;
}

struct findings {
	int64_t admins, seconds_since_approval_job; /* -1: never ran */
};

SQL(DOCTOR_ADMINS, "b", "SELECT COUNT(*) FROM users WHERE role = 'admin' AND is_active = $1");

struct job_row {
	int64_t last_finished_at;
};
static const struct field job_row_fields[] = {
	F(struct job_row, last_finished_at, F_TIME, 0, 0, "When it ended last"),
};
static const struct schema job_row_schema = SCHEMA("DoctorJob", struct job_row, job_row_fields);

SQL(DOCTOR_JOB, "t", "SELECT last_finished_at FROM jobs WHERE name = $1");

static enum err
look(struct ctx *cx, void *arg)
{
	struct findings *f = arg;
	struct job_row job = {.last_finished_at = TIME_NONE};
	bool found;

	TRY(db_ping(cx));
	TRY(db_int(cx, &DOCTOR_ADMINS, &f->admins, V(true)));
	TRY(db_find(cx, &DOCTOR_JOB, &job_row_schema, &job, &found, V("approval_expire")));
	f->seconds_since_approval_job = found && job.last_finished_at != TIME_NONE ? (cx->now_us - job.last_finished_at) / SECONDS_US : -1;
	return OK;
}

static void
check_contents(struct report *r, struct app *app)
{
	struct findings f = {0};
	int64_t begun = time_monotonic_us();

	if (db_read(&app->cx, look, &f) != OK) {
		report_add(r, FINDING_FAILED, "database", "see the database's own log", "%s",
			app->cx.error.internal ? app->cx.error.internal : "it does not answer");
		return;
	}
	report_add(r, FINDING_OK, "database", NULL, "%s answers in %d ms", db_engine_name(app->srv.store),
		(int)((time_monotonic_us() - begun) / 1000));
	if (f.admins == 0)
		report_add(r, FINDING_WARNING, "administrators", "muster admin create --email ADDRESS", "there is no active administrator");
	if (f.seconds_since_approval_job < 0)
		report_add(r, FINDING_SKIPPED, "jobs", NULL, "no server has run on this database yet");
	else if (f.seconds_since_approval_job > APPROVAL_JOB_LATE_S)
		report_add(r, FINDING_WARNING, "jobs", "start the server; if it runs, see job.failed in its log",
			"approval requests were last timed out %lld s ago", (long long)f.seconds_since_approval_job);
	else
		report_add(r, FINDING_OK, "jobs", NULL, "running");
}

void
doctor_database(struct report *r, struct app *app)
{
	const char *url = app->conf->database_url, *message = "";
	const struct db_options options = {.url = url, .readers = 1, .cache_mb = 2};
	struct db_paths paths;
	struct stat st;

	db_paths(&app->arena, url, &paths);
	if (looks_like_pooler(url))
		report_add(r, FINDING_WARNING, "database", "use the session port of the pooler (usually 5432)",
			"DATABASE_URL names a pooler in transaction mode");
	if (paths.file && stat(paths.file, &st) != 0) {
		report_add(r, FINDING_WARNING, "database", "muster serve or muster migrate up makes it", "%s is not there yet", paths.file);
		return;
	}
	if (paths.file && (st.st_mode & 007) != 0)
		report_add(r, FINDING_WARNING, "database", "chmod o-rwx it", "%s can be read by every user of this machine", paths.file);
	if (!check_schema(r, app))
		return;
	if (!backup_tools(&app->arena, url, &message))
		report_add(r, FINDING_WARNING, "backup tools", "install postgresql-client of the server's version", "%s", message);
	if (db_open(&app->arena, &options, &app->srv.store, &message) != OK)
		report_add(r, FINDING_FAILED, "database", "check DATABASE_URL and the file's owner", "%s", message);
	else
		check_contents(r, app);
}

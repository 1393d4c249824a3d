/*
 * Checks of configuration, secrets, clock, files and hashing.  conf_load() has refused already what must never run; here is what may run
 * and still should not stay so.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "identity/hasher.h"
#include "jobs/backup.h"
#include "net/face.h"
#include "net/storage.h"

enum { SECRET_MIN_BYTES = 32, ROUNDS_ADVISED = 12, TTL_ADVISED = 15, SPACE_MIN_MB = 1024, BACKUP_HOURS_MAX = 26 };

static void
check_exposure(struct report *r, const struct config *conf)
{
	bool wide = false;

	if (conf->env == ENV_PROD && !conf->tls_cert_file[0] && conf->trusted_proxies.count == 0)
		report_add(r, FINDING_WARNING, "tls", "put a TLS proxy in front and name it in TRUSTED_PROXIES, or set TLS_CERT_FILE and TLS_KEY_FILE",
			"production without TLS, and no proxy is trusted");
	if (conf->env == ENV_PROD && !conf->public_base_url[0])
		report_add(r, FINDING_WARNING, "public url", "set PUBLIC_BASE_URL to how the outside reaches this server",
			"links in mails and QR codes do not know the server's address");
	for (size_t i = 0; i < conf->cors_origins.count; i++)
		wide = wide || strchr(conf->cors_origins.items[i], '*') || str_starts(conf->cors_origins.items[i], "http://");
	if (wide)
		report_add(r, FINDING_WARNING, "cors", "name each origin exactly, with https://", "CORS_ORIGINS has a wide or unencrypted origin");
	else if (conf->env == ENV_PROD && conf->cors_origins.count == 0)
		report_add(r, FINDING_WARNING, "cors", "set CORS_ORIGINS if a web app of another origin is meant to call this API",
			"no other origin may call the API from a browser");
	else
		report_add(r, FINDING_OK, "cors", NULL, "%zu origins", conf->cors_origins.count);
}

static void
check_services(struct report *r, const struct config *conf)
{
	if (!conf->smtp_url[0])
		report_add(r, conf->env == ENV_DEV ? FINDING_SKIPPED : FINDING_WARNING, "mail",
			conf->env == ENV_DEV ? NULL : "set SMTP_URL and MAIL_FROM", "not configured; mail waits in the table outbox");
	else
		report_add(r, FINDING_OK, "mail", NULL, "configured; /v1/ready says whether the mail server answers");
}

/* Starts muster-face for a moment. */
void
doctor_faces(struct report *r, const struct config *conf)
{
	if (!conf->face_models_dir[0]) {
		report_add(r, FINDING_SKIPPED, "face models", NULL, "FACE_MODELS_DIR is not set; faces are not checked");
		return;
	}
	struct faces *f = faces_open_configured(conf, NULL);
	const char *message = arena_strdup(r->arena, faces_message(f));
	if (faces_model(f))
		report_add(r, FINDING_OK, "face models", NULL, "%s", message);
	else
		report_add(r, FINDING_FAILED, "face models", "put the two model files of docs/faces.md into FACE_MODELS_DIR", "%s", message);
	faces_close(f);
}

/* The bucket is asked. */
static void
check_bucket(struct report *r, const struct config *conf)
{
	const char *why = NULL;

	if (conf->storage_backend != STORAGE_S3)
		return;
	if (storage_check(storage_open(r->arena, conf), r->arena, &why) == STORED)
		report_add(r, FINDING_OK, "bucket", NULL, "%s answers", conf->s3_bucket);
	else
		report_add(r, FINDING_FAILED, "bucket", "compare the S3_ variables with the store's; the clock matters too", "%s", why);
}

void
doctor_configuration(struct report *r, const struct config *conf)
{
	static const char *const env_names[] = {"", "dev", "staging", "prod"};

	report_add(r, FINDING_OK, "configuration", NULL, "ENV=%s", env_names[conf->env]);
	for (size_t i = 0; i < conf->warnings.count; i++)
		report_add(r, FINDING_WARNING, "configuration", NULL, "%s", conf->warnings.items[i]);
	if (conf->access_token_expire_minutes > TTL_ADVISED)
		report_add(r, FINDING_WARNING, "access token", "set ACCESS_TOKEN_EXPIRE_MINUTES to 15 or less",
			"an access token lives %d minutes", (int)conf->access_token_expire_minutes);
	if (!conf->rate_limit_enabled)
		report_add(r, FINDING_WARNING, "limits", "remove RATE_LIMIT_ENABLED=false", "request limits are off");
	check_exposure(r, conf);
	check_services(r, conf);
}

/* Never says a value, nor its length. */
void
doctor_secrets(struct report *r, const struct config *conf)
{
	const struct {
		const char *name;
		const conf_secret *list;
	} secrets[] = {{"SECRET_KEY", &conf->secret_key}, {"QR_SIGNING_SECRET", &conf->qr_signing_secret},
		{"TOKEN_PEPPER", &conf->token_pepper}, {"MFA_ENCRYPTION_KEY", &conf->mfa_encryption_key}};
	int weak = 0;
	struct stat st;

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		for (size_t k = 0; k < secrets[i].list->count; k++) {
			if (strlen(secrets[i].list->items[k]) >= SECRET_MIN_BYTES)
				continue;
			weak++;
			report_add(r, FINDING_WARNING, "secrets", "make it with: openssl rand -hex 32", "%s has a value shorter than %d bytes",
				secrets[i].name, SECRET_MIN_BYTES);
		}
	}
	const char *file = arena_printf(r->arena, "%s/secrets.env", conf->data_dir);
	if (stat(file, &st) == 0 && (st.st_mode & 077) != 0)
		report_add(r, FINDING_FAILED, "secrets", "chmod 600 it, then make new secrets", "%s can be read by others", file);
	else if (!weak)
		report_add(r, FINDING_OK, "secrets", NULL, "four, long enough, and different where they must be");
}

void
doctor_clock(struct report *r)
{
	struct timex t = {0};
	int state = adjtimex(&t);

	if (time_wall_us() < INT64_C(1735689600) * SECONDS_US) /* 2025 */
		report_add(r, FINDING_FAILED, "clock", "set the date; run an NTP client", "the clock is years behind");
	else if (state < 0)
		report_add(r, FINDING_SKIPPED, "clock", NULL, "the kernel does not tell whether the clock is kept by NTP");
	else if (state == TIME_ERROR)
		report_add(r, FINDING_WARNING, "clock", "run an NTP client (systemd-timesyncd, chrony)",
			"not kept by NTP: codes and tokens are judged by this clock");
	else
		report_add(r, FINDING_OK, "clock", NULL, "kept by NTP");
}

static void
check_backup(struct report *r, struct ctx *cx)
{
	const char *path = backup_newest(cx);
	struct stat st;

	if (!path || stat(path, &st) != 0 || time_wall_us() / SECONDS_US - st.st_mtime > BACKUP_HOURS_MAX * 3600)
		report_add(r, FINDING_WARNING, "backup", "run muster backup; a running server does it daily",
			"none of the last day in %s", backup_folder(cx));
	else
		report_add(r, FINDING_OK, "backup", NULL, "one of the last day: %s", path);
}

void
doctor_storage(struct report *r, struct app *app)
{
	const struct config *conf = app->conf;
	struct statvfs fs;

	if (access(conf->data_dir, R_OK | W_OK | X_OK) != 0) {
		bool absent = errno == ENOENT;
		report_add(r, absent ? FINDING_WARNING : FINDING_FAILED, "storage",
			absent ? "nothing: the server makes it when it needs it" : "give the server's user this directory", "DATA_DIR %s: %s",
			conf->data_dir, strerror(errno));
	} else if (statvfs(conf->data_dir, &fs) == 0 && (fs.f_bavail * fs.f_frsize) >> 20 < SPACE_MIN_MB) {
		report_add(r, FINDING_WARNING, "storage", "make room: a full disk stops every mark", "DATA_DIR %s: %llu MiB free", conf->data_dir,
			(unsigned long long)((fs.f_bavail * fs.f_frsize) >> 20));
	} else {
		report_add(r, FINDING_OK, "storage", NULL, "DATA_DIR %s can be written", conf->data_dir);
	}
	check_bucket(r, conf);
	check_backup(r, &app->cx);
}

void
doctor_hash(struct report *r, const struct config *conf)
{
	struct hasher *h = hasher_open(conf);
	int ms = (int)(hasher_hash_us(h) / 1000);

	hasher_close(h);
	if (ms > HASH_SLOW_MS)
		report_add(r, FINDING_WARNING, "hash time",
			conf->password_hash == HASH_ARGON2ID ? "a faster machine, or one that has less else to do"
							     : "set PASSWORD_HASH=argon2id; accounts move over as they sign in",
			"%d ms: a core checks %d logins a second", ms, 1000 / ms);
	else
		report_add(r, FINDING_OK, "hash time", NULL, "%d ms", ms);
	if (conf->password_hash == HASH_BCRYPT && conf->bcrypt_rounds < ROUNDS_ADVISED)
		report_add(r, FINDING_WARNING, "hash cost", "set BCRYPT_ROUNDS=12, or PASSWORD_HASH=argon2id", "BCRYPT_ROUNDS is %d",
			(int)conf->bcrypt_rounds);
}

/*
 * `muster serve`: builds the one struct server from the bottom up and takes it down in the opposite order.
 *
 * Signals are blocked before the first thread exists and taken by this thread alone, so no handler ever interrupts anything.  The order
 * of stopping is what keeps promises: no new connections, answers for all that is under way, the last jobs, then the writer.
 */
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/dispatch.h"
#include "api/shared_limits.h"
#include "attendance/record.h"
#include "cli/cli.h"
#include "cli/sandbox.h"
#include "core/file.h"
#include "core/keys.h"
#include "core/log.h"
#include "core/metrics.h"
#include "http/limit.h"
#include "http/server.h"
#include "identity/hasher.h"
#include "identity/session.h"
#include "jobs/jobs.h"
#include "jobs/limits.h"
#include "jobs/nodes.h"
#include "jobs/ticker.h"
#include "net/face.h"
#include "net/sentry.h"
#include "net/storage.h"
#include "notify/live.h"
#include "store/db.h"

enum { LOOPS = 2, READERS = 4, WRITERS = 2, SESSIONS_KEPT = 200000, GRACE_MS = 30000 };
enum { LIMIT_KEYS = 5 * SESSIONS_KEPT }; /* who marks has some five windows open: all requests, marks, refreshes, two of the login */
enum { REPORTS_MS = 2000 }; /* for errors not yet reported, when the server stops */

struct serving {
	struct app app;
	struct dispatcher *dispatcher;
	struct http_server *http;
	struct scheduler *jobs;
	struct ticker *ticker;
	struct limits *limits;
	struct sandbox sandbox;
};

static void
signals_block(sigset_t *ret)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write, no reason to die */
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SANDBOX_SIGNAL);
	pthread_sigmask(SIG_BLOCK, ret, NULL);
}

/* In production no core file: it would hold every key. */
static void
no_core_file(const struct config *conf)
{
	const struct rlimit none = {0, 0};

	if (conf->env == ENV_PROD)
		setrlimit(RLIMIT_CORE, &none);
}

static void
foreign_write(void *table)
{
	session_table_flush(table);
}

static void
log_configuration(const struct config *conf)
{
	for (size_t i = 0; i < conf->warnings.count; i++)
		log_warning(NULL, "config.warning", conf->warnings.items[i]);
	for (size_t i = 0; i < conf->unknown.count; i++)
		log_debug(NULL, "config.unknown", "a name in .env that nothing uses", LOG_TEXT("name", conf->unknown.items[i]));
}

/* Of the pool that work off the loop draws from; the lanes' own connections come on top. */
static int
readers(const struct config *conf)
{
	int pool = (int)(conf->database_pool_size + conf->database_max_overflow);

	return strncmp(conf->database_url, "sqlite", 6) == 0 || pool < READERS ? READERS : pool;
}

static bool
open_store(struct serving *s)
{
	struct app *app = &s->app;
	const char *message = "";
	const struct db_options options = {
		.url = app->conf->database_url,
		.writers = WRITERS,
		.readers = readers(app->conf),
		.readers_kept = (int)app->conf->database_pool_size,
		.cache_mb = (int)app->conf->sqlite_cache_mb,
		.metrics = app->srv.metrics,
		.foreign_write = foreign_write,
		.arg = app->srv.sessions,
	};

	if (!app_migrate(app))
		return false;
	if (db_open(&app->arena, &options, &app->srv.store, &message) == OK)
		return true;
	cli_fail("%s", message);
	return false;
}

static void
show_admin(const struct config *conf, bool created)
{
	if (!created)
		return;
	printf("\n  The first administrator was created:\n\n    e-mail    %s\n", conf->admin_email);
	if (conf->generated_admin_password)
		printf("    password  %s\n\n  It is shown this once and kept as ADMIN_PASSWORD in %s/secrets.env.\n\n",
			conf->generated_admin_password, conf->data_dir);
	else
		printf("    password  the ADMIN_PASSWORD of your configuration, or else of %s/secrets.env\n\n", conf->data_dir);
	fflush(stdout);
}

/* Accounts that the configuration asks for; only those not there yet cost a hash. */
static bool
first_accounts(struct serving *s)
{
	struct app *app = &s->app;
	const struct config *conf = app->conf;
	bool created = false;
	int demos = 0;

	if (conf->admin_email[0] && conf->admin_password[0] &&
		admin_ensure(&app->cx, conf->admin_email, conf->admin_password, &created) != OK) {
		cli_error(&app->cx);
		return false;
	}
	show_admin(conf, created);
	if (conf->seed_demo_accounts && seed_demo(&app->cx, &demos) != OK) {
		cli_error(&app->cx);
		return false;
	}
	if (demos > 0)
		log_info(NULL, "seed.done", "demonstration accounts created", LOG_INT("count", demos));
	return true;
}

static bool
open_http(struct serving *s)
{
	struct app *app = &s->app;
	const struct config *conf = app->conf;
	const char *message = "", **proxies = arena_new(&app->arena, const char *, conf->trusted_proxies.count + 1);
	bool tls = conf->tls_cert_file[0] != 0;

	for (size_t i = 0; i < conf->trusted_proxies.count; i++)
		proxies[i] = conf->trusted_proxies.items[i];
	const struct http_options options = {
		.host = conf->host,
		.port = (int)conf->port,
		.tls_cert_file = tls ? conf->tls_cert_file : NULL,
		.tls_key_file = tls ? conf->tls_key_file : NULL,
		.loops = LOOPS,
		.max_body = BODY_MAX,
		.trusted_proxies = proxies,
		.metrics = app->srv.metrics,
		.source = &app->srv.source,
		.handle = dispatch_handle,
		.finish = dispatch_finish,
		.body_limit = dispatch_body_limit,
		.uploads = dispatch_uploads,
		.refuse = dispatch_refuse,
		.arg = s->dispatcher,
	};
	if (http_server_open(&app->arena, &options, &s->http, &message) == OK)
		return true;
	cli_fail("%s", message);
	return false;
}

static void
log_hash_time(const struct hasher *h)
{
	int64_t ms = hasher_hash_us(h) / 1000;

	if (ms > HASH_SLOW_MS)
		log_warning(NULL, "hash.slow", "checking a password takes long here; PASSWORD_HASH=argon2id would be quicker", LOG_INT("ms", ms));
}

static void
announce(const struct serving *s)
{
	const struct config *conf = s->app.conf;
	int port = http_server_port(s->http);
	const char *bracket = strchr(conf->host, ':') ? "[" : "";

	log_info(NULL, "server.listening", "ready for requests", LOG_TEXT("host", conf->host), LOG_INT("port", port),
		LOG_TEXT("version", MUSTER_VERSION), LOG_TEXT("database", db_engine_name(s->app.srv.store)));
	log_flush();
	if (!isatty(STDOUT_FILENO))
		return;
	printf("Muster %s is at %s://%s%s%s:%d/  (Ctrl-C stops it)\n", MUSTER_VERSION, conf->tls_cert_file[0] ? "https" : "http", bracket,
		conf->host, *bracket ? "]" : "", port);
	fflush(stdout);
}

static void
open_faces(struct server *srv)
{
	const char *dir = srv->conf->face_models_dir;

	srv->faces = faces_open_configured(srv->conf, srv->metrics);
	if (faces_model(srv->faces))
		log_info(NULL, "faces.ready", faces_message(srv->faces));
	else if (dir[0])
		log_warning(NULL, "faces.unavailable", faces_message(srv->faces), LOG_TEXT("directory", dir));
}

static bool
start(struct serving *s)
{
	static const char *const schemes[] = {"", "bcrypt", "argon2id", "pbkdf2_sha256"}; /* conf_hash */
	struct app *app = &s->app;
	const char *message = "";

	app->srv.metrics = metrics_open(dispatch_route_count());
	metrics_add(app->srv.metrics, M_PASSWORD_HASH, schemes[app->conf->password_hash], 1);
	app->srv.sessions = session_table_open(SESSIONS_KEPT);
	app->srv.limiter = limiter_open(&app->srv.source, LIMIT_KEYS);
	app->srv.live = live_open();
	app->srv.sentry = sentry_open(app->conf, &app->srv.source, app->srv.metrics);
	app->srv.stats = stats_cache_open();
	if (!shared_limits_open(&app->arena, &app->srv, &message)) {
		cli_fail("%s", message);
		return false;
	}
	app->srv.storage = storage_open(&app->arena, app->conf);
	if (!open_store(s) || !first_accounts(s))
		return false;
	open_faces(&app->srv);
	app->srv.hasher = hasher_open(app->conf);
	log_hash_time(app->srv.hasher);
	s->limits = limits_open(app->conf);
	if (limits_look(&app->cx, s->limits) != OK) {
		cli_error(&app->cx);
		return false;
	}
	nodes_open(&app->srv);
	s->dispatcher = dispatch_open(&app->arena, &app->srv);
	if (!open_http(s))
		return false;
	s->jobs = scheduler_open(&app->srv);
	s->ticker = ticker_open(&app->srv, s->limits);
	if (!sandbox_close_calls(&s->sandbox, app->conf)) {
		cli_fail("SANDBOX=required: %s", s->sandbox.why);
		return false;
	}
	sandbox_announce(&s->sandbox, app->conf);
	announce(s);
	return true;
}

/* Every step copes with what was never opened. */
static void
stop(struct serving *s)
{
	struct server *srv = &s->app.srv;

	if (s->http)
		http_server_close(s->http, GRACE_MS);
	ticker_close(s->ticker);
	if (s->jobs)
		scheduler_close(s->jobs);
	if (s->dispatcher)
		dispatch_close(s->dispatcher);
	faces_close(srv->faces);
	nodes_close(srv);
	limits_close(s->limits);
	if (srv->store)
		db_close(srv->store);
	srv->store = NULL;
	if (srv->hasher)
		hasher_close(srv->hasher);
	if (srv->live)
		live_close(srv->live);
	stats_cache_close(srv->stats);
	sentry_close(srv->sentry, REPORTS_MS);
	shared_limits_close(srv);
	if (srv->limiter)
		limiter_close(srv->limiter);
	if (srv->sessions)
		session_table_close(srv->sessions);
	if (srv->metrics)
		metrics_close(srv->metrics);
}

/* The second signal means it: default action. */
static void
wait_for_signal(const sigset_t *set)
{
	sigset_t rest = *set;
	int got = 0;

	while (sigwait(set, &got) != 0 || got == SANDBOX_SIGNAL)
		sandbox_refusals();
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	sigdelset(&rest, SANDBOX_SIGNAL); /* whose default action is death too */
	pthread_sigmask(SIG_UNBLOCK, &rest, NULL);
	log_info(NULL, "server.stopping", "finishing what is in flight", LOG_INT("signal", got));
}

/* The engine's short-lived pages must not make the heap shrink and grow with every batch. */
static void
allocator_keep(void)
{
	enum { KEPT_BYTES = 16 << 20, STEP_BYTES = 1 << 20 };

	(void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	(void)mallopt(M_TOP_PAD, STEP_BYTES);
}

/* A sandbox can only allow what is there; a folder that cannot be made fails who needs it. */
static bool
close_files(struct serving *s)
{
	(void)file_make_folder(s->app.conf->data_dir);
	if (s->app.conf->backup_dir[0])
		(void)file_make_folder(s->app.conf->backup_dir);
	if (sandbox_close_files(&s->sandbox, s->app.conf))
		return true;
	cli_fail("SANDBOX=required: %s", s->sandbox.why);
	return false;
}

int
cmd_serve(const struct args *args)
{
	struct serving s = {0};
	sigset_t set;
	int status = EXIT_FAILED;

	(void)args;
	signals_block(&set);
	allocator_keep();
	if (app_open(&s.app, APP_CONF) && close_files(&s)) {
		conf_scrub_environment();
		no_core_file(s.app.conf);
		log_open((enum log_level)s.app.conf->log_level, STDERR_FILENO);
		log_configuration(s.app.conf);
		if (start(&s)) {
			wait_for_signal(&set);
			status = EXIT_OK;
		}
		stop(&s);
		log_info(NULL, "server.stopped", status == EXIT_OK ? "stopped" : "did not start");
		log_close();
	}
	app_close(&s.app);
	return status;
}

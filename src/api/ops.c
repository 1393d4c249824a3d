/*
 * What people and machines that run the server ask: who is there, is it alive, is it ready, its numbers, its documentation.
 *
 * /v1/health says only that the process answers and touches nothing else; /v1/ready looks at what the server needs.  A failing
 * database is "down" (503, so a balancer takes the node out), and so is a failing Redis where it is required; a failing disk, mail
 * server or other Redis is "degraded".
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/assets.h"
#include "api/call.h"
#include "api/dispatch.h"
#include "api/docs.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "core/metrics.h"
#include "net/redis.h"
#include "store/bus.h"
#include "net/storage.h"
#include "store/db.h"


/* --- GET / ---- */

struct surface_info {
	const char *name, *prefix;
};
static const struct field surface_info_fields[] = {
	F(struct surface_info, name, 0, 0, 0, "portal, campus or accounts."),
	F(struct surface_info, prefix, 0, 0, 0, "First part of its paths."),
};
static const struct schema surface_info_schema = SCHEMA("Surface", struct surface_info, surface_info_fields);

struct about {
	const char *name, *version, *env, *docs;
	struct list surfaces;
};
static const struct field about_fields[] = {
	F(struct about, name, 0, 0, 0, "Always \"Muster\"."),
	F(struct about, version, 0, 0, 0, "Version of the server."),
	F(struct about, env, 0, 0, 0, "dev, staging or prod."),
	F(struct about, docs, F_NULLABLE, 0, 0, "Path of the documentation, where it is served."),
	F_LIST(struct about, surfaces, 0, &surface_info_schema, "The APIs served here."),
};
static const struct schema about_schema = SCHEMA("About", struct about, about_fields);

static bool
surface_served(enum surface s)
{
	for (size_t t = 0; t < route_table_count; t++)
		if (route_tables[t]->surface == s && route_tables[t]->count)
			return true;
	return false;
}

static enum err
about(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	static const char *const env_names[] = {"", "dev", "staging", "prod"};
	static const struct {
		enum surface surface;
		struct surface_info info;
	} all[] = {{SURFACE_PORTAL, {"portal", "/api"}}, {SURFACE_CAMPUS, {"campus", "/api/v1"}},
		{SURFACE_ACCOUNTS, {"accounts", "/v1"}}};
	const struct config *conf = cx->srv->conf;
	const char *page = asset_find("app/index.html") ? "/app/" : docs_served(conf) ? "/docs" : NULL;
	struct surface_info served[sizeof(all) / sizeof(all[0])];
	struct about out = {.name = "Muster",
		.version = MUSTER_VERSION,
		.env = env_names[conf->env],
		.docs = docs_served(conf) ? "/docs" : NULL,
		.surfaces = {served, 0}};

	reply_header(rs, "Vary", "Accept");
	if (page && accepts(rq, "text/html", "application/json")) {
		reply_header(rs, "Location", page);
		return reply_empty(rs, 303);
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (surface_served(all[i].surface))
			served[out.surfaces.count++] = all[i].info;
	return reply_record(rs, &about_schema, &out);
}

/* --- health and readiness ---- */

struct health {
	const char *status;
};
static const struct field health_fields[] = {F(struct health, status, 0, 0, 0, "Always \"ok\".")};
static const struct schema health_schema = SCHEMA("Health", struct health, health_fields);

static enum err
health(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)cx;
	(void)rq;
	return reply_bytes(rs, NULL, SPAN_LIT("{\"status\":\"ok\"}"));
}

struct check {
	const char *status;
	double latency_ms;
	const char *message;
};
static const struct field check_fields[] = {
	F(struct check, status, 0, 0, 0, "ok, failed or skipped."),
	F(struct check, latency_ms, F_NULLABLE, 0, 0, "How long it took, milliseconds."),
	F(struct check, message, F_OMIT, 0, 0, "What is wrong."),
};
static const struct schema check_schema = SCHEMA("Check", struct check, check_fields);

struct checks {
	struct check database, redis, storage, mail, clock;
};
static const struct field checks_fields[] = {
	F_OBJ(struct checks, database, &check_schema, "The database answers."),
	F_OBJ(struct checks, redis, &check_schema, "Shared counters."),
	F_OBJ(struct checks, storage, &check_schema, "Uploads can be stored: DATA_DIR can be written and has room, or the bucket answers."),
	F_OBJ(struct checks, mail, &check_schema, "Outgoing mail."),
	F_OBJ(struct checks, clock, &check_schema, "Where nodes share a database: this node's clock agrees with its."),
};
static const struct schema checks_schema = SCHEMA("Checks", struct checks, checks_fields);

struct ready {
	const char *status;
	struct checks checks;
};
static const struct field ready_fields[] = {
	F(struct ready, status, 0, 0, 0, "ok, degraded or down."),
	F_OBJ(struct ready, checks, &checks_schema, "One by one."),
};
static const struct schema ready_schema = SCHEMA("Ready", struct ready, ready_fields);

static double
ms_since(const struct ctx *cx, int64_t started_us)
{
	return (double)(cx->srv->source.monotonic_us(cx->srv->source.arg) - started_us) / 1000;
}

static struct check
check_database(struct ctx *cx)
{
	int64_t started_us = cx->srv->source.monotonic_us(cx->srv->source.arg);
	struct check c = {.status = "ok"};

	if (db_ping(cx) != OK) {
		error_clear(cx);
		c.status = "failed";
		c.message = "the database does not answer";
	}
	c.latency_ms = ms_since(cx, started_us);
	return c;
}

/* Jobs that reach outside left word how it went. */
struct probe_jobs {
	int64_t runs, failures;
};
static const struct field probe_jobs_fields[] = {
	F(struct probe_jobs, runs, 0, 0, 0, NULL),
	F(struct probe_jobs, failures, 0, 0, 0, NULL),
};
static const struct schema probe_jobs_schema = SCHEMA("ProbeJobs", struct probe_jobs, probe_jobs_fields);

SQL(READY_STORAGE, "", "SELECT COUNT(*) AS runs, COUNT(last_error) AS failures FROM jobs WHERE name = 'storage_probe'");

/* A directory is looked at here; a bucket was asked by its job. */
static struct check
check_storage(struct ctx *cx)
{
	int64_t started_us = cx->srv->source.monotonic_us(cx->srv->source.arg);
	struct check c = {.status = "ok", .latency_ms = NAN};
	struct probe_jobs jobs;

	if (cx->srv->conf->storage_backend == STORAGE_LOCAL) {
		if (storage_check(cx->srv->storage, cx->arena, &c.message) != STORED)
			c.status = "failed";
		c.latency_ms = ms_since(cx, started_us);
	} else if (db_one(cx, &READY_STORAGE, &probe_jobs_schema, &jobs) != OK) {
		error_clear(cx);
		c.status = "skipped";
	} else if (jobs.failures) {
		c.status = "failed";
		c.message = "the store of uploads does not answer as it should";
	} else {
		c.status = jobs.runs ? "ok" : "skipped";
	}
	return c;
}

SQL(READY_MAIL, "",
	"SELECT COUNT(*) AS runs, COUNT(last_error) AS failures FROM jobs WHERE name = 'mail_probe' OR name = 'outbox'");

static struct check
check_mail(struct ctx *cx)
{
	struct check c = {.status = "skipped", .latency_ms = NAN};
	struct probe_jobs jobs;

	if (!cx->srv->conf->smtp_url[0])
		return c;
	if (db_one(cx, &READY_MAIL, &probe_jobs_schema, &jobs) != OK) {
		error_clear(cx);
		return c;
	}
	if (jobs.failures)
		return (struct check){.status = "failed", .latency_ms = NAN, .message = "the mail server does not take mail"};
	c.status = jobs.runs ? "ok" : "skipped";
	return c;
}

static struct check
check_clock(const struct ctx *cx)
{
	switch (bus_clock(cx->srv->bus)) {
	case CLOCK_NONE:
		return (struct check){.status = "skipped", .latency_ms = NAN};
	case CLOCK_FINE:
		return (struct check){.status = "ok", .latency_ms = NAN};
	case CLOCK_APART:
		return (struct check){
			.status = "failed", .latency_ms = NAN, .message = "this node's clock and the database's differ"};
	default:
		return (struct check){.status = "failed", .latency_ms = NAN, .message = "other nodes are not heard"};
	}
}

/* What the thread that watches Redis last saw: asking here would make every probe of a balancer wait for it. */
static struct check
check_redis(const struct ctx *cx)
{
	struct check c = {.status = "skipped", .latency_ms = NAN};
	struct redis_state now;

	if (!cx->srv->redis)
		return c;
	redis_look(cx->srv->redis, &now);
	if (now.up)
		return (struct check){.status = "ok", .latency_ms = (double)now.latency_us / 1000};
	c.status = "failed";
	c.message = cx->srv->conf->redis_required ? "Redis does not answer and is required; nobody can sign in"
						  : "Redis does not answer; this node counts by itself";
	return c;
}

static bool
failed(const struct check *c)
{
	return strcmp(c->status, "failed") == 0;
}

static enum err
ready(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct ready out = {.status = "ok",
		.checks = {.database = check_database(cx),
			.redis = check_redis(cx),
			.storage = check_storage(cx),
			.mail = check_mail(cx),
			.clock = check_clock(cx)}};

	(void)rq;
	if (failed(&out.checks.redis) || failed(&out.checks.storage) || failed(&out.checks.mail) || failed(&out.checks.clock))
		out.status = "degraded";
	if (failed(&out.checks.database) || (failed(&out.checks.redis) && cx->srv->conf->redis_required)) {
		out.status = "down";
		rs->status = 503;
		reply_header(rs, "Retry-After", "5");
	}
	reply_header(rs, "Cache-Control", "no-store");
	return reply_record(rs, &ready_schema, &out);
}

/* --- metrics ---- */

static bool
loopback(const struct request *rq)
{
	return !rq->forwarded && (str_starts(rq->ip, "127.") || strcmp(rq->ip, "::1") == 0);
}

/* Equal length is no secret; the bytes are compared in constant time. */
static bool
token_fits(const struct request *rq, const char *token)
{
	const char *given = bearer_token(request_header(rq, "Authorization"));

	return token[0] && given && strlen(given) == strlen(token) && crypto_equal(given, token, strlen(token));
}

static enum err
metrics(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct config *conf = cx->srv->conf;
	bool open = conf->env != ENV_PROD && !conf->metrics_token[0];
	struct buf out;

	if (!open && !loopback(rq) && !token_fits(rq, conf->metrics_token))
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	buf_init(&out, rs->arena, 64 << 10);
	if (cx->srv->metrics)
		metrics_print(cx->srv->metrics, &out, dispatch_route_label);
	reply_header(rs, "Cache-Control", "no-store");
	return reply_bytes(rs, "text/plain; version=0.0.4; charset=utf-8", buf_span(&out));
}

#define PAGE(p, fn, sum)                                                                                                    \
	{                                                                                                                   \
		.method = GET, .path = (p), .handler = (fn), .access = ANYONE, .lane = LANE_LOOP, .hall = true,             \
		.reply_type = "text/html", .status = 200, .errors = ERRORS(ERR_NOT_FOUND), .hidden = true, .summary = (sum) \
	}
#define HEALTH(p, hide)                                                                                                         \
	{                                                                                                                       \
		.method = GET, .path = (p), .handler = health, .access = ANYONE, .lane = LANE_LOOP, .hall = true,               \
		.reply = &health_schema, .status = 200, .hidden = (hide), .tag = "operation", .summary = "The process is alive" \
	}

static const struct route rows[] = {
	{.method = GET,
		.path = "/",
		.handler = about,
		.access = ANYONE,
		.lane = LANE_LOOP,
		.hall = true,
		.reply = &about_schema,
		.status = 200,
		.tag = "operation",
		.summary = "What this server is",
		.text = "A browser is sent to the web app instead, or to the documentation."},
	HEALTH("/v1/health", false),
	HEALTH("/health", true),
	HEALTH("/api/v1/health", true),
	{.method = GET,
		.path = "/v1/ready",
		.handler = ready,
		.access = ANYONE,
		.lane = LANE_READ,
		.hall = true,
		.reply = &ready_schema,
		.status = 200,
		.tag = "operation",
		.summary = "The server can do its work",
		.text = "Answers the same document with status 503 when it is down."},
	{.method = GET,
		.path = "/metrics",
		.handler = metrics,
		.access = ANYONE,
		.lane = LANE_LOOP,
		.hall = true,
		.reply_type = "text/plain",
		.status = 200,
		.errors = ERRORS(ERR_NOT_AUTHENTICATED),
		.tag = "operation",
		.summary = "Numbers for Prometheus",
		.text = "In production with METRICS_TOKEN as bearer, or from this machine."},
	{.method = GET,
		.path = "/openapi.json",
		.handler = docs_openapi,
		.access = ANYONE,
		.lane = LANE_WORK,
		.hall = true,
		.reply_type = "application/json",
		.status = 200,
		.errors = ERRORS(ERR_NOT_FOUND),
		.tag = "operation",
		.summary = "This document"},
	PAGE("/docs", docs_swagger, "Documentation in Swagger UI"),
	PAGE("/redoc", docs_redoc, "Documentation in Redoc"),
	PAGE("/docs/{file}", docs_file, "Files of the documentation pages"),
};
const struct route_table ops_routes = ROUTE_TABLE(SURFACE_OPS, rows);

/*
 * Metrics.  Invariant: a sample is a relaxed atomic add into a cell that never moves; no lock but for the first use of a label.
 *
 * A label is kept as the pointer to its static text, in an array that only grows, so that readers need no lock either: a slot's
 * text is published with release after its value cell is ready (cells start at zero).  A histogram keeps its sum in millionths.
 */
#include "core/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

enum { LABELS_MAX = 64, BUCKETS = 16 };

enum metric_kind { COUNTER = 1, GAUGE, HISTOGRAM };

static const double seconds[BUCKETS] = {.001, .002, .005, .01, .02, .05, .1, .2, .3, .5, .8, 1, 2, 5, 10, INFINITY};
static const double jobs[BUCKETS] = {1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 320, 384, 448, 512, INFINITY};

static const struct {
	const char *name, *label, *help;
	enum metric_kind kind;
	const double *bounds;
} families[M__MAX] = {
	[M_MARKS] = {"muster_marks_total", "verdict", "Attendance marks by verdict.", COUNTER, NULL},
	[M_LOGINS] = {"muster_logins_total", "result", "Logins by result.", COUNTER, NULL},
	[M_WRITE_QUEUE] = {"muster_write_queue_length", NULL, "Jobs waiting for the writer.", GAUGE, NULL},
	[M_READ_QUEUE] = {"muster_read_queue_length", NULL, "Requests waiting for a reader.", GAUGE, NULL},
	[M_HASH_QUEUE] = {"muster_hash_queue_length", NULL, "Passwords waiting to be hashed.", GAUGE, NULL},
	[M_FILES_QUEUE] = {"muster_files_queue_length", NULL, "Requests with pictures waiting for a thread.", GAUGE, NULL},
	[M_REFUSALS_HELD] = {"muster_refusals_held", NULL, "Requests refused for want of room whose answer is held back.", GAUGE, NULL},
	[M_WORK_QUEUE] = {"muster_work_queue_length", NULL, "Requests waiting for a thread of the work pool.", GAUGE, NULL},
	[M_POOL_BUSY] = {"muster_pool_busy", "pool", "Threads of a pool that are at work.", GAUGE, NULL},
	[M_FACE_WAITING] = {"muster_face_waiting", NULL, "Pictures waiting for a free face helper.", GAUGE, NULL},
	[M_FACE_BUSY] = {"muster_face_helpers_busy", NULL, "Face helpers that look at a picture.", GAUGE, NULL},
	[M_FACE_STARTS] = {"muster_face_starts_total", NULL, "Face helpers started; all but the first few replace one that ended.",
		COUNTER, NULL},
	[M_FACE_PICTURES] = {"muster_face_pictures_total", "result",
		"Pictures given to face helpers: answered, late (the helper was ended), failed (it died or talked nonsense), no_helper.",
		COUNTER, NULL},
	[M_BATCH_SIZE] = {"muster_batch_size", NULL, "Jobs in one transaction of the writer.", HISTOGRAM, jobs},
	[M_COMMIT_SECONDS] = {"muster_commit_seconds", NULL, "Time of one COMMIT.", HISTOGRAM, seconds},
	[M_WAL_BYTES] = {"muster_wal_bytes", NULL, "Size of the write-ahead log.", GAUGE, NULL},
	[M_CONNECTIONS] = {"muster_http_connections", NULL, "Open HTTP connections.", GAUGE, NULL},
	[M_BODY_BYTES] = {"muster_http_body_bytes", NULL, "Request bodies in memory.", GAUGE, NULL},
	[M_HEAP_BYTES] = {"muster_heap_bytes", NULL, "Memory in use, without what the allocator keeps for later.", GAUGE, NULL},
	[M_JOB_RUNS] = {"muster_job_runs_total", "job", "Runs of background jobs.", COUNTER, NULL},
	[M_JOB_FAILURES] = {"muster_job_failures_total", "job", "Failed runs of background jobs.", COUNTER, NULL},
	[M_SSE_CLIENTS] = {"muster_sse_clients", NULL, "Open event streams.", GAUGE, NULL},
	[M_OUTBOX] = {"muster_outbox_length", NULL, "Mails waiting to be sent.", GAUGE, NULL},
	[M_QR_VERIFY_SECONDS] = {"muster_qr_verify_seconds", NULL, "Time of the checks of one code.", HISTOGRAM, seconds},
	[M_LOGIN_SECONDS] = {"muster_login_seconds", NULL, "Time of one login.", HISTOGRAM, seconds},
	[M_RATE_LIMITED] = {"muster_rate_limited_total", "limit", "Refused requests by limit.", COUNTER, NULL},
	[M_APPROVAL_TIMEOUTS] = {"muster_approval_timeouts_total", NULL, "Signups that nobody decided in time.", COUNTER, NULL},
	[M_DEADLOCKS] = {"muster_deadlocks_total", NULL, "Deadlocks and serialisation failures of the database.", COUNTER, NULL},
	[M_ERROR_REPORTS] = {"muster_error_reports_total", "result", "Internal errors reported to SENTRY_DSN.", COUNTER, NULL},
	[M_REDIS_UP] = {"muster_redis_up", NULL, "1 while Redis answers; 0: it is away, or not configured.", GAUGE, NULL},
	[M_REDIS_CALLS] = {"muster_redis_calls_total", "result", "Shared counters asked for: ok, failed, skipped while Redis is away.",
		COUNTER, NULL},
	[M_LOGIN_FAILURES_WORST] = {"muster_login_failures_worst_ip", NULL, "Failed logins in 5 minutes of the address with the most.",
		GAUGE, NULL},
	[M_FIRST_SCANS] = {"muster_first_scans", NULL, "People who presented a code in the last 10 minutes.", GAUGE, NULL},
	[M_FIRST_SCANS_MARKED] = {"muster_first_scans_marked", NULL, "Those of them who were marked by their first one.", GAUGE, NULL},
	[M_PASSWORD_HASH] = {"muster_password_hash", "scheme", "1 for the scheme that new passwords are hashed by.", GAUGE, NULL},
};

static const short statuses[] = {200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410,
	411, 412, 413, 414, 415, 416, 417, 422, 426, 428, 429, 431, 500, 501, 502, 503, 504, 505, 0 /* any other */};
enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]) };

struct histogram {
	atomic_uint_least64_t bucket[BUCKETS];
	atomic_uint_least64_t sum_micro;
};

struct labelled {
	_Atomic(const char *) label[LABELS_MAX];
	atomic_int_least64_t value[LABELS_MAX];
};

struct family {
	_Alignas(64) atomic_int_least64_t value; /* without a label */
	union {
		struct histogram histogram;
		struct labelled labelled;
	};
};

struct route {
	_Alignas(64) atomic_uint_least64_t status[STATUSES];
	struct histogram latency;
};

struct metrics {
	struct family family[M__MAX];
	pthread_mutex_t growing;
	uint8_t status_slot[600]; /* HTTP status → index into statuses */
	size_t routes;
	struct route route[];
};

struct metrics *
metrics_open(size_t routes)
{
	size_t bytes = sizeof(struct metrics) + routes * sizeof(struct route);
	struct metrics *m = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (!m)
		BUG("out of memory");
	memset(m, 0, bytes);
	m->routes = routes;
	pthread_mutex_init(&m->growing, NULL);
	memset(m->status_slot, STATUSES - 1, sizeof(m->status_slot));
	for (int i = 0; i < STATUSES - 1; i++)
		m->status_slot[statuses[i]] = (uint8_t)i;
	for (int i = 0; i < M__MAX; i++)
		if (!families[i].name)
			BUG("metric %d has no row", i);
	return m;
}

void
metrics_close(struct metrics *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->growing);
	free(m);
}

/* The slot of a label that is known, or the first free one. */
static int
slot_of(struct labelled *l, const char *label)
{
	int i = 0;

	for (; i < LABELS_MAX; i++) {
		const char *have = atomic_load_explicit(&l->label[i], memory_order_acquire);
		if (!have || have == label || strcmp(have, label) == 0)
			break;
	}
	return i;
}

static atomic_int_least64_t *
cell_of(struct metrics *m, struct labelled *l, const char *label)
{
	int i = slot_of(l, label);

	if (i < LABELS_MAX && atomic_load_explicit(&l->label[i], memory_order_acquire))
		return &l->value[i];
	pthread_mutex_lock(&m->growing);
	i = slot_of(l, label);
	if (i >= LABELS_MAX - 1 && !(i < LABELS_MAX && l->label[i])) { /* the last slot is everybody else's */
		i = LABELS_MAX - 1;
		label = "other";
	}
	atomic_store_explicit(&l->label[i], label, memory_order_release);
	pthread_mutex_unlock(&m->growing);
	return &l->value[i];
}

void
metrics_add(struct metrics *m, enum metric id, const char *label, int64_t n)
{
	if (!m)
		return;
	struct family *f = &m->family[id];
	if (families[id].kind == HISTOGRAM)
		BUG("%s is a histogram", families[id].name);
	atomic_int_least64_t *cell = label && families[id].label ? cell_of(m, &f->labelled, label) : &f->value;
	atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

void
metrics_set(struct metrics *m, enum metric id, int64_t v)
{
	if (!m)
		return;
	if (families[id].kind != GAUGE)
		BUG("%s is no gauge", families[id].name);
	atomic_store_explicit(&m->family[id].value, v, memory_order_relaxed);
}

static void
observe(struct histogram *h, const double *bounds, double v)
{
	int i = 0;

	while (v > bounds[i] && i < BUCKETS - 1)
		i++;
	atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
	if (v > 0)
		atomic_fetch_add_explicit(&h->sum_micro, (uint64_t)llround(v * 1e6), memory_order_relaxed);
}

void
metrics_observe(struct metrics *m, enum metric id, double v)
{
	if (!m)
		return;
	if (families[id].kind != HISTOGRAM)
		BUG("%s is no histogram", families[id].name);
	if (isfinite(v))
		observe(&m->family[id].histogram, families[id].bounds, v);
}

void
metrics_request(struct metrics *m, size_t route, int status, int64_t latency_us)
{
	if (!m || route >= m->routes)
		return;
	struct route *r = &m->route[route];
	int slot = status >= 0 && status < (int)sizeof(m->status_slot) ? m->status_slot[status] : STATUSES - 1;
	atomic_fetch_add_explicit(&r->status[slot], 1, memory_order_relaxed);
	observe(&r->latency, seconds, (double)latency_us / 1e6);
}

static void
print_head(struct buf *out, const char *name, const char *kind, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

/* A number as JSON writes it is also a number here. */
static void
print_double(struct buf *out, double v)
{
	struct json j;

	json_init(&j, out);
	json_num(&j, NULL, v);
}

static void
print_histogram(struct buf *out, const char *name, const char *labels, const struct histogram *h, const double *bounds)
{
	uint64_t total = 0;
	const char *comma = labels[0] ? "," : "";

	for (int i = 0; i < BUCKETS; i++) {
		total += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
		buf_printf(out, "%s_bucket{%s%sle=\"", name, labels, comma);
		if (i < BUCKETS - 1)
			print_double(out, bounds[i]);
		else
			buf_str(out, "+Inf");
		buf_printf(out, "\"} %llu\n", (unsigned long long)total);
	}
	const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
	buf_printf(out, "%s_sum%s%s%s ", name, open, labels, close);
	print_double(out, (double)atomic_load_explicit(&h->sum_micro, memory_order_relaxed) / 1e6);
	buf_printf(out, "\n%s_count%s%s%s %llu\n", name, open, labels, close, (unsigned long long)total);
}

static void
print_labelled(struct buf *out, enum metric id, const struct family *f)
{
	int64_t plain = atomic_load_explicit(&f->value, memory_order_relaxed);

	for (int i = 0; i < LABELS_MAX; i++) {
		const char *label = atomic_load_explicit(&f->labelled.label[i], memory_order_acquire);
		if (!label)
			continue;
		buf_printf(out, "%s{%s=\"", families[id].name, families[id].label);
		json_escape(out, label, strlen(label));
		buf_printf(out, "\"} %lld\n", (long long)atomic_load_explicit(&f->labelled.value[i], memory_order_relaxed));
	}
	if (plain)
		buf_printf(out, "%s %lld\n", families[id].name, (long long)plain);
}

static void
print_family(struct buf *out, enum metric id, const struct family *f)
{
	static const char *const kinds[] = {"", "counter", "gauge", "histogram"};
	const char *name = families[id].name;

	print_head(out, name, kinds[families[id].kind], families[id].help);
	if (families[id].kind == HISTOGRAM)
		print_histogram(out, name, "", &f->histogram, families[id].bounds);
	else if (families[id].label)
		print_labelled(out, id, f);
	else
		buf_printf(out, "%s %lld\n", name, (long long)atomic_load_explicit(&f->value, memory_order_relaxed));
}

static bool
was_used(const struct route *r)
{
	for (int i = 0; i < STATUSES; i++)
		if (atomic_load_explicit(&r->status[i], memory_order_relaxed))
			return true;
	return false;
}

static void
print_requests(const struct metrics *m, struct buf *out, const char *(*route_label)(size_t i))
{
	print_head(out, "muster_http_requests_total", "counter", "Requests by route and status.");
	for (size_t i = 0; i < m->routes; i++)
		for (int s = 0; s < STATUSES; s++) {
			uint64_t n = atomic_load_explicit(&m->route[i].status[s], memory_order_relaxed);
			if (n && s < STATUSES - 1)
				buf_printf(out, "muster_http_requests_total{%s,status=\"%d\"} %llu\n", route_label(i),
					statuses[s], (unsigned long long)n);
			else if (n)
				buf_printf(out, "muster_http_requests_total{%s,status=\"other\"} %llu\n", route_label(i),
					(unsigned long long)n);
		}
	print_head(out, "muster_http_request_seconds", "histogram", "Time from the end of the headers to the reply.");
	for (size_t i = 0; i < m->routes; i++)
		if (was_used(&m->route[i]))
			print_histogram(out, "muster_http_request_seconds", route_label(i), &m->route[i].latency, seconds);
}

void
metrics_print(const struct metrics *m, struct buf *out, const char *(*route_label)(size_t i))
{
	print_head(out, "muster_build_info", "gauge", "Always 1; the label is the version.");
	buf_str(out, "muster_build_info{version=\"" MUSTER_VERSION "\"} 1\n");
	for (int id = 0; id < M__MAX; id++)
		print_family(out, (enum metric)id, &m->family[id]);
	print_requests(m, out, route_label);
}

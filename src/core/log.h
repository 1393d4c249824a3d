/*
 * Log: one JSON object a line on standard error.  `event` is a stable name ("request", "job.failed"); fields follow as a
 * NULL-name-terminated list.  Lines go through a buffer that a thread writes out at least every 50 ms; warnings and errors at once;
 * everything at log_close().  Never give it a token, code, password, query string or mail body.
 */
#ifndef MUSTER_CORE_LOG_H
#define MUSTER_CORE_LOG_H

#include "core/ctx.h"

enum log_level { LOG_DEBUG = 1, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_CRITICAL };

struct log_field {
	const char *name;
	const char *text; /* NULL: number */
	int64_t number;
};
#define LOG_TEXT(n, v) ((struct log_field){.name = (n), .text = (v) ? (v) : ""})
#define LOG_INT(n, v) ((struct log_field){.name = (n), .number = (v)})

void log_open(enum log_level min, int fd); /* starts the writing thread */
void log_close(void);                      /* writes out what is left */
void log_flush(void);
bool log_on(enum log_level level);
void log_at(enum log_level level, const char *file, const char *func, const char *request_id, const char *event,
	    const char *message, const struct log_field *fields, size_t n);

/* log_info(cx, "job.done", "closed sessions", LOG_INT("count", n)); `cx` may be NULL. */
#define log_emit_(level, cx, event, message, ...)                                                                      \
	do {                                                                                                           \
		if (log_on(level)) {                                                                                   \
			const struct ctx *log_cx_ = (cx);                                                              \
			const struct log_field log_f_[] = {__VA_ARGS__ __VA_OPT__(, ){0}};                              \
			log_at((level), __FILE__, __func__, log_cx_ ? log_cx_->client->request_id : NULL, (event),      \
			       (message), log_f_, sizeof(log_f_) / sizeof(log_f_[0]) - 1);                              \
		}                                                                                                      \
	} while (0)
#define log_debug(cx, event, ...) log_emit_(LOG_DEBUG, cx, event, __VA_ARGS__)
#define log_info(cx, event, ...) log_emit_(LOG_INFO, cx, event, __VA_ARGS__)
#define log_warning(cx, event, ...) log_emit_(LOG_WARNING, cx, event, __VA_ARGS__)
#define log_error(cx, event, ...) log_emit_(LOG_ERROR, cx, event, __VA_ARGS__)

#endif

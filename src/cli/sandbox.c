/*
 * SANDBOX: when which part is closed, and what is said about it.  A part that the kernel lacks is a warning, or with SANDBOX=required
 * the end of the start.
 */
#include "cli/sandbox.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"

/* Sanitizers read /proc, map shadow memory and trace their own process. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { INSTRUMENTED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
enum { INSTRUMENTED = 1 };
#else
enum { INSTRUMENTED = 0 };
#endif
#else
enum { INSTRUMENTED = 0 };
#endif

static bool
is_off(const struct config *conf)
{
	return conf->sandbox == SANDBOX_OFF || (INSTRUMENTED && conf->sandbox == SANDBOX_AUTO);
}

static bool
lacks(struct sandbox *s, const struct config *conf, const char *part)
{
	(void)snprintf(s->why, sizeof(s->why), "%s: %s", part, strerror(errno));
	return conf->sandbox != SANDBOX_REQUIRED;
}

bool
sandbox_close_files(struct sandbox *s, const struct config *conf)
{
	if (is_off(conf))
		return true;
	s->files = landlock_close(conf, &s->runs);
	return s->files || lacks(s, conf, "Landlock");
}

bool
sandbox_close_calls(struct sandbox *s, const struct config *conf)
{
	if (is_off(conf))
		return true;
	s->calls = calls_close(s->runs);
	return s->calls || lacks(s, conf, "seccomp");
}

void
sandbox_announce(const struct sandbox *s, const struct config *conf)
{
	if (is_off(conf))
		log_info(NULL, "sandbox.off", INSTRUMENTED ? "built with a sanitizer" : "SANDBOX=off");
	else if (s->why[0])
		log_warning(NULL, "sandbox.partly", s->why, LOG_INT("landlock", s->files), LOG_INT("seccomp", s->calls));
	else
		log_info(NULL, "sandbox.on", "gave up what is not needed", LOG_INT("landlock", s->files), LOG_INT("seccomp", s->calls),
			LOG_INT("programs", s->runs));
}

void
doctor_sandbox(struct report *r, const struct config *conf)
{
	int version = landlock_version();

	if (is_off(conf))
		report_add(r, conf->env == ENV_PROD ? FINDING_WARNING : FINDING_SKIPPED, "sandbox",
			conf->env == ENV_PROD ? "remove SANDBOX=off" : NULL, "off");
	else if (version > 0)
		report_add(r, FINDING_OK, "sandbox", NULL, "seccomp and Landlock (version %d)", version);
	else
		report_add(r, conf->sandbox == SANDBOX_REQUIRED ? FINDING_FAILED : FINDING_WARNING, "sandbox",
			"run a kernel of 5.13 or later with landlock in its list of security modules (lsm=)",
			"this kernel has no Landlock: the server's files are kept apart by their owner alone");
}

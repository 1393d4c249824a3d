/*
 * `muster doctor`: what is wrong here, and what to do about it.  It changes nothing but what any command's reading of the configuration
 * makes (the secrets of ENV=dev).
 */
#include <stdarg.h>
#include <string.h>

#include "cli/doctor.h"
#include "core/json.h"

static const char *const level_names[] = {"", "ok", "skipped", "warning", "failed"};

void
report_add(struct report *r, enum finding level, const char *check, const char *advice, const char *fmt, ...)
{
	va_list ap;

	if (r->count == FINDINGS_MAX)
		BUG("more findings than there is room for");
	va_start(ap, fmt);
	r->found[r->count].message = arena_vprintf(r->arena, fmt, ap);
	va_end(ap);
	r->found[r->count].level = level;
	r->found[r->count].check = check;
	r->found[r->count].advice = advice;
	r->count++;
}

static int
count(const struct report *r, enum finding level)
{
	int n = 0;

	for (int i = 0; i < r->count; i++)
		n += r->found[i].level == level;
	return n;
}

static void
print_text(const struct report *r)
{
	for (int i = 0; i < r->count; i++) {
		printf("%-8s %-14s %s\n", level_names[r->found[i].level], r->found[i].check, r->found[i].message);
		if (r->found[i].advice)
			printf("%-8s %-14s → %s\n", "", "", r->found[i].advice);
	}
	printf("%d failed, %d warnings\n", count(r, FINDING_FAILED), count(r, FINDING_WARNING));
}

static void
print_json(const struct report *r)
{
	struct buf out;
	struct json j;

	buf_init(&out, r->arena, 4096);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_int(&j, "failed", count(r, FINDING_FAILED));
	json_int(&j, "warnings", count(r, FINDING_WARNING));
	json_arr(&j, "checks");
	for (int i = 0; i < r->count; i++) {
		json_obj(&j, NULL);
		json_str(&j, "check", r->found[i].check);
		json_str(&j, "status", level_names[r->found[i].level]);
		json_str(&j, "message", r->found[i].message);
		json_str(&j, "advice", r->found[i].advice);
		json_obj_end(&j);
	}
	json_arr_end(&j);
	json_obj_end(&j);
	printf("%s\n", buf_cstr(&out));
}

int
cmd_doctor(const struct args *args)
{
	struct app app;
	struct report r = {0};
	int status = EXIT_FAILED;

	if (app_open(&app, APP_CONF)) {
		r.arena = &app.arena;
		doctor_configuration(&r, app.conf);
		doctor_secrets(&r, app.conf);
		doctor_clock(&r);
		doctor_sandbox(&r, app.conf);
		doctor_storage(&r, &app);
		doctor_database(&r, &app);
		doctor_rotation(&r, &app);
		doctor_redis(&r, app.conf);
		doctor_faces(&r, app.conf);
		doctor_hash(&r, app.conf);
		if (args_flag(args, "json"))
			print_json(&r);
		else
			print_text(&r);
		status = count(&r, FINDING_FAILED) ? EXIT_FAILED : EXIT_OK;
	}
	app_close(&app);
	return status;
}

/* Mails from their templates. */
#include "support.h"

#include <string.h>

#include "notify/mail_template.h"

static json_t *
data(struct arena *a, const char *text)
{
	json_t *j = json_read(a, span_str(text));

	assert_non_null(j);
	return j;
}

static void
every_template_renders(void **state)
{
	static const char *const names[] = {"signup_taken", "attendance_changed", "decision", "marks", "reminder", "password_reset", "email_verify",
		"password_changed", "mfa_enabled", "mfa_disabled", "backup_code_used", "oauth_linked"};
	struct arena a;
	struct mail_text out;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_true(mail_render(&a, names[i],
			data(&a, "{\"name\":\"Ada\",\"minutes\":30,\"event\":\"E\",\"status\":\"late\",\"reason\":\"R\"}"),
			"https://m.example/app/reset#tok", &out));
		assert_non_null(strstr(out.text, "Hello Ada,"));
		assert_non_null(strstr(out.html, "<p>Hello Ada,</p>"));
		assert_null(strchr(out.text, '{'));
		assert_null(strchr(out.subject, '{'));
	}
	assert_false(mail_render(&a, "no_such", NULL, NULL, &out));
	arena_release(&a);
}

static void
values_are_values(void **state)
{
	struct arena a;
	struct mail_text out;

	(void)state;
	arena_init(&a);
	assert_true(mail_render(&a, "password_reset", data(&a, "{\"name\":\"<b>{link}</b>\",\"minutes\":30}"),
		"https://m.example/app/reset#a\"b", &out));
	assert_non_null(strstr(out.text, "Hello <b>{link}</b>,"));
	assert_non_null(strstr(out.html, "Hello &lt;b&gt;{link}&lt;/b&gt;,"));
	assert_non_null(strstr(out.html, "<a href=\"https://m.example/app/reset#a&quot;b\">"));
	assert_non_null(strstr(out.text, "good for 30 minutes"));
	assert_true(mail_render(&a, "password_reset", data(&a, "{}"), "javascript:alert(1)", &out));
	assert_null(strstr(out.html, "<a "));
	assert_non_null(strstr(out.text, "Hello ,"));
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_template_renders),
		cmocka_unit_test(values_are_values),
	};

	return cmocka_run_group_tests_name("mail: templates", tests, NULL, NULL);
}

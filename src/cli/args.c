/*
 * Arguments by the command's own table: `--name VALUE`, `--name=VALUE`, flags, words; `--` ends the options.  An option that the table
 * does not know is refused, so that a misspelt one never changes what a command does in silence.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static int
option_index(const struct command *c, const char *name, size_t n)
{
	for (int i = 0; i < CLI_OPTIONS_MAX && c->options[i].name; i++)
		if (strlen(c->options[i].name) == n && strncmp(c->options[i].name, name, n) == 0)
			return i;
	return -1;
}

static const char *
given(const struct args *a, const char *name)
{
	int i = option_index(a->command, name, strlen(name));

	if (i < 0)
		BUG("command %s has no option %s", a->command->name, name);
	return a->given[i];
}

bool
args_flag(const struct args *a, const char *name)
{
	return given(a, name) != NULL;
}

const char *
args_value(const struct args *a, const char *name)
{
	return given(a, name);
}

static bool
take_option(struct args *a, const char *text, char **next, int *used)
{
	const char *name = text + 2, *equals = strchr(name, '=');
	size_t n = equals ? (size_t)(equals - name) : strlen(name);
	int i = option_index(a->command, name, n);

	if (i < 0) {
		cli_usage(a, "unknown option %s", text);
		return false;
	}
	if (!a->command->options[i].value) {
		if (equals) {
			cli_usage(a, "--%.*s takes no value", (int)n, name);
			return false;
		}
		a->given[i] = "";
		return true;
	}
	if (!equals && !*next) {
		cli_usage(a, "--%.*s wants %s", (int)n, name, a->command->options[i].value);
		return false;
	}
	a->given[i] = equals ? equals + 1 : *next;
	*used += equals ? 0 : 1;
	return true;
}

bool
args_parse(const struct command *c, int argc, char **argv, struct args *ret)
{
	struct args a = {.command = c};
	int words = 0;
	bool options = true;

	for (int i = 0; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
			continue;
		}
		if (options && strncmp(argv[i], "--", 2) == 0) {
			if (!take_option(&a, argv[i], argv + i + 1, &i))
				return false;
			continue;
		}
		if (words == c->max_words) {
			cli_usage(&a, "unexpected argument %s", argv[i]);
			return false;
		}
		a.word[words++] = argv[i];
	}
	if (words < c->min_words) {
		cli_usage(&a, "something is missing");
		return false;
	}
	*ret = a;
	return true;
}

void
command_help(const struct command *c, FILE *out)
{
	static const char *const none[] = {"", NULL};
	const char *const *forms = c->forms ? c->forms : none;

	fprintf(out, "%s.\n\n", c->summary);
	for (int i = 0; forms[i]; i++)
		fprintf(out, "%s muster %s%s%s%s\n", i ? "      " : "usage:", c->name, forms[i][0] ? " " : "", forms[i],
			c->options[0].name ? " [OPTIONS]" : "");
	if (c->options[0].name)
		fprintf(out, "\n");
	for (int i = 0; i < CLI_OPTIONS_MAX && c->options[i].name; i++) {
		char left[40];
		snprintf(left, sizeof(left), "--%s%s%s", c->options[i].name, c->options[i].value ? " " : "",
			c->options[i].value ? c->options[i].value : "");
		fprintf(out, "  %-18s %s\n", left, c->options[i].text);
	}
	if (c->details)
		fprintf(out, "\n%s\n", c->details);
}

int
cli_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("muster: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

int
cli_usage(const struct args *a, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "muster %s: ", a->command->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see muster %s --help\n", a->command->name);
	return EXIT_USAGE;
}

int
cli_error(const struct ctx *cx)
{
	const struct error *e = &cx->error;
	const char *text = e->message ? e->message : err_row(e->code)->sentence;

	fprintf(stderr, "muster: %s%s%s%s\n", text, e->internal ? " (" : "", e->internal ? e->internal : "", e->internal ? ")" : "");
	for (const struct error_note *n = e->notes; n; n = n->next)
		if (n->field)
			fprintf(stderr, "  %s %s\n", n->field, n->text ? n->text : "");
	return EXIT_FAILED;
}

/* Mails by template name: subject, text and HTML from one table of paragraphs (mail_template.c). */
#ifndef MUSTER_NOTIFY_MAIL_TEMPLATE_H
#define MUSTER_NOTIFY_MAIL_TEMPLATE_H

#include "core/json.h"

struct mail_text {
	const char *subject, *text, *html;
};
/*
 * Fills a template with the members of `data` (texts and numbers; a missing one is empty).  `link` replaces the member of that
 * name. False: there is no such template.
 */
bool mail_render(struct arena *a, const char *name, const json_t *data, const char *link, struct mail_text *ret);

#endif

/*
 * A push parser: one state, and how much of the next delimiter was seen.  A delimiter begins with CR and holds no other, so after a
 * mismatch the bytes matched so far are content and only the present byte can begin a new one: no byte is ever looked at twice.
 *
 * File memory is reserved before it grows and copied at most log4 times; the arena frees nothing before the request ends.
 */
#include "http/multipart.h"

#include <string.h>
#include <strings.h>

#include "core/fault.h"

enum { BOUNDARY_MAX = 70, PART_NAME_MAX = 100, FILE_FIRST_BYTES = 32 << 10 };

enum state { IN_START, IN_DELIMITED, IN_HEADERS, IN_CONTENT, IN_EPILOGUE };
enum part_kind { PART_TEXT, PART_FILE, PART_FORGOTTEN };

struct multipart {
	struct arena *arena;
	struct multipart_rule rule;
	enum state state;
	const char *delimiter; /* CR LF - - boundary */
	size_t delimiter_n, matched;
	char after[2];         /* of the delimiter */
	int after_n;
	struct buf headers, text;
	size_t texts_n;
	int parts_n;
	enum part_kind kind;
	struct {
		uint8_t *p;
		size_t n, cap;
		const char *type;
	} file;
	const char *name;
	struct pair pairs[MULTIPART_PARTS_MAX];
	struct upload uploads[MULTIPART_FILES_MAX];
	struct multipart_parts parts;
};

bool
media_is(const char *header, const char *type)
{
	size_t n = strlen(type);

	return header && strncasecmp(header, type, n) == 0 && strchr("; \t", header[n]);
}

/* The end of a parameter's value: a quoted one may hold semicolons. */
static const char *
value_end(const char *p)
{
	if (*p != '"')
		return p + strcspn(p, "; \t");
	p++;
	p += strcspn(p, "\"");
	return *p == '"' ? p + 1 : p;
}

const char *
header_param(struct arena *a, const char *header, const char *name, size_t max)
{
	size_t name_n = strlen(name);
	const char *p = header + strcspn(header, ";");

	while (*p == ';') {
		p += 1 + strspn(p + 1, " \t");
		size_t key_n = strcspn(p, "=; \t");
		const char *key = p;
		p += key_n;
		if (*p != '=') {
			p += strcspn(p, ";");
			continue;
		}
		const char *value = ++p;
		p = value_end(p);
		if (key_n == name_n && strncasecmp(key, name, name_n) == 0) {
			size_t n = (size_t)(p - value);
			bool quoted = *value == '"';
			if (quoted && (n < 2 || value[n - 1] != '"'))
				return NULL;
			value += quoted;
			n -= quoted ? 2 : 0;
			return n == 0 || n > max ? NULL : arena_strndup(a, value, n);
		}
		p += strcspn(p, ";");
	}
	return NULL;
}

struct multipart *
multipart_open(struct arena *a, const char *content_type, const struct multipart_rule *rule)
{
	const char *boundary = header_param(a, content_type, "boundary", BOUNDARY_MAX);

	if (!boundary)
		return NULL;
	if (rule->max_files < 0 || rule->max_files > MULTIPART_FILES_MAX)
		BUG("a rule of %d files", rule->max_files);
	struct multipart *m = arena_new(a, struct multipart, 1);
	m->arena = a;
	m->rule = *rule;
	m->delimiter = arena_printf(a, "\r\n--%s", boundary);
	m->delimiter_n = strlen(m->delimiter);
	m->matched = 2; /* the first one has no line break before it */
	buf_init(&m->headers, a, 512);
	return m;
}

/* --- one part ---- */

/* The lines of m->headers.  False unless the part has a name. */
static bool
read_headers(struct multipart *m, const char **ret_name, bool *ret_has_file_name)
{
	const char *p = m->headers.p, *end = p + m->headers.n;

	*ret_name = m->file.type = NULL;
	*ret_has_file_name = false;
	while (p < end) {
		const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
		size_t n = (size_t)((eol ? eol : end) - p);
		if (memchr(p, 0, n))
			return false;
		const char *line = arena_strndup(m->arena, p, n);
		if (strncasecmp(line, "Content-Disposition:", 20) == 0) {
			if (*ret_name || !media_is(line + 20 + strspn(line + 20, " \t"), "form-data"))
				return false;
			*ret_name = header_param(m->arena, line, "name", PART_NAME_MAX);
			*ret_has_file_name = strcasestr(line, "filename=") || strcasestr(line, "filename*=");
		} else if (strncasecmp(line, "Content-Type:", 13) == 0) {
			m->file.type = str_trim(m->arena, line + 13);
		}
		p += n + 2;
	}
	return *ret_name && str_utf8_valid(span_str(*ret_name)) && !str_has_control(*ret_name);
}

static enum err
part_begin(struct multipart *m)
{
	bool has_file_name;

	if (!read_headers(m, &m->name, &has_file_name))
		return ERR_MALFORMED_REQUEST;
	bool wanted = m->rule.file_part && strcmp(m->name, m->rule.file_part) == 0;
	if (has_file_name && !wanted && !m->rule.ignore_files)
		return ERR_MALFORMED_REQUEST;
	m->kind = wanted ? PART_FILE : has_file_name ? PART_FORGOTTEN : PART_TEXT;
	m->file.p = NULL;
	m->file.n = m->file.cap = 0;
	buf_init(&m->text, m->arena, 0);
	m->texts_n += strlen(m->name);
	m->state = IN_CONTENT;
	return m->texts_n > MULTIPART_TEXTS_MAX ? ERR_BODY_TOO_LARGE : OK;
}

static enum err
file_add(struct multipart *m, const void *bytes, size_t n)
{
	size_t need = m->file.n + n, max = (size_t)m->rule.max_file_bytes;
	size_t cap = m->file.cap ? m->file.cap * 4 : FILE_FIRST_BYTES;

	if (need > max)
		return ERR_BODY_TOO_LARGE;
	if (m->parts.n_files >= m->rule.max_files) {
		m->file.n = need; /* one too many: its size is all that matters */
		return OK;
	}
	if (need > m->file.cap) {
		if (m->rule.length >= 0 && max > (size_t)m->rule.length)
			max = (size_t)m->rule.length;
		cap = cap > max ? max : cap;
		cap = cap < need ? need : cap;
		if (FAULT("body.memory") || (m->rule.reserve && !m->rule.reserve(m->rule.arg, cap)))
			return ERR_OVERLOADED;
		uint8_t *p = arena_new(m->arena, uint8_t, cap);
		if (m->file.n)
			memcpy(p, m->file.p, m->file.n);
		m->file.p = p;
		m->file.cap = cap;
	}
	memcpy(m->file.p + m->file.n, bytes, n);
	m->file.n = need;
	return OK;
}

static enum err
content_add(struct multipart *m, const void *bytes, size_t n)
{
	if (n == 0)
		return OK;
	if (m->kind == PART_FILE)
		return file_add(m, bytes, n);
	if (m->kind == PART_TEXT) {
		m->texts_n += n;
		if (m->texts_n > MULTIPART_TEXTS_MAX)
			return ERR_BODY_TOO_LARGE;
		buf_add(&m->text, bytes, n);
	}
	return OK;
}

static enum err
part_finish(struct multipart *m)
{
	m->state = IN_DELIMITED;
	m->after_n = 0;
	if (m->kind == PART_TEXT) {
		struct span text = buf_span(&m->text);
		if (!str_utf8_valid(text))
			return ERR_MALFORMED_REQUEST;
		m->pairs[m->parts.n_pairs++] = (struct pair){m->name, buf_cstr(&m->text)};
	}
	if (m->kind == PART_FILE && m->file.n > 0) {
		if (m->parts.n_files < m->rule.max_files)
			m->uploads[m->parts.n_files] = (struct upload){m->file.type, {m->file.p, m->file.n}};
		m->parts.n_files++;
	}
	return OK;
}

/* --- bytes ---- */

static enum err
take_after(struct multipart *m, char c)
{
	m->after[m->after_n++] = c;
	if (m->after_n < 2)
		return OK;
	if (memcmp(m->after, "--", 2) == 0) {
		m->state = IN_EPILOGUE;
		return OK;
	}
	if (memcmp(m->after, "\r\n", 2) != 0 || m->parts_n++ == MULTIPART_PARTS_MAX)
		return ERR_MALFORMED_REQUEST;
	buf_init(&m->headers, m->arena, 512);
	m->state = IN_HEADERS;
	return OK;
}

/* Up to the end of a line; moves *p. */
static enum err
take_headers(struct multipart *m, const char **p, const char *end)
{
	const char *lf = memchr(*p, '\n', (size_t)(end - *p));
	size_t n = (size_t)((lf ? lf + 1 : end) - *p);
	struct buf *b = &m->headers;

	if (n > MULTIPART_HEADERS_MAX - b->n)
		return ERR_MALFORMED_REQUEST;
	buf_add(b, *p, n);
	*p += n;
	if (!lf || b->n < 4 || memcmp(b->p + b->n - 4, "\r\n\r\n", 4) != 0)
		return OK;
	b->n -= 4;
	m->matched = 0;
	return part_begin(m);
}

/* The delimiter's bytes; in a part, what turned out to be none is content. */
static enum err
take_content(struct multipart *m, char c)
{
	if (c == m->delimiter[m->matched]) {
		if (++m->matched < m->delimiter_n)
			return OK;
		m->matched = 0;
		return part_finish(m);
	}
	if (m->matched) {
		enum err e = content_add(m, m->delimiter, m->matched);
		m->matched = 0;
		if (e != OK)
			return e;
		if (c == '\r') {
			m->matched = 1;
			return OK;
		}
	}
	return content_add(m, &c, 1);
}

static enum err
take_start(struct multipart *m, char c)
{
	if (c != m->delimiter[m->matched])
		return ERR_MALFORMED_REQUEST;
	if (++m->matched == m->delimiter_n) {
		m->matched = 0;
		m->state = IN_DELIMITED;
	}
	return OK;
}

static enum err
take(struct multipart *m, char c)
{
	switch (m->state) {
	case IN_START:
		return take_start(m, c);
	case IN_DELIMITED:
		return take_after(m, c);
	case IN_CONTENT:
		return take_content(m, c);
	default:
		return OK;
	}
}

enum err
multipart_feed(struct multipart *m, const void *bytes, size_t n)
{
	const char *p = bytes, *end = p + n;

	while (p < end && m->state != IN_EPILOGUE) {
		if (m->state == IN_HEADERS) {
			TRY(take_headers(m, &p, end));
			continue;
		}
		if (m->state == IN_CONTENT && m->matched == 0) {
			const char *cr = memchr(p, '\r', (size_t)(end - p));
			const char *stop = cr ? cr : end;
			TRY(content_add(m, p, (size_t)(stop - p)));
			p = stop;
			if (p == end)
				break;
		}
		TRY(take(m, *p++));
	}
	return OK;
}

enum err
multipart_end(struct multipart *m, struct multipart_parts *ret)
{
	if (m->state != IN_EPILOGUE)
		return ERR_MALFORMED_REQUEST;
	m->parts.pairs = m->pairs;
	m->parts.files = m->uploads;
	*ret = m->parts;
	return OK;
}

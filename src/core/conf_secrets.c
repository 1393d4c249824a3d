/*
 * Secrets that ENV=dev makes for itself, once, in DATA_DIR/secrets.env.
 *
 * The file is locked while it is read and appended to, so that two programs that start together agree on one set.  It is written
 * in the form of .env and never re-written: a secret that was made stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/conf_parts.h"
#include "core/crypto.h"
#include "core/file.h"

enum { SECRETS_FILE_MAX = 64 << 10, ADMIN_PASSWORD_CHARS = 20 };

struct found {
	struct conf_making *m;
	const char **values; /* one per row */
};

static void
note_secret(void *arg, const char *name, const char *value)
{
	struct found *f = arg;

	for (size_t i = 0; i < conf_row_count; i++)
		if ((conf_rows[i].flags & CONF_GENERATE) && conf_row_named(&conf_rows[i], name) && value[0])
			f->values[i] = value;
}

/* Letters and digits that are not mistaken for each other, in groups of four; the hyphens are the special character. */
static char *
make_password(struct arena *a)
{
	static const char letters[] = "ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz23456789";
	char *p = arena_alloc(a, ADMIN_PASSWORD_CHARS + 1, 1);
	bool upper, lower, digit;

	do {
		upper = lower = digit = false;
		for (int i = 0; i < ADMIN_PASSWORD_CHARS; i++) {
			uint8_t r;
			if (i % 5 == 4 && i != ADMIN_PASSWORD_CHARS - 1) {
				p[i] = '-';
				continue;
			}
			do /* no letter more likely than another */
				crypto_random(&r, 1);
			while (r >= 256 / (sizeof(letters) - 1) * (sizeof(letters) - 1));
			p[i] = letters[r % (sizeof(letters) - 1)];
			upper = upper || (p[i] >= 'A' && p[i] <= 'Z');
			lower = lower || (p[i] >= 'a' && p[i] <= 'z');
			digit = digit || (p[i] >= '0' && p[i] <= '9');
		}
	} while (!upper || !lower || !digit);
	return p;
}

static const char *
make_value(struct conf_making *m, const struct conf_row *row)
{
	uint8_t bytes[32];

	if (row->type[0] == 't') {
		const char *password = make_password(m->a);
		m->c->generated_admin_password = password;
		return password;
	}
	crypto_random(bytes, sizeof(bytes));
	const char *text = b64url_text(m->a, (struct span){bytes, sizeof(bytes)});
	crypto_wipe(bytes, sizeof(bytes));
	return text;
}

static bool
read_all(int fd, struct buf *ret)
{
	char chunk[1024];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0 && ret->n <= SECRETS_FILE_MAX)
		buf_add(ret, chunk, (size_t)n);
	crypto_wipe(chunk, sizeof(chunk));
	return n == 0;
}

static bool
write_all(int fd, struct span s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s.p += n;
		s.n -= (size_t)n;
	}
	return fsync(fd) == 0;
}

/* `fd` is open and locked. */
static bool
fill(struct conf_making *m, const char *path, int fd)
{
	struct found f = {m, arena_new(m->a, const char *, conf_row_count)};
	struct buf text, more;
	int line;

	buf_init(&text, m->a, 1024);
	buf_init(&more, m->a, 1024);
	if (!read_all(fd, &text))
		return conf_wrong(m, "DATA_DIR: %s cannot be read: %s", path, strerror(errno));
	if (!dotenv_parse(m->a, buf_span(&text), note_secret, &f, &line))
		return conf_wrong(m, "DATA_DIR: %s line %d is not NAME=value", path, line);
	if (text.n && text.p[text.n - 1] != '\n')
		buf_chr(&more, '\n');
	bool made = false;
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];
		char name[64];
		if (!(row->flags & CONF_GENERATE) || m->set[i])
			continue;
		const char *value = f.values[i];
		if (!value) {
			value = make_value(m, row);
			buf_printf(&more, "%s=%s\n", conf_row_name(row, name), value);
			made = true;
		}
		if (!conf_set_row(m, row, value))
			return false;
	}
	if (made && !write_all(fd, buf_span(&more)))
		return conf_wrong(m, "DATA_DIR: %s cannot be written: %s", path, strerror(errno));
	return true;
}

bool
conf_secrets(struct conf_making *m)
{
	bool missing = false;

	for (size_t i = 0; i < conf_row_count; i++)
		missing = missing || ((conf_rows[i].flags & CONF_GENERATE) && !m->set[i]);
	if (!missing)
		return true;
	const char *path = arena_printf(m->a, "%s/secrets.env", m->c->data_dir);
	if (!file_make_folder(m->c->data_dir))
		return conf_wrong(m, "DATA_DIR %s cannot be made: %s", m->c->data_dir, strerror(errno));
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return conf_wrong(m, "DATA_DIR: %s cannot be opened: %s", path, strerror(errno));
	bool good = flock(fd, LOCK_EX) == 0 && fchmod(fd, 0600) == 0;
	good = good ? fill(m, path, fd) : conf_wrong(m, "DATA_DIR: %s cannot be kept private: %s", path, strerror(errno));
	close(fd);
	return good;
}

/*
 * `muster tls-dev`: a certificate for a trial in a LAN, where phones give a page their camera over HTTPS only.
 *
 * An authority signs one certificate for this machine's names and addresses, and its key is never written: whoever lets a phone trust
 * the authority trusts this one certificate.  Files are written beside their place and moved there; without --force what is there
 * stays.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "cli/cli.h"
#include "core/crypto.h"

enum { NAMES_MAX = 32, HOST_MAX = 253, LABEL_MAX = 63, LIFE_DAYS = 90, SLOW_CLOCK_DAYS = 1, SERIAL_BYTES = 16 };

struct names { /* what a browser may write into its address bar for this machine; the first is what we print */
	struct arena *arena;
	const char *items[NAMES_MAX];
	size_t count;
};

struct pair {
	X509 *cert;
	EVP_PKEY *key;
};

static void
pair_free(struct pair *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
}

static void
bio_free(BIO **b)
{
	BIO_free(*b);
}

/* --- names ----------------------------------------------------------------------------------------------------------------- */

static bool
is_address(const char *name)
{
	uint8_t bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* RFC 1123; so a name has no character that means something in a certificate's list of names. */
static bool
is_host(const char *name)
{
	size_t label = 0;

	for (const char *p = name; *p; p++) {
		bool edge = label == 0 || p[1] == '.' || !p[1];
		if (*p == '.' && label) {
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)*p) && (*p != '-' || edge))
			return false;
		if (++label > LABEL_MAX)
			return false;
	}
	return label > 0 && strlen(name) <= HOST_MAX;
}

static void
names_add(struct names *n, const char *name)
{
	if (n->count == NAMES_MAX || (!is_address(name) && !is_host(name)))
		return;
	for (size_t i = 0; i < n->count; i++)
		if (str_eq(n->items[i], name))
			return;
	n->items[n->count++] = str_lower(n->arena, name);
}

static void
add_interfaces(struct names *n, int family)
{
	struct ifaddrs *all;
	char text[INET6_ADDRSTRLEN];

	if (getifaddrs(&all) != 0)
		return;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
			continue;
		const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
		const void *bytes = family == AF_INET6 ? (const void *)six : &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
		if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(six))
			continue; /* needs an interface's name, which certificates cannot say */
		names_add(n, inet_ntop(family, bytes, text, sizeof(text)));
	}
	freeifaddrs(all);
}

/* Addresses before names: a phone in the LAN knows no name of this machine. */
static void
names_of_machine(struct names *n)
{
	char host[HOST_MAX + 1] = "";

	add_interfaces(n, AF_INET);
	add_interfaces(n, AF_INET6);
	if (gethostname(host, sizeof(host) - 1) == 0 && host[0]) {
		names_add(n, host);
		if (!strchr(host, '.'))
			names_add(n, arena_printf(n->arena, "%s.local", host));
	}
	names_add(n, "localhost");
	names_add(n, "127.0.0.1");
	names_add(n, "::1");
}

static const char *
names_extension(const struct names *n)
{
	struct buf out;

	buf_init(&out, n->arena, 512);
	for (size_t i = 0; i < n->count; i++)
		buf_printf(&out, "%s%s:%s", i ? "," : "", is_address(n->items[i]) ? "IP" : "DNS", n->items[i]);
	return buf_cstr(&out);
}

/* --- certificates ---------------------------------------------------------------------------------------------------------- */

struct extension {
	int nid;
	const char *value;
};

static bool
add_extensions(X509 *cert, X509 *issuer, const struct extension *rows, size_t n)
{
	X509V3_CTX x;
	bool good = true;

	X509V3_set_ctx_nodb(&x);
	X509V3_set_ctx(&x, issuer, cert, NULL, NULL, 0);
	for (size_t i = 0; i < n && good; i++) {
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &x, rows[i].nid, rows[i].value);
		good = e && X509_add_ext(cert, e, -1);
		X509_EXTENSION_free(e);
	}
	return good;
}

static bool
set_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_BYTES];

	crypto_random(bytes, sizeof(bytes));
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and of full length */
	BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return good;
}

/* A key and a certificate of it; `by` signs, NULL: itself.  The name in it is for people only. */
static bool
pair_make(struct pair *p, const struct pair *by, const char *name, time_t now, const struct extension *rows, size_t n)
{
	const struct pair *issuer = by ? by : p;

	p->key = EVP_EC_gen("P-256");
	p->cert = X509_new();
	if (!p->key || !p->cert || !X509_set_version(p->cert, X509_VERSION_3) || !set_serial(p->cert))
		return false;
	X509_NAME *subject = X509_get_subject_name(p->cert);
	return X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const uint8_t *)"Muster trial", -1, -1, 0) &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0) &&
	       X509_set_issuer_name(p->cert, X509_get_subject_name(issuer->cert)) &&
	       X509_time_adj_ex(X509_getm_notBefore(p->cert), -SLOW_CLOCK_DAYS, 0, &now) &&
	       X509_time_adj_ex(X509_getm_notAfter(p->cert), LIFE_DAYS, 0, &now) && X509_set_pubkey(p->cert, p->key) &&
	       add_extensions(p->cert, issuer->cert, rows, n) && X509_sign(p->cert, issuer->key, EVP_sha256()) > 0;
}

static bool
authority_make(struct pair *ret, time_t now)
{
	static const struct extension rows[] = {
		{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
		{NID_key_usage, "critical,keyCertSign"},
		{NID_subject_key_identifier, "hash"},
	};

	return pair_make(ret, NULL, "Muster trial authority", now, rows, sizeof(rows) / sizeof(rows[0]));
}

static bool
server_make(struct pair *ret, const struct pair *authority, const struct names *names, time_t now)
{
	const struct extension rows[] = {
		{NID_basic_constraints, "critical,CA:FALSE"},
		{NID_key_usage, "critical,digitalSignature"},
		{NID_ext_key_usage, "serverAuth"},
		{NID_subject_key_identifier, "hash"},
		{NID_authority_key_identifier, "keyid:always"},
		{NID_subject_alt_name, names_extension(names)},
	};

	return pair_make(ret, authority, "Muster trial server", now, rows, sizeof(rows) / sizeof(rows[0]));
}

/* --- files ----------------------------------------------------------------------------------------------------------------- */

struct file {
	const char *path;
	mode_t mode;
	BIO *content;
};

static bool
file_put(struct arena *a, const struct file *f, bool force)
{
	const char *temp = arena_printf(a, "%s.new", f->path);
	char *bytes;
	long n = BIO_get_mem_data(f->content, &bytes);

	(void)unlink(temp);
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, f->mode);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!out)
		return false;
	bool good = fchmod(fd, f->mode) == 0 && fwrite(bytes, 1, (size_t)n, out) == (size_t)n;
	good = fclose(out) == 0 && good;
	if (good && renameat2(AT_FDCWD, temp, AT_FDCWD, f->path, force ? 0 : RENAME_NOREPLACE) == 0)
		return true;
	(void)unlink(temp);
	return false;
}

static int
make_directory(const char *path)
{
	return mkdir(path, 0700) != 0 && errno != EEXIST ? cli_fail("%s cannot be made: %s", path, strerror(errno)) : EXIT_OK;
}

enum { KEY_FILE, CERT_FILE, AUTHORITY_FILE, FILES };

static int
write_files(struct arena *a, const char *const paths[FILES], const struct pair *server, const struct pair *authority, bool force)
{
	CLEANUP(bio_free) BIO *key = BIO_new(BIO_s_secmem());
	CLEANUP(bio_free) BIO *chain = BIO_new(BIO_s_mem());
	CLEANUP(bio_free) BIO *root = BIO_new(BIO_s_mem());
	const struct file files[FILES] = {{paths[KEY_FILE], 0600, key}, {paths[CERT_FILE], 0644, chain}, {paths[AUTHORITY_FILE], 0644, root}};

	if (!key || !chain || !root || !PEM_write_bio_PKCS8PrivateKey(key, server->key, NULL, NULL, 0, NULL, NULL) ||
		!PEM_write_bio_X509(chain, server->cert) || !PEM_write_bio_X509(chain, authority->cert) ||
		!PEM_write_bio_X509(root, authority->cert))
		return cli_fail("the certificate cannot be written as PEM");
	for (int i = 0; i < FILES; i++)
		if (!file_put(a, &files[i], force))
			return cli_fail("%s cannot be written: %s", files[i].path, strerror(errno));
	return EXIT_OK;
}

/* --- the command ----------------------------------------------------------------------------------------------------------- */

static void
say_how(const struct app *app, const char *const paths[FILES], const struct names *names)
{
	const char *first = names->items[0];
	bool six = strchr(first, ':') != NULL;

	printf("certificate  %s, for %d days\nkey          %s\nauthority    %s, for phones that shall not warn\nfor         ",
		paths[CERT_FILE], LIFE_DAYS, paths[KEY_FILE], paths[AUTHORITY_FILE]);
	for (size_t i = 0; i < names->count; i++)
		printf(" %s", names->items[i]);
	printf("\n\nStart the server with them, or put the three variables into .env:\n\n"
	       "  HOST=0.0.0.0 TLS_CERT_FILE=%s TLS_KEY_FILE=%s muster serve\n\n",
		paths[CERT_FILE], paths[KEY_FILE]);
	printf("Then open this on the projector and on phones of the same network, and accept its certificate:\n\n  https://%s%s%s:%ld/app/\n",
		six ? "[" : "", first, six ? "]" : "", app->conf->port);
}

static int
refuse_to_replace(const char *const paths[FILES])
{
	for (int i = 0; i < FILES; i++)
		if (access(paths[i], F_OK) == 0)
			return cli_fail("%s is there already; --force replaces it", paths[i]);
	return EXIT_OK;
}

static int
make_all(struct app *app, const struct args *args, const struct names *names)
{
	CLEANUP(pair_free) struct pair authority = {NULL, NULL};
	CLEANUP(pair_free) struct pair server = {NULL, NULL};
	struct arena *a = &app->arena;
	bool force = args_flag(args, "force");
	const char *given = args_value(args, "dir"), *dir = given ? given : arena_printf(a, "%s/tls", app->conf->data_dir);
	const char *const paths[FILES] = {
		[KEY_FILE] = arena_printf(a, "%s/key.pem", dir),
		[CERT_FILE] = arena_printf(a, "%s/cert.pem", dir),
		[AUTHORITY_FILE] = arena_printf(a, "%s/authority.pem", dir),
	};
	time_t now = (time_t)(app->cx.now_us / SECONDS_US);

	if (!force && refuse_to_replace(paths) != EXIT_OK)
		return EXIT_FAILED;
	if (!authority_make(&authority, now) || !server_make(&server, &authority, names, now))
		return cli_fail("the certificate cannot be made");
	if (make_directory(app->conf->data_dir) != EXIT_OK || make_directory(dir) != EXIT_OK ||
		write_files(a, paths, &server, &authority, force) != EXIT_OK)
		return EXIT_FAILED;
	say_how(app, paths, names);
	return EXIT_OK;
}

int
cmd_tls_dev(const struct args *args)
{
	struct app app;
	int status = EXIT_FAILED;

	for (int i = 0; args->word[i]; i++)
		if (!is_address(args->word[i]) && !is_host(args->word[i]))
			return cli_usage(args, "%s is no host name and no address", args->word[i]);
	if (app_open(&app, APP_CONF)) {
		struct names names = {.arena = &app.arena};
		for (int i = 0; args->word[i]; i++)
			names_add(&names, args->word[i]);
		names_of_machine(&names);
		status = app.conf->env == ENV_PROD ? cli_fail("a certificate of one's own making is for ENV=dev and staging")
						   : make_all(&app, args, &names);
	}
	app_close(&app);
	return status;
}

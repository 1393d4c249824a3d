/* Configuration: every row, every rule's line, .env, generated secrets, masking; and the keys made of it. */
#include "core_env.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/conf.h"
#include "core/json.h"
#include "core/keys.h"

#define S1 "11abcdefghijklmnopqrstuvwxyz012345"
#define S2 "22abcdefghijklmnopqrstuvwxyz012345"
#define S3 "33abcdefghijklmnopqrstuvwxyz012345"
#define S4 "44abcdefghijklmnopqrstuvwxyz012345"
#define SECRETS "SECRET_KEY=" S1, "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=" S3, "MFA_ENCRYPTION_KEY=" S4
#define PROD "ENV=prod", SECRETS

static char folder[] = "/tmp/muster-conf-XXXXXX";

static int
make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
	char path[256];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/var/secrets.env", folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/var", folder);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/.env", folder);
	(void)unlink(path);
	return rmdir(folder);
}

static struct config *
load(const char *const *env)
{
	const char *message = NULL;
	struct config *c = conf_load(env, NULL, &message);

	if (!c)
		fail_msg("%s", message);
	return c;
}
#define LOAD(...) load((const char *const[]){__VA_ARGS__, NULL})

static const char *
refused(const char *const *env)
{
	const char *message = NULL;
	struct config *c = conf_load(env, NULL, &message);

	if (c) {
		conf_free(c);
		return "(accepted)";
	}
	return message;
}

static void
defaults_follow_the_environment(void **state)
{
	(void)state;
	struct config *c = LOAD(SECRETS, "ADMIN_PASSWORD=x");

	assert_int_equal(c->env, ENV_DEV);
	assert_string_equal(c->host, "127.0.0.1");
	assert_int_equal(c->port, 8000);
	assert_string_equal(c->database_url, "sqlite:///./muster.db");
	assert_int_equal(c->signup_policy, SIGNUP_OPEN);
	assert_true(c->docs_enabled && c->open_lecturer_signup && c->auto_migrate && c->rate_limit_enabled);
	assert_string_equal(c->admin_email, "admin@dsclub.com");
	assert_false(c->redis_required);
	assert_int_equal(c->password_hash, HASH_BCRYPT);
	assert_int_equal(c->bcrypt_rounds, 12);
	assert_int_equal(c->qr_expiry_seconds, 60);
	assert_string_equal(c->backup_dir, "./var/backups");
	assert_int_equal(c->upload_allowed_image_types.count, 2);
	assert_int_equal(c->log_level, 2);
	assert_string_equal(c->smtp_url, "");
	assert_null(c->generated_admin_password);
	assert_int_equal(c->warnings.count, 0);
	conf_free(c);

	c = LOAD(PROD, "REDIS_URL=redis://cache:6379/0");
	assert_int_equal(c->signup_policy, SIGNUP_APPROVAL);
	assert_false(c->docs_enabled || c->open_lecturer_signup);
	assert_string_equal(c->admin_email, "");
	assert_true(c->redis_required);
	conf_free(c);

	c = LOAD(PROD, "OPEN_LECTURER_SIGNUP=true", "DOCS_ENABLED=yes", "SIGNUP_POLICY=open", "REDIS_URL=rediss://c",
		"REDIS_REQUIRED=0", "SENTRY_DSN=not-a-dsn", "PUBLIC_BASE_URL=https://attend.example.org/");
	assert_false(c->open_lecturer_signup);
	assert_true(c->docs_enabled);
	assert_int_equal(c->signup_policy, SIGNUP_OPEN);
	assert_false(c->redis_required);
	assert_string_equal(c->sentry_dsn, "");
	assert_string_equal(c->public_base_url, "https://attend.example.org");
	assert_int_equal(c->warnings.count, 2);
	conf_free(c);
}

static void
broken_rules_name_the_variable(void **state)
{
	(void)state;
	static const struct {
		const char *env[10];
		const char *line; /* what it begins with */
	} rows[] = {
		{{"ENV=production"}, "ENV must be one of: dev staging prod"},
		{{"PORT=http"}, "PORT must be a whole number from 0 to 65535"},
		{{"PORT=65536"}, "PORT must be"},
		{{"PORT=80 80"}, "PORT must be"},
		{{"AUTO_MIGRATE=maybe"}, "AUTO_MIGRATE must be true or false"},
		{{"JWT_ALG=none"}, "JWT_ALG must be HS256"},
		{{"ALGORITHM=RS256"}, "JWT_ALG must be HS256"},
		{{"PASSWORD_HASH=md5"}, "PASSWORD_HASH must be one of"},
		{{"BCRYPT_ROUNDS=3"}, "BCRYPT_ROUNDS must be a whole number from 4 to 14"},
		{{"BCRYPT_ROUNDS=15"}, "BCRYPT_ROUNDS must be"},
		{{PROD, "BCRYPT_ROUNDS=9"}, "BCRYPT_ROUNDS under 10 is for ENV=dev only"},
		{{"SECRET_KEY=" S1, "QR_SIGNING_SECRET=" S1}, "QR_SIGNING_SECRET and SECRET_KEY are equal"},
		{{"SECRET_KEY=" S1, "QR_SIGNING_SECRET=" S2 "," S1}, "QR_SIGNING_SECRET and SECRET_KEY are equal"},
		{{"SECRET_KEY=a,b,c,d,e"}, "SECRET_KEY must have at most 4 items"},
		{{"ENV=staging", "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=" S3, "MFA_ENCRYPTION_KEY=" S4}, "SECRET_KEY is missing"},
		{{"ENV=prod", "SECRET_KEY=" S1, "TOKEN_PEPPER=" S3, "MFA_ENCRYPTION_KEY=" S4}, "QR_SIGNING_SECRET is missing"},
		{{"ENV=prod", "SECRET_KEY=" S1, "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=" S3}, "MFA_ENCRYPTION_KEY is missing"},
		{{"ENV=prod", "SECRET_KEY=" S1, "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=short-but-own", "MFA_ENCRYPTION_KEY=" S4},
			"TOKEN_PEPPER is shorter than 32 bytes"},
		{{"ENV=prod", "SECRET_KEY=" S1 ",old", "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=" S3, "MFA_ENCRYPTION_KEY=" S4},
			"SECRET_KEY is shorter than 32 bytes"},
		{{"ENV=prod", "SECRET_KEY=your-secret-key-here-0123456789abcdef", "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=" S3,
			 "MFA_ENCRYPTION_KEY=" S4},
			"SECRET_KEY is a default"},
		{{"ENV=prod", "SECRET_KEY=CHANGE-ME-0123456789abcdef0123456789", "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=" S3,
			 "MFA_ENCRYPTION_KEY=" S4},
			"SECRET_KEY is a default"},
		{{"ENV=prod", "SECRET_KEY=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=" S3,
			 "MFA_ENCRYPTION_KEY=" S4},
			"SECRET_KEY is a default"},
		{{PROD, "ADMIN_PASSWORD=Admin@123"}, "ADMIN_PASSWORD is the well-known default"},
		{{"ENV=staging", SECRETS, "SEED_DEMO_ACCOUNTS=true"}, "SEED_DEMO_ACCOUNTS is for ENV=dev only"},
		{{"ENV=staging", SECRETS, "ADMIN_PASSWORD=Admin@123"}, "ADMIN_PASSWORD is the well-known default"},
		{{PROD, "ADMIN_PASSWORD=your-password"}, "ADMIN_PASSWORD is a placeholder"},
		{{PROD, "OAUTH_GOOGLE_CLIENT_ID=your-client-id", "OAUTH_GOOGLE_CLIENT_SECRET=x"},
			"OAUTH_GOOGLE_CLIENT_ID is a placeholder"},
		{{PROD, "CORS_ORIGINS=your-origin"}, "CORS_ORIGINS is a placeholder"},
		{{"TLS_CERT_FILE=/a.pem"}, "TLS_CERT_FILE and TLS_KEY_FILE must be set together"},
		{{"TLS_KEY_FILE=/a.pem"}, "TLS_CERT_FILE and TLS_KEY_FILE must be set together"},
		{{"DATABASE_URL=mysql://x/y"}, "DATABASE_URL must begin with"},
		{{"DATABASE_URL=sqlite:///"}, "DATABASE_URL names no file"},
		{{"DATABASE_URL=postgresql://"}, "DATABASE_URL must begin with"},
		{{"REDIS_URL=http://x"}, "REDIS_URL must begin with"},
		{{"SMTP_URL=mail.example.org"}, "SMTP_URL must begin with"},
		{{"REDIS_REQUIRED=true"}, "REDIS_REQUIRED needs REDIS_URL"},
		{{"REDIS_REQUIRED=true", "REDIS_URL=redis://x", "REDIS_ENABLED=false"},
			"REDIS_REQUIRED and REDIS_ENABLED=false contradict"},
		{{"PUBLIC_BASE_URL=attend.example.org"}, "PUBLIC_BASE_URL must be a URL"},
		{{"PUBLIC_BASE_URL=javascript://x"}, "PUBLIC_BASE_URL must be a URL"},
		{{"API_PREFIX=v1"}, "API_PREFIX must be a path"},
		{{"API_PREFIX=/v1/"}, "API_PREFIX must be a path"},
		{{"BACKUP_AT=24:00"}, "BACKUP_AT must be a time"},
		{{"BACKUP_AT=3:00"}, "BACKUP_AT must have"},
		{{"BACKUP_AT=03-00"}, "BACKUP_AT must be a time"},
		{{"BACKUP_AT=-1:00"}, "BACKUP_AT must be a time"},
		{{"ADMIN_EMAIL=admin"}, "ADMIN_EMAIL must be an e-mail address"},
		{{"TRUSTED_PROXIES=10.0.0.0/8,proxy"}, "TRUSTED_PROXIES: proxy is not"},
		{{"TRUSTED_PROXIES=10.0.0.0/33"}, "TRUSTED_PROXIES: 10.0.0.0/33 is not"},
		{{"SHARED_NETWORKS=2001:db8::/129"}, "SHARED_NETWORKS: 2001:db8::/129 is not"},
		{{"SINGLE_DEVICE_EXEMPT_ROLES=teacher"}, "SINGLE_DEVICE_EXEMPT_ROLES: teacher is not"},
		{{"UPLOAD_ALLOWED_IMAGE_TYPES=image/svg+xml"}, "UPLOAD_ALLOWED_IMAGE_TYPES: image/svg+xml is not"},
		{{"CORS_ORIGINS=*", "CORS_ALLOW_CREDENTIALS=true"}, "CORS_ORIGINS=* and CORS_ALLOW_CREDENTIALS=true"},
		{{"CORS_ORIGINS=https://a.example/"}, "CORS_ORIGINS: https://a.example/ is not"},
		{{"CORS_ALLOW_ORIGINS=a.example"}, "CORS_ORIGINS: a.example is not"},
		{{"CORS_ORIGINS=*,https://a.example"}, "CORS_ORIGINS: * stands alone"},
		{{"IP_LOCK_TTL=900", "IP_LOCK_MAX_TTL=60"}, "IP_LOCK_MAX_TTL must not be less"},
		{{"STORAGE_BACKEND=s3"}, "S3_ENDPOINT must be a URL"},
		{{"STORAGE_BACKEND=s3", "S3_ENDPOINT=http://s3:9000", "S3_BUCKET=b", "S3_ACCESS_KEY=k"},
			"S3_SECRET_KEY is missing"},
		{{"OAUTH_GOOGLE_CLIENT_ID=x"}, "OAUTH_GOOGLE_CLIENT_ID and OAUTH_GOOGLE_CLIENT_SECRET"},
		{{"OAUTH_MICROSOFT_CLIENT_ID=x", "OAUTH_MICROSOFT_CLIENT_SECRET=y"}, "OAUTH_MICROSOFT_TENANT must name"},
		{{"OAUTH_PROVIDERS=campus"}, "OAUTH_CAMPUS_ISSUER is missing"},
		{{"OAUTH_PROVIDERS=Campus"}, "OAUTH_PROVIDERS: Campus is not"},
		{{"OAUTH_PROVIDERS=google"}, "OAUTH_PROVIDERS: google is not"},
		{{"JWT_ISSUER=a\x1b[2J"}, "JWT_ISSUER must be plain UTF-8"},
		{{"JWT_ISSUER=\xff"}, "JWT_ISSUER must be plain UTF-8"},
		{{"QR_EXPIRY_SECONDS=0"}, "QR_EXPIRY_SECONDS must be"},
		{{"RATE_LIMIT_PER_MINUTE=0"}, "RATE_LIMIT_PER_MINUTE must be"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		/* secrets that a dev row does not name come last, so that nothing is generated here */
		const char *env[20];
		size_t n = 0;
		for (; rows[i].env[n]; n++)
			env[n] = rows[i].env[n];
		if (strncmp(env[0], "ENV=", 4) != 0 || strcmp(env[0], "ENV=production") == 0)
			for (const char *const *s = (const char *const[]){SECRETS, "ADMIN_PASSWORD=x", NULL}; *s; s++)
				env[n++] = *s;
		env[n] = NULL;
		const char *line = refused(env);
		if (!str_starts(line, rows[i].line) || strchr(line, '\n') || strstr(line, S1))
			fail_msg("row %zu: %s\n  not %s", i, line, rows[i].line);
	}
}

static void
every_row_round_trips(void **state)
{
	(void)state;
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];
		size_t n = strcspn(row->names, "|");
		const char *name = arena_strndup(&arena, row->names, n), *value;
		/* the member is the documented name in lower case, and its default is valid */
		assert_true(row->text[0] != 0);
		assert_true(n < 60);
		if (row->type[0] == 'i')
			value = arena_printf(&arena, "%lld", (long long)row->max);
		else if (row->type[0] == 'b')
			value = "true";
		else if (row->type[0] == 'e')
			value = arena_strndup(&arena, row->choices, strcspn(row->choices, "|"));
		else
			continue;
		char *setting = arena_printf(&arena, "%s= %s", name, value);
		memmove(setting + n + 1, setting + n + 2, strlen(setting + n + 1));
		struct config *c = LOAD(setting, SECRETS, "ADMIN_PASSWORD=x", "REDIS_URL=redis://x", "S3_ENDPOINT=http://s",
			"S3_BUCKET=b", "S3_ACCESS_KEY=k", "S3_SECRET_KEY=k");
		char *json = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&json, &size);
		conf_print(c, out, true);
		(void)fclose(out);
		const json_t *v = json_object_get(json_read(&arena, (struct span){(uint8_t *)json, size}), name);
		char *shown = json_dumps(v, JSON_ENCODE_ANY);
		if (!shown || !strstr(shown, value))
			fail_msg("%s=%s shows %s", name, value, shown ? shown : "nothing");
		free(shown);
		free(json);
		conf_free(c);
	}
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static void
environment_wins_over_the_file(void **state)
{
	(void)state;
	char path[256];
	const char *message;

	(void)snprintf(path, sizeof(path), "%s/.env", folder);
	write_file(path, "PORT=1111\nPORT=2222\nexport HOST='::1'\nQR_EXPIRY_SECONDS=30 # seconds\r\nJWT_SECRET=" S1 "\nNOISE=1\n"
			 "OAUTH_PROVIDERS=campus\nOAUTH_CAMPUS_ISSUER=https://id.example.org\nOAUTH_CAMPUS_CLIENT_ID=a\n"
			 "OAUTH_CAMPUS_CLIENT_SECRET=geheimnis\nBCRYPT_ROUNDS=\nCORS_ORIGINS= https://a.example , "
			 ",https://b.example:8443\n");
	const char *env[] = {"QR_EXPIRY_SECONDS=45", "HOST=", "QR_SIGNING_SECRET=" S2 " , " S3, "TOKEN_PEPPER=" S3,
		"MFA_ENCRYPTION_KEY=" S4, "ADMIN_PASSWORD=x", "OAUTH_CAMPUS_CLIENT_ID=b", NULL};
	struct config *c = conf_load(env, path, &message);
	if (!c)
		fail_msg("%s", message);
	assert_int_equal(c->port, 2222);
	assert_string_equal(c->host, "::1");
	assert_int_equal(c->qr_expiry_seconds, 45);
	assert_int_equal(c->bcrypt_rounds, 12);
	assert_string_equal(c->secret_key.items[0], S1);
	assert_int_equal(c->qr_signing_secret.count, 2);
	assert_string_equal(c->qr_signing_secret.items[1], S3);
	assert_int_equal(c->cors_origins.count, 2);
	assert_true(conf_list_has(&c->cors_origins, "https://b.example:8443"));
	assert_int_equal(c->unknown.count, 1);
	assert_string_equal(c->unknown.items[0], "NOISE");
	assert_string_equal(conf_extra(c, "OAUTH_CAMPUS_CLIENT_ID"), "b");
	assert_string_equal(conf_extra(c, "OAUTH_CAMPUS_ISSUER"), "https://id.example.org");
	assert_string_equal(conf_extra(c, "OAUTH_OTHER_ISSUER"), "");
	conf_free(c);

	write_file(path, "PORT=1\n\n# fine\nthis is not a setting\n");
	assert_null(conf_load(env, path, &message));
	assert_true(str_ends(message, ".env line 4 is not NAME=value"));
	assert_int_equal(unlink(path), 0);
	c = LOAD(SECRETS, "ADMIN_PASSWORD=x");
	conf_free(c);
	env[0] = "SECRET_KEY=" S1;
	c = conf_load(env, path, &message); /* no file is no error */
	assert_non_null(c);
	conf_free(c);
}

struct seen {
	char text[1024];
};

static void
see(void *arg, const char *name, const char *value)
{
	struct seen *s = arg;
	size_t n = strlen(s->text);

	(void)snprintf(s->text + n, sizeof(s->text) - n, "%s=[%s];", name, value);
}

static void
dotenv_grammar(void **state)
{
	(void)state;
	static const struct {
		const char *text, *seen;
		int line; /* of the mistake, 0: none */
	} rows[] = {
		{"", "", 0},
		{"A=1", "A=[1];", 0},
		{"A=1\nB=2\n", "A=[1];B=[2];", 0},
		{"A=1\r\nB=2\r\n", "A=[1];B=[2];", 0},
		{"\xef\xbb\xbf"
		 "A=1",
			"A=[1];", 0},
		{"  export  A = 1  ", "A=[1];", 0},
		{"export=1", "export=[1];", 0},
		{"# note\n\n \t\nA=1", "A=[1];", 0},
		{"A=1 # note", "A=[1];", 0},
		{"A=1#note", "A=[1#note];", 0},
		{"A=#note", "A=[#note];", 0},
		{"A= # note", "A=[];", 0},
		{"A=", "A=[];", 0},
		{"A=a b  c", "A=[a b  c];", 0},
		{"A=a=b", "A=[a=b];", 0},
		{"A='a # b' # c", "A=[a # b];", 0},
		{"A='a\\n$B\"'", "A=[a\\n$B\"];", 0},
		{"A=\"a\\n\\t\\\"\\\\ $B\" ", "A=[a\n\t\"\\ $B];", 0},
		{"A=\"\\x\"", "A=[\\x];", 0},
		{"A=it's", "A=[it's];", 0},
		{"A=ü", "A=[ü];", 0},
		{"A=1\nA=2", "A=[1];A=[2];", 0},
		{"A", "", 1},
		{"A=1\nB", "A=[1];", 2},
		{"=1", "", 1},
		{"1A=1", "", 1},
		{"A-B=1", "", 1},
		{"A B=1", "", 1},
		{"A='open", "", 1},
		{"A=\"open\\\"", "", 1},
		{"A='x'y", "", 1},
		{"A='x'#y", "", 1},
		{"\nA=\xff", "", 2},
		{"export", "", 1},
		{"export A", "", 1},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct seen s = {.text = ""};
		int line = 0;
		bool good = dotenv_parse(&arena, span_str(rows[i].text), see, &s, &line);
		if (good != (rows[i].line == 0) || line != rows[i].line || strcmp(s.text, rows[i].seen) != 0)
			fail_msg("%s: %s line %d", rows[i].text, s.text, line);
	}
	struct seen s = {.text = ""};
	int line;
	assert_false(dotenv_parse(&arena, SPAN_LIT("A=1\0B"), see, &s, &line));
}

static void
dev_makes_its_secrets_once(void **state)
{
	(void)state;
	struct stat st;
	char dir[256], path[256], first[64];

	(void)snprintf(dir, sizeof(dir), "DATA_DIR=%s/var", folder);
	(void)snprintf(path, sizeof(path), "%s/var/secrets.env", folder);
	(void)unlink(path);
	struct config *c = LOAD(dir, "TOKEN_PEPPER=" S3);
	assert_int_equal(strlen(c->secret_key.items[0]), 43);
	assert_string_not_equal(c->secret_key.items[0], c->qr_signing_secret.items[0]);
	assert_string_equal(c->token_pepper.items[0], S3);
	assert_non_null(c->generated_admin_password);
	assert_string_equal(c->generated_admin_password, c->admin_password);
	assert_non_null(strpbrk(c->admin_password, "ABCDEFGHJKMNPQRSTVWXYZ"));
	assert_non_null(strpbrk(c->admin_password, "abcdefghjkmnpqrstvwxyz"));
	assert_non_null(strpbrk(c->admin_password, "23456789"));
	assert_non_null(strchr(c->admin_password, '-'));
	str_copy(first, sizeof(first), c->secret_key.items[0]);
	conf_free(c);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	c = LOAD(dir, "TOKEN_PEPPER=" S3);
	assert_string_equal(c->secret_key.items[0], first);
	assert_null(c->generated_admin_password);
	assert_int_equal(strlen(c->admin_password), 20);
	conf_free(c);

	c = LOAD(dir); /* one more is missing now: added, the others stay */
	assert_string_equal(c->secret_key.items[0], first);
	assert_string_not_equal(c->token_pepper.items[0], S3);
	conf_free(c);

	assert_string_equal(refused((const char *const[]){"ENV=prod", dir, NULL}),
		"SECRET_KEY is missing; in staging and prod it must be set (openssl rand -hex 32)");
	const char *line = refused((const char *const[]){"DATA_DIR=/proc/nowhere", NULL});
	assert_true(str_starts(line, "DATA_DIR /proc/nowhere cannot be made"));
}

static const char *
printed(const struct config *c, bool as_json)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	conf_print(c, out, as_json);
	(void)fclose(out);
	char *copy = arena_strdup(&arena, text);
	free(text);
	return copy;
}

static void
secrets_are_masked_and_scrubbed(void **state)
{
	(void)state;
	struct config *c = LOAD(SECRETS, "ADMIN_PASSWORD=geheim-1",
		"DATABASE_URL=postgresql://muster:geheim-2@db/muster?sslmode=require", "SMTP_URL=smtp://u:geheim-3@mail:587",
		"SENTRY_DSN=https://geheim4@sentry.example.org/1", "METRICS_TOKEN=geheim-5", "REDIS_URL=redis://:geheim-6@cache",
		"OAUTH_PROVIDERS=campus", "OAUTH_CAMPUS_ISSUER=https://id.example.org", "OAUTH_CAMPUS_CLIENT_ID=a",
		"OAUTH_CAMPUS_CLIENT_SECRET=geheim-7");
	for (int as_json = 0; as_json < 2; as_json++) {
		const char *text = printed(c, as_json);
		assert_null(strstr(text, "geheim"));
		assert_null(strstr(text, S1));
		assert_non_null(strstr(text, "postgresql://muster:********@db/muster?sslmode=require"));
		assert_non_null(strstr(text, "https://********@sentry.example.org/1"));
	}
	assert_non_null(strstr(printed(c, false), "\nSECRET_KEY=********\n"));
	assert_non_null(strstr(printed(c, false), "\nPORT=8000\n"));
	assert_non_null(json_read(&arena, span_str(printed(c, true))));
	conf_free(c);

	/* the bytes themselves must go, not only the name: /proc/PID/environ shows the old place */
	char secret[] = "SECRET_KEY=geheim", alias[] = "JWT_SECRET=geheim", oauth[] = "OAUTH_X_CLIENT_SECRET=geheim",
	     port[] = "PORT=1", odd[] = "nonsense";
	char *mine[] = {secret, port, alias, oauth, odd, NULL}, **before = environ;
	environ = mine;
	conf_scrub_environment();
	environ = before;
	assert_ptr_equal(mine[0], port);
	assert_ptr_equal(mine[1], odd);
	assert_null(mine[2]);
	assert_string_equal(secret + 11, "");
	assert_memory_equal(secret + 11, "\0\0\0\0\0\0", 6);
	assert_memory_equal(oauth + 22, "\0\0\0\0\0\0", 6);
}

static void
reference_and_example_list_every_row(void **state)
{
	(void)state;
	char *docs = NULL, *example = NULL;
	size_t n;
	FILE *out = open_memstream(&docs, &n);

	conf_print_docs(out);
	(void)fclose(out);
	out = open_memstream(&example, &n);
	conf_print_example(out);
	(void)fclose(out);
	for (size_t i = 0; i < conf_row_count; i++) {
		const char *name = arena_strndup(&arena, conf_rows[i].names, strcspn(conf_rows[i].names, "|"));
		assert_non_null(strstr(docs, arena_printf(&arena, "\n| `%s`", name)));
		assert_non_null(strstr(example, arena_printf(&arena, "\n#%s=%s\n", name, conf_rows[i].fallback)));
	}
	struct seen s = {.text = ""};
	int line;
	assert_true(dotenv_parse(&arena, span_str(example), see, &s, &line));
	assert_string_equal(s.text, ""); /* as it is, it sets nothing */
	free(docs);
	free(example);
}

static void
keys_are_one_per_use_and_secret(void **state)
{
	(void)state;
	struct config *c = LOAD("SECRET_KEY=" S1 "," S4 "," S1, "QR_SIGNING_SECRET=" S2, "TOKEN_PEPPER=" S3,
		"MFA_ENCRYPTION_KEY=" S4, "ADMIN_PASSWORD=x");
	struct keys *k = keys_open(c), *again = keys_open(c);
	uint8_t seen[KEY__MAX][KEY_BYTES];

	assert_int_equal(key_count(k, KEY_ACCESS), 2); /* the same secret twice is one key */
	assert_int_equal(key_count(k, KEY_QR), 1);
	for (int use = 1; use < KEY__MAX; use++) {
		const struct key *key = key_current(k, (enum key_use)use);
		assert_int_equal(strlen(key->id), 8);
		assert_ptr_equal(key_find(k, (enum key_use)use, key->id), key);
		assert_int_equal(key_span(key).n, KEY_BYTES);
		assert_memory_equal(key->bytes, key_current(again, (enum key_use)use)->bytes, KEY_BYTES);
		memcpy(seen[use], key->bytes, KEY_BYTES);
		for (int other = 1; other < use; other++)
			assert_memory_not_equal(seen[use], seen[other], KEY_BYTES);
	}
	assert_string_equal(key_nth(k, KEY_ACCESS, 1)->id, key_current(k, KEY_FERNET)->id); /* the id follows the secret */
	assert_memory_not_equal(key_nth(k, KEY_ACCESS, 1)->bytes, key_current(k, KEY_FERNET)->bytes, KEY_BYTES);
	assert_null(key_find(k, KEY_QR, key_current(k, KEY_ACCESS)->id));
	assert_null(key_find(k, KEY_QR, ""));
	keys_close(k);
	keys_close(again);
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(defaults_follow_the_environment, reset),
		cmocka_unit_test_teardown(broken_rules_name_the_variable, reset),
		cmocka_unit_test_teardown(every_row_round_trips, reset),
		cmocka_unit_test_teardown(environment_wins_over_the_file, reset),
		cmocka_unit_test_teardown(dotenv_grammar, reset),
		cmocka_unit_test_teardown(dev_makes_its_secrets_once, reset),
		cmocka_unit_test_teardown(secrets_are_masked_and_scrubbed, reset),
		cmocka_unit_test_teardown(reference_and_example_list_every_row, reset),
		cmocka_unit_test_teardown(keys_are_one_per_use_and_secret, reset),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

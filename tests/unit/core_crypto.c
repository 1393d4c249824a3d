/* Primitives against published vectors: RFC 4648, 4231, 5869; the strictness of decoders; the random buffer across fork. */
#include "core_env.h"

#include <pthread.h>
#include <sys/wait.h>

#include "core/crypto.h"

static void
base64url(void **state)
{
	(void)state;
	static const char *const rows[][2] = {{"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"}, {"foob", "Zm9vYg"},
		{"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {"Z", "Zm9vY", "Zg==", "Zg=", "Zm 9v", "Zm9v\n", "Zm+v", "Zm/v", "Zh", "Zm9", "Zm-",
		"Zm9vYmF=", "Zm9v.", "\xc3\xbc\x61\x61", "Zm9vYn", "Zm9vYmF"};
	struct span out;

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_string_equal(b64url_text(&arena, span_str(rows[i][0])), rows[i][1]);
		assert_int_equal(b64url_encoded_size(strlen(rows[i][0])), strlen(rows[i][1]));
		assert_true(b64url_decode(&arena, rows[i][1], strlen(rows[i][1]), &out));
		assert_int_equal(out.n, strlen(rows[i][0]));
		assert_memory_equal(out.p, rows[i][0], out.n);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		if (b64url_decode(&arena, bad[i], strlen(bad[i]), &out))
			fail_msg("%s", bad[i]);
	assert_false(b64url_decode(&arena, "Zm\0v", 4, &out));
	uint8_t all[256];
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	char *text = b64url_text(&arena, (struct span){all, 256});
	assert_true(b64url_decode(&arena, text, strlen(text), &out));
	assert_memory_equal(out.p, all, 256);
	assert_string_equal(b64url_text(&arena, (struct span){(const uint8_t *)"\xfb\xff\xbf", 3}), "-_-_");
}

static void
hex(void **state)
{
	(void)state;
	char text[9];
	uint8_t b[4];

	hex_encode((struct span){(const uint8_t *)"\x00\x9f\xa0\xff", 4}, text);
	assert_string_equal(text, "009fa0ff");
	assert_true(hex_decode("009FA0ff", b, 4));
	assert_memory_equal(b, "\x00\x9f\xa0\xff", 4);
	assert_false(hex_decode("009fa0f", b, 4));
	assert_false(hex_decode("009fa0ff0", b, 4));
	assert_false(hex_decode("009fa0fg", b, 4));
}

static void
assert_hex(const uint8_t *bytes, const char *want)
{
	char text[2 * SHA256_BYTES + 1];

	hex_encode((struct span){bytes, SHA256_BYTES}, text);
	assert_string_equal(text, want);
}

static struct span
repeat(int byte, size_t n)
{
	uint8_t *p = arena_alloc(&arena, n, 1);

	memset(p, byte, n);
	return (struct span){p, n};
}

static void
hmac_vectors(void **state)
{
	(void)state;
	const struct {
		struct span key, data;
		const char *mac;
	} rows[] = {
		{repeat(0x0b, 20), SPAN_LIT("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{SPAN_LIT("Jefe"), SPAN_LIT("what do ya want for nothing?"),
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{repeat(0xaa, 20), repeat(0xdd, 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{SPAN_LIT("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19"),
			repeat(0xcd, 50), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
		{repeat(0xaa, 131), SPAN_LIT("Test Using Larger Than Block-Size Key - Hash Key First"),
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{repeat(0xaa, 131),
			SPAN_LIT("This is a test using a larger than block-size key and a larger than block-size data. The key "
				 "needs "
				 "to be hashed before being used by the HMAC algorithm."),
			"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
		{SPAN_LIT(""), SPAN_LIT(""), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
	};
	uint8_t mac[SHA256_BYTES], longer[SHA256_BYTES];

	/* a key that begins like one that was kept is another key */
	crypto_hmac(SPAN_LIT("Jefe's"), &rows[1].data, 1, longer);
	crypto_hmac(rows[1].key, &rows[1].data, 1, mac);
	assert_hex(mac, rows[1].mac);
	assert_memory_not_equal(mac, longer, sizeof(mac));
	for (int round = 0; round < 3; round++) /* fresh, from the kept contexts, and with keys pushing each other out */
		for (size_t i = 0; i < COUNT(rows); i++) {
			crypto_hmac(rows[i].key, &rows[i].data, 1, mac);
			assert_hex(mac, rows[i].mac);
			struct span parts[] = {{rows[i].data.p, rows[i].data.n / 2},
				{rows[i].data.p + rows[i].data.n / 2, rows[i].data.n - rows[i].data.n / 2}};
			crypto_hmac(rows[i].key, parts, 2, mac);
			assert_hex(mac, rows[i].mac);
			for (int k = 0; round == 2 && k < 20; k++)
				crypto_hmac(repeat(k, 32), parts, 2, mac);
		}
}

static void
hash_and_hkdf_vectors(void **state)
{
	(void)state;
	uint8_t out[SHA256_BYTES];

	crypto_sha256(SPAN_LIT("abc"), out);
	assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	crypto_sha256((struct span){0}, out);
	assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	/* RFC 5869, A.3: the first 32 of 42 bytes */
	crypto_hkdf(repeat(0x0b, 22), "", out);
	assert_hex(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
	uint8_t other[SHA256_BYTES];
	crypto_hkdf(repeat(0x0b, 22), "another use", other);
	assert_false(crypto_equal(out, other, sizeof(out)));
	assert_true(crypto_equal(out, out, sizeof(out)));
}

static void
crockford(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"ABC123", "ABC123"},
		{"abc-123", "ABC123"},
		{" a b c 1 2 3 ", "ABC123"},
		{"iLoO01", "110001"},
		{"abc12", NULL},
		{"abc1234", NULL},
		{"abcu12", NULL},
		{"abc!12", NULL},
		{"", NULL},
		{"------", NULL},
		{"abc\t123", NULL},
		{"äbc123", NULL},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char got[7] = "keep";
		assert_int_equal(crockford_canonical(rows[i].in, 6, got), rows[i].out != NULL);
		assert_string_equal(got, rows[i].out ? rows[i].out : "keep");
	}
	assert_int_equal(strlen(crockford_alphabet), 32);
}

static void
random_is_never_given_twice(void **state)
{
	(void)state;
	uint8_t a[5000] = {0}, b[5000] = {0}, here[16], there[16];
	int ends[2], zeros = 0, status;

	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	for (size_t i = 0; i < sizeof(a); i++)
		zeros += a[i] == 0;
	assert_in_range(zeros, 1, 60); /* about 20 of 5000 */
	/* parent and child must not draw the same bytes out of a copied buffer */
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		crypto_random(there, sizeof(there));
		_exit(write(ends[1], there, sizeof(there)) == sizeof(there) ? 0 : 1);
	}
	crypto_random(here, sizeof(here));
	assert_int_equal(read(ends[0], there, sizeof(there)), sizeof(there));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_memory_not_equal(here, there, sizeof(here));
	close(ends[0]);
	close(ends[1]);
}

static void *
in_thread(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		struct span data = {arg, 1};
		crypto_hmac((struct span){arg, 32}, &data, 1, (uint8_t *)arg + 32);
	}
	return NULL;
}

static void
threads_have_contexts_of_their_own(void **state)
{
	(void)state;
	uint8_t work[4][64] = {{1}, {2}, {3}, {4}}, mac[SHA256_BYTES];
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, in_thread, work[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		crypto_hmac((struct span){work[i], 32}, &(struct span){work[i], 1}, 1, mac);
		assert_memory_equal(mac, work[i] + 32, SHA256_BYTES);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(base64url, reset),
		cmocka_unit_test(hex),
		cmocka_unit_test_teardown(hmac_vectors, reset),
		cmocka_unit_test_teardown(hash_and_hkdf_vectors, reset),
		cmocka_unit_test(crockford),
		cmocka_unit_test(random_is_never_given_twice),
		cmocka_unit_test(threads_have_contexts_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

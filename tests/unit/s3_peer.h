/* A bucket of an S3-compatible store, in memory: PUT, GET, DELETE and ListObjectsV2 of small objects.  It looks at no signature. */
#ifndef MUSTER_TESTS_S3_PEER_H
#define MUSTER_TESTS_S3_PEER_H

#include "support.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OBJECTS = 256, OBJECT_NAME = 128, OBJECT_BYTES = 4096, REQUEST_BYTES = 16384 };

struct object {
	char name[OBJECT_NAME]; /* "": none */
	size_t n;
	char bytes[OBJECT_BYTES];
};
struct bucket {
	int listener, port;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	struct object objects[OBJECTS], kept[OBJECTS];
};

/* The one of this name; with `make`, a free one is given it. */
static struct object *
bucket_find(struct bucket *b, const char *name, bool make)
{
	for (int i = 0; i < OBJECTS; i++)
		if (*name && strcmp(b->objects[i].name, name) == 0)
			return &b->objects[i];
	for (int i = 0; i < OBJECTS && make; i++)
		if (!b->objects[i].name[0]) {
			(void)str_copy(b->objects[i].name, OBJECT_NAME, name);
			return &b->objects[i];
		}
	return NULL;
}

/* Head and body, NUL-terminated; the body's place, NULL when it did not come. */
static char *
bucket_read(int c, char *out)
{
	size_t n = 0;

	while (n < REQUEST_BYTES - 1) {
		ssize_t got = recv(c, out + n, REQUEST_BYTES - 1 - n, 0);
		if (got <= 0)
			return NULL;
		n += (size_t)got;
		out[n] = '\0';
		char *end = strstr(out, "\r\n\r\n");
		const char *length = end ? strcasestr(out, "\r\nContent-Length: ") : NULL;
		size_t wanted = length && length < end ? strtoul(length + 18, NULL, 10) : 0;
		if (end && n >= (size_t)(end + 4 - out) + wanted)
			return end + 4;
	}
	return NULL;
}

/* Names as ListObjectsV2 tells them: in order, those with the prefix and after another. */
static size_t
bucket_list(struct bucket *b, const char *query, char *out, size_t max)
{
	char prefix[OBJECT_NAME] = "", last[OBJECT_NAME] = "";
	const char *at = strstr(query, "prefix="), *after = strstr(query, "start-after=");
	size_t n = (size_t)snprintf(out, max, "<ListBucketResult>");

	for (size_t i = 0; at && i < OBJECT_NAME - 1 && at[7] && at[7] != '&' && at[7] != ' '; i++, at++) {
		bool slash = strncmp(at + 7, "%2F", 3) == 0;
		prefix[i] = slash ? '/' : at[7];
		at += slash ? 2 : 0;
	}
	for (bool found = !after; found;) { /* one page is all there is */
		const struct object *next = NULL;
		for (int i = 0; i < OBJECTS; i++) {
			const struct object *o = &b->objects[i];
			if (str_starts(o->name, prefix) && strcmp(o->name, last) > 0 && (!next || strcmp(o->name, next->name) < 0))
				next = o;
		}
		if ((found = next != NULL)) {
			n += (size_t)snprintf(out + n, max - n, "<Contents><Key>%s</Key></Contents>", next->name);
			(void)str_copy(last, sizeof(last), next->name);
		}
	}
	return n + (size_t)snprintf(out + n, max - n, "</ListBucketResult>");
}

static void
bucket_answer(int c, int status, const char *body, size_t n)
{
	char head[100];
	int size = snprintf(head, sizeof(head), "HTTP/1.1 %d x\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, n);

	(void)!send(c, head, (size_t)size, MSG_NOSIGNAL | MSG_MORE);
	(void)!send(c, body, n, MSG_NOSIGNAL);
}

static void
bucket_serve(struct bucket *b, int c, char *request, const char *body)
{
	static char list[OBJECTS * (OBJECT_NAME + 64)];
	char method[8] = "", target[1024] = "";

	(void)sscanf(request, "%7s %1023s", method, target);
	char *name = strstr(target, "/rooms/"), *query = strchr(target, '?');
	if (!name) {
		bucket_answer(c, 200, list, bucket_list(b, query ? query : "", list, sizeof(list)));
		return;
	}
	name += strlen("/rooms/");
	struct object *o = bucket_find(b, name, strcmp(method, "PUT") == 0);
	if (strcmp(method, "PUT") == 0 && o) {
		o->n = strtoul(strcasestr(request, "\r\nContent-Length: ") + 18, NULL, 10);
		assert_true(o->n <= OBJECT_BYTES);
		memcpy(o->bytes, body, o->n);
	} else if (strcmp(method, "DELETE") == 0 && o) {
		o->name[0] = '\0';
	}
	if (strcmp(method, "GET") == 0)
		bucket_answer(c, o ? 200 : 404, o ? o->bytes : "", o ? o->n : 0);
	else
		bucket_answer(c, o ? 200 : 404, "", 0);
}

static void *
bucket_run(void *arg)
{
	static char request[REQUEST_BYTES];
	struct bucket *b = arg;

	for (;;) {
		int c = accept(b->listener, NULL, NULL);
		if (c < 0)
			return NULL;
		const char *body = bucket_read(c, request);
		(void)pthread_mutex_lock(&b->lock);
		if (body)
			bucket_serve(b, c, request, body);
		(void)pthread_mutex_unlock(&b->lock);
		(void)close(c);
	}
}

static void
bucket_open(struct bucket *b)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	memset(b, 0, sizeof(*b));
	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)pthread_mutex_init(&b->lock, NULL);
	assert_int_equal(bind(b->listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(b->listener, 8), 0);
	assert_int_equal(getsockname(b->listener, (struct sockaddr *)&at, &n), 0);
	b->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&b->thread, NULL, bucket_run, b), 0);
}

static void
bucket_close(struct bucket *b)
{
	(void)shutdown(b->listener, SHUT_RDWR);
	(void)pthread_join(b->thread, NULL);
	(void)close(b->listener);
	(void)pthread_mutex_destroy(&b->lock);
}

/* Remembers what is there, or makes it that again. */
static void
bucket_keep(struct bucket *b, bool put_back)
{
	(void)pthread_mutex_lock(&b->lock);
	memcpy(put_back ? b->objects : b->kept, put_back ? b->kept : b->objects, sizeof(b->kept));
	(void)pthread_mutex_unlock(&b->lock);
}

static int
bucket_count(struct bucket *b)
{
	int n = 0;

	(void)pthread_mutex_lock(&b->lock);
	for (int i = 0; i < OBJECTS; i++)
		n += b->objects[i].name[0] != '\0';
	(void)pthread_mutex_unlock(&b->lock);
	return n;
}

#endif

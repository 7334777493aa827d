/*
 * The ring through libipcx.so, as a C program uses it: a worker of ipcx-bench.
 *
 *     ipcx-bench-ring-c worker ring-c WORKLOAD SIDE CPU LABEL FDS
 *
 * Speaks the line protocol described in src/worker.rs and carries the same numbered payload as every
 * other contender (src/payload.rs), so that its figures can be divided by theirs.
 */
#define _GNU_SOURCE
#include <ipcx.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, WORDS = SIZE / 8, BATCH = 64, CAPACITY = 1 << 20, ROUND_LIMIT_S = 60 };
#define MIX UINT64_C(0x9e3779b97f4a7c15)

/* All words of a payload at once, so that gcc makes of fill() and check() what rustc makes of theirs. */
typedef uint64_t words __attribute__((vector_size(SIZE)));
static const words OFFSETS = {1, 1 + MIX, 1 + 2 * MIX, 1 + 3 * MIX, 1 + 4 * MIX, 1 + 5 * MIX, 1 + 6 * MIX, 1 + 7 * MIX};

struct payload {
	words words;
};

struct worker {
	int is_near;
	const char *workload;
	ipcx_ring *there, *back;
	ipcx_producer *out;
	ipcx_consumer *in;
	uint64_t next; /* the next message's number */
};

static void fail(const char *what, int code)
{
	printf("fail %s: %s: %s\n", what, ipcx_strerror(code), ipcx_last_error());
	fflush(stdout);
	exit(1);
}

static inline void must(int code, const char *what)
{
	if (code != IPCX_OK)
		fail(what, code);
}

static inline void fill(struct payload *payload, uint64_t number)
{
	payload->words = OFFSETS + number;
}

static inline void check(const struct payload *payload, uint64_t number)
{
	words differences = payload->words ^ (OFFSETS + number);
	uint64_t difference = 0;
	for (unsigned i = 0; i < WORDS; i++)
		difference |= differences[i];
	if (difference != 0)
		fail("a message did not arrive as it was sent", IPCX_E_CORRUPT);
}

static inline void send_one(struct worker *w, const struct payload *payload)
{
	must(ipcx_producer_send(w->out, payload, SIZE, IPCX_FOREVER), "send");
}

static inline void recv_one(struct worker *w, struct payload *payload)
{
	size_t len = 0;
	must(ipcx_consumer_recv(w->in, payload, SIZE, &len, IPCX_FOREVER), "recv");
	if (len != SIZE)
		fail("a message had another length", IPCX_E_CORRUPT);
}

static void round_trips(struct worker *w, uint64_t count)
{
	struct payload payload;
	for (uint64_t number = w->next; number < w->next + count; number++) {
		if (w->is_near) {
			fill(&payload, number);
			send_one(w, &payload);
		}
		recv_one(w, &payload);
		check(&payload, number);
		if (!w->is_near)
			send_one(w, &payload);
	}
}

static void one_way(struct worker *w, uint64_t count)
{
	struct payload payload;
	for (uint64_t number = w->next; number < w->next + count; number++) {
		if (w->is_near) {
			fill(&payload, number);
			send_one(w, &payload);
		} else {
			recv_one(w, &payload);
			check(&payload, number);
		}
	}
}

static void send_batches(struct worker *w, uint64_t count)
{
	static struct payload batch[BATCH];
	struct iovec parts[BATCH];
	for (size_t i = 0; i < BATCH; i++)
		parts[i] = (struct iovec){.iov_base = &batch[i], .iov_len = SIZE};
	for (uint64_t number = w->next; number < w->next + count; number += BATCH) {
		for (size_t i = 0; i < BATCH; i++)
			fill(&batch[i], number + i);
		for (size_t sent = 0, n; sent < BATCH; sent += n)
			must(ipcx_producer_send_many(w->out, parts + sent, BATCH - sent, IPCX_FOREVER, &n), "send_many");
	}
}

static void recv_batches(struct worker *w, uint64_t count)
{
	static struct payload batch[BATCH];
	size_t lens[BATCH], n = 0;
	for (uint64_t number = w->next; number < w->next + count; number += n) {
		must(ipcx_consumer_recv_many(w->in, batch, sizeof batch, lens, BATCH, &n, IPCX_FOREVER), "recv_many");
		for (size_t i = 0; i < n; i++)
			check(&batch[i], number + i);
	}
}

static uint64_t monotonic(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void run(struct worker *w, uint64_t count)
{
	uint64_t start = monotonic();
	if (strcmp(w->workload, "round-trip-64") == 0 || strcmp(w->workload, "blocking-64") == 0)
		round_trips(w, count);
	else if (strcmp(w->workload, "one-way-64") == 0)
		one_way(w, count);
	else if (w->is_near)
		send_batches(w, count);
	else
		recv_batches(w, count);
	w->next += count;
	printf("done %llu %llu\n", (unsigned long long)start, (unsigned long long)monotonic());
	fflush(stdout);
}

/* The near side makes both rings; the far side attaches and removes the names, which nobody needs then. */
static void connect_rings(struct worker *w, const char *label)
{
	ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
	char names[2][200];
	ipcx_ring **rings[2] = {&w->there, &w->back};
	options.capacity = CAPACITY;
	options.wait = strcmp(w->workload, "blocking-64") == 0 ? IPCX_WAIT_BLOCK : IPCX_WAIT_SPIN;
	for (int i = 0; i < 2; i++) {
		snprintf(names[i], sizeof names[i], "%s-%s", label, i == 0 ? "there" : "back");
		if (w->is_near) {
			must(ipcx_ring_create(names[i], &options, rings[i]), "create");
		} else {
			must(ipcx_ring_attach(names[i], rings[i]), "attach");
			must(ipcx_unlink(names[i]), "unlink");
		}
	}
	must(ipcx_ring_producer(w->is_near ? w->there : w->back, &w->out), "producer");
	must(ipcx_ring_consumer(w->is_near ? w->back : w->there, &w->in), "consumer");
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

int main(int argc, char **argv)
{
	struct worker w = {0};
	char line[128], verb[16];
	unsigned long long count;
	if (argc != 8) {
		fprintf(stderr, "usage: %s worker ring-c WORKLOAD SIDE CPU LABEL FDS\n", argv[0]);
		return 2;
	}
	w.workload = argv[3];
	w.is_near = strcmp(argv[4], "near") == 0;
	signal(SIGINT, SIG_IGN);
	pin(atoi(argv[5]));
	connect_rings(&w, argv[6]);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL && sscanf(line, "%15s %llu", verb, &count) == 2) {
		if (!w.is_near) {
			puts("go");
			fflush(stdout);
		}
		alarm(ROUND_LIMIT_S); /* a round that hangs ends the worker, even without a coordinator */
		run(&w, count);
		alarm(0);
	}
	ipcx_producer_close(w.out);
	ipcx_consumer_close(w.in);
	ipcx_ring_close(w.there);
	ipcx_ring_close(w.back);
	return 0;
}

/*
 * What the contenders written in C and C++ share: a worker of ipcx-bench that carries messages of 64 bytes.
 *
 *     PROGRAM worker CONTENDER WORKLOAD SIDE CPU LABEL FDS
 *
 * It speaks the line protocol described in src/worker.rs and carries the same numbered payload as every other contender
 * (src/payload.rs), every byte of every message checked, so that its figures can be divided by theirs. A contender
 * includes this file, defines the functions declared under "a contender", and says `return work(argc, argv);` in `main`.
 */
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, WORDS = SIZE / 8, BATCH = 64, CAPACITY = 1 << 20, ROUND_LIMIT_S = 60 };
#define MIX UINT64_C(0x9e3779b97f4a7c15)

/* All words of a payload at once, so that gcc makes of fill() and check() what rustc makes of theirs. */
typedef uint64_t vector __attribute__((vector_size(SIZE)));
static const vector OFFSETS = {1, 1 + MIX, 1 + 2 * MIX, 1 + 3 * MIX, 1 + 4 * MIX, 1 + 5 * MIX, 1 + 6 * MIX, 1 + 7 * MIX};

/* One message, on a cache line. */
struct payload {
	vector words;
};

/* Which side this is, and of what. */
struct orders {
	int is_near;
	const char *contender;
	const char *workload;
	int blocks; /* both sides sleep while they wait; otherwise they spin, where the contender can */
	const char *label;
	unsigned subscribers; /* far sides of a workload of one to many; 0 in any other */
};

/* ---- A contender. ---- */

/* Connects this side. The near side connects first, and both before anything is sent. */
static void connect_side(const struct orders *orders);
/* Gives up what `connect_side` made. */
static void disconnect(void);
/* Sends or receives one message. */
static inline void send_one(const struct payload *payload);
static inline void recv_one(struct payload *payload);
#ifdef BATCHES
/* Sends BATCH messages; receives at least one and at most BATCH of them and returns how many. */
static inline void send_batch(const struct payload *batch);
static inline size_t recv_batch(struct payload *batch);
#endif

#ifdef AUDIENCE
/* Returns when all subscribers have been noticed. */
static void await_audience(const struct orders *orders);
/* As recv_one, if there is a message before `end` on the monotonic clock, or without waiting if that is 0: whether there was. */
static inline int recv_before(struct payload *payload, uint64_t end);
#endif

/* ---- For it. ---- */

/* Ends the case. */
__attribute__((noreturn, cold)) static void fail(const char *what, const char *why)
{
	printf("fail %s: %s\n", what, why);
	fflush(stdout);
	exit(1);
}

static inline void pause_while_spinning(void)
{
#if defined __x86_64__
	__builtin_ia32_pause();
#endif
}

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t monotonic(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* ---- The loops. ---- */

static inline void fill(struct payload *payload, uint64_t number)
{
	payload->words = OFFSETS + number;
}

static inline void check(const struct payload *payload, uint64_t number)
{
	vector differences = payload->words ^ (OFFSETS + number);
	uint64_t difference = 0;
	for (unsigned i = 0; i < WORDS; i++)
		difference |= differences[i];
	if (difference != 0)
		fail("a message", "did not arrive as it was sent");
}

static void round_trips(int is_near, uint64_t first, uint64_t count)
{
	struct payload payload;
	for (uint64_t number = first; number < first + count; number++) {
		if (is_near) {
			fill(&payload, number);
			send_one(&payload);
		}
		recv_one(&payload);
		check(&payload, number);
		if (!is_near)
			send_one(&payload);
	}
}

static void one_way(int is_near, uint64_t first, uint64_t count)
{
	struct payload payload;
	for (uint64_t number = first; number < first + count; number++) {
		if (is_near) {
			fill(&payload, number);
			send_one(&payload);
		} else {
			recv_one(&payload);
			check(&payload, number);
		}
	}
}

#ifdef BATCHES
static void batches(int is_near, uint64_t first, uint64_t count)
{
	static struct payload batch[BATCH];
	for (uint64_t number = first; number < first + count;) {
		size_t n = BATCH;
		if (is_near) {
			for (size_t i = 0; i < n; i++)
				fill(&batch[i], number + i);
			send_batch(batch);
		} else {
			n = recv_batch(batch);
			for (size_t i = 0; i < n; i++)
				check(&batch[i], number + i);
		}
		number += n;
	}
}
#endif

#ifdef AUDIENCE
/* As src/audience.rs, which says what is measured and why. */
enum { STRETCH = 1024, PAUSE_NS = 1000000 };

static void sleep_until(uint64_t moment)
{
	struct timespec until = {.tv_sec = (time_t)(moment / 1000000000u), .tv_nsec = (long)(moment % 1000000000u)};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static uint64_t publish(uint64_t *next, uint64_t count)
{
	struct payload payload;
	for (uint64_t i = 0; i < count; i++) {
		fill(&payload, (*next)++);
		send_one(&payload);
	}
	return count;
}

static uint64_t receive(uint64_t *next, uint64_t end)
{
	struct payload payload;
	if (!recv_before(&payload, end))
		return 0;
	uint64_t number = payload.words[0] - 1;
	if (number < *next)
		fail("a message", "came again");
	check(&payload, number);
	*next = number + 1;
	return 1;
}

static uint64_t read_batch(uint64_t *next)
{
	uint64_t received = 0;
	while (received < BATCH && receive(next, 0))
		received++;
	sched_yield();
	return received;
}

/* Publishes or receives from `start` to `end`; `next` is the number of the next message. */
static void work_by_the_clock(const struct orders *orders, uint64_t start, uint64_t end, uint64_t *next, int checks)
{
	int idle = strstr(orders->workload, "-idle") != NULL, asleep = strstr(orders->workload, "-asleep") != NULL;
	uint64_t count = 0, before, now;
	if (orders->is_near)
		await_audience(orders);
	sleep_until(idle && !orders->is_near ? end : start);
	before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	while ((now = monotonic()) < end) {
		if (!orders->is_near)
			count += asleep ? receive(next, end) : read_batch(next);
		else
			count += publish(next, asleep ? 1 : STRETCH);
		if (orders->is_near && asleep)
			sleep_until(now + PAUSE_NS);
		else if (orders->is_near)
			sched_yield();
	}
	if (orders->is_near)
		now = start + (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before);
	else if (checks && !idle && count == 0)
		fail("a subscriber", "received nothing");
	printf("done %llu %llu %llu\n", (unsigned long long)start, (unsigned long long)now, (unsigned long long)count);
	fflush(stdout);
}
#endif

/* ---- The protocol. ---- */

static void say(const char *line)
{
	puts(line);
	fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return (left > right) - (left < right);
}

/* Round trips of the near side, each timed by itself; prints the percentiles. */
static void sample(uint64_t first, uint64_t count)
{
	static const double QUANTILES[] = {0.5, 0.9, 0.99, 0.999, 1.0};
	uint64_t *times = (uint64_t *)calloc(count, sizeof *times), start = monotonic(), before = start, end = start;
	if (times == NULL)
		fail("sample", "no memory");
	for (uint64_t i = 0; i < count; i++, before = end) {
		round_trips(1, first + i, 1);
		end = monotonic();
		times[i] = end - before;
	}
	printf("done %llu %llu", (unsigned long long)start, (unsigned long long)end);
	qsort(times, count, sizeof *times, compare);
	for (unsigned i = 0; i < sizeof QUANTILES / sizeof *QUANTILES; i++)
		printf(" %llu", (unsigned long long)times[(uint64_t)((double)(count - 1) * QUANTILES[i])]);
	say("");
	free(times);
}

static void carry(const struct orders *orders, uint64_t first, uint64_t count)
{
	uint64_t start = monotonic();
#ifdef AUDIENCE
	if (orders->is_near && orders->subscribers > 0)
		await_audience(orders);
#endif
	if (strcmp(orders->workload, "one-way-64") == 0 || orders->subscribers > 0)
		one_way(orders->is_near, first, count);
#ifdef BATCHES
	else if (strcmp(orders->workload, "batch-64") == 0)
		batches(orders->is_near, first, count);
#endif
	else
		round_trips(orders->is_near, first, count);
	printf("done %llu %llu\n", (unsigned long long)start, (unsigned long long)monotonic());
	fflush(stdout);
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0)
		fail("pinning", "not allowed");
}

static int work(int argc, char **argv)
{
	struct orders orders;
	char line[128], verb[16];
	unsigned long long count, end;
	uint64_t next = 0; /* the next message's number */
	int words;
	if (argc != 8) {
		fprintf(stderr, "usage: %s worker CONTENDER WORKLOAD SIDE CPU LABEL FDS\n", argv[0]);
		return 2;
	}
	orders.contender = argv[2];
	orders.workload = argv[3];
	orders.subscribers = 0;
	if (sscanf(argv[3], "to-%u-", &orders.subscribers) != 1)
		sscanf(argv[3], "published-to-%u", &orders.subscribers);
	orders.blocks = strncmp(argv[3], "blocking-", 9) == 0;
	orders.is_near = strcmp(argv[4], "near") == 0 || strcmp(argv[4], "0") == 0;
	orders.label = argv[6];
	signal(SIGINT, SIG_IGN);
	pin(atoi(argv[5]));
	connect_side(&orders);
	say("ready");
	while (fgets(line, sizeof line, stdin) != NULL && (words = sscanf(line, "%15s %llu %llu", verb, &count, &end)) >= 2) {
#ifdef AUDIENCE
		if (words == 3) {
			alarm(ROUND_LIMIT_S);
			work_by_the_clock(&orders, count, end, &next, strcmp(verb, "check-pairs") == 0);
			alarm(0);
			continue;
		}
#endif
		if (!orders.is_near)
			say("go");
		alarm(ROUND_LIMIT_S); /* a round that hangs ends the worker, even without a coordinator */
		if (orders.is_near && strcmp(verb, "sample") == 0)
			sample(next, count);
		else
			carry(&orders, next, count);
		alarm(0);
		next += count;
	}
	disconnect();
	return 0;
}

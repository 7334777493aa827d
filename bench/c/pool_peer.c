/*
 * The pool through libipcx.so, as a C program uses it: a worker of ipcx-bench that acquires and releases.
 *
 *     ipcx-bench-pool-c worker pool-c pairs-1p 0 CPU LABEL FDS
 *
 * Speaks the line protocol described in src/worker.rs; the loop and the marks of its check are those of src/pairs.rs.
 */
#define _GNU_SOURCE
#include <ipcx.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1024, BLOCKS = 1024, STRETCH = 1024, ROUND_LIMIT_S = 60 };
#define MARK (UINT64_C(0x48454c44) << 32)

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

static uint64_t monotonic(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void stretch(ipcx_pool *pool)
{
	ipcx_block block;
	for (int i = 0; i < STRETCH; i++) {
		must(ipcx_pool_acquire(pool, IPCX_FOREVER, &block), "acquire");
		must(ipcx_pool_release(pool, &block), "release");
	}
}

static void checked_stretch(ipcx_pool *pool)
{
	static uint64_t marks;
	for (int i = 0; i < STRETCH; i++) {
		ipcx_block block;
		must(ipcx_pool_acquire(pool, IPCX_FOREVER, &block), "acquire");
		uint64_t mark = MARK | ++marks % (1 << 24);
		uint64_t *words[2] = {block.data, (uint64_t *)block.data + BLOCK / 8 - 1};
		for (int end = 0; end < 2; end++)
			if (__atomic_exchange_n(words[end], mark, __ATOMIC_RELAXED) >> 32 == MARK >> 32)
				fail("a block was lent while somebody had it", IPCX_E_CORRUPT);
		for (int end = 0; end < 2; end++)
			if (__atomic_exchange_n(words[end], 0, __ATOMIC_RELAXED) != mark)
				fail("somebody else was at a block", IPCX_E_CORRUPT);
		must(ipcx_pool_release(pool, &block), "release");
	}
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
	ipcx_pool_options options = IPCX_POOL_OPTIONS_INIT;
	ipcx_pool *pool;
	char name[200], line[128], verb[16];
	unsigned long long start, end;
	if (argc != 8) {
		fprintf(stderr, "usage: %s worker pool-c pairs-1p 0 CPU LABEL FDS\n", argv[0]);
		return 2;
	}
	signal(SIGINT, SIG_IGN);
	pin(atoi(argv[5]));
	snprintf(name, sizeof name, "%s-pool", argv[6]);
	options.block_size = BLOCK;
	options.blocks = BLOCKS;
	must(ipcx_pool_create(name, &options, &pool), "create");
	must(ipcx_unlink(name), "unlink");
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL && sscanf(line, "%15s %llu %llu", verb, &start, &end) == 3) {
		struct timespec begin = {.tv_sec = (time_t)(start / 1000000000u), .tv_nsec = (long)(start % 1000000000u)};
		unsigned long long pairs = 0;
		alarm(ROUND_LIMIT_S); /* a round that hangs ends the worker, even without a coordinator */
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &begin, NULL);
		unsigned long long now;
		do {
			if (strcmp(verb, "pairs") == 0)
				stretch(pool);
			else
				checked_stretch(pool);
			pairs += STRETCH;
			now = monotonic();
		} while (now < end);
		alarm(0);
		printf("done %llu %llu %llu\n", start, now, pairs);
		fflush(stdout);
	}
	ipcx_pool_close(pool);
	return 0;
}

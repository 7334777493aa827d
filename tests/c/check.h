/*
 * What the C tests share. Each test is a function that runs in a process of its own, so that one that fails, dies or
 * hangs takes nothing with it. Names are unique, and unlinked when the process exits; what a killed one leaves is
 * removed by the runner, which knows the prefix.
 */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ipcx.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C(1000000)
enum { TIME_LIMIT_S = 60, MOST_NAMES = 8 };

struct test {
    const char *name;
    void (*run)(void);
};
#define TEST(function) { #function, function }

static pid_t test_process;
static char names[MOST_NAMES][128];
static unsigned name_count;

static inline void fail_at(const char *file, int line)
{
    fprintf(stderr, "    at %s:%d\n", file, line);
    fflush(NULL);
    if (getpid() == test_process)
        exit(1);
    _exit(1); /* a child of the test: exit() would unlink the parent's names */
}

#define CHECK(condition)                                              \
    do {                                                              \
        if (!(condition)) {                                           \
            fprintf(stderr, "    not true: %s\n", #condition);        \
            fail_at(__FILE__, __LINE__);                              \
        }                                                             \
    } while (0)

/* The call gives this code; when it is an error, it has words, and errno is set. */
#define GIVES(expected, call) gives((call), (expected), #call, #expected, __FILE__, __LINE__)
#define OK(call) GIVES(IPCX_OK, call)

static inline void gives(int code, int expected, const char *call, const char *name, const char *file, int line)
{
    int number = errno;

    if (code != expected) {
        fprintf(stderr, "    %s gave %d (%s: %s), not %s\n", call, code, ipcx_strerror(code), ipcx_last_error(), name);
        fail_at(file, line);
    }
    if (code < 0 && (number == 0 || ipcx_last_error()[0] == '\0')) {
        fprintf(stderr, "    %s gave %s without errno or words\n", call, name);
        fail_at(file, line);
    }
}

/* The last error says this. */
#define SAYS(part) CHECK(strstr(ipcx_last_error(), (part)) != NULL)

static inline void unlink_names(void)
{
    while (getpid() == test_process && name_count > 0)
        ipcx_unlink(names[--name_count]);
}

/* A name of this test, unlinked at exit. */
static inline const char *new_name(void)
{
    const char *prefix = getenv("IPCX_TEST_PREFIX");
    char *name = names[name_count];

    CHECK(name_count < MOST_NAMES);
    snprintf(name, sizeof names[0], "%s-%ld-%u", prefix ? prefix : "ctest", (long)getpid(), name_count);
    name_count++;
    return name;
}

/* Where the segment of a name is. */
static inline const char *path_of(const char *name)
{
    static char path[512];
    const char *directory = getenv("IPCX_DIR");

    snprintf(path, sizeof path, "%s/ipcx.%s", directory && *directory ? directory : "/dev/shm", name);
    return path;
}

static inline int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 * MS + (int64_t)now.tv_nsec;
}

static inline void sleep_ms(int ms)
{
    const struct timespec time = { ms / 1000, (long)(ms % 1000) * (long)MS };

    nanosleep(&time, NULL);
}

/* A ring with both ends in this process. */
struct ends {
    const char *name;
    ipcx_ring *ring;
    ipcx_producer *tx;
    ipcx_consumer *rx;
};

static inline struct ends new_ends(uint64_t capacity)
{
    struct ends ends = { new_name(), NULL, NULL, NULL };
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;

    options.capacity = capacity;
    OK(ipcx_ring_create(ends.name, &options, &ends.ring));
    OK(ipcx_ring_producer(ends.ring, &ends.tx));
    OK(ipcx_ring_consumer(ends.ring, &ends.rx));
    return ends;
}

static inline void close_ends(struct ends *ends)
{
    ipcx_producer_close(ends->tx);
    ipcx_consumer_close(ends->rx);
    ipcx_ring_close(ends->ring);
}

/* Receives one record without waiting and compares it. */
static inline void expect(ipcx_consumer *rx, const void *data, size_t size)
{
    char buffer[8192];
    size_t len = 0;

    OK(ipcx_consumer_recv(rx, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    CHECK(len == size && memcmp(buffer, data, size) == 0);
}

/* Exit status of a child that ended by itself, else -1. */
static inline int wait_for(pid_t child)
{
    int status = 0;

    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int run_test(const struct test *test)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        test_process = getpid();
        atexit(unlink_names);
        alarm(TIME_LIMIT_S);
        test->run();
        exit(0);
    }
    return wait_for(child);
}

static inline int run_tests(const struct test *tests, size_t count)
{
    int failed = 0;

    test_process = getpid();
    for (size_t i = 0; i < count; i++) {
        int status = run_test(&tests[i]);
        printf("%s %s\n", status == 0 ? "ok    " : "FAILED", tests[i].name);
        failed |= status != 0;
    }
    return failed;
}
#define RUN(tests) run_tests((tests), sizeof(tests) / sizeof((tests)[0]))

#endif

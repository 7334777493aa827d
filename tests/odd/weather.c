/*
 * Weather for any process, by LD_PRELOAD:
 *
 *     IPCX_TEST_STORM=HZ      SIGALRM at that rate, from the process's own timer, with a handler that only counts
 *     IPCX_TEST_CLOCK=YEARS   the wall clock jumps by so many years, there and back, at each look
 *     IPCX_TEST_WEATHER=FILE  four numbers for the test: signals, when the first and the last came (monotonic
 *                             nanoseconds), looks at the wall clock
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct {
    uint64_t signals, first, last, looks;
} nowhere, *counts = &nowhere;
static int64_t jump; /* seconds */

static int read_clock(clockid_t clock, struct timespec *time)
{
    return (int)syscall(SYS_clock_gettime, clock, time);
}

static void count(int signal)
{
    struct timespec time;

    (void)signal;
    read_clock(CLOCK_MONOTONIC, &time);
    counts->last = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    if (counts->signals++ == 0)
        counts->first = counts->last;
}

static int64_t next_jump(void)
{
    return jump != 0 && __atomic_fetch_add(&counts->looks, 1, __ATOMIC_RELAXED) % 2 == 0 ? jump : -jump;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*next)(clockid_t, struct timespec *);
    int result;

    if (next == NULL)
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    result = next(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += next_jump();
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (to != NULL)
        *to = now.tv_sec;
    return now.tv_sec;
}

__attribute__((constructor)) static void begin(void)
{
    const char *hz = getenv("IPCX_TEST_STORM"), *years = getenv("IPCX_TEST_CLOCK");
    const char *path = getenv("IPCX_TEST_WEATHER");

    if (path != NULL) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, sizeof *counts) != 0)
            abort();
        counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (counts == MAP_FAILED)
            abort();
        close(fd);
    }
    if (years != NULL)
        jump = atoi(years) * INT64_C(31556952);
    if (hz != NULL) {
        struct sigaction action = { .sa_handler = count }; /* no SA_RESTART */
        struct itimerval timer = { { 0, 1000000 / atoi(hz) }, { 0, 1000000 / atoi(hz) } };
        if (sigaction(SIGALRM, &action, NULL) != 0 || setitimer(ITIMER_REAL, &timer, NULL) != 0)
            abort();
    }
}

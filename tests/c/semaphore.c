/* Permits of a semaphore. */
#include "check.h"
#include <pthread.h>

static ipcx_semaphore_options counted(uint32_t initial, uint32_t limit)
{
    ipcx_semaphore_options options = IPCX_SEMAPHORE_OPTIONS_INIT;

    options.initial = initial;
    options.limit = limit;
    return options;
}

static ipcx_semaphore *new_semaphore(uint32_t initial, uint32_t limit)
{
    ipcx_semaphore_options options = counted(initial, limit);
    ipcx_semaphore *semaphore;

    OK(ipcx_semaphore_anonymous(&options, &semaphore));
    return semaphore;
}

static uint32_t value_of(ipcx_semaphore *semaphore)
{
    uint32_t value = 99;

    OK(ipcx_semaphore_value(semaphore, &value));
    return value;
}

static ipcx_stats figures(ipcx_semaphore *semaphore)
{
    ipcx_stats stats = IPCX_STATS_INIT;

    OK(ipcx_semaphore_stats(semaphore, &stats));
    CHECK(stats.kind == IPCX_KIND_SEMAPHORE && stats.ready + stats.taken + stats.free == stats.depth);
    return stats;
}

static void permits_are_acquired_and_released(void)
{
    const char *name = new_name();
    ipcx_semaphore_options options = counted(0, 3);
    ipcx_semaphore *semaphore, *other;
    int64_t start;

    GIVES(IPCX_E_NOT_FOUND, ipcx_semaphore_attach(name, &semaphore));
    OK(ipcx_semaphore_create(name, &options, &semaphore));
    GIVES(IPCX_E_EXISTS, ipcx_semaphore_create(name, &options, &other));
    OK(ipcx_semaphore_attach(name, &other));
    CHECK(figures(other).depth == 3 && value_of(other) == 3);
    OK(ipcx_semaphore_acquire(semaphore, IPCX_NOWAIT));
    OK(ipcx_semaphore_acquire(semaphore, IPCX_FOREVER));
    OK(ipcx_semaphore_acquire(other, 10 * MS));
    CHECK(value_of(semaphore) == 0);
    start = now_ns();
    GIVES(IPCX_E_AGAIN, ipcx_semaphore_acquire(other, IPCX_NOWAIT));
    GIVES(IPCX_E_TIMEDOUT, ipcx_semaphore_acquire(other, 20 * MS));
    CHECK(now_ns() - start >= 20 * MS);
    OK(ipcx_semaphore_release(semaphore));
    OK(ipcx_semaphore_acquire(other, IPCX_FOREVER));
    ipcx_semaphore_close(other); /* gives both back */
    CHECK(value_of(semaphore) == 2);
    OK(ipcx_semaphore_release(semaphore));
    CHECK(value_of(semaphore) == 3);
    GIVES(IPCX_E_INVALID, ipcx_semaphore_release(semaphore)); /* one more than the limit */
    SAYS("limit");
    CHECK(value_of(semaphore) == 3);
    ipcx_semaphore_close(semaphore);
}

static void what_there_is_initially_is_what_the_options_say(void)
{
    static const uint32_t table[][4] = {
        /* initial, limit: value, limit */
        { 0, 0, 1, 1 },
        { 0, 5, 5, 5 },
        { 3, 0, 3, 3 },
        { 2, 5, 2, 5 },
        { IPCX_SEMAPHORE_EMPTY, 0, 0, 1 },
        { IPCX_SEMAPHORE_EMPTY, 7, 0, 7 },
        { 0, 1u << 20, 1u << 20, 1u << 20 },
    };
    ipcx_semaphore *semaphore;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        semaphore = new_semaphore(table[i][0], table[i][1]);
        CHECK(value_of(semaphore) == table[i][2] && figures(semaphore).depth == table[i][3]);
        ipcx_semaphore_close(semaphore);
    }
    OK(ipcx_semaphore_anonymous(NULL, &semaphore));
    CHECK(value_of(semaphore) == 1);
    ipcx_semaphore_close(semaphore);
}

static void releases_of_one_process_are_consumed_by_another(void)
{
    enum { EVENTS = 1000 };
    const char *name = new_name();
    ipcx_semaphore_options options = counted(IPCX_SEMAPHORE_EMPTY, EVENTS);
    ipcx_semaphore *semaphore;
    pid_t child;

    OK(ipcx_semaphore_create(name, &options, &semaphore));
    GIVES(IPCX_E_AGAIN, ipcx_semaphore_consume(semaphore, IPCX_NOWAIT));
    GIVES(IPCX_E_TIMEDOUT, ipcx_semaphore_consume(semaphore, 5 * MS));
    child = fork();
    if (child == 0) {
        ipcx_semaphore *theirs;
        OK(ipcx_semaphore_attach(name, &theirs));
        for (int i = 0; i < EVENTS; i++)
            OK(ipcx_semaphore_release(theirs));
        ipcx_semaphore_close(theirs);
        _exit(0);
    }
    for (int i = 0; i < EVENTS; i++)
        OK(ipcx_semaphore_consume(semaphore, 30000 * MS));
    CHECK(wait_for(child) == 0 && value_of(semaphore) == 0);
    OK(ipcx_semaphore_release(semaphore)); /* this handle holds none: it makes one */
    CHECK(value_of(semaphore) == 1);
    ipcx_semaphore_close(semaphore);
    OK(ipcx_semaphore_attach(name, &semaphore));
    CHECK(value_of(semaphore) == 1); /* what is nobody's does not go with a handle */
    ipcx_semaphore_close(semaphore);
}

static void permits_of_a_dead_process_come_back(void)
{
    const char *name = new_name();
    ipcx_semaphore_options options = counted(0, 4);
    ipcx_semaphore *semaphore;

    OK(ipcx_semaphore_create(name, &options, &semaphore));
    for (int round = 0; round < 2; round++) {
        int ready[2];
        char byte;
        int64_t start;
        pid_t child;
        int code;

        CHECK(pipe(ready) == 0);
        child = fork();
        if (child == 0) {
            ipcx_semaphore *theirs;
            alarm(TIME_LIMIT_S);
            OK(ipcx_semaphore_attach(name, &theirs));
            for (int i = 0; i < 4; i++)
                OK(ipcx_semaphore_acquire(theirs, IPCX_NOWAIT));
            CHECK(write(ready[1], "", 1) == 1);
            for (;;)
                pause();
        }
        CHECK(read(ready[0], &byte, 1) == 1);
        GIVES(IPCX_E_TIMEDOUT, ipcx_semaphore_acquire(semaphore, 120 * MS)); /* it lives */
        CHECK(figures(semaphore).holder_state == IPCX_ROLE_ALIVE && figures(semaphore).holder_pid == (uint32_t)child);
        CHECK(figures(semaphore).taken == 4);
        kill(child, SIGKILL);
        wait_for(child);
        CHECK(figures(semaphore).holder_state == IPCX_ROLE_DEAD && figures(semaphore).taken == 4);
        start = now_ns();
        if (round == 0) /* one that does not wait looks for the dead now and then */
            do
                code = ipcx_semaphore_acquire(semaphore, IPCX_NOWAIT);
            while (code == IPCX_E_AGAIN);
        else
            code = ipcx_semaphore_acquire(semaphore, IPCX_FOREVER);
        OK(code);
        CHECK(now_ns() - start < 250 * MS);
        CHECK(value_of(semaphore) == 3 && figures(semaphore).holders == 1);
        OK(ipcx_semaphore_release(semaphore));
        CHECK(value_of(semaphore) == 4 && figures(semaphore).holders == 0);
        close(ready[0]);
        close(ready[1]);
    }
    ipcx_semaphore_close(semaphore);
}

static int inside, most_inside;

static void *enter_and_leave(void *handle)
{
    for (int i = 0; i < 2000; i++) {
        OK(ipcx_semaphore_acquire(handle, IPCX_FOREVER));
        int now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        if (now > __atomic_load_n(&most_inside, __ATOMIC_SEQ_CST))
            __atomic_store_n(&most_inside, now, __ATOMIC_SEQ_CST);
        CHECK(now <= 2);
        __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        OK(ipcx_semaphore_release(handle));
    }
    return NULL;
}

static void threads_may_share_a_handle(void)
{
    ipcx_semaphore *semaphore = new_semaphore(0, 2);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, enter_and_leave, semaphore) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(inside == 0 && most_inside >= 1 && value_of(semaphore) == 2);
    ipcx_semaphore_close(semaphore);
}

static void a_forked_child_attaches_by_a_descriptor(void)
{
    ipcx_semaphore *semaphore = new_semaphore(0, 2), *theirs;
    int fd = ipcx_semaphore_share_fd(semaphore);
    pid_t child;

    CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    OK(ipcx_semaphore_acquire(semaphore, IPCX_NOWAIT));
    child = fork();
    if (child == 0) {
        uint32_t value;
        ipcx_stats stats = IPCX_STATS_INIT;
        GIVES(IPCX_E_FORKED, ipcx_semaphore_acquire(semaphore, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_semaphore_consume(semaphore, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_semaphore_release(semaphore));
        GIVES(IPCX_E_FORKED, ipcx_semaphore_value(semaphore, &value));
        GIVES(IPCX_E_FORKED, ipcx_semaphore_stats(semaphore, &stats));
        GIVES(IPCX_E_FORKED, ipcx_semaphore_share_fd(semaphore));
        GIVES(IPCX_E_FORKED, ipcx_poll_fd(IPCX_WAIT_FOR_SEMAPHORE, semaphore, NULL));
        GIVES(IPCX_E_FORKED, ipcx_signal(IPCX_WAIT_FOR_SEMAPHORE, semaphore, SIGRTMIN));
        ipcx_semaphore_close(semaphore); /* the parent keeps its permit */
        OK(ipcx_semaphore_from_fd(fd, &theirs));
        CHECK(value_of(theirs) == 1);
        OK(ipcx_semaphore_acquire(theirs, IPCX_NOWAIT));
        GIVES(IPCX_E_AGAIN, ipcx_semaphore_acquire(theirs, IPCX_NOWAIT));
        ipcx_semaphore_close(theirs);
        _exit(0);
    }
    CHECK(wait_for(child) == 0 && value_of(semaphore) == 1);
    close(fd);
    ipcx_semaphore_close(semaphore);
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd fds = { fd, POLLIN, 0 };

    return poll(&fds, 1, timeout_ms) == 1 && (fds.revents & POLLIN);
}

static void descriptor_and_signal_tell_of_a_permit(void)
{
    const struct timespec patience = { 10, 0 };
    ipcx_semaphore *semaphore = new_semaphore(IPCX_SEMAPHORE_EMPTY, 8);
    int fd = ipcx_poll_fd(IPCX_WAIT_FOR_SEMAPHORE, semaphore, NULL);
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_SEMAPHORE, semaphore, SIGUSR1));
    OK(ipcx_signal(IPCX_WAIT_FOR_SEMAPHORE, semaphore, SIGRTMIN + 1));
    CHECK(fd >= 0 && !readable(fd, 50));
    for (int i = 0; i < 20; i++) {
        OK(ipcx_semaphore_release(semaphore));
        CHECK(readable(fd, 2000) && sigtimedwait(&set, NULL, &patience) == SIGRTMIN + 1);
        OK(ipcx_semaphore_consume(semaphore, IPCX_NOWAIT));
        GIVES(IPCX_E_AGAIN, ipcx_semaphore_consume(semaphore, IPCX_NOWAIT));
        CHECK(!readable(fd, i == 0 ? 50 : 0));
    }
    ipcx_semaphore_close(semaphore);
}

static ipcx_semaphore *handler_semaphore;
static volatile sig_atomic_t handler_code;

static void acquire_in_handler(int number)
{
    int saved = errno;

    (void)number;
    handler_code = ipcx_semaphore_acquire(handler_semaphore, IPCX_NOWAIT);
    errno = saved;
}

static void a_handler_may_acquire_without_waiting(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = acquire_in_handler;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    handler_semaphore = new_semaphore(0, 100);
    for (int i = 0; i < 200; i++)
        CHECK(raise(SIGUSR1) == 0 && handler_code == (i < 100 ? IPCX_OK : IPCX_E_AGAIN));
    ipcx_semaphore_close(handler_semaphore);
}

static void bad_arguments_are_invalid_and_do_nothing(void)
{
    ipcx_stats stats = IPCX_STATS_INIT;
    static const uint32_t table[][2] = { { 3, 2 }, { 0, (1u << 20) + 1 }, { (1u << 20) + 1, 0 }, { UINT32_MAX - 1, 0 } };
    ipcx_semaphore_options options;
    ipcx_semaphore *semaphore = NULL, *wrong;
    const char *name = new_name();
    ipcx_ring *ring;
    uint32_t value;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        options = counted(table[i][0], table[i][1]);
        GIVES(IPCX_E_INVALID, ipcx_semaphore_create(name, &options, &semaphore));
    }
    options = counted(0, 2);
    GIVES(IPCX_E_INVALID, ipcx_semaphore_create(NULL, &options, &semaphore));
    GIVES(IPCX_E_INVALID, ipcx_semaphore_create(name, &options, NULL));
    GIVES(IPCX_E_INVALID, ipcx_semaphore_from_fd(-1, &semaphore));
    GIVES(IPCX_E_NOT_FOUND, ipcx_semaphore_attach(name, &semaphore));
    OK(ipcx_semaphore_open(name, &options, &semaphore));
    options.limit = 3;
    GIVES(IPCX_E_MISMATCH, ipcx_semaphore_open(name, &options, &wrong));
    options.flags = IPCX_OPT_MUST_EXIST;
    GIVES(IPCX_E_MISMATCH, ipcx_semaphore_open(name, &options, &wrong));
    GIVES(IPCX_E_MISMATCH, ipcx_ring_attach(name, &ring));
    options = counted(1, 0); /* what there is initially is for a new one only */
    OK(ipcx_semaphore_open(name, &options, &wrong));
    ipcx_semaphore_close(wrong);
    GIVES(IPCX_E_INVALID, ipcx_semaphore_acquire(semaphore, -2));
    GIVES(IPCX_E_INVALID, ipcx_semaphore_consume(semaphore, INT64_MIN));
    GIVES(IPCX_E_INVALID, ipcx_semaphore_value(semaphore, NULL));
    CHECK(value_of(semaphore) == 2);
    ipcx_semaphore_close(semaphore);

    OK(ipcx_ring_anonymous(NULL, &ring));
    wrong = (ipcx_semaphore *)ring;
    for (int i = 0; i < 2; i++, wrong = NULL) {
        GIVES(IPCX_E_INVALID, ipcx_semaphore_acquire(wrong, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_semaphore_consume(wrong, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_semaphore_release(wrong));
        GIVES(IPCX_E_INVALID, ipcx_semaphore_value(wrong, &value));
        GIVES(IPCX_E_INVALID, ipcx_semaphore_stats(wrong, &stats));
        GIVES(IPCX_E_INVALID, ipcx_semaphore_share_fd(wrong));
        GIVES(IPCX_E_INVALID, ipcx_poll_fd(IPCX_WAIT_FOR_SEMAPHORE, wrong, NULL));
        GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_SEMAPHORE, wrong, 0));
        ipcx_semaphore_close(wrong); /* left alone */
    }
    ipcx_ring_close(ring);
}

static const struct test tests[] = {
    TEST(permits_are_acquired_and_released),
    TEST(what_there_is_initially_is_what_the_options_say),
    TEST(releases_of_one_process_are_consumed_by_another),
    TEST(permits_of_a_dead_process_come_back),
    TEST(threads_may_share_a_handle),
    TEST(a_forked_child_attaches_by_a_descriptor),
    TEST(descriptor_and_signal_tell_of_a_permit),
    TEST(a_handler_may_acquire_without_waiting),
    TEST(bad_arguments_are_invalid_and_do_nothing),
};

int main(void)
{
    return RUN(tests);
}

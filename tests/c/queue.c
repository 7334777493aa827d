/* Messages of a work queue. */
#include "check.h"
#include <pthread.h>

static ipcx_queue *new_queue(uint64_t depth, uint32_t max_deliveries)
{
    ipcx_queue_options options = IPCX_QUEUE_OPTIONS_INIT;
    ipcx_queue *queue;

    options.max_message = 64;
    options.depth = depth;
    options.max_deliveries = max_deliveries;
    OK(ipcx_queue_anonymous(&options, &queue));
    return queue;
}

/* Another handle on it, as another process would have. */
static ipcx_queue *another(ipcx_queue *queue)
{
    int fd = ipcx_queue_share_fd(queue);
    ipcx_queue *other;

    CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    OK(ipcx_queue_from_fd(fd, &other));
    close(fd);
    return other;
}

static void push(ipcx_queue *queue, const char *text, unsigned priority)
{
    OK(ipcx_queue_push(queue, text, strlen(text), priority, IPCX_NOWAIT));
}

/* Takes this message, which is there. */
static uint64_t takes(ipcx_queue *queue, const char *text, unsigned priority)
{
    char buffer[64];
    size_t len = 99;
    unsigned found = 99;
    uint64_t ticket = 0;

    OK(ipcx_queue_take(queue, buffer, sizeof buffer, &len, &found, &ticket, IPCX_NOWAIT));
    CHECK(len == strlen(text) && memcmp(buffer, text, len) == 0 && found == priority && ticket != 0);
    return ticket;
}

static uint64_t takes_dead(ipcx_queue *queue, const char *text, unsigned priority)
{
    char buffer[64];
    size_t len = 99;
    unsigned found = 99;
    uint64_t ticket = 0;

    OK(ipcx_queue_take_dead(queue, buffer, sizeof buffer, &len, &found, &ticket));
    CHECK(len == strlen(text) && memcmp(buffer, text, len) == 0 && found == priority && ticket != 0);
    return ticket;
}

static void pops(ipcx_queue *queue, const char *text, unsigned priority)
{
    char buffer[64];
    size_t len = 99;
    unsigned found = 99;

    OK(ipcx_queue_pop(queue, buffer, sizeof buffer, &len, &found, IPCX_NOWAIT));
    CHECK(len == strlen(text) && memcmp(buffer, text, len) == 0 && found == priority);
}

static int nothing_to_take(ipcx_queue *queue)
{
    char buffer[64];
    size_t len = 77;
    uint64_t ticket = 78;
    int code = ipcx_queue_take(queue, buffer, sizeof buffer, &len, NULL, &ticket, IPCX_NOWAIT);

    CHECK(len == 77 && ticket == 78);
    return code == IPCX_E_AGAIN;
}

static unsigned deliveries_of(ipcx_queue *queue, uint64_t ticket)
{
    unsigned deliveries = 0;

    OK(ipcx_queue_deliveries(queue, ticket, &deliveries));
    return deliveries;
}

static ipcx_stats figures(ipcx_queue *queue)
{
    ipcx_stats stats = IPCX_STATS_INIT;

    OK(ipcx_queue_stats(queue, &stats));
    CHECK(stats.struct_size == sizeof stats && stats.kind == IPCX_KIND_QUEUE);
    CHECK(stats.ready + stats.taken + stats.dead + stats.free == stats.depth);
    return stats;
}

static void the_most_urgent_is_taken_first_and_the_oldest_of_these(void)
{
    ipcx_queue *queue = new_queue(8, 0), *other = another(queue);
    ipcx_stats stats;

    push(queue, "first", 0);
    push(queue, "second", 0);
    push(queue, "urgent", 3);
    push(other, "emergency", 31);
    push(queue, "", 3);
    stats = figures(other);
    CHECK(stats.ready == 5 && stats.free == 3 && stats.depth == 8 && stats.capacity == 8 * 64 && stats.used == 5 * 64);
    OK(ipcx_queue_ack(other, takes(other, "emergency", 31)));
    pops(other, "urgent", 3);
    pops(queue, "", 3);
    pops(queue, "first", 0);
    pops(other, "second", 0);
    CHECK(nothing_to_take(queue) && figures(queue).free == 8);
    ipcx_queue_close(other);
    ipcx_queue_close(queue);
}

static void what_is_put_back_comes_before_what_was_pushed_later(void)
{
    ipcx_queue *queue = new_queue(8, 0), *other = another(queue);
    uint64_t first, second;
    unsigned untouched = 77;

    push(queue, "first", 1);
    push(queue, "second", 1);
    first = takes(queue, "first", 1);
    second = takes(other, "second", 1);
    push(queue, "third", 1);
    CHECK(first != second && deliveries_of(queue, first) == 1 && figures(queue).taken == 2);
    GIVES(IPCX_E_INVALID, ipcx_queue_ack(other, first)); /* the other handle's */
    SAYS("ticket");
    OK(ipcx_queue_return(other, second));
    OK(ipcx_queue_return(queue, first));
    GIVES(IPCX_E_INVALID, ipcx_queue_return(queue, first)); /* twice */
    GIVES(IPCX_E_INVALID, ipcx_queue_ack(queue, first));
    GIVES(IPCX_E_INVALID, ipcx_queue_deliveries(queue, first, &untouched));
    CHECK(untouched == 77);
    first = takes(other, "first", 1);
    CHECK(deliveries_of(other, first) == 2);
    OK(ipcx_queue_ack(other, first));
    GIVES(IPCX_E_INVALID, ipcx_queue_ack(other, first));
    takes(other, "second", 1);
    ipcx_queue_close(other); /* puts it back */
    CHECK(deliveries_of(queue, takes(queue, "second", 1)) == 3);
    pops(queue, "third", 1);
    CHECK(nothing_to_take(queue));
    ipcx_queue_close(queue);
}

static void what_comes_back_too_often_is_a_dead_letter(void)
{
    ipcx_queue *queue = new_queue(4, 2);
    char buffer[64];
    size_t len = 77;
    uint64_t ticket = 78;

    push(queue, "poison", 5);
    GIVES(IPCX_E_AGAIN, ipcx_queue_take_dead(queue, buffer, sizeof buffer, &len, NULL, &ticket));
    for (unsigned round = 1; round <= 2; round++) {
        uint64_t taken = takes(queue, "poison", 5);
        CHECK(deliveries_of(queue, taken) == round);
        OK(ipcx_queue_return(queue, taken));
    }
    CHECK(nothing_to_take(queue) && figures(queue).dead == 1);
    GIVES(IPCX_E_TOO_BIG, ipcx_queue_take_dead(queue, buffer, 5, &len, NULL, &ticket));
    CHECK(len == 6 && ticket == 78);
    ticket = takes_dead(queue, "poison", 5);
    CHECK(figures(queue).taken == 1 && figures(queue).dead == 0);
    OK(ipcx_queue_return(queue, ticket)); /* once more, as if it were new */
    ticket = takes(queue, "poison", 5);
    CHECK(deliveries_of(queue, ticket) == 1);
    OK(ipcx_queue_return(queue, ticket));
    OK(ipcx_queue_return(queue, takes(queue, "poison", 5)));
    OK(ipcx_queue_ack(queue, takes_dead(queue, "poison", 5))); /* discards it */
    CHECK(figures(queue).free == 4);
    ipcx_queue_close(queue);
}

static void push_waits_for_room_and_take_for_a_message(void)
{
    ipcx_queue *queue = new_queue(2, 0);
    char buffer[64];
    size_t len;
    uint64_t ticket;
    int64_t start = now_ns();

    GIVES(IPCX_E_TIMEDOUT, ipcx_queue_take(queue, buffer, sizeof buffer, &len, NULL, &ticket, 20 * MS));
    GIVES(IPCX_E_TIMEDOUT, ipcx_queue_pop(queue, buffer, sizeof buffer, &len, NULL, 20 * MS));
    CHECK(now_ns() - start >= 40 * MS);
    push(queue, "one", 0);
    push(queue, "two", 0);
    GIVES(IPCX_E_AGAIN, ipcx_queue_push(queue, "three", 5, 0, IPCX_NOWAIT));
    start = now_ns();
    GIVES(IPCX_E_TIMEDOUT, ipcx_queue_push(queue, "three", 5, 31, 20 * MS));
    CHECK(now_ns() - start >= 20 * MS);
    ticket = takes(queue, "one", 0);
    GIVES(IPCX_E_AGAIN, ipcx_queue_push(queue, "three", 5, 0, IPCX_NOWAIT)); /* it is still there */
    OK(ipcx_queue_ack(queue, ticket));
    OK(ipcx_queue_push(queue, "three", 5, 0, IPCX_FOREVER));
    pops(queue, "two", 0);
    pops(queue, "three", 0);
    ipcx_queue_close(queue);
}

enum { EACH = 3000, WORKERS = 2 };

/* A process that pushes numbers, or that takes as many, and writes their sum to `sums`. */
static pid_t start_worker(const char *name, int pushes, unsigned first, int sums)
{
    pid_t child = fork();
    ipcx_queue *queue;
    uint64_t sum = 0;

    if (child != 0)
        return child;
    alarm(TIME_LIMIT_S);
    OK(ipcx_queue_attach(name, &queue));
    for (unsigned i = 0; i < EACH; i++) {
        unsigned number = first + i, priority;
        size_t len;
        uint64_t ticket;
        if (pushes) {
            OK(ipcx_queue_push(queue, &number, sizeof number, number % 32, IPCX_FOREVER));
        } else {
            OK(ipcx_queue_take(queue, &number, sizeof number, &len, &priority, &ticket, IPCX_FOREVER));
            CHECK(len == sizeof number && priority == number % 32);
            sum += number;
            OK(ipcx_queue_ack(queue, ticket));
        }
    }
    CHECK(write(sums, &sum, sizeof sum) == sizeof sum);
    ipcx_queue_close(queue);
    _exit(0);
}

static void each_message_is_taken_by_one(void)
{
    const char *name = new_name();
    ipcx_queue_options options = IPCX_QUEUE_OPTIONS_INIT;
    ipcx_queue *queue;
    pid_t children[2 * WORKERS];
    uint64_t total = 0;
    int sums[2];

    options.depth = 16;
    CHECK(pipe(sums) == 0);
    OK(ipcx_queue_create(name, &options, &queue));
    for (unsigned i = 0; i < 2 * WORKERS; i++)
        children[i] = start_worker(name, i % 2 == 0, i / 2 * EACH, sums[1]);
    for (int i = 0; i < 2 * WORKERS; i++) {
        uint64_t sum;
        CHECK(wait_for(children[i]) == 0 && read(sums[0], &sum, sizeof sum) == sizeof sum);
        total += sum; /* 0 of those that push */
    }
    CHECK(total == (uint64_t)WORKERS * EACH * (WORKERS * EACH - 1) / 2 && nothing_to_take(queue));
    ipcx_queue_close(queue);
}

static void a_killed_consumers_message_is_taken_again(void)
{
    const char *name = new_name();
    ipcx_queue *queue;

    OK(ipcx_queue_create(name, NULL, &queue));
    push(queue, "booking", 0);
    for (unsigned round = 1; round <= 3; round++) {
        int ready[2];
        char byte, buffer[64];
        size_t len;
        uint64_t ticket;
        int64_t start;
        pid_t child;
        int code;

        CHECK(pipe(ready) == 0);
        child = fork();
        if (child == 0) {
            ipcx_queue *theirs;
            alarm(TIME_LIMIT_S);
            OK(ipcx_queue_attach(name, &theirs));
            CHECK(deliveries_of(theirs, takes(theirs, "booking", 0)) == 2 * round - 1);
            CHECK(write(ready[1], "", 1) == 1);
            for (;;)
                pause();
        }
        CHECK(read(ready[0], &byte, 1) == 1);
        GIVES(IPCX_E_TIMEDOUT, ipcx_queue_take(queue, buffer, sizeof buffer, &len, NULL, &ticket, 120 * MS)); /* it lives */
        kill(child, SIGKILL);
        wait_for(child);
        CHECK(figures(queue).holders == 1 && figures(queue).holder_state == IPCX_ROLE_DEAD);
        start = now_ns();
        if (round == 1) /* one that does not wait looks for the dead now and then */
            do
                code = ipcx_queue_take(queue, buffer, sizeof buffer, &len, NULL, &ticket, IPCX_NOWAIT);
            while (code == IPCX_E_AGAIN);
        else
            code = ipcx_queue_take(queue, buffer, sizeof buffer, &len, NULL, &ticket, IPCX_FOREVER);
        OK(code);
        CHECK(now_ns() - start < 250 * MS && len == 7 && memcmp(buffer, "booking", 7) == 0);
        CHECK(deliveries_of(queue, ticket) == 2 * round);
        OK(ipcx_queue_return(queue, ticket));
        close(ready[0]);
        close(ready[1]);
    }
    ipcx_queue_close(queue);
    OK(ipcx_queue_attach(name, &queue)); /* what was pushed does not go with a handle */
    pops(queue, "booking", 0);
    ipcx_queue_close(queue);
}

static void *push_and_take(void *handle)
{
    for (unsigned i = 0; i < EACH; i++) {
        unsigned number = i;
        size_t len;
        uint64_t ticket;
        OK(ipcx_queue_push(handle, &number, sizeof number, i % 32, IPCX_FOREVER));
        OK(ipcx_queue_take(handle, &number, sizeof number, &len, NULL, &ticket, IPCX_FOREVER));
        OK(ipcx_queue_ack(handle, ticket));
    }
    return NULL;
}

static void threads_may_share_a_handle(void)
{
    ipcx_queue *queue = new_queue(8, 0);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, push_and_take, queue) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(nothing_to_take(queue) && figures(queue).free == 8);
    ipcx_queue_close(queue);
}

static void a_forked_child_attaches_anew(void)
{
    ipcx_queue *queue = new_queue(4, 0), *theirs;
    int fd = ipcx_queue_share_fd(queue);
    uint64_t ticket;
    pid_t child;

    push(queue, "ours", 0);
    push(queue, "next", 0);
    ticket = takes(queue, "ours", 0);
    child = fork();
    if (child == 0) {
        ipcx_stats stats = IPCX_STATS_INIT;
        char buffer[64];
        size_t len;
        unsigned deliveries;
        uint64_t other;
        GIVES(IPCX_E_FORKED, ipcx_queue_push(queue, "x", 1, 0, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_queue_pop(queue, buffer, sizeof buffer, &len, NULL, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_queue_take(queue, buffer, sizeof buffer, &len, NULL, &other, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_queue_take_dead(queue, buffer, sizeof buffer, &len, NULL, &other));
        GIVES(IPCX_E_FORKED, ipcx_queue_ack(queue, ticket));
        GIVES(IPCX_E_FORKED, ipcx_queue_return(queue, ticket));
        GIVES(IPCX_E_FORKED, ipcx_queue_deliveries(queue, ticket, &deliveries));
        GIVES(IPCX_E_FORKED, ipcx_queue_stats(queue, &stats));
        GIVES(IPCX_E_FORKED, ipcx_queue_share_fd(queue));
        GIVES(IPCX_E_FORKED, ipcx_queue_poll_fd(queue));
        GIVES(IPCX_E_FORKED, ipcx_signal(IPCX_WAIT_FOR_QUEUE, queue, SIGRTMIN));
        ipcx_queue_close(queue); /* the parent keeps what it has taken */
        OK(ipcx_queue_from_fd(fd, &theirs));
        GIVES(IPCX_E_INVALID, ipcx_queue_ack(theirs, ticket));
        CHECK(figures(theirs).taken == 1);
        pops(theirs, "next", 0);
        ipcx_queue_close(theirs);
        _exit(0);
    }
    CHECK(wait_for(child) == 0);
    OK(ipcx_queue_ack(queue, ticket));
    close(fd);
    ipcx_queue_close(queue);
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd fds = { fd, POLLIN, 0 };

    return poll(&fds, 1, timeout_ms) == 1 && (fds.revents & POLLIN);
}

static void descriptor_and_signal_tell_of_a_message(void)
{
    const struct timespec patience = { 10, 0 };
    ipcx_queue *queue = new_queue(8, 0), *other = another(queue);
    int fd = ipcx_queue_poll_fd(queue);
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_QUEUE, queue, SIGUSR1));
    OK(ipcx_signal(IPCX_WAIT_FOR_QUEUE, queue, SIGRTMIN + 1));
    CHECK(fd >= 0 && !readable(fd, 50));
    for (int i = 0; i < 20; i++) {
        push(other, "news", (unsigned)i);
        CHECK(readable(fd, 2000) && sigtimedwait(&set, NULL, &patience) == SIGRTMIN + 1);
        pops(queue, "news", (unsigned)i);
        CHECK(nothing_to_take(queue) && !readable(fd, i == 0 ? 50 : 0));
    }
    push(other, "again", 0); /* put back, it is told of as well */
    CHECK(readable(fd, 2000));
    OK(ipcx_queue_return(queue, takes(queue, "again", 0)));
    CHECK(readable(fd, 2000));
    ipcx_queue_close(other);
    ipcx_queue_close(queue);
}

static void a_queue_is_waited_for_among_other_things(void)
{
    ipcx_queue *queue = new_queue(8, 0), *other = another(queue);
    ipcx_semaphore_options none = IPCX_SEMAPHORE_OPTIONS_INIT;
    ipcx_semaphore *semaphore;
    ipcx_waitable items[2];
    size_t ready = 0;

    none.initial = IPCX_SEMAPHORE_EMPTY;
    OK(ipcx_semaphore_anonymous(&none, &semaphore));
    items[0] = (ipcx_waitable){ IPCX_WAIT_FOR_SEMAPHORE, 7, semaphore, 0 };
    items[1] = (ipcx_waitable){ IPCX_WAIT_FOR_QUEUE, 7, queue, 0 };
    GIVES(IPCX_E_TIMEDOUT, ipcx_wait_any(items, 2, 20 * MS, &ready));
    push(other, "x", 0);
    OK(ipcx_wait_any(items, 2, IPCX_FOREVER, &ready));
    CHECK(ready == 1 && items[0].ready == 0 && items[1].ready == 1);
    pops(queue, "x", 0);
    GIVES(IPCX_E_AGAIN, ipcx_wait_any(items, 2, IPCX_NOWAIT, &ready));
    ipcx_semaphore_close(semaphore);
    ipcx_queue_close(other);
    ipcx_queue_close(queue);
}

static ipcx_queue *handler_queue;
static volatile sig_atomic_t handler_code;

static void pop_in_handler(int number)
{
    int saved = errno;
    char buffer[64];
    size_t len;

    (void)number;
    handler_code = ipcx_queue_pop(handler_queue, buffer, sizeof buffer, &len, NULL, IPCX_NOWAIT);
    errno = saved;
}

static void a_handler_may_pop_without_waiting(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = pop_in_handler;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    handler_queue = new_queue(100, 0);
    for (int i = 0; i < 100; i++)
        push(handler_queue, "x", 0);
    for (int i = 0; i < 200; i++)
        CHECK(raise(SIGUSR1) == 0 && handler_code == (i < 100 ? IPCX_OK : IPCX_E_AGAIN));
    ipcx_queue_close(handler_queue);
}

static void options_are_kept_and_compared(void)
{
    const char *name = new_name();
    ipcx_queue_options options = IPCX_QUEUE_OPTIONS_INIT, wanted;
    ipcx_queue *queue = NULL, *other;
    ipcx_stats stats;

    options.depth = (1u << 20) + 1;
    GIVES(IPCX_E_INVALID, ipcx_queue_create(name, &options, &queue));
    options.depth = 7;
    options.max_deliveries = 255;
    GIVES(IPCX_E_INVALID, ipcx_queue_create(name, &options, &queue));
    options.max_deliveries = 3;
    options.max_message = UINT64_C(1) << 31;
    GIVES(IPCX_E_INVALID, ipcx_queue_create(name, &options, &queue));
    options.max_message = 100;
    options.sync = 2;
    GIVES(IPCX_E_INVALID, ipcx_queue_create(name, &options, &queue));
    options.sync = 0;
    GIVES(IPCX_E_INVALID, ipcx_queue_create(NULL, &options, &queue));
    GIVES(IPCX_E_INVALID, ipcx_queue_create(name, &options, NULL));
    GIVES(IPCX_E_INVALID, ipcx_queue_from_fd(-1, &queue));
    GIVES(IPCX_E_NOT_FOUND, ipcx_queue_attach(name, &queue));
    OK(ipcx_queue_open(name, &options, &queue));
    GIVES(IPCX_E_EXISTS, ipcx_queue_create(name, &options, &other));
    for (int i = 0; i < 4; i++) {
        wanted = options;
        wanted.depth += i == 0;
        wanted.max_message += i == 1;
        wanted.max_deliveries += i == 2;
        wanted.sync += i == 3;
        GIVES(IPCX_E_MISMATCH, ipcx_queue_open(name, &wanted, &other));
        wanted.flags = IPCX_OPT_MUST_EXIST;
        GIVES(IPCX_E_MISMATCH, ipcx_queue_open(name, &wanted, &other));
    }
    OK(ipcx_queue_open(name, NULL, &other)); /* takes it as it is */
    stats = figures(other);
    CHECK(stats.depth == 7 && stats.capacity == 700 && stats.max_message == 100);
    ipcx_queue_close(other);
    ipcx_queue_close(queue);
    OK(ipcx_queue_anonymous(NULL, &queue));
    CHECK(figures(queue).depth == 1024 && figures(queue).capacity == 1 << 20);
    ipcx_queue_close(queue);
}

static void bad_arguments_are_invalid_and_do_nothing(void)
{
    char buffer[100] = { 0 };
    size_t len = 77;
    uint64_t ticket = 78;
    unsigned deliveries;
    ipcx_queue *queue = new_queue(4, 0), *wrong;
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_ring *ring;

    GIVES(IPCX_E_INVALID, ipcx_queue_push(queue, "x", 1, 32, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_queue_push(queue, NULL, 1, 0, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_queue_push(queue, "x", 1, 0, -2));
    GIVES(IPCX_E_TOO_BIG, ipcx_queue_push(queue, buffer, 65, 0, IPCX_FOREVER));
    CHECK(nothing_to_take(queue));
    OK(ipcx_queue_push(queue, NULL, 0, 0, IPCX_NOWAIT));
    push(queue, "hello", 1);
    GIVES(IPCX_E_TOO_BIG, ipcx_queue_take(queue, buffer, 4, &len, NULL, &ticket, IPCX_FOREVER));
    CHECK(len == 5 && ticket == 78);
    len = 77;
    GIVES(IPCX_E_TOO_BIG, ipcx_queue_pop(queue, NULL, 0, &len, NULL, IPCX_FOREVER));
    CHECK(len == 5 && figures(queue).ready == 2);
    GIVES(IPCX_E_INVALID, ipcx_queue_take(queue, buffer, 9, NULL, NULL, &ticket, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_queue_take(queue, buffer, 9, &len, NULL, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_queue_take(queue, NULL, 9, &len, NULL, &ticket, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_queue_take(queue, buffer, 9, &len, NULL, &ticket, INT64_MIN));
    GIVES(IPCX_E_INVALID, ipcx_queue_pop(queue, buffer, 9, NULL, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_queue_stats(queue, NULL));
    for (uint64_t no_ticket = 0; no_ticket < 6; no_ticket++) {
        GIVES(IPCX_E_INVALID, ipcx_queue_ack(queue, no_ticket));
        GIVES(IPCX_E_INVALID, ipcx_queue_return(queue, UINT64_MAX - no_ticket));
    }
    CHECK(figures(queue).ready == 2);
    ticket = takes(queue, "hello", 1);
    GIVES(IPCX_E_INVALID, ipcx_queue_deliveries(queue, ticket, NULL));
    OK(ipcx_queue_ack(queue, ticket));
    pops(queue, "", 0);
    ipcx_queue_close(queue);

    OK(ipcx_ring_anonymous(NULL, &ring));
    wrong = (ipcx_queue *)ring;
    for (int i = 0; i < 2; i++, wrong = NULL) {
        GIVES(IPCX_E_INVALID, ipcx_queue_push(wrong, "x", 1, 0, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_queue_pop(wrong, buffer, 9, &len, NULL, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_queue_take(wrong, buffer, 9, &len, NULL, &ticket, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_queue_take_dead(wrong, buffer, 9, &len, NULL, &ticket));
        GIVES(IPCX_E_INVALID, ipcx_queue_ack(wrong, 1));
        GIVES(IPCX_E_INVALID, ipcx_queue_return(wrong, 1));
        GIVES(IPCX_E_INVALID, ipcx_queue_deliveries(wrong, 1, &deliveries));
        GIVES(IPCX_E_INVALID, ipcx_queue_stats(wrong, &stats));
        GIVES(IPCX_E_INVALID, ipcx_queue_share_fd(wrong));
        GIVES(IPCX_E_INVALID, ipcx_queue_poll_fd(wrong));
        GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_QUEUE, wrong, 0));
        ipcx_queue_close(wrong); /* left alone */
    }
    ipcx_ring_close(ring);
}

static const struct test tests[] = {
    TEST(the_most_urgent_is_taken_first_and_the_oldest_of_these),
    TEST(what_is_put_back_comes_before_what_was_pushed_later),
    TEST(what_comes_back_too_often_is_a_dead_letter),
    TEST(push_waits_for_room_and_take_for_a_message),
    TEST(each_message_is_taken_by_one),
    TEST(a_killed_consumers_message_is_taken_again),
    TEST(threads_may_share_a_handle),
    TEST(a_forked_child_attaches_anew),
    TEST(descriptor_and_signal_tell_of_a_message),
    TEST(a_queue_is_waited_for_among_other_things),
    TEST(a_handler_may_pop_without_waiting),
    TEST(options_are_kept_and_compared),
    TEST(bad_arguments_are_invalid_and_do_nothing),
};

int main(void)
{
    return RUN(tests);
}

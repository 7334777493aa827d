/* Waiting for one of several. */
#include "check.h"

/* One of each kind, none of them ready. */
struct things {
    struct ends full, empty;
    ipcx_pool *pool;
    ipcx_block block;
    ipcx_semaphore *semaphore;
    ipcx_buffer *buffer;
};

enum { RX, TX, POOL, SEMAPHORE, BUFFER, THINGS };

static struct things new_things(ipcx_waitable *items)
{
    ipcx_pool_options options = IPCX_POOL_OPTIONS_INIT;
    ipcx_semaphore_options permits = IPCX_SEMAPHORE_OPTIONS_INIT;
    char data[1000] = { 0 };
    struct things things;

    things.full = new_ends(4096);
    things.empty = new_ends(4096);
    while (ipcx_producer_send(things.full.tx, data, sizeof data, IPCX_NOWAIT) == IPCX_OK)
        ;
    options.block_size = 64;
    options.blocks = 1;
    OK(ipcx_pool_create(new_name(), &options, &things.pool));
    OK(ipcx_pool_acquire(things.pool, IPCX_NOWAIT, &things.block));
    permits.initial = IPCX_SEMAPHORE_EMPTY;
    OK(ipcx_semaphore_create(new_name(), &permits, &things.semaphore));
    OK(ipcx_buffer_create(new_name(), NULL, &things.buffer));
    items[RX] = (ipcx_waitable){ IPCX_WAIT_FOR_CONSUMER, 7, things.empty.rx, 0 };
    items[TX] = (ipcx_waitable){ IPCX_WAIT_FOR_PRODUCER, 7, things.full.tx, 0 };
    items[POOL] = (ipcx_waitable){ IPCX_WAIT_FOR_POOL, 7, things.pool, 0 };
    items[SEMAPHORE] = (ipcx_waitable){ IPCX_WAIT_FOR_SEMAPHORE, 7, things.semaphore, 0 };
    items[BUFFER] = (ipcx_waitable){ IPCX_WAIT_FOR_BUFFER, 7, things.buffer, 0 };
    return things;
}

static void close_things(struct things *things)
{
    close_ends(&things->full);
    close_ends(&things->empty);
    ipcx_pool_close(things->pool);
    ipcx_semaphore_close(things->semaphore);
    ipcx_buffer_close(things->buffer);
}

/* Makes one of them ready. */
static void make_ready(struct things *things, int which)
{
    char data[4096];
    size_t len;

    switch (which) {
    case RX:
        OK(ipcx_producer_send(things->empty.tx, "x", 1, IPCX_NOWAIT));
        break;
    case TX:
        while (ipcx_consumer_recv(things->full.rx, data, sizeof data, &len, IPCX_NOWAIT) == IPCX_OK)
            ;
        break;
    case POOL:
        OK(ipcx_pool_release(things->pool, &things->block));
        break;
    case SEMAPHORE:
        OK(ipcx_semaphore_release(things->semaphore));
        break;
    default:
        OK(ipcx_buffer_write(things->buffer, "x", 1, IPCX_NOWAIT));
    }
}

static void what_is_ready_is_told_by_flags_and_their_number(void)
{
    ipcx_waitable items[THINGS];
    struct things things = new_things(items);
    int64_t start = now_ns();
    size_t ready = 77;

    GIVES(IPCX_E_AGAIN, ipcx_wait_any(items, THINGS, IPCX_NOWAIT, &ready));
    GIVES(IPCX_E_TIMEDOUT, ipcx_wait_any(items, THINGS, 60 * MS, &ready));
    CHECK(now_ns() - start >= 60 * MS && ready == 77);
    for (int i = 0; i < THINGS; i++)
        CHECK(items[i].ready == 7); /* written only on success */
    for (int which = 0; which < THINGS; which++) {
        make_ready(&things, which);
        OK(ipcx_wait_any(items, THINGS, IPCX_FOREVER, &ready));
        CHECK(ready == (size_t)which + 1);
        for (int i = 0; i < THINGS; i++)
            CHECK(items[i].ready == (i <= which));
    }
    OK(ipcx_buffer_wait(things.buffer, UINT64_MAX, &items[BUFFER].seen, IPCX_NOWAIT)); /* the version as of now */
    OK(ipcx_wait_any(items, THINGS, IPCX_NOWAIT, &ready));
    CHECK(ready == THINGS - 1 && items[BUFFER].ready == 0);
    close_things(&things);
}

/* The other process works on the same segments, and says when it has begun. */
static void work_in_another_process(int begun)
{
    struct ends to = { names[1], NULL, NULL, NULL };
    ipcx_semaphore *semaphore;
    ipcx_buffer *buffer;

    OK(ipcx_ring_attach(to.name, &to.ring));
    OK(ipcx_ring_producer(to.ring, &to.tx));
    OK(ipcx_semaphore_attach(names[3], &semaphore));
    OK(ipcx_buffer_attach(names[4], &buffer));
    CHECK(write(begun, "", 1) == 1);
    for (int round = 0; round < 200; round++) {
        if (round % 3 == 0)
            OK(ipcx_producer_send(to.tx, "x", 1, IPCX_FOREVER));
        else if (round % 3 == 1)
            while (ipcx_semaphore_release(semaphore) != IPCX_OK)
                sleep_ms(1); /* not consumed yet */
        else
            OK(ipcx_buffer_write(buffer, &round, sizeof round, IPCX_FOREVER));
        if (round % 20 == 0)
            sleep_ms(5); /* long enough for the other one to sleep */
    }
    close_ends(&to);
    ipcx_semaphore_close(semaphore);
    ipcx_buffer_close(buffer);
}

static void work_of_another_process_wakes_and_so_does_its_end(void)
{
    int code = IPCX_OK, records = 0, permits = 0, begun[2];
    ipcx_waitable items[THINGS];
    struct things things = new_things(items);
    size_t ready, len;
    char byte;
    pid_t child;

    ipcx_producer_close(things.empty.tx); /* the role is the other one's */
    things.empty.tx = NULL;
    CHECK(pipe(begun) == 0);
    child = fork();
    if (child == 0) {
        alarm(TIME_LIMIT_S);
        work_in_another_process(begun[1]);
        _exit(0);
    }
    close(begun[1]);
    CHECK(read(begun[0], &byte, 1) == 1);
    close(begun[0]);
    while (code != IPCX_E_CLOSED) {
        OK(ipcx_wait_any(items, THINGS, 30000 * MS, &ready));
        CHECK(ready >= 1 && !items[TX].ready && !items[POOL].ready);
        if (items[RX].ready) {
            code = ipcx_consumer_recv(things.empty.rx, &byte, 1, &len, IPCX_NOWAIT);
            records += code == IPCX_OK;
            CHECK(code == IPCX_OK || code == IPCX_E_CLOSED);
        }
        if (items[SEMAPHORE].ready) {
            OK(ipcx_semaphore_consume(things.semaphore, IPCX_NOWAIT));
            permits++;
        }
        if (items[BUFFER].ready)
            OK(ipcx_buffer_wait(things.buffer, items[BUFFER].seen, &items[BUFFER].seen, IPCX_NOWAIT));
    }
    CHECK(wait_for(child) == 0);
    if (ipcx_semaphore_consume(things.semaphore, IPCX_NOWAIT) == IPCX_OK)
        permits++;
    CHECK(records == 67 && permits == 67 && items[BUFFER].seen == 66);
    close_things(&things);
}

static void more_than_the_kernel_takes_at_once_are_waited_for(void)
{
    enum { MANY = 150 };
    ipcx_waitable items[MANY];
    size_t ready = 0;
    pid_t child;
    int fd;

    for (int i = 0; i < MANY; i++) {
        ipcx_buffer *buffer;
        OK(ipcx_buffer_anonymous(NULL, &buffer));
        items[i] = (ipcx_waitable){ IPCX_WAIT_FOR_BUFFER, 0, buffer, 0 };
    }
    fd = ipcx_buffer_share_fd(items[123].object);
    child = fork();
    if (child == 0) {
        ipcx_buffer *theirs;
        OK(ipcx_buffer_from_fd(fd, &theirs));
        sleep_ms(100);
        OK(ipcx_buffer_write(theirs, "x", 1, IPCX_FOREVER));
        ipcx_buffer_close(theirs);
        _exit(0);
    }
    OK(ipcx_wait_any(items, MANY, 30000 * MS, &ready));
    CHECK(ready == 1 && items[123].ready == 1 && items[122].ready == 0);
    CHECK(wait_for(child) == 0);
    close(fd);
    for (int i = 0; i < MANY; i++)
        ipcx_buffer_close(items[i].object);
}

static void on_signal(int number)
{
    (void)number;
}

static void a_signal_ends_the_wait(void)
{
    ipcx_waitable items[THINGS];
    struct things things = new_things(items);
    pid_t child, parent = getpid();
    struct sigaction action;
    size_t ready = 0;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    child = fork();
    if (child == 0)
        alarm(TIME_LIMIT_S);
    while (child == 0) { /* until one arrives during a sleep */
        sleep_ms(20);
        kill(parent, SIGUSR1);
    }
    GIVES(IPCX_E_INTR, ipcx_wait_any(items, THINGS, IPCX_FOREVER, &ready));
    kill(child, SIGKILL);
    wait_for(child);
    close_things(&things);
}

static void bad_items_are_invalid(void)
{
    ipcx_waitable items[THINGS], bad[2];
    struct things things = new_things(items);
    size_t ready;
    pid_t child;

    GIVES(IPCX_E_INVALID, ipcx_wait_any(items, 0, IPCX_NOWAIT, &ready));
    GIVES(IPCX_E_INVALID, ipcx_wait_any(NULL, 0, IPCX_NOWAIT, &ready));
    GIVES(IPCX_E_INVALID, ipcx_wait_any(NULL, 1, IPCX_NOWAIT, &ready));
    GIVES(IPCX_E_INVALID, ipcx_wait_any(items, THINGS, IPCX_NOWAIT, NULL));
    GIVES(IPCX_E_INVALID, ipcx_wait_any(items, THINGS, -2, &ready));
    make_ready(&things, BUFFER); /* so that a wait for a good pair is over at once */
    bad[1] = items[BUFFER];
    for (uint32_t kind = 0; kind <= 9; kind++) {
        bad[0] = (ipcx_waitable){ kind, 0, NULL, 0 };
        GIVES(IPCX_E_INVALID, ipcx_wait_any(bad, 2, IPCX_FOREVER, &ready));
        for (int i = 0; i < THINGS; i++) { /* right for one kind, wrong for the others */
            bad[0].object = items[i].object;
            GIVES(kind == items[i].kind ? IPCX_OK : IPCX_E_INVALID, ipcx_wait_any(bad, 2, IPCX_FOREVER, &ready));
        }
        bad[0].object = things.empty.ring;
        GIVES(IPCX_E_INVALID, ipcx_wait_any(bad, 2, IPCX_FOREVER, &ready));
    }
    for (int i = 0; i < THINGS; i++) {
        ipcx_waitable twice[3] = { items[i], items[BUFFER], items[i] };
        GIVES(i == RX || i == TX ? IPCX_E_INVALID : IPCX_OK, ipcx_wait_any(twice, 3, IPCX_FOREVER, &ready));
        if (i == RX)
            SAYS("twice");
    }
    child = fork();
    if (child == 0) {
        GIVES(IPCX_E_FORKED, ipcx_wait_any(items, THINGS, IPCX_FOREVER, &ready));
        _exit(0);
    }
    CHECK(wait_for(child) == 0);
    close_things(&things);
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd fds = { fd, POLLIN, 0 };

    return poll(&fds, 1, timeout_ms) == 1 && (fds.revents & POLLIN);
}

/* What the endpoints and the pool have for event loops and for handlers; the others' are in their own tests. */
static void descriptors_and_signals_tell_of_it_too(void)
{
    const struct timespec patience = { 10, 0 };
    ipcx_waitable items[THINGS];
    struct things things = new_things(items);
    int fd = ipcx_poll_fd(IPCX_WAIT_FOR_POOL, things.pool, NULL);
    ipcx_block block;
    sigset_t set;
    char bytes[8];
    size_t len;

    sigemptyset(&set);
    for (int i = 0; i < 3; i++)
        sigaddset(&set, SIGRTMIN + i);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_CONSUMER, things.empty.rx, SIGTERM));
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_PRODUCER, things.full.tx, SIGRTMAX + 1));
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_POOL, things.pool, 12345));
    OK(ipcx_signal(IPCX_WAIT_FOR_CONSUMER, things.empty.rx, SIGRTMIN + RX));
    OK(ipcx_signal(IPCX_WAIT_FOR_PRODUCER, things.full.tx, SIGRTMIN + TX));
    OK(ipcx_signal(IPCX_WAIT_FOR_POOL, things.pool, SIGRTMIN + POOL));
    CHECK(fd >= 0 && fd == ipcx_poll_fd(IPCX_WAIT_FOR_POOL, things.pool, NULL) && !readable(fd, 50));
    for (int which = RX; which <= POOL; which++) {
        make_ready(&things, which);
        CHECK(sigtimedwait(&set, NULL, &patience) == SIGRTMIN + which);
    }
    CHECK(readable(fd, 2000));
    expect(things.empty.rx, "x", 1);
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(things.empty.rx, bytes, sizeof bytes, &len, IPCX_NOWAIT));
    make_ready(&things, RX);
    CHECK(sigtimedwait(&set, NULL, &patience) == SIGRTMIN + RX);
    OK(ipcx_pool_acquire(things.pool, IPCX_NOWAIT, &things.block));
    GIVES(IPCX_E_AGAIN, ipcx_pool_acquire(things.pool, IPCX_NOWAIT, &block));
    CHECK(!readable(fd, 50));
    OK(ipcx_signal(IPCX_WAIT_FOR_CONSUMER, things.empty.rx, 0));
    OK(ipcx_signal(IPCX_WAIT_FOR_PRODUCER, things.full.tx, 0));
    OK(ipcx_signal(IPCX_WAIT_FOR_POOL, things.pool, 0));
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_CONSUMER, NULL, 0));
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_PRODUCER, NULL, 0));
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_POOL, NULL, 0));
    GIVES(IPCX_E_INVALID, ipcx_poll_fd(IPCX_WAIT_FOR_POOL, NULL, NULL));
    close_things(&things);
}

/* The kind and the handle must agree: a wrong one does nothing. */
static void a_handle_of_another_kind_is_invalid(void)
{
    ipcx_waitable items[THINGS];
    struct things things = new_things(items);
    void *const handles[] = { NULL, things.empty.ring, things.empty.rx, things.pool, things.buffer };
    static const uint32_t own[] = { 0, 0, IPCX_WAIT_FOR_CONSUMER, IPCX_WAIT_FOR_POOL, IPCX_WAIT_FOR_BUFFER };
    int16_t events = 99;

    for (int i = 0; i < 5; i++)
        for (uint32_t kind = 0; kind < 13; kind++) {
            if (kind > 0 && kind == own[i])
                continue;
            GIVES(IPCX_E_INVALID, ipcx_poll_fd(kind, handles[i], &events));
            GIVES(IPCX_E_INVALID, ipcx_signal(kind, handles[i], 0));
        }
    CHECK(events == 99);
    CHECK(ipcx_poll_fd(IPCX_WAIT_FOR_CONSUMER, things.empty.rx, &events) == ipcx_consumer_poll_fd(things.empty.rx));
    CHECK(events == POLLIN);
    close_things(&things);
}

static void ends_of_transports_are_waited_for_beside_others(void)
{
    struct ends ends = new_ends(4096);
    ipcx_transport *tx, *rx;
    ipcx_waitable items[2] = { { IPCX_WAIT_FOR_CONSUMER, 7, NULL, 0 }, { IPCX_WAIT_FOR_TRANSPORT, 7, NULL, 0 } };
    size_t ready = 7;

    OK(ipcx_transport_pair("pipe", NULL, &tx, &rx));
    items[0].object = ends.rx;
    items[1].object = rx;
    GIVES(IPCX_E_AGAIN, ipcx_wait_any(items, 2, IPCX_NOWAIT, &ready));
    GIVES(IPCX_E_TIMEDOUT, ipcx_wait_any(items, 2, 10000000, &ready));
    OK(ipcx_transport_send(tx, "x", 1, 0, IPCX_NOWAIT));
    OK(ipcx_wait_any(items, 2, IPCX_FOREVER, &ready));
    CHECK(ready == 1 && items[0].ready == 0 && items[1].ready == 1);
    items[0] = (ipcx_waitable){ IPCX_WAIT_FOR_TRANSPORT, 7, tx, 0 };
    OK(ipcx_wait_any(items, 2, IPCX_NOWAIT, &ready));
    CHECK(ready == 2);
    items[0].object = rx;
    GIVES(IPCX_E_INVALID, ipcx_wait_any(items, 2, IPCX_NOWAIT, &ready));
    items[0].object = ends.rx;
    GIVES(IPCX_E_INVALID, ipcx_wait_any(items, 2, IPCX_NOWAIT, &ready));
    ipcx_transport_close(tx);
    ipcx_transport_close(rx);
    close_ends(&ends);
}

static const struct test tests[] = {
    TEST(ends_of_transports_are_waited_for_beside_others),
    TEST(what_is_ready_is_told_by_flags_and_their_number),
    TEST(work_of_another_process_wakes_and_so_does_its_end),
    TEST(more_than_the_kernel_takes_at_once_are_waited_for),
    TEST(a_signal_ends_the_wait),
    TEST(bad_items_are_invalid),
    TEST(descriptors_and_signals_tell_of_it_too),
    TEST(a_handle_of_another_kind_is_invalid),
};

int main(void)
{
    return RUN(tests);
}

/* Descriptors, figures, signals, and processes that fork and die. */
#include "check.h"

static int readable(int fd, int timeout_ms)
{
    struct pollfd fds = { fd, POLLIN, 0 };

    return poll(&fds, 1, timeout_ms) == 1 && (fds.revents & POLLIN);
}

static void the_consumers_descriptor_is_readable_while_there_is_a_record(void)
{
    struct ends ends = new_ends(4096);
    int fd = ipcx_consumer_poll_fd(ends.rx);
    size_t len;

    CHECK(fd >= 0 && ipcx_consumer_poll_fd(ends.rx) == fd);
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_NOWAIT));
    CHECK(!readable(fd, 50));
    OK(ipcx_producer_send(ends.tx, "1", 1, IPCX_NOWAIT));
    CHECK(readable(fd, 2000));
    CHECK(readable(fd, 0)); /* level-triggered */
    expect(ends.rx, "1", 1);
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_NOWAIT));
    CHECK(!readable(fd, 50));
    ipcx_producer_close(ends.tx);
    CHECK(readable(fd, 2000));
    GIVES(IPCX_E_CLOSED, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_NOWAIT));
    ends.tx = NULL;
    close_ends(&ends);
}

static void the_producers_descriptor_is_readable_while_there_is_room(void)
{
    struct ends ends = new_ends(4096);
    char data[1000] = { 0 };
    int fd = ipcx_producer_poll_fd(ends.tx);

    CHECK(fd >= 0 && readable(fd, 2000));
    while (ipcx_producer_send(ends.tx, data, sizeof data, IPCX_NOWAIT) == IPCX_OK)
        ;
    CHECK(!readable(fd, 50));
    expect(ends.rx, data, sizeof data);
    CHECK(readable(fd, 2000));
    OK(ipcx_producer_send(ends.tx, data, sizeof data, IPCX_NOWAIT));
    close_ends(&ends);
}

static void a_file_goes_in_without_a_buffer(void)
{
    struct ends ends = new_ends(4096);
    int file = memfd_create("file", MFD_CLOEXEC), ways[2];
    size_t sent = 99;

    CHECK(file >= 0 && write(file, "0123456789", 10) == 10 && lseek(file, 0, SEEK_SET) == 0);
    OK(ipcx_producer_send_file(ends.tx, file, 4, IPCX_FOREVER, &sent));
    CHECK(sent == 4);
    OK(ipcx_producer_send_file(ends.tx, file, 100, IPCX_NOWAIT, &sent));
    CHECK(sent == 6);
    OK(ipcx_producer_send_file(ends.tx, file, 100, IPCX_NOWAIT, &sent)); /* the end: no record */
    CHECK(sent == 0);
    expect(ends.rx, "0123", 4);
    expect(ends.rx, "456789", 6);

    CHECK(pipe(ways) == 0);
    GIVES(IPCX_E_AGAIN, ipcx_producer_send_file(ends.tx, ways[0], 4, IPCX_NOWAIT, &sent));
    GIVES(IPCX_E_TIMEDOUT, ipcx_producer_send_file(ends.tx, ways[0], 4, 20 * MS, &sent));
    CHECK(write(ways[1], "pipe", 4) == 4);
    OK(ipcx_producer_send_file(ends.tx, ways[0], 4, IPCX_FOREVER, &sent));
    expect(ends.rx, "pipe", 4);
    close(ways[0]);
    GIVES(IPCX_E_OS, ipcx_producer_send_file(ends.tx, ways[0], 4, IPCX_NOWAIT, &sent));
    CHECK(errno == EBADF);
    GIVES(IPCX_E_INVALID, ipcx_producer_send_file(ends.tx, -1, 4, IPCX_NOWAIT, &sent));
    GIVES(IPCX_E_TOO_BIG, ipcx_producer_send_file(ends.tx, file, 5000, IPCX_NOWAIT, &sent));
    OK(ipcx_producer_send(ends.tx, "free", 4, IPCX_NOWAIT)); /* no reservation was left open */
    close_ends(&ends);
}

static void figures_say_what_can_be_seen(void)
{
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
    ipcx_stats stats = IPCX_STATS_INIT;
    struct ends ends = { new_name(), NULL, NULL, NULL };

    options.capacity = 5000;
    OK(ipcx_ring_create(ends.name, &options, &ends.ring));
    OK(ipcx_ring_stats(ends.ring, &stats));
    CHECK(stats.kind == IPCX_KIND_RING && stats.capacity == 8192 && stats.struct_size == sizeof stats);
    CHECK(stats.producer_state == IPCX_ROLE_NEVER && stats.consumer_state == IPCX_ROLE_NEVER);
    CHECK(stats.used == 0 && stats.producer_pid == 0 && stats.consumer_pid == 0);
    OK(ipcx_ring_producer(ends.ring, &ends.tx));
    OK(ipcx_ring_consumer(ends.ring, &ends.rx));
    OK(ipcx_producer_send(ends.tx, "12345678", 8, IPCX_NOWAIT));
    OK(ipcx_producer_send(ends.tx, "12345678", 8, IPCX_NOWAIT));
    expect(ends.rx, "12345678", 8);
    ipcx_producer_close(ends.tx);
    OK(ipcx_ring_stats(ends.ring, &stats));
    CHECK(stats.sent == 2 && stats.received == 1 && stats.used == 16);
    CHECK(stats.sent_bytes == 32 && stats.received_bytes == 16);
    CHECK(stats.producer_state == IPCX_ROLE_CLOSED && stats.consumer_state == IPCX_ROLE_ALIVE);
    CHECK(stats.consumer_pid == (uint32_t)getpid());
    ends.tx = NULL;
    close_ends(&ends);
}

static void figures_stay_inside_the_callers_struct(void)
{
    struct {
        ipcx_stats known;
        uint64_t later, outside;
    } stats = { IPCX_STATS_INIT, 1, 2 };
    ipcx_ring *ring;

    OK(ipcx_ring_anonymous(NULL, &ring));
    stats.known.struct_size = 0;
    GIVES(IPCX_E_INVALID, ipcx_ring_stats(ring, &stats.known));
    stats.known.struct_size = UINT32_MAX;
    GIVES(IPCX_E_INVALID, ipcx_ring_stats(ring, &stats.known));
    stats.known.struct_size = sizeof stats.known;
    OK(ipcx_ring_stats(ring, &stats.known));
    CHECK(stats.known.capacity == 1 << 20 && stats.later == 1);
    stats.known.struct_size = sizeof stats.known + 8;
    OK(ipcx_ring_stats(ring, &stats.known));
    CHECK(stats.later == 0 && stats.outside == 2);
    /* That of the first version ended before block_size, and some have ended between. */
    for (uint32_t size = offsetof(ipcx_stats, block_size); size < sizeof stats.known; size += 4) {
        memset(&stats.known, 0xee, sizeof stats.known);
        stats.known.struct_size = size;
        OK(ipcx_ring_stats(ring, &stats.known));
        CHECK(stats.known.struct_size == size && stats.known.capacity == 1 << 20);
        for (size_t at = size; at < sizeof stats.known; at++)
            CHECK(((unsigned char *)&stats.known)[at] == 0xee);
    }
    stats.known.struct_size = offsetof(ipcx_stats, block_size) - 4;
    GIVES(IPCX_E_INVALID, ipcx_ring_stats(ring, &stats.known));
    ipcx_ring_close(ring);
}

static void a_descriptor_carries_an_anonymous_ring_to_a_child(void)
{
    ipcx_ring *ring, *inherited;
    ipcx_consumer *rx;
    ipcx_producer *tx;
    char buffer[64];
    size_t len;
    pid_t child;
    int fd;

    OK(ipcx_ring_anonymous(NULL, &ring));
    fd = ipcx_ring_share_fd(ring);
    CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    CHECK(ftruncate(fd, 0) == -1 && errno == EPERM); /* sealed */
    child = fork();
    if (child == 0) {
        GIVES(IPCX_E_FORKED, ipcx_ring_producer(ring, &tx));
        OK(ipcx_ring_from_fd(fd, &inherited));
        OK(ipcx_ring_producer(inherited, &tx));
        OK(ipcx_producer_send(tx, "from the child", 14, IPCX_FOREVER));
        ipcx_producer_close(tx);
        ipcx_ring_close(inherited);
        _exit(0);
    }
    OK(ipcx_ring_consumer(ring, &rx));
    OK(ipcx_consumer_recv(rx, buffer, sizeof buffer, &len, IPCX_FOREVER));
    CHECK(len == 14 && memcmp(buffer, "from the child", 14) == 0);
    CHECK(wait_for(child) == 0);
    close(fd);
    GIVES(IPCX_E_OS, ipcx_ring_from_fd(fd, &inherited)); /* closed */
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    GIVES(IPCX_E_CORRUPT, ipcx_ring_from_fd(fd, &inherited));
    close(fd);
    ipcx_consumer_close(rx);
    ipcx_ring_close(ring);
}

static void in_a_forked_child(struct ends *ends, int fd_before)
{
    ipcx_stats stats = IPCX_STATS_INIT;
    struct iovec iov = { NULL, 0 };
    const void *data;
    size_t n, lens[1];
    char buffer[8];
    void *room;

    GIVES(IPCX_E_FORKED, ipcx_producer_send(ends->tx, "x", 1, IPCX_NOWAIT));
    GIVES(IPCX_E_FORKED, ipcx_producer_send_many(ends->tx, &iov, 1, IPCX_NOWAIT, &n));
    GIVES(IPCX_E_FORKED, ipcx_producer_reserve(ends->tx, 1, IPCX_NOWAIT, &room));
    GIVES(IPCX_E_FORKED, ipcx_producer_send_file(ends->tx, 0, 1, IPCX_NOWAIT, &n));
    GIVES(IPCX_E_FORKED, ipcx_producer_commit(ends->tx, 0));
    GIVES(IPCX_E_FORKED, ipcx_producer_poll_fd(ends->tx));
    GIVES(IPCX_E_FORKED, ipcx_consumer_recv(ends->rx, buffer, sizeof buffer, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_FORKED, ipcx_consumer_recv_many(ends->rx, buffer, sizeof buffer, lens, 1, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_FORKED, ipcx_consumer_borrow(ends->rx, &data, &n, IPCX_FOREVER));
    GIVES(IPCX_E_FORKED, ipcx_consumer_release(ends->rx));
    GIVES(IPCX_E_FORKED, ipcx_consumer_poll_fd(ends->rx));
    GIVES(IPCX_E_FORKED, ipcx_ring_consumer(ends->ring, &ends->rx));
    GIVES(IPCX_E_FORKED, ipcx_ring_share_fd(ends->ring));
    GIVES(IPCX_E_FORKED, ipcx_ring_stats(ends->ring, &stats));
    CHECK(fd_before >= 0);
    close_ends(ends);
}

static void a_forked_child_does_not_act_for_its_parent(void)
{
    struct ends ends = new_ends(4096);
    ipcx_stats stats = IPCX_STATS_INIT;
    int fd = ipcx_consumer_poll_fd(ends.rx);
    pid_t child;

    OK(ipcx_producer_send(ends.tx, "before", 6, IPCX_NOWAIT));
    child = fork();
    if (child == 0) {
        in_a_forked_child(&ends, fd);
        _exit(0);
    }
    CHECK(wait_for(child) == 0);
    OK(ipcx_ring_stats(ends.ring, &stats)); /* the child's closing closed nothing */
    CHECK(stats.producer_state == IPCX_ROLE_ALIVE && stats.consumer_state == IPCX_ROLE_ALIVE);
    expect(ends.rx, "before", 6);
    OK(ipcx_producer_send(ends.tx, "after", 5, IPCX_NOWAIT));
    expect(ends.rx, "after", 5);
    close_ends(&ends);
}

/* A child that takes a role, does its work, says so, and waits to be killed. */
static pid_t doomed(const char *name, void (*work)(ipcx_ring *))
{
    int ready[2];
    char byte;
    pid_t child;

    CHECK(pipe(ready) == 0);
    child = fork();
    if (child == 0) {
        ipcx_ring *ring;
        alarm(TIME_LIMIT_S);
        OK(ipcx_ring_open(name, NULL, &ring));
        work(ring);
        CHECK(write(ready[1], "", 1) == 1);
        for (;;)
            pause();
    }
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    return child;
}

static void send_two_and_reserve(ipcx_ring *ring)
{
    ipcx_producer *tx;
    void *room;

    OK(ipcx_ring_producer(ring, &tx));
    OK(ipcx_producer_send(tx, "one", 3, IPCX_NOWAIT));
    OK(ipcx_producer_send(tx, "two", 3, IPCX_NOWAIT));
    OK(ipcx_producer_reserve(tx, 3, IPCX_NOWAIT, &room));
    memcpy(room, "not", 3);
}

static void a_producer_that_dies_loses_nothing_it_sent(void)
{
    struct ends ends = { new_name(), NULL, NULL, NULL };
    ipcx_stats stats = IPCX_STATS_INIT;
    pid_t child = doomed(ends.name, send_two_and_reserve);
    int64_t start;
    size_t len;

    OK(ipcx_ring_attach(ends.name, &ends.ring));
    OK(ipcx_ring_consumer(ends.ring, &ends.rx));
    GIVES(IPCX_E_BUSY, ipcx_ring_producer(ends.ring, &ends.tx));
    expect(ends.rx, "one", 3);
    kill(child, SIGKILL);
    wait_for(child);
    expect(ends.rx, "two", 3);
    start = now_ns();
    GIVES(IPCX_E_PEER_DEAD, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_FOREVER));
    CHECK(now_ns() - start < 250 * MS && errno == ECONNRESET);
    SAYS("died");
    OK(ipcx_ring_stats(ends.ring, &stats));
    CHECK(stats.producer_state == IPCX_ROLE_DEAD && stats.producer_pid == (uint32_t)child);
    OK(ipcx_ring_producer(ends.ring, &ends.tx)); /* the successor goes on */
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_NOWAIT));
    OK(ipcx_producer_send(ends.tx, "three", 5, IPCX_NOWAIT));
    expect(ends.rx, "three", 5);
    close_ends(&ends);
}

static void receive_one_and_borrow_one(ipcx_ring *ring)
{
    ipcx_consumer *rx;
    const void *data;
    size_t len;

    OK(ipcx_ring_consumer(ring, &rx));
    expect(rx, "one", 3);
    OK(ipcx_consumer_borrow(rx, &data, &len, IPCX_NOWAIT));
    CHECK(len == 3 && memcmp(data, "two", 3) == 0 && ipcx_consumer_position(rx) == 16);
}

static void what_a_dead_consumer_did_not_release_is_delivered_again(void)
{
    struct ends ends = { new_name(), NULL, NULL, NULL };
    char data[1000] = { 0 };
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
    ipcx_stats stats = IPCX_STATS_INIT;
    pid_t child;

    options.capacity = 4096;
    OK(ipcx_ring_create(ends.name, &options, &ends.ring));
    OK(ipcx_ring_producer(ends.ring, &ends.tx));
    OK(ipcx_producer_send(ends.tx, "one", 3, IPCX_NOWAIT));
    OK(ipcx_producer_send(ends.tx, "two", 3, IPCX_NOWAIT));
    child = doomed(ends.name, receive_one_and_borrow_one);
    kill(child, SIGKILL);
    wait_for(child);
    for (int i = 0; i < 3; i++)
        OK(ipcx_producer_send(ends.tx, data, sizeof data, IPCX_NOWAIT));
    GIVES(IPCX_E_PEER_DEAD, ipcx_producer_send(ends.tx, data, 2000, IPCX_FOREVER));
    OK(ipcx_ring_consumer(ends.ring, &ends.rx));
    OK(ipcx_ring_stats(ends.ring, &stats));
    CHECK(ipcx_consumer_position(ends.rx) == 16 && stats.received_bytes == 16 && stats.sent_bytes > 32);
    expect(ends.rx, "two", 3);
    close_ends(&ends);
}

static void on_signal(int number)
{
    (void)number;
}

static void a_signal_ends_a_sleep(void)
{
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
    struct ends ends = { new_name(), NULL, NULL, NULL };
    struct sigaction action;
    pid_t child, parent = getpid();
    size_t len;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    options.wait = IPCX_WAIT_BLOCK;
    OK(ipcx_ring_create(ends.name, &options, &ends.ring));
    OK(ipcx_ring_consumer(ends.ring, &ends.rx));
    child = fork();
    if (child == 0)
        alarm(TIME_LIMIT_S);
    while (child == 0) { /* until one arrives during a sleep */
        sleep_ms(20);
        kill(parent, SIGUSR1);
    }
    GIVES(IPCX_E_INTR, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_FOREVER));
    CHECK(errno == EINTR);
    kill(child, SIGKILL);
    wait_for(child);
    close_ends(&ends);
}

static volatile sig_atomic_t handler_code;
static ipcx_producer *handler_producer;

static void send_in_handler(int number)
{
    int saved = errno;

    (void)number;
    handler_code = ipcx_producer_send(handler_producer, "signal", 6, IPCX_NOWAIT);
    errno = saved;
}

static void a_signal_handler_may_send_without_waiting(void)
{
    struct ends ends = new_ends(4096);
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = send_in_handler;
    handler_producer = ends.tx;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 500; i++) {
        CHECK(raise(SIGUSR1) == 0 && (handler_code == IPCX_OK || handler_code == IPCX_E_AGAIN));
        if (i % 2)
            expect(ends.rx, "signal", 6);
    }
    close_ends(&ends);
}

static void every_strategy_carries_messages_between_processes(void)
{
    for (uint32_t wait = IPCX_WAIT_BALANCED; wait <= IPCX_WAIT_BLOCK; wait++) {
        ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
        struct ends ends = { new_name(), NULL, NULL, NULL };
        uint64_t number = 0;
        size_t len;
        pid_t child;

        options.capacity = 4096;
        options.wait = wait;
        OK(ipcx_ring_create(ends.name, &options, &ends.ring));
        child = fork();
        if (child == 0) {
            ipcx_ring_close(ends.ring);
            OK(ipcx_ring_attach(ends.name, &ends.ring));
            OK(ipcx_ring_producer(ends.ring, &ends.tx));
            ipcx_ring_close(ends.ring);
            for (number = 0; number < 5000; number++)
                OK(ipcx_producer_send(ends.tx, &number, sizeof number, IPCX_FOREVER));
            ipcx_producer_close(ends.tx);
            _exit(0);
        }
        OK(ipcx_ring_consumer(ends.ring, &ends.rx));
        for (uint64_t i = 0; i < 5000; i++) {
            OK(ipcx_consumer_recv(ends.rx, &number, sizeof number, &len, 10000 * MS));
            CHECK(len == sizeof number && number == i);
        }
        GIVES(IPCX_E_CLOSED, ipcx_consumer_recv(ends.rx, &number, sizeof number, &len, IPCX_FOREVER));
        CHECK(wait_for(child) == 0);
        close_ends(&ends);
    }
}

static const struct test tests[] = {
    TEST(the_consumers_descriptor_is_readable_while_there_is_a_record),
    TEST(the_producers_descriptor_is_readable_while_there_is_room),
    TEST(a_file_goes_in_without_a_buffer),
    TEST(figures_say_what_can_be_seen),
    TEST(figures_stay_inside_the_callers_struct),
    TEST(a_descriptor_carries_an_anonymous_ring_to_a_child),
    TEST(a_forked_child_does_not_act_for_its_parent),
    TEST(a_producer_that_dies_loses_nothing_it_sent),
    TEST(what_a_dead_consumer_did_not_release_is_delivered_again),
    TEST(a_signal_ends_a_sleep),
    TEST(a_signal_handler_may_send_without_waiting),
    TEST(every_strategy_carries_messages_between_processes),
};

int main(void)
{
    return RUN(tests);
}

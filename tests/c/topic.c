/* A topic: what is published reaches every subscriber. */
#include "check.h"

enum { CAPACITY = 4096 };

static ipcx_topic_options options_of(uint32_t reliable, uint32_t history)
{
    ipcx_topic_options options = IPCX_TOPIC_OPTIONS_INIT;

    options.capacity = CAPACITY;
    options.reliable = reliable;
    options.history = history;
    return options;
}

/* A topic with one end of each kind. */
struct board {
    const char *name;
    ipcx_topic *topic;
    ipcx_publisher *tx;
    ipcx_subscriber *rx;
};

static struct board new_board(uint32_t reliable)
{
    struct board board = { new_name(), NULL, NULL, NULL };
    ipcx_topic_options options = options_of(reliable, 0);

    OK(ipcx_topic_create(board.name, &options, &board.topic));
    OK(ipcx_topic_publisher(board.topic, &board.tx));
    OK(ipcx_topic_subscriber(board.topic, &board.rx));
    return board;
}

static void close_board(struct board *board)
{
    ipcx_publisher_close(board->tx);
    ipcx_subscriber_close(board->rx);
    ipcx_topic_close(board->topic);
}

static void publish_number(ipcx_publisher *tx, uint64_t number)
{
    OK(ipcx_publisher_publish(tx, &number, sizeof number, IPCX_NOWAIT));
}

static uint64_t next_number(ipcx_subscriber *rx, int64_t timeout_ns)
{
    uint64_t number = 0;
    size_t len = 0;

    OK(ipcx_subscriber_recv(rx, &number, sizeof number, &len, timeout_ns));
    CHECK(len == sizeof number);
    return number;
}

static void is_empty(ipcx_subscriber *rx)
{
    char buffer[CAPACITY];
    size_t len = 77;

    GIVES(IPCX_E_AGAIN, ipcx_subscriber_recv(rx, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    CHECK(len == 77);
}

/* Publishes numbers from `from` on until there is no room; gives the next one. */
static uint64_t fill(ipcx_publisher *tx, uint64_t from)
{
    while (ipcx_publisher_publish(tx, &from, sizeof from, IPCX_NOWAIT) == IPCX_OK)
        from++;
    return from;
}

static void every_subscriber_gets_every_record(void)
{
    struct board board = new_board(0);
    ipcx_subscriber *other;
    char record[200], buffer[200];
    size_t len;

    OK(ipcx_topic_subscriber(board.topic, &other));
    for (size_t i = 0; i < sizeof record; i++) {
        memset(record, (int)i, i);
        OK(ipcx_publisher_publish(board.tx, i == 0 ? NULL : record, i, IPCX_FOREVER));
        OK(ipcx_subscriber_recv(board.rx, buffer, sizeof buffer, &len, IPCX_FOREVER));
        CHECK(len == i && memcmp(record, buffer, i) == 0);
        len = 999;
        if (i > 1) {
            GIVES(IPCX_E_TOO_BIG, ipcx_subscriber_recv(other, buffer, i - 1, &len, 5 * MS));
            CHECK(len == i);
        }
        OK(ipcx_subscriber_recv(other, buffer, i, &len, IPCX_NOWAIT));
        CHECK(len == i && memcmp(record, buffer, i) == 0);
    }
    is_empty(board.rx);
    is_empty(other);
    CHECK(ipcx_subscriber_missed(board.rx) == 0 && ipcx_subscriber_missed(other) == 0);
    ipcx_subscriber_close(other);
    close_board(&board);
}

static void a_slow_subscriber_knows_how_many_it_missed(void)
{
    enum { RECORDS = 10000 };
    struct board board = new_board(0);
    uint64_t first;

    for (uint64_t i = 0; i < RECORDS; i++)
        publish_number(board.tx, i);
    first = next_number(board.rx, IPCX_NOWAIT);
    CHECK(first > 0 && ipcx_subscriber_missed(board.rx) == first);
    for (uint64_t i = first + 1; i < RECORDS; i++)
        CHECK(next_number(board.rx, IPCX_NOWAIT) == i);
    is_empty(board.rx);
    CHECK(ipcx_subscriber_missed(board.rx) == first);
    close_board(&board);
}

static void a_reliable_topic_waits_for_the_slowest(void)
{
    struct board board = new_board(1);
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_subscriber *slow;
    uint64_t count, got = 0;
    int64_t start;

    OK(ipcx_topic_subscriber(board.topic, &slow));
    count = fill(board.tx, 0);
    CHECK(count > 100 && count <= CAPACITY / 24);
    for (uint64_t i = 0; i < count; i++)
        CHECK(next_number(board.rx, IPCX_NOWAIT) == i);
    start = now_ns();
    GIVES(IPCX_E_AGAIN, ipcx_publisher_publish(board.tx, &count, sizeof count, IPCX_NOWAIT));
    GIVES(IPCX_E_TIMEDOUT, ipcx_publisher_publish(board.tx, &count, sizeof count, 20 * MS));
    CHECK(now_ns() - start >= 20 * MS);
    OK(ipcx_topic_stats(board.topic, &stats));
    CHECK(stats.kind == IPCX_KIND_TOPIC && stats.capacity == CAPACITY && stats.sent == count);
    CHECK(stats.subscribers == 2 && stats.used == count * 24 && stats.producer_pid == 0);
    while (ipcx_publisher_publish(board.tx, &count, sizeof count, IPCX_NOWAIT) != IPCX_OK)
        CHECK(next_number(slow, IPCX_NOWAIT) == got++);
    CHECK(got > 0);
    for (; got <= count; got++)
        CHECK(next_number(slow, IPCX_NOWAIT) == got);
    CHECK(ipcx_subscriber_missed(slow) == 0);
    ipcx_subscriber_close(slow);
    OK(ipcx_topic_stats(board.topic, &stats));
    CHECK(stats.subscribers == 1);
    close_board(&board);
}

static void a_subscriber_begins_where_it_says(void)
{
    static const uint32_t starts[] = { IPCX_START_OLDEST, IPCX_START_LATEST, IPCX_START_NEXT };
    static const uint64_t first[] = { 0, 2, 3 };

    for (uint32_t history = 0; history < 2; history++) {
        ipcx_topic_options options = options_of(0, history);
        ipcx_subscriber *rx;
        ipcx_publisher *tx;
        ipcx_topic *topic;

        OK(ipcx_topic_anonymous(&options, &topic));
        OK(ipcx_topic_publisher(topic, &tx));
        for (uint64_t i = 0; i < 3; i++)
            publish_number(tx, i);
        for (int i = 0; i < 4; i++) {
            uint64_t from = i < 3 ? first[i] : history ? 0 : 3;

            if (i < 3)
                OK(ipcx_topic_subscriber_at(topic, starts[i], &rx));
            else
                OK(ipcx_topic_subscriber(topic, &rx));
            for (; from < 3; from++)
                CHECK(next_number(rx, IPCX_NOWAIT) == from);
            is_empty(rx);
            ipcx_subscriber_close(rx);
        }
        GIVES(IPCX_E_INVALID, ipcx_topic_subscriber_at(topic, 3, &rx));
        SAYS("IPCX_START_");
        ipcx_publisher_close(tx);
        ipcx_topic_close(topic);
    }
}

static void what_is_reserved_is_published_by_commit_only(void)
{
    struct board board = new_board(1);
    ipcx_publisher *other;
    ipcx_stats stats = IPCX_STATS_INIT;
    char buffer[64];
    void *data;
    size_t len;

    OK(ipcx_topic_publisher(board.topic, &other));
    OK(ipcx_topic_stats(board.topic, &stats));
    CHECK(stats.max_message == CAPACITY / 2 - 24);
    GIVES(IPCX_E_TOO_BIG, ipcx_publisher_reserve(board.tx, CAPACITY / 2 - 23, IPCX_NOWAIT, &data));
    GIVES(IPCX_E_INVALID, ipcx_publisher_commit(board.tx, 0));
    GIVES(IPCX_E_INVALID, ipcx_publisher_abort(board.tx));
    OK(ipcx_publisher_reserve(board.tx, 32, IPCX_FOREVER, &data));
    CHECK((uintptr_t)data % 8 == 0);
    memcpy(data, "gone", 4);
    GIVES(IPCX_E_INVALID, ipcx_publisher_publish(board.tx, "x", 1, IPCX_NOWAIT));
    GIVES(IPCX_E_AGAIN, ipcx_publisher_publish(other, "x", 1, IPCX_NOWAIT)); /* one at a time */
    OK(ipcx_publisher_abort(board.tx));
    is_empty(board.rx);
    OK(ipcx_publisher_reserve(board.tx, 32, 5 * MS, &data));
    memcpy(data, "here it is", 10);
    is_empty(board.rx);
    GIVES(IPCX_E_INVALID, ipcx_publisher_commit(board.tx, 33));
    OK(ipcx_publisher_commit(board.tx, 10));
    OK(ipcx_publisher_publish(other, "x", 1, IPCX_NOWAIT));
    OK(ipcx_subscriber_recv(board.rx, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    CHECK(len == 10 && memcmp(buffer, "here it is", 10) == 0);
    OK(ipcx_subscriber_recv(board.rx, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    CHECK(len == 1 && buffer[0] == 'x');
    OK(ipcx_publisher_reserve(board.tx, 32, IPCX_NOWAIT, &data));
    ipcx_publisher_close(board.tx); /* and what it reserved */
    OK(ipcx_publisher_publish(other, "y", 1, IPCX_NOWAIT));
    board.tx = other;
    close_board(&board);
}

static void what_is_borrowed_is_whole_or_says_so(void)
{
    for (uint32_t reliable = 0; reliable < 2; reliable++) {
        struct board board = new_board(reliable);
        const void *data;
        uint64_t number;
        size_t len;
        int whole = 7;

        GIVES(IPCX_E_AGAIN, ipcx_subscriber_borrow(board.rx, &data, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_subscriber_release(board.rx, &whole));
        CHECK(whole == 7);
        publish_number(board.tx, 0);
        publish_number(board.tx, 1);
        OK(ipcx_subscriber_borrow(board.rx, &data, &len, IPCX_FOREVER));
        CHECK(len == 8 && (uintptr_t)data % 8 == 0 && *(const uint64_t *)data == 0);
        GIVES(IPCX_E_INVALID, ipcx_subscriber_borrow(board.rx, &data, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_subscriber_recv(board.rx, &number, 8, &len, IPCX_NOWAIT));
        OK(ipcx_subscriber_return(board.rx));
        OK(ipcx_subscriber_return(board.rx));
        OK(ipcx_subscriber_borrow(board.rx, &data, &len, 5 * MS));
        CHECK(*(const uint64_t *)data == 0);
        OK(ipcx_subscriber_release(board.rx, &whole));
        CHECK(whole == 1);
        OK(ipcx_subscriber_borrow(board.rx, &data, &len, IPCX_NOWAIT));
        CHECK(*(const uint64_t *)data == 1);
        if (reliable) {
            CHECK(fill(board.tx, 2) < 200);
            CHECK(*(const uint64_t *)data == 1);
        } else {
            for (number = 2; number < 1000; number++)
                publish_number(board.tx, number);
        }
        OK(ipcx_subscriber_release(board.rx, &whole));
        CHECK(whole == (int)reliable);
        number = next_number(board.rx, IPCX_NOWAIT);
        CHECK(ipcx_subscriber_missed(board.rx) == (reliable ? 0 : number - 1));
        OK(ipcx_subscriber_borrow(board.rx, &data, &len, IPCX_NOWAIT));
        OK(ipcx_subscriber_release(board.rx, NULL));
        close_board(&board);
    }
}

static void a_file_is_published_by_one_read(void)
{
    struct board board = new_board(1);
    char buffer[CAPACITY];
    size_t sent = 99, len;
    int ends[2], directory = open("/", O_RDONLY);
    FILE *file = tmpfile();

    CHECK(file != NULL && fputs("contents of a file", file) >= 0 && fflush(file) == 0);
    CHECK(lseek(fileno(file), 9, SEEK_SET) == 9);
    OK(ipcx_publisher_publish_file(board.tx, fileno(file), 1000, IPCX_FOREVER, &sent));
    CHECK(sent == 9);
    OK(ipcx_publisher_publish_file(board.tx, fileno(file), 1000, IPCX_NOWAIT, &sent)); /* at its end */
    CHECK(sent == 0);
    OK(ipcx_subscriber_recv(board.rx, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    CHECK(len == 9 && memcmp(buffer, "of a file", 9) == 0);
    is_empty(board.rx);
    CHECK(pipe(ends) == 0);
    GIVES(IPCX_E_TIMEDOUT, ipcx_publisher_publish_file(board.tx, ends[0], 10, 5 * MS, &sent));
    GIVES(IPCX_E_INVALID, ipcx_publisher_publish_file(board.tx, -1, 10, 5 * MS, &sent));
    GIVES(IPCX_E_OS, ipcx_publisher_publish_file(board.tx, directory, 10, IPCX_FOREVER, &sent));
    CHECK(write(ends[1], "12345", 5) == 5 && sent == 0);
    OK(ipcx_publisher_publish_file(board.tx, ends[0], 10, 5 * MS, &sent));
    OK(ipcx_subscriber_recv(board.rx, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    CHECK(sent == 5 && len == 5 && memcmp(buffer, "12345", 5) == 0);
    is_empty(board.rx);
    fclose(file);
    close(directory);
    close(ends[0]);
    close(ends[1]);
    close_board(&board);
}

static void another_process_gets_all_and_one_that_dies_holds_nothing(void)
{
    enum { RECORDS = 20000 };
    struct board board = new_board(1);
    int ready[2];
    char byte;

    CHECK(pipe(ready) == 0);
    for (int dies = 0; dies < 2; dies++) {
        pid_t child = fork();

        if (child == 0) {
            ipcx_topic *topic;
            ipcx_subscriber *rx;
            alarm(TIME_LIMIT_S);
            GIVES(IPCX_E_FORKED, ipcx_publisher_publish(board.tx, "x", 1, IPCX_NOWAIT));
            GIVES(IPCX_E_FORKED, ipcx_subscriber_recv(board.rx, &byte, 1, &(size_t){ 0 }, IPCX_NOWAIT));
            GIVES(IPCX_E_FORKED, ipcx_topic_publisher(board.topic, &board.tx));
            ipcx_subscriber_close(board.rx); /* which does nothing to the parent's */
            OK(ipcx_topic_attach(board.name, &topic));
            OK(ipcx_topic_subscriber(topic, &rx));
            CHECK(write(ready[1], "", 1) == 1);
            if (dies)
                for (;;)
                    pause();
            for (uint64_t i = 0; i < RECORDS; i++)
                CHECK(next_number(rx, IPCX_FOREVER) == i);
            ipcx_subscriber_close(rx);
            ipcx_topic_close(topic);
            _exit(0);
        }
        CHECK(read(ready[0], &byte, 1) == 1);
        if (dies) {
            uint64_t next = 0;
            int64_t start;

            while (ipcx_publisher_publish(board.tx, &next, sizeof next, IPCX_NOWAIT) == IPCX_OK)
                CHECK(next_number(board.rx, IPCX_NOWAIT) == next++);
            kill(child, SIGKILL);
            wait_for(child);
            start = now_ns();
            OK(ipcx_publisher_publish(board.tx, "1", 1, IPCX_FOREVER));
            CHECK(now_ns() - start < 250 * MS);
        } else {
            for (uint64_t i = 0; i < RECORDS; i++) {
                OK(ipcx_publisher_publish(board.tx, &i, sizeof i, IPCX_FOREVER));
                CHECK(next_number(board.rx, IPCX_NOWAIT) == i);
            }
            CHECK(wait_for(child) == 0);
        }
    }
    close_board(&board);
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd fds = { fd, POLLIN, 0 };

    return poll(&fds, 1, timeout_ms) == 1 && (fds.revents & POLLIN);
}

static void descriptors_and_signals_tell_of_records_and_of_room(void)
{
    const struct timespec patience = { 10, 0 };
    struct board board = new_board(1);
    int rx = ipcx_subscriber_poll_fd(board.rx), tx = ipcx_publisher_poll_fd(board.tx);
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGRTMIN + 2);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_SUBSCRIBER, board.rx, SIGUSR1));
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_PUBLISHER, board.tx, SIGUSR1));
    CHECK(rx >= 0 && tx >= 0 && !readable(rx, 0) && readable(tx, 0));
    OK(ipcx_signal(IPCX_WAIT_FOR_SUBSCRIBER, board.rx, SIGRTMIN + 1));
    for (uint64_t from = 0, to = 0, round = 0; round < 20; round++) {
        to = fill(board.tx, from);
        CHECK(to > from && !readable(tx, round == 0 ? 50 : 0));
        if (round == 0)
            OK(ipcx_signal(IPCX_WAIT_FOR_PUBLISHER, board.tx, SIGRTMIN + 2));
        CHECK(readable(rx, 2000) && sigtimedwait(&set, NULL, &patience) == SIGRTMIN + 1);
        for (; from < to; from++)
            CHECK(next_number(board.rx, IPCX_NOWAIT) == from);
        is_empty(board.rx);
        CHECK(!readable(rx, 0) && readable(tx, 2000));
        CHECK(sigtimedwait(&set, NULL, &patience) == SIGRTMIN + 2);
    }
    close_board(&board);
}

static void both_ends_are_waited_for_among_others(void)
{
    struct board board = new_board(1);
    ipcx_waitable items[2] = { { IPCX_WAIT_FOR_PUBLISHER, 9, board.tx, 0 }, { IPCX_WAIT_FOR_SUBSCRIBER, 9, board.rx, 0 } };
    ipcx_waitable twice[2] = { items[1], items[1] };
    uint64_t next;
    size_t ready = 99;

    OK(ipcx_wait_any(items, 2, IPCX_FOREVER, &ready));
    CHECK(ready == 1 && items[0].ready == 1 && items[1].ready == 0);
    next = fill(board.tx, 0);
    OK(ipcx_wait_any(items, 2, IPCX_FOREVER, &ready));
    CHECK(ready == 1 && items[0].ready == 0 && items[1].ready == 1);
    GIVES(IPCX_E_AGAIN, ipcx_wait_any(items, 1, IPCX_NOWAIT, &ready));
    GIVES(IPCX_E_TIMEDOUT, ipcx_wait_any(items, 1, 20 * MS, &ready));
    for (uint64_t i = 0; i < next; i++)
        CHECK(next_number(board.rx, IPCX_NOWAIT) == i);
    GIVES(IPCX_E_TIMEDOUT, ipcx_wait_any(items + 1, 1, 20 * MS, &ready));
    OK(ipcx_wait_any(items, 2, IPCX_FOREVER, &ready));
    CHECK(ready == 1 && items[0].ready == 1 && items[1].ready == 0);
    GIVES(IPCX_E_INVALID, ipcx_wait_any(twice, 2, IPCX_NOWAIT, &ready));
    SAYS("twice");
    items[0].object = board.rx;
    GIVES(IPCX_E_INVALID, ipcx_wait_any(items, 2, IPCX_NOWAIT, &ready));
    close_board(&board);
}

static ipcx_publisher *handler_tx;
static ipcx_subscriber *handler_rx;
static volatile sig_atomic_t handler_code;

static void publish_and_receive_in_handler(int number)
{
    int saved = errno;
    char byte = 0;
    size_t len;

    (void)number;
    handler_code = ipcx_publisher_publish(handler_tx, "h", 1, IPCX_NOWAIT);
    if (handler_code == IPCX_OK)
        handler_code = ipcx_subscriber_recv(handler_rx, &byte, 1, &len, IPCX_NOWAIT);
    if (handler_code == IPCX_OK)
        handler_code = ipcx_subscriber_recv(handler_rx, &byte, 1, &len, IPCX_NOWAIT);
    errno = saved;
}

static void a_handler_may_use_both_ends_without_waiting(void)
{
    struct board board = new_board(0);
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = publish_and_receive_in_handler;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    handler_tx = board.tx;
    handler_rx = board.rx;
    for (int i = 0; i < 200; i++)
        CHECK(raise(SIGUSR1) == 0 && handler_code == IPCX_E_AGAIN);
    CHECK(ipcx_subscriber_missed(board.rx) == 0);
    close_board(&board);
}

static void bad_arguments_are_invalid_and_do_nothing(void)
{
    const char *name = new_name();
    ipcx_topic_options options = options_of(2, 0);
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_subscriber *rx;
    ipcx_publisher *tx;
    ipcx_topic *topic = NULL, *other;
    ipcx_ring *ring;
    const void *data;
    void *place;
    size_t len;

    GIVES(IPCX_E_INVALID, ipcx_topic_create(name, &options, &topic));
    SAYS("reliable");
    options = options_of(0, 2);
    GIVES(IPCX_E_INVALID, ipcx_topic_open(name, &options, &topic));
    options = options_of(0, 0);
    options.struct_size = 4;
    GIVES(IPCX_E_INVALID, ipcx_topic_open(name, &options, &topic));
    options = options_of(0, 0);
    options.capacity = UINT64_C(1) << 40;
    GIVES(IPCX_E_INVALID, ipcx_topic_open(name, &options, &topic));
    GIVES(IPCX_E_NOT_FOUND, ipcx_topic_attach(name, &topic));
    options = options_of(0, 0);
    OK(ipcx_topic_open(name, &options, &topic));
    GIVES(IPCX_E_EXISTS, ipcx_topic_create(name, &options, &other));
    GIVES(IPCX_E_MISMATCH, ipcx_ring_attach(name, &ring));
    options.reliable = 1;
    GIVES(IPCX_E_MISMATCH, ipcx_topic_open(name, &options, &other));
    options.flags = IPCX_OPT_MUST_EXIST;
    GIVES(IPCX_E_MISMATCH, ipcx_topic_open(name, &options, &other));
    OK(ipcx_topic_attach(name, &other));
    ipcx_topic_close(other);
    GIVES(IPCX_E_INVALID, ipcx_topic_publisher(topic, NULL));
    GIVES(IPCX_E_INVALID, ipcx_topic_subscriber(topic, NULL));
    GIVES(IPCX_E_INVALID, ipcx_topic_stats(topic, NULL));
    OK(ipcx_topic_publisher(topic, &tx));
    OK(ipcx_topic_subscriber(topic, &rx));
    GIVES(IPCX_E_INVALID, ipcx_publisher_publish(tx, "x", 1, -2));
    GIVES(IPCX_E_INVALID, ipcx_publisher_publish(tx, NULL, 1, IPCX_NOWAIT));
    GIVES(IPCX_E_TOO_BIG, ipcx_publisher_publish(tx, "x", SIZE_MAX, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_publisher_reserve(tx, 8, IPCX_NOWAIT, NULL));
    OK(ipcx_publisher_publish(tx, "x", 1, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_subscriber_recv(rx, &len, sizeof len, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_subscriber_recv(rx, NULL, 1, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_subscriber_recv(rx, &len, sizeof len, &len, -2));
    GIVES(IPCX_E_INVALID, ipcx_subscriber_borrow(rx, &data, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_TOO_BIG, ipcx_subscriber_recv(rx, NULL, 0, &len, IPCX_NOWAIT));
    CHECK(len == 1);
    ipcx_publisher_close(tx);
    ipcx_subscriber_close(rx);

    tx = (ipcx_publisher *)topic;
    rx = (ipcx_subscriber *)topic;
    for (int i = 0; i < 2; i++, tx = NULL, rx = NULL) {
        GIVES(IPCX_E_INVALID, ipcx_publisher_publish(tx, "x", 1, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_publisher_publish_file(tx, 0, 1, IPCX_NOWAIT, &len));
        GIVES(IPCX_E_INVALID, ipcx_publisher_reserve(tx, 1, IPCX_NOWAIT, &place));
        GIVES(IPCX_E_INVALID, ipcx_publisher_commit(tx, 1));
        GIVES(IPCX_E_INVALID, ipcx_publisher_abort(tx));
        GIVES(IPCX_E_INVALID, ipcx_publisher_poll_fd(tx));
        GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_PUBLISHER, tx, 0));
        ipcx_publisher_close(tx);
        GIVES(IPCX_E_INVALID, ipcx_subscriber_recv(rx, &len, sizeof len, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_subscriber_borrow(rx, &data, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_subscriber_release(rx, NULL));
        GIVES(IPCX_E_INVALID, ipcx_subscriber_return(rx));
        GIVES(IPCX_E_INVALID, ipcx_subscriber_poll_fd(rx));
        GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_SUBSCRIBER, rx, 0));
        CHECK(ipcx_subscriber_missed(rx) == 0);
        ipcx_subscriber_close(rx);
        other = (ipcx_topic *)tx;
        if (i == 0) {
            OK(ipcx_ring_anonymous(NULL, &ring));
            other = (ipcx_topic *)ring;
        }
        GIVES(IPCX_E_INVALID, ipcx_topic_publisher(other, &tx));
        GIVES(IPCX_E_INVALID, ipcx_topic_subscriber(other, &rx));
        GIVES(IPCX_E_INVALID, ipcx_topic_subscriber_at(other, 0, &rx));
        GIVES(IPCX_E_INVALID, ipcx_topic_stats(other, &stats));
        GIVES(IPCX_E_INVALID, ipcx_topic_share_fd(other));
        ipcx_topic_close(other);
    }
    ipcx_ring_close(ring);
    ipcx_topic_close(topic);
}

static const struct test tests[] = {
    TEST(every_subscriber_gets_every_record),
    TEST(a_slow_subscriber_knows_how_many_it_missed),
    TEST(a_reliable_topic_waits_for_the_slowest),
    TEST(a_subscriber_begins_where_it_says),
    TEST(what_is_reserved_is_published_by_commit_only),
    TEST(what_is_borrowed_is_whole_or_says_so),
    TEST(a_file_is_published_by_one_read),
    TEST(another_process_gets_all_and_one_that_dies_holds_nothing),
    TEST(descriptors_and_signals_tell_of_records_and_of_room),
    TEST(both_ends_are_waited_for_among_others),
    TEST(a_handler_may_use_both_ends_without_waiting),
    TEST(bad_arguments_are_invalid_and_do_nothing),
};

int main(void)
{
    return RUN(tests);
}

/* Messages through every transport, chosen by its word; descriptors and files through those that carry them. */
#include "check.h"
#include <limits.h>

enum { LONGEST = 64 * 1024, SOON_MS = 20000 };
#define SOON (SOON_MS * MS)

struct kind {
    const char *word;
    int anonymous, named; /* ways to open it */
    int tells;            /* each end learns that the other went */
    int connects;         /* nothing can be sent before there is a receiver */
    int newest;           /* a message replaces the one before */
    short events;         /* of a sending end */
};

static const struct kind kinds[] = {
    { "pipe", 1, 0, 1, 0, 0, POLLOUT },
    { "fifo", 0, 1, 1, 1, 0, POLLOUT },
    { "mqueue", 1, 1, 0, 0, 0, POLLOUT },
    { "unix", 1, 1, 1, 1, 0, POLLOUT },
    { "ring", 1, 1, 1, 0, 0, POLLIN },
    { "buffer", 1, 1, 0, 0, 1, POLLIN },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const char *const with_names[] = { "fifo", "mqueue", "unix" }; /* check.h unlinks those of the others */

static void unlink_transports(void)
{
    for (unsigned i = 0; getpid() == test_process && i < name_count; i++)
        for (int word = 0; word < 3; word++)
            ipcx_unlink_in(NULL, with_names[word], names[i]);
}

static const char *transport_name(void)
{
    static int registered;

    if (!registered++)
        atexit(unlink_transports);
    return new_name();
}

/* Not every host has message queues. */
static int exists(const struct kind *kind)
{
    ipcx_transport *tx, *rx;
    int code = kind->anonymous ? ipcx_transport_pair(kind->word, NULL, &tx, &rx) : 1;

    if (code == IPCX_E_OS && errno == ENOSYS) {
        printf("    skipped: this host has no %s\n", kind->word);
        return 0;
    }
    if (code == IPCX_OK) {
        ipcx_transport_close(tx);
        ipcx_transport_close(rx);
    }
    return 1;
}

/* Both ends in this process. `name` is NULL if it has none. */
struct channel {
    const char *name;
    ipcx_transport *tx, *rx;
};

static struct channel new_channel(const struct kind *kind, int named)
{
    struct channel channel = { named ? transport_name() : NULL, NULL, NULL };

    if (!named) {
        OK(ipcx_transport_pair(kind->word, NULL, &channel.tx, &channel.rx));
    } else {
        OK(ipcx_transport_open(kind->word, channel.name, IPCX_RECV, NULL, &channel.rx));
        OK(ipcx_transport_open(kind->word, channel.name, IPCX_SEND, NULL, &channel.tx));
    }
    return channel;
}

static void close_channel(const struct kind *kind, struct channel *channel)
{
    ipcx_transport_close(channel->tx);
    ipcx_transport_close(channel->rx);
    if (channel->name) {
        OK(ipcx_unlink_in(NULL, kind->word, channel->name));
        GIVES(IPCX_E_NOT_FOUND, ipcx_unlink_in(NULL, kind->word, channel->name));
        name_count--;
    }
}

/* Runs a test for each transport, without a name and with one. */
static void each(void (*test)(const struct kind *kind, struct channel *channel))
{
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        for (int named = 0; named < 2 && exists(kind); named++) {
            if (!(named ? kind->named : kind->anonymous))
                continue;
            struct channel channel = new_channel(kind, named);
            test(kind, &channel);
            close_channel(kind, &channel);
        }
    }
}

static unsigned char bytes[LONGEST], buffer[LONGEST];

static void fill(size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(i * 31 ^ len * 7);
}

static void expect_message(ipcx_transport *rx, size_t size)
{
    size_t len = 99;

    OK(ipcx_transport_recv(rx, buffer, sizeof buffer, &len, NULL, SOON));
    fill(size);
    CHECK(len == size && memcmp(buffer, bytes, size) == 0);
}

static const size_t lengths[] = { 0, 1, 7, 4092, 4093, PIPE_BUF + 1, 3, LONGEST };
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

static void send_lengths(ipcx_transport *tx, size_t most)
{
    for (int i = 0; i < LENGTHS; i++) {
        fill(lengths[i]);
        GIVES(lengths[i] > most ? IPCX_E_TOO_BIG : IPCX_OK, ipcx_transport_send(tx, bytes, lengths[i], 0, SOON));
    }
}

static void lengths_arrive(const struct kind *kind, struct channel *channel)
{
    ipcx_transport *tx = channel->tx;
    size_t most;
    pid_t child;

    most = strcmp(kind->word, "mqueue") == 0 ? 8192 : kind->newest ? 4096 : LONGEST;
    if (kind->newest) {
        for (int i = 0; i < LENGTHS && lengths[i] <= most; i++) {
            fill(lengths[i]);
            OK(ipcx_transport_send(tx, bytes, lengths[i], 0, IPCX_NOWAIT));
            expect_message(channel->rx, lengths[i]);
        }
        return;
    }
    if (channel->name) { /* the child opens its own, and is the first sender of a new receiver */
        ipcx_transport_close(tx);
        ipcx_transport_close(channel->rx);
        OK(ipcx_transport_open(kind->word, channel->name, IPCX_RECV, NULL, &channel->rx));
    }
    child = fork();
    if (child == 0) {
        if (channel->name)
            OK(ipcx_transport_open(kind->word, channel->name, IPCX_SEND, NULL, &tx));
        else
            ipcx_transport_close(channel->rx);
        send_lengths(tx, most);
        ipcx_transport_close(tx);
        _exit(0);
    }
    if (!channel->name)
        ipcx_transport_close(tx);
    channel->tx = NULL;
    for (int i = 0; i < LENGTHS; i++)
        if (lengths[i] <= most)
            expect_message(channel->rx, lengths[i]);
    CHECK(wait_for(child) == 0);
    GIVES(kind->tells ? IPCX_E_CLOSED : IPCX_E_AGAIN, ipcx_transport_recv(channel->rx, buffer, 8, &most, NULL, IPCX_NOWAIT));
}

static void messages_of_every_length_arrive_whole_from_another_process(void)
{
    each(lengths_arrive);
}

static void too_big_stays(const struct kind *kind, struct channel *channel)
{
    size_t len = 0;

    (void)kind;
    fill(10);
    OK(ipcx_transport_send(channel->tx, bytes, 10, 0, SOON));
    for (size_t cap = 0; cap < 10; cap += 4) {
        GIVES(IPCX_E_TOO_BIG, ipcx_transport_recv(channel->rx, cap ? buffer : NULL, cap, &len, NULL, SOON));
        CHECK(len == 10);
    }
    expect_message(channel->rx, 10);
}

static void a_message_that_does_not_fit_stays(void)
{
    each(too_big_stays);
}

static void waits_as_told(const struct kind *kind, struct channel *channel)
{
    int64_t start = now_ns();
    size_t len = 99;
    int sent = 0, code;

    GIVES(IPCX_E_AGAIN, ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &len, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_TIMEDOUT, ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &len, NULL, 20 * MS));
    CHECK(now_ns() - start >= 20 * MS && len == 99);
    fill(4000);
    while ((code = ipcx_transport_send(channel->tx, bytes, 4000, 0, IPCX_NOWAIT)) == IPCX_OK && sent < 1000)
        sent++;
    if (kind->newest) {
        CHECK(sent == 1000);
        expect_message(channel->rx, 4000);
        sent = 0;
    } else {
        CHECK(sent > 0 && code == IPCX_E_AGAIN);
        start = now_ns();
        GIVES(IPCX_E_TIMEDOUT, ipcx_transport_send(channel->tx, bytes, 4000, 0, 20 * MS));
        CHECK(now_ns() - start >= 20 * MS);
    }
    while (sent-- > 0)
        expect_message(channel->rx, 4000);
    GIVES(IPCX_E_AGAIN, ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &len, NULL, IPCX_NOWAIT));
}

static void calls_wait_as_long_as_they_are_told(void)
{
    each(waits_as_told);
}

static void receiver_goes(const struct kind *kind, struct channel *channel)
{
    int code = IPCX_OK;

    OK(ipcx_transport_send(channel->tx, "x", 1, 0, SOON));
    ipcx_transport_close(channel->rx);
    channel->rx = NULL;
    fill(4000);
    for (int i = 0; i < 1000 && code == IPCX_OK; i++)
        code = ipcx_transport_send(channel->tx, bytes, 4000, 0, IPCX_NOWAIT);
    CHECK(code == (kind->tells ? IPCX_E_CLOSED : kind->newest ? IPCX_OK : IPCX_E_AGAIN)); /* and no SIGPIPE */
}

static void a_sender_learns_that_its_receiver_went_and_gets_no_signal(void)
{
    struct sigaction action;

    CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    each(receiver_goes);
}

static void ready_as_told(const struct kind *kind, struct channel *channel)
{
    struct pollfd fds = { -1, 0, 0 };
    size_t len;

    OK(ipcx_transport_send(channel->tx, "x", 1, 0, SOON)); /* FIFO and socket connect */
    fds.fd = ipcx_poll_fd(IPCX_WAIT_FOR_TRANSPORT, channel->tx, &fds.events);
    CHECK(fds.fd >= 0 && fds.events == kind->events && poll(&fds, 1, SOON_MS) == 1 && fds.revents == fds.events);
    fds.fd = ipcx_poll_fd(IPCX_WAIT_FOR_TRANSPORT, channel->rx, &fds.events);
    CHECK(fds.fd >= 0 && fds.events == POLLIN && poll(&fds, 1, SOON_MS) == 1 && (fds.revents & POLLIN));
    OK(ipcx_transport_recv(channel->rx, buffer, 8, &len, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_AGAIN, ipcx_transport_recv(channel->rx, buffer, 8, &len, NULL, IPCX_NOWAIT));
    CHECK(poll(&fds, 1, 20) == 0);
    OK(ipcx_transport_send(channel->tx, "y", 1, 0, SOON));
    CHECK(poll(&fds, 1, SOON_MS) == 1 && ipcx_poll_fd(IPCX_WAIT_FOR_TRANSPORT, channel->rx, NULL) == fds.fd);
}

static void descriptors_tell_of_messages_and_of_room(void)
{
    each(ready_as_told);
}

static void signals_tell(const struct kind *kind, struct channel *channel)
{
    const struct timespec patience = { 10, 0 };
    const int has = strcmp(kind->word, "mqueue") == 0 || kind->events == POLLIN;
    size_t len;
    sigset_t set;

    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_TRANSPORT, channel->tx, SIGRTMIN));
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_TRANSPORT, channel->rx, SIGUSR1));
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    GIVES(has ? IPCX_OK : IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_TRANSPORT, channel->rx, SIGRTMIN));
    for (int i = 0; has && i < 3; i++) {
        OK(ipcx_transport_send(channel->tx, "x", 1, 0, SOON));
        CHECK(sigtimedwait(&set, NULL, &patience) == SIGRTMIN);
        OK(ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &len, NULL, IPCX_NOWAIT));
        GIVES(IPCX_E_AGAIN, ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &len, NULL, IPCX_NOWAIT));
    }
    if (has)
        OK(ipcx_signal(IPCX_WAIT_FOR_TRANSPORT, channel->rx, 0));
}

static void a_signal_tells_of_a_message_where_it_can(void)
{
    each(signals_tell);
}

static void file_arrives(const struct kind *kind, struct channel *channel)
{
    int file = memfd_create("file", 0);
    size_t sent = 99;

    (void)kind;
    fill(9000);
    CHECK(write(file, bytes, 9000) == 9000 && lseek(file, 17, SEEK_SET) == 17);
    OK(ipcx_transport_send_file(channel->tx, file, 5001, SIZE_MAX, SOON, &sent));
    CHECK(sent == 3999);
    OK(ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &sent, NULL, SOON));
    fill(9000);
    CHECK(sent == 3999 && memcmp(buffer, bytes + 5001, sent) == 0);
    OK(ipcx_transport_send_file(channel->tx, file, 0, 3, SOON, &sent));
    CHECK(sent == 3);
    OK(ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &sent, NULL, SOON));
    CHECK(sent == 3 && memcmp(buffer, bytes, 3) == 0);
    OK(ipcx_transport_send_file(channel->tx, file, 9000, 10, IPCX_NOWAIT, &sent));
    CHECK(sent == 0 && lseek(file, 0, SEEK_CUR) == 17);
    GIVES(IPCX_E_AGAIN, ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &sent, NULL, IPCX_NOWAIT));
    close(file);
}

static void a_part_of_a_file_is_one_message(void)
{
    each(file_arrives);
}

static void a_file_longer_than_a_pipe_is_spliced_into_it(void)
{
    enum { SIZE = 300000 };
    static unsigned char contents[SIZE], received[SIZE];
    struct channel channel = new_channel(&kinds[0], 0);
    int file = memfd_create("file", 0);
    size_t len = 0;
    pid_t child;

    for (size_t i = 0; i < SIZE; i++)
        contents[i] = (unsigned char)(i * 2654435761u >> 13);
    CHECK(write(file, contents, SIZE) == SIZE);
    child = fork();
    if (child == 0) {
        ipcx_transport_close(channel.rx);
        OK(ipcx_transport_send_file(channel.tx, file, 1, SIZE, SOON, &len));
        _exit(len == SIZE - 1 ? 0 : 1);
    }
    ipcx_transport_close(channel.tx);
    OK(ipcx_transport_recv(channel.rx, received, SIZE, &len, NULL, SOON));
    CHECK(len == SIZE - 1 && memcmp(received, contents + 1, len) == 0 && wait_for(child) == 0);
    ipcx_transport_close(channel.rx);
    close(file);
}

static void an_end_is_handed_over_as_a_descriptor(void)
{
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        struct channel channel;
        int fd;
        pid_t child;

        if (!exists(kind))
            continue;
        if (kind->named) {
            channel = new_channel(kind, 1);
            fd = ipcx_transport_into_fd(channel.tx);
            channel.tx = NULL; /* closed all the same */
            CHECK(fd == IPCX_E_INVALID || (strcmp(kind->word, "mqueue") == 0 && fd >= 0 && close(fd) == 0));
            close_channel(kind, &channel);
        }
        if (!kind->anonymous)
            continue;
        channel = new_channel(kind, 0);
        fd = ipcx_transport_into_fd(channel.tx);
        CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
        child = fork();
        if (child == 0) {
            ipcx_transport *tx;
            OK(ipcx_transport_from_fd(kind->word, IPCX_SEND, fd, &tx));
            CHECK(fcntl(fd, F_GETFD) == -1); /* the end's now */
            fill(100);
            OK(ipcx_transport_send(tx, bytes, 100, 0, SOON));
            ipcx_transport_close(tx);
            _exit(0);
        }
        close(fd);
        expect_message(channel.rx, 100);
        CHECK(wait_for(child) == 0);
        ipcx_transport_close(channel.rx);
    }
}

static void either_end_comes_first(void)
{
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        ipcx_transport *tx, *rx, *other;
        const char *name;
        size_t len;

        if (!kind->named || !exists(kind))
            continue;
        name = transport_name();
        OK(ipcx_transport_open(kind->word, name, IPCX_SEND, NULL, &tx));
        if (kind->connects) {
            GIVES(IPCX_E_AGAIN, ipcx_transport_send(tx, "first", 5, 0, IPCX_NOWAIT));
            GIVES(IPCX_E_AGAIN, ipcx_poll_fd(IPCX_WAIT_FOR_TRANSPORT, tx, NULL));
        } else {
            OK(ipcx_transport_send(tx, "first", 5, 0, IPCX_NOWAIT));
        }
        OK(ipcx_transport_open(kind->word, name, IPCX_RECV, NULL, &rx));
        if (kind->connects)
            OK(ipcx_transport_send(tx, "first", 5, 0, SOON));
        OK(ipcx_transport_recv(rx, buffer, 8, &len, NULL, SOON));
        CHECK(len == 5 && memcmp(buffer, "first", 5) == 0);
        if (kind->tells) { /* so it knows who has which end */
            GIVES(IPCX_E_BUSY, ipcx_transport_open(kind->word, name, IPCX_SEND, NULL, &other));
            GIVES(IPCX_E_BUSY, ipcx_transport_open(kind->word, name, IPCX_RECV, NULL, &other));
        }
        ipcx_transport_close(tx);
        ipcx_transport_close(rx);
        OK(ipcx_unlink_in(NULL, kind->word, name));
        GIVES(IPCX_E_NOT_FOUND, ipcx_unlink_in(NULL, kind->word, name));
    }
}

static void what_a_killed_receiver_left_is_replaced(void)
{
    static const int made[] = { 1, 3 }; /* FIFO and socket */

    for (int i = 0; i < 2; i++) {
        const struct kind *kind = &kinds[made[i]];
        const char *name = transport_name();
        ipcx_transport *tx, *rx;
        size_t len;
        pid_t child = fork();

        if (child == 0) {
            OK(ipcx_transport_open(kind->word, name, IPCX_RECV, NULL, &rx));
            raise(SIGKILL);
        }
        CHECK(wait_for(child) == -1);
        OK(ipcx_transport_open(kind->word, name, IPCX_SEND, NULL, &tx));
        GIVES(IPCX_E_AGAIN, ipcx_transport_send(tx, "x", 1, 0, IPCX_NOWAIT)); /* it is stale, and nobody's */
        OK(ipcx_transport_open(kind->word, name, IPCX_RECV, NULL, &rx));
        OK(ipcx_transport_send(tx, "x", 1, 0, SOON));
        OK(ipcx_transport_recv(rx, buffer, 8, &len, NULL, SOON));
        ipcx_transport_close(tx);
        ipcx_transport_close(rx);
    }
}

static void what_else_has_the_name_is_left_alone(void)
{
    const char *name = transport_name();
    ipcx_transport_options options = IPCX_TRANSPORT_OPTIONS_INIT;
    ipcx_transport *end, *other;
    char path[600];
    int fd;

    snprintf(path, sizeof path, "%s.fifo", path_of(name));
    fd = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    GIVES(IPCX_E_MISMATCH, ipcx_transport_open("fifo", name, IPCX_RECV, NULL, &end));
    GIVES(IPCX_E_MISMATCH, ipcx_unlink_in(NULL, "fifo", name));
    CHECK(unlink(path) == 0 && close(fd) == 0);
    OK(ipcx_transport_open("ring", name, IPCX_RECV, NULL, &end));
    GIVES(IPCX_E_MISMATCH, ipcx_transport_open("buffer", name, IPCX_RECV, NULL, &other));
    ipcx_transport_close(end);
    if (!exists(&kinds[2]))
        return;
    options.message_size = 100;
    options.messages = 3;
    OK(ipcx_transport_open("mqueue", name, IPCX_SEND, &options, &end));
    GIVES(IPCX_E_TOO_BIG, ipcx_transport_send(end, bytes, 101, 0, IPCX_NOWAIT));
    for (int i = 0; i < 4; i++)
        GIVES(i < 3 ? IPCX_OK : IPCX_E_AGAIN, ipcx_transport_send(end, bytes, 100, 0, IPCX_NOWAIT));
    options.messages = 4;
    GIVES(IPCX_E_MISMATCH, ipcx_transport_open("mqueue", name, IPCX_RECV, &options, &other));
    ipcx_transport_close(end);
}

static void priorities(const struct kind *kind, struct channel *channel)
{
    static const uint32_t order[] = { 0, 5, 32767, 1 }, sorted[] = { 32767, 5, 1, 0 };
    const int has = strcmp(kind->word, "mqueue") == 0;
    uint32_t priority = 99;
    size_t len;

    for (int i = 0; i < 4; i++)
        GIVES(has || order[i] == 0 ? IPCX_OK : IPCX_E_INVALID,
              ipcx_transport_send(channel->tx, &order[i], sizeof order[i], order[i], SOON));
    for (int i = 0; i < (has ? 4 : 1); i++) {
        OK(ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &len, &priority, SOON));
        CHECK(len == sizeof priority && priority == (has ? sorted[i] : 0) && memcmp(buffer, &priority, len) == 0);
    }
    GIVES(IPCX_E_INVALID, ipcx_transport_send(channel->tx, "x", 1, 32768, IPCX_NOWAIT));
}

static void a_message_queue_gives_those_of_a_higher_priority_first(void)
{
    each(priorities);
}

static void passes_a_ring(const struct kind *kind, struct channel *channel)
{
    ipcx_ring *ring, *same;
    ipcx_producer *tx;
    ipcx_consumer *rx;
    size_t len;
    int fd, got;

    OK(ipcx_ring_anonymous(NULL, &ring));
    fd = ipcx_ring_share_fd(ring);
    CHECK(fd >= 0);
    if (strcmp(kind->word, "unix") != 0) {
        GIVES(IPCX_E_INVALID, ipcx_transport_send_fd(channel->tx, fd, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_transport_recv_fd(channel->rx, IPCX_NOWAIT));
    } else {
        GIVES(IPCX_E_AGAIN, ipcx_transport_recv_fd(channel->rx, IPCX_NOWAIT));
        OK(ipcx_transport_send_fd(channel->tx, fd, SOON));
        OK(ipcx_transport_send(channel->tx, "bytes", 5, 0, SOON));
        GIVES(IPCX_E_MISMATCH, ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &len, NULL, SOON));
        got = ipcx_transport_recv_fd(channel->rx, SOON);
        CHECK(got >= 0 && got != fd && (fcntl(got, F_GETFD) & FD_CLOEXEC));
        GIVES(IPCX_E_MISMATCH, ipcx_transport_recv_fd(channel->rx, SOON));
        OK(ipcx_transport_recv(channel->rx, buffer, sizeof buffer, &len, NULL, SOON));
        CHECK(len == 5);
        OK(ipcx_ring_from_fd(got, &same));
        OK(ipcx_ring_producer(ring, &tx));
        OK(ipcx_ring_consumer(same, &rx));
        OK(ipcx_producer_send(tx, "through", 7, IPCX_NOWAIT));
        expect(rx, "through", 7);
        ipcx_producer_close(tx);
        ipcx_consumer_close(rx);
        ipcx_ring_close(same);
        close(got);
    }
    close(fd);
    ipcx_ring_close(ring);
}

static void an_anonymous_ring_goes_through_a_socket(void)
{
    each(passes_a_ring);
}

static void a_forked_child_opens_its_own(void)
{
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        struct channel channel;
        size_t len;
        pid_t child;

        if (!kind->named || strcmp(kind->word, "mqueue") == 0) /* whose ends a child may use */
            continue;
        channel = new_channel(kind, 1);
        OK(ipcx_transport_send(channel.tx, "mine", 4, 0, SOON));
        child = fork();
        if (child == 0) {
            GIVES(IPCX_E_FORKED, ipcx_transport_send(channel.tx, "x", 1, 0, IPCX_NOWAIT));
            GIVES(IPCX_E_FORKED, ipcx_transport_recv(channel.rx, buffer, 8, &len, NULL, IPCX_NOWAIT));
            GIVES(IPCX_E_FORKED, ipcx_poll_fd(IPCX_WAIT_FOR_TRANSPORT, channel.rx, NULL));
            ipcx_transport_close(channel.tx);
            ipcx_transport_close(channel.rx);
            _exit(0);
        }
        CHECK(wait_for(child) == 0);
        OK(ipcx_transport_recv(channel.rx, buffer, 8, &len, NULL, SOON)); /* still this process's */
        CHECK(len == 4);
        close_channel(kind, &channel);
    }
}

static void bad_arguments_are_invalid_and_do_nothing(void)
{
    struct channel channel = new_channel(&kinds[0], 0);
    ipcx_transport_options options = IPCX_TRANSPORT_OPTIONS_INIT;
    ipcx_transport *end = NULL, *wrong;
    ipcx_ring *ring;
    const char *name = transport_name();
    size_t len = 99;
    uint32_t priority;
    int fd = memfd_create("no queue", MFD_CLOEXEC);

    GIVES(IPCX_E_INVALID, ipcx_transport_open("carrier pigeon", name, IPCX_SEND, NULL, &end));
    SAYS("mqueue");
    GIVES(IPCX_E_INVALID, ipcx_transport_open(NULL, name, IPCX_SEND, NULL, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_open("ring", NULL, IPCX_SEND, NULL, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_open("ring", "a/b", IPCX_SEND, NULL, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_open("ring", name, 0, NULL, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_open("ring", name, IPCX_SEND, NULL, NULL));
    GIVES(IPCX_E_INVALID, ipcx_transport_open("pipe", name, IPCX_SEND, NULL, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_pair("fifo", NULL, &end, &wrong));
    GIVES(IPCX_E_INVALID, ipcx_transport_pair("pipe", NULL, NULL, &end));
    GIVES(IPCX_E_INVALID, ipcx_unlink_in(NULL, "pipe", name));
    GIVES(IPCX_E_NOT_FOUND, ipcx_unlink_in(NULL, "ring", name));
    options.directory = "/nowhere";
    GIVES(IPCX_E_NOT_FOUND, ipcx_transport_open("fifo", name, IPCX_RECV, &options, &end));
    options.struct_size = 3;
    GIVES(IPCX_E_INVALID, ipcx_transport_open("fifo", name, IPCX_RECV, &options, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_from_fd("pipe", IPCX_SEND, -1, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_from_fd("pipe", IPCX_SEND, 1 << 20, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_from_fd("pipe", 3, fd, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_from_fd("fifo", IPCX_SEND, fd, &end));
    GIVES(IPCX_E_INVALID, ipcx_transport_from_fd("unix", IPCX_SEND, fd, &end));
    CHECK(end == NULL && fcntl(fd, F_GETFD) == FD_CLOEXEC && close(fd) == 0); /* still the test's */

    GIVES(IPCX_E_INVALID, ipcx_transport_send(channel.rx, "x", 1, 0, IPCX_NOWAIT));
    SAYS("receiving end");
    GIVES(IPCX_E_INVALID, ipcx_transport_recv(channel.tx, buffer, 8, &len, NULL, IPCX_NOWAIT));
    SAYS("sending end");
    GIVES(IPCX_E_INVALID, ipcx_transport_send_file(channel.rx, 0, 0, 1, IPCX_NOWAIT, &len));
    GIVES(IPCX_E_INVALID, ipcx_transport_send_file(channel.tx, -1, 0, 1, IPCX_NOWAIT, &len));
    GIVES(IPCX_E_INVALID, ipcx_transport_send(channel.tx, NULL, 1, 0, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_transport_send(channel.tx, "x", 1, 0, -2));
    GIVES(IPCX_E_INVALID, ipcx_transport_recv(channel.rx, NULL, 1, &len, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_transport_recv(channel.rx, buffer, 1, NULL, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_AGAIN, ipcx_transport_recv(channel.rx, buffer, 8, &len, NULL, IPCX_NOWAIT)); /* nothing was sent */
    CHECK(len == 99);

    OK(ipcx_ring_anonymous(NULL, &ring));
    wrong = (ipcx_transport *)ring;
    for (int i = 0; i < 2; i++, wrong = NULL) {
        GIVES(IPCX_E_INVALID, ipcx_transport_send(wrong, "x", 1, 0, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_transport_recv(wrong, buffer, 1, &len, &priority, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_transport_send_fd(wrong, 0, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_transport_recv_fd(wrong, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_poll_fd(IPCX_WAIT_FOR_TRANSPORT, wrong, NULL));
        GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_TRANSPORT, wrong, 0));
        GIVES(IPCX_E_INVALID, ipcx_transport_into_fd(wrong));
        ipcx_transport_close(wrong); /* left alone */
    }
    ipcx_ring_close(ring);
    close_channel(&kinds[0], &channel);
}

static const struct test tests[] = {
    TEST(messages_of_every_length_arrive_whole_from_another_process),
    TEST(a_message_that_does_not_fit_stays),
    TEST(calls_wait_as_long_as_they_are_told),
    TEST(a_sender_learns_that_its_receiver_went_and_gets_no_signal),
    TEST(descriptors_tell_of_messages_and_of_room),
    TEST(a_signal_tells_of_a_message_where_it_can),
    TEST(a_part_of_a_file_is_one_message),
    TEST(a_file_longer_than_a_pipe_is_spliced_into_it),
    TEST(an_end_is_handed_over_as_a_descriptor),
    TEST(either_end_comes_first),
    TEST(what_a_killed_receiver_left_is_replaced),
    TEST(what_else_has_the_name_is_left_alone),
    TEST(a_message_queue_gives_those_of_a_higher_priority_first),
    TEST(an_anonymous_ring_goes_through_a_socket),
    TEST(a_forked_child_opens_its_own),
    TEST(bad_arguments_are_invalid_and_do_nothing),
};

int main(void)
{
    return RUN(tests);
}

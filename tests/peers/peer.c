/*
 * A peer for the tests, in C. tests/src/bin/peer.rs says what it does, and does the same.
 */
#define _GNU_SOURCE
#include "stream.h"
#include <ipcx.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 8, OTHER_SIDE_DIED = 5 };
enum word { BEGUN, DONE, READY, STARTED, FIRST, PEER_DEAD, WORDS = 8 };

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* ---- What the peer is about ---- */

static uint64_t *words; /* NULL without a log */

static void open_log(const char *path)
{
    int file = open(path, O_RDWR);
    void *at;

    if (file < 0 || (at = mmap(NULL, WORDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) == MAP_FAILED)
        fail("%s cannot be mapped", path);
    close(file);
    words = at;
}

static void set(enum word word, uint64_t value)
{
    if (words)
        __atomic_store_n(&words[word], value, __ATOMIC_RELEASE);
}

static void start_at(uint64_t first)
{
    set(FIRST, first);
    set(BEGUN, first);
    set(DONE, first);
    set(STARTED, 1);
}

/* True if a call that gave this is to be made again: what only takes time is waited for. */
static int again(int code)
{
    const struct timespec moment = { 0, 1000000 };

    switch (code) {
    case IPCX_E_AGAIN:
        sched_yield();
        return 1;
    case IPCX_E_INTR:
        return 1;
    case IPCX_E_PEER_DEAD:
        set(PEER_DEAD, now());
        if (!words) {
            printf("%llu\n", (unsigned long long)now());
            exit(OTHER_SIDE_DIED);
        }
        nanosleep(&moment, NULL); /* until it has a successor */
        return 1;
    case IPCX_OK:
    case IPCX_E_CLOSED:
        return 0;
    }
    must(code);
    return 0;
}

/* ---- Sending and receiving ---- */

static const char *mode;
static uint64_t count;
static unsigned char *buffer;

static int is_mode(const char *name)
{
    return strcmp(mode, name) == 0;
}

/* Records of a call that begins with record n. */
static uint64_t batch_of(uint64_t n)
{
    uint64_t batch = is_mode("many") ? BATCH : 1;

    return count == 0 || count - n > batch ? batch : count - n;
}

static uint64_t send_in_place(ipcx_producer *tx, uint64_t n)
{
    void *room;
    int code;

    while (again(code = ipcx_producer_reserve(tx, len_of(n), IPCX_FOREVER, &room)))
        ;
    must(code);
    fill(n, room);
    set(BEGUN, n + 1);
    must(ipcx_producer_commit(tx, len_of(n)));
    return 1;
}

static uint64_t send_many(ipcx_producer *tx, uint64_t n)
{
    struct iovec records[BATCH];
    unsigned char *at = buffer;
    size_t sent = 0;
    int code;

    for (uint64_t i = 0; i < batch_of(n); i++) {
        fill(n + i, at);
        records[i] = (struct iovec){ at, len_of(n + i) };
        at += len_of(n + i);
    }
    set(BEGUN, n + batch_of(n));
    while (again(code = ipcx_producer_send_many(tx, records, batch_of(n), IPCX_FOREVER, &sent)))
        ;
    must(code);
    return sent;
}

/* Sends from record n on, and says how many. */
static uint64_t send_from(ipcx_producer *tx, uint64_t n)
{
    int code;

    if (is_mode("place"))
        return send_in_place(tx, n);
    if (is_mode("many"))
        return send_many(tx, n);
    fill(n, buffer);
    set(BEGUN, n + 1);
    while (again(code = ipcx_producer_send(tx, buffer, len_of(n), is_mode("try") ? IPCX_NOWAIT : IPCX_FOREVER)))
        ;
    must(code);
    return 1;
}

static void send_stream(ipcx_ring *ring)
{
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_producer *tx;
    uint64_t next;

    must(ipcx_ring_producer(ring, &tx));
    must(ipcx_ring_stats(ring, &stats)); /* exact, now that this process is the producer */
    start_at(next = number_at(stats.sent_bytes));
    while (count == 0 || next < count) {
        next += send_from(tx, next);
        set(DONE, next);
    }
    ipcx_producer_close(tx);
}

/* These say how many records were received; none at the end of the stream. */

static uint64_t receive_in_place(ipcx_consumer *rx, uint64_t n)
{
    const void *data;
    size_t len;
    int code;

    while (again(code = ipcx_consumer_borrow(rx, &data, &len, IPCX_FOREVER)))
        ;
    if (code == IPCX_E_CLOSED)
        return 0;
    check(n, data, len);
    set(BEGUN, n + 1);
    must(ipcx_consumer_release(rx));
    return 1;
}

static uint64_t receive_many(ipcx_consumer *rx, uint64_t n)
{
    const unsigned char *at = buffer;
    size_t lens[BATCH], received = 0;
    int code;

    while (again(code = ipcx_consumer_recv_many(rx, buffer, stream.largest * BATCH, lens, batch_of(n), &received,
                                                IPCX_FOREVER)))
        ;
    if (code == IPCX_E_CLOSED)
        return 0;
    for (size_t i = 0; i < received; at += lens[i++])
        check(n + i, at, lens[i]);
    return received;
}

static uint64_t receive_from(ipcx_consumer *rx, uint64_t n)
{
    size_t len;
    int code;

    if (is_mode("place"))
        return receive_in_place(rx, n);
    set(BEGUN, n + batch_of(n));
    if (is_mode("many"))
        return receive_many(rx, n);
    while (again(code = ipcx_consumer_recv(rx, buffer, stream.largest, &len,
                                           is_mode("try") ? IPCX_NOWAIT : IPCX_FOREVER)))
        ;
    if (code == IPCX_E_CLOSED)
        return 0;
    check(n, buffer, len);
    return 1;
}

static void receive_stream(ipcx_ring *ring)
{
    ipcx_consumer *rx;
    uint64_t next, received;
    size_t len;
    int code;

    must(ipcx_ring_consumer(ring, &rx));
    start_at(next = number_at(ipcx_consumer_position(rx)));
    while (count == 0 || next < count) {
        if ((received = receive_from(rx, next)) == 0)
            fail("the producer closed before record %llu", (unsigned long long)next);
        set(DONE, next += received);
        if (ipcx_consumer_position(rx) != position_of(next))
            fail("record %llu is at another position", (unsigned long long)next);
    }
    /* The end of the stream is seen as such. */
    while (again(code = ipcx_consumer_recv(rx, buffer, stream.largest, &len, IPCX_FOREVER)))
        ;
    if (code != IPCX_E_CLOSED)
        fail("a record behind the last");
    ipcx_consumer_close(rx);
}

/* ---- The same of a topic ---- */

static void publish_stream(ipcx_topic *topic)
{
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_publisher *tx;
    void *room;
    int code;

    must(ipcx_topic_publisher(topic, &tx));
    must(ipcx_topic_stats(topic, &stats)); /* exact, where this is the only one that publishes */
    start_at(stats.sent);
    for (uint64_t n = stats.sent; count == 0 || n < count; n++) {
        if (is_mode("place")) {
            while (again(code = ipcx_publisher_reserve(tx, len_of(n), IPCX_FOREVER, &room)))
                ;
            must(code);
            fill(n, room);
            set(BEGUN, n + 1);
            must(ipcx_publisher_commit(tx, len_of(n)));
        } else {
            int64_t timeout = is_mode("try") ? IPCX_NOWAIT : IPCX_FOREVER;
            fill(n, buffer);
            set(BEGUN, n + 1);
            while (again(code = ipcx_publisher_publish(tx, buffer, len_of(n), timeout)))
                ;
            must(code);
        }
        set(DONE, n + 1);
    }
    ipcx_publisher_close(tx);
}

/* The next record, in the buffer. */
static size_t next_record(ipcx_subscriber *rx)
{
    const void *data;
    size_t len;
    int code;

    if (is_mode("place")) {
        while (again(code = ipcx_subscriber_borrow(rx, &data, &len, IPCX_FOREVER)))
            ;
        must(code);
        memcpy(buffer, data, len);
        must(ipcx_subscriber_release(rx, NULL));
        return len;
    }
    while (again(code = ipcx_subscriber_recv(rx, buffer, stream.largest, &len, is_mode("try") ? IPCX_NOWAIT : IPCX_FOREVER)))
        ;
    must(code);
    return len;
}

static void subscribe_to_stream(ipcx_topic *topic)
{
    ipcx_subscriber *rx;
    uint64_t n = 0;
    size_t len;

    must(ipcx_topic_subscriber(topic, &rx));
    do
        len = next_record(rx);
    while (number_len(len) == 0);
    memcpy(&n, buffer, 8);
    start_at(n);
    for (;; len = next_record(rx)) {
        check(n++, buffer, len);
        set(DONE, n);
        if (n == count)
            break;
        set(BEGUN, n + 1);
    }
    if (ipcx_subscriber_missed(rx) > 0)
        fail("records of a reliable topic were missed");
    ipcx_subscriber_close(rx);
}

static int publish_between_marks(ipcx_topic *topic, uint64_t calls)
{
    static const unsigned char record[64];
    unsigned char received[64];
    ipcx_publisher *tx;
    ipcx_subscriber *rx;
    size_t len;

    must(ipcx_topic_publisher(topic, &tx));
    must(ipcx_topic_subscriber(topic, &rx));
    must(ipcx_publisher_publish(tx, "whatever is only done once", 26, IPCX_NOWAIT));
    syscall(SYS_getppid);
    for (uint64_t i = 0; i < calls; i++)
        must(ipcx_publisher_publish(tx, record, sizeof record, IPCX_NOWAIT));
    syscall(SYS_getppid);
    must(ipcx_subscriber_recv(rx, received, sizeof received, &len, IPCX_NOWAIT));
    syscall(SYS_getppid);
    for (uint64_t i = 0; i < calls; i++)
        must(ipcx_subscriber_recv(rx, received, sizeof received, &len, IPCX_NOWAIT));
    syscall(SYS_getppid);
    return 0;
}

/* ---- The other roles ---- */

static int fork_and_stay(ipcx_ring *ring)
{
    ipcx_producer *tx;

    must(ipcx_ring_producer(ring, &tx));
    must(ipcx_producer_send(tx, "from the parent", 15, IPCX_FOREVER));
    if (fork() == 0) {
        int code = ipcx_producer_send(tx, "from the child", 14, IPCX_NOWAIT);
        printf("%s %ld\n", code == IPCX_E_FORKED ? "forked" : "sent", (long)getpid());
        fflush(stdout);
    }
    while (getchar() != EOF)
        ;
    return 0;
}

static int send_between_marks(ipcx_ring *ring, uint64_t calls)
{
    static const unsigned char record[64];
    unsigned char received[64];
    ipcx_producer *tx;
    ipcx_consumer *rx;
    size_t len;

    must(ipcx_ring_producer(ring, &tx));
    must(ipcx_producer_send(tx, "whatever is only done once", 26, IPCX_FOREVER));
    syscall(SYS_getppid);
    for (uint64_t i = 0; i < calls; i++)
        must(ipcx_producer_send(tx, record, sizeof record, IPCX_NOWAIT));
    syscall(SYS_getppid);
    if (ipcx_ring_consumer(ring, &rx) != IPCX_OK)
        return 0; /* the test has it */
    must(ipcx_consumer_recv(rx, received, sizeof received, &len, IPCX_NOWAIT));
    syscall(SYS_getppid);
    for (uint64_t i = 0; i < calls; i++)
        must(ipcx_consumer_recv(rx, received, sizeof received, &len, IPCX_NOWAIT));
    syscall(SYS_getppid);
    return 0;
}

__attribute__((noreturn)) static void create_for_ever(void)
{
    char name[32], before[32];
    ipcx_ring *ring;

    for (uint64_t number = 0;; number++) {
        snprintf(name, sizeof name, "made-%llu", (unsigned long long)number);
        must(ipcx_ring_create(name, NULL, &ring));
        ipcx_ring_close(ring);
        if (number == 0) {
            puts("created");
            fflush(stdout);
        } else {
            must(ipcx_unlink(before));
        }
        memcpy(before, name, sizeof before);
    }
}

/* A message is its number and up to 49 bytes that depend on it. */
static size_t make_message(uint64_t number, unsigned char *message)
{
    size_t len = sizeof number + number % 50;

    memset(message, (int)(number & 255), len);
    memcpy(message, &number, sizeof number);
    return len;
}

/* What is known of a number, in its two bytes of the ledger: the first is of who pushes it, the second of who works on it. */
static void mark(int ledger, uint64_t number, int second, char state)
{
    if (pwrite(ledger, &state, 1, (off_t)(2 * number + (unsigned)second)) != 1)
        fail("the ledger cannot be written");
}

__attribute__((noreturn)) static void push_for_ever(ipcx_queue *queue, int ledger, uint64_t first)
{
    unsigned char message[64];

    for (uint64_t number = first;; number++) {
        size_t len = make_message(number, message);
        mark(ledger, number, 0, 'b');
        while (again(ipcx_queue_push(queue, message, len, (unsigned)(number % 4), IPCX_FOREVER)))
            ;
        mark(ledger, number, 0, 'p');
        if (number == first) {
            puts("at work");
            fflush(stdout);
        }
    }
}

static int work(ipcx_queue *queue, int ledger)
{
    unsigned char message[64], expected[64];

    for (int said = 0;;) {
        uint64_t number, ticket;
        size_t len;
        unsigned deliveries;
        char before = 0;
        while (again(ipcx_queue_take(queue, message, sizeof message, &len, NULL, &ticket, IPCX_FOREVER)))
            ;
        must(ipcx_queue_deliveries(queue, ticket, &deliveries));
        memcpy(&number, message, sizeof number);
        if (number != UINT64_MAX) {
            if (len != make_message(number, expected) || memcmp(message, expected, len) != 0)
                fail("message %llu is torn", (unsigned long long)number);
            if (pread(ledger, &before, 1, (off_t)(2 * number + 1)) == 1 && before == 'A')
                fail("message %llu was acknowledged before", (unsigned long long)number);
            if (number % 11 == 0 && deliveries == 1) {
                must(ipcx_queue_return(queue, ticket));
                continue;
            }
            mark(ledger, number, 1, 't');
        }
        must(ipcx_queue_ack(queue, ticket));
        if (number == UINT64_MAX)
            return 0;
        mark(ledger, number, 1, 'A');
        if (!said) {
            puts("at work");
            fflush(stdout);
            said = 1;
        }
    }
}

static int use_queue(int argc, char **argv)
{
    int ledger = open(argv[3], O_RDWR);
    ipcx_queue *queue;

    if (ledger < 0)
        fail("no ledger");
    must(ipcx_queue_attach(argv[2], &queue));
    if (argc == 5)
        push_for_ever(queue, ledger, strtoull(argv[4], NULL, 10));
    return work(queue, ledger);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    ipcx_topic *topic;
    ipcx_ring *ring;

    if (strcmp(verb, "create") == 0)
        create_for_ever();
    if (strcmp(verb, "fork") == 0 && argc == 3) {
        must(ipcx_ring_attach(argv[2], &ring));
        return fork_and_stay(ring);
    }
    if (strcmp(verb, "quiet") == 0 && argc == 4) {
        must(ipcx_ring_attach(argv[2], &ring));
        return send_between_marks(ring, strtoull(argv[3], NULL, 10));
    }
    if (strcmp(verb, "quiet-topic") == 0 && argc == 4) {
        must(ipcx_topic_attach(argv[2], &topic));
        return publish_between_marks(topic, strtoull(argv[3], NULL, 10));
    }
    if ((strcmp(verb, "push") == 0 && argc == 5) || (strcmp(verb, "work") == 0 && argc == 4))
        return use_queue(argc, argv);
    if (argc < 7) {
        fprintf(stderr, "usage: peer send|recv|publish|subscribe MODE NAME COUNT SEED LARGEST [LOG] | fork RING | "
                        "quiet RING COUNT | quiet-topic TOPIC COUNT | create | "
                        "push QUEUE LEDGER FIRST | work QUEUE LEDGER\n");
        return 2;
    }
    mode = argv[2];
    count = strtoull(argv[4], NULL, 10);
    make_stream(strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
    if ((buffer = malloc(stream.largest * BATCH + 1)) == NULL)
        fail("no memory");
    if (argc > 7)
        open_log(argv[7]);
    set(READY, 1);
    if (strcmp(verb, "publish") == 0 || strcmp(verb, "subscribe") == 0) {
        must(ipcx_topic_attach(argv[3], &topic));
        strcmp(verb, "publish") == 0 ? publish_stream(topic) : subscribe_to_stream(topic);
        ipcx_topic_close(topic);
        return 0;
    }
    must(ipcx_ring_attach(argv[3], &ring));
    strcmp(verb, "send") == 0 ? send_stream(ring) : receive_stream(ring);
    ipcx_ring_close(ring);
    return 0;
}

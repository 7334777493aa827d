/*
 * The exposed side in C: both ends of the ring "prey", on whose segment somebody else writes without pause. Attaches, takes
 * the roles, makes every call, and begins again, until it is told to stop. Errors are a matter of course; a crash, a
 * length out of bounds or an error that such a call cannot give ends the process. tally.rs has the same numbers.
 */
#define _GNU_SOURCE
#include <ipcx.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum word { BEGAN, TIMEOUT, CALL, THREAD, RAN, WAITED, LONGEST, DONE, STOP, COUNTS, WORDS = COUNTS + 6 };
enum who { PRODUCER, CONSUMER, HANDLE };
enum call {
    NONE, ATTACH, STATS, TAKE_PRODUCER, TAKE_CONSUMER, SEND, SEND_MANY, RESERVE, COMMIT, SEND_FILE, RECV, RECV_MANY,
    BORROW, READ, BORROW_RAW, BORROW_MANY_RAW, PRODUCER_FD, CONSUMER_FD, CLOSE_PRODUCER, CLOSE_CONSUMER,
};

static uint64_t *words;
static int schedule, zeros;
/* Far larger than the ring: a length that is believed is also read. */
static unsigned char buffer[1 << 20];
static int64_t patience;
static uint64_t state;

__attribute__((noreturn)) static void fail(const char *what, long number)
{
    fprintf(stderr, "endpoints (C): %s: %ld: %s\n", what, number, ipcx_last_error());
    exit(1);
}

static uint64_t next_random(void)
{
    uint64_t word = state += 0x9e3779b97f4a7c15;

    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
    word = (word ^ word >> 27) * 0x94d049bb133111eb;
    return word ^ word >> 31;
}

/* ---- The tally ---- */

static uint64_t get(int word)
{
    return __atomic_load_n(&words[word], __ATOMIC_ACQUIRE);
}

static void set(int word, uint64_t value)
{
    __atomic_store_n(&words[word], value, __ATOMIC_RELEASE);
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* How long this thread ran, and waited for a processor; 0 where the kernel does not say. */
static void times(unsigned long long *ran, unsigned long long *waited)
{
    char text[80] = "";

    *ran = *waited = 0;
    if (pread(schedule, text, sizeof text - 1, 0) > 0)
        sscanf(text, "%llu %llu", ran, waited);
}

static void begin_turn(void)
{
    unsigned long long ran, waited;

    times(&ran, &waited);
    set(THREAD, (uint64_t)gettid());
    set(RAN, ran);
    set(WAITED, waited);
}

static void begin(enum call call)
{
    set(CALL, call);
    set(TIMEOUT, (uint64_t)patience);
    set(BEGAN, now());
}

static int is_expected(int code)
{
    switch (code) {
    case IPCX_E_AGAIN:
    case IPCX_E_TIMEDOUT:
    case IPCX_E_CLOSED:
    case IPCX_E_PEER_DEAD:
    case IPCX_E_NOT_FOUND:
    case IPCX_E_BUSY:
    case IPCX_E_MISMATCH:
    case IPCX_E_VERSION:
    case IPCX_E_CORRUPT:
    case IPCX_E_TOO_BIG:
    case IPCX_E_NO_SPACE:
        return 1;
    }
    return code >= IPCX_OK;
}

/* The call is over; true if it worked. */
static int end(enum who who, int code)
{
    uint64_t beyond = now() - get(BEGAN);

    beyond = beyond > get(TIMEOUT) ? beyond - get(TIMEOUT) : 0;
    if (beyond > 2000000) {
        unsigned long long ran, waited;
        times(&ran, &waited);
        waited -= get(WAITED);
        beyond = beyond > waited ? beyond - waited : 0;
    }
    set(BEGAN, 0);
    if (beyond > get(LONGEST))
        set(LONGEST, beyond);
    if (!is_expected(code))
        fail(ipcx_strerror(code), (long)get(CALL));
    set(COUNTS + 2 * who + (code < 0), get(COUNTS + 2 * who + (code < 0)) + 1);
    return code >= 0;
}

/* ---- The calls ---- */

static void use_producer(ipcx_producer *tx, size_t capacity)
{
    struct iovec records[3] = { { "one", 3 }, { "and another of more than a word", 31 }, { buffer, 600 } };
    size_t sent, all = capacity - 16;
    void *room;

    begin(SEND);
    end(PRODUCER, ipcx_producer_send(tx, "one", 3, patience));
    begin(SEND_MANY);
    if (end(PRODUCER, ipcx_producer_send_many(tx, records, 3, patience, &sent)) && sent > 3)
        fail("records sent", (long)sent);
    begin(RESERVE);
    if (end(PRODUCER, ipcx_producer_reserve(tx, 100, patience, &room))) {
        memset(room, 5, 100);
        begin(COMMIT);
        end(PRODUCER, ipcx_producer_commit(tx, 70));
    }
    begin(RESERVE);
    if (end(PRODUCER, ipcx_producer_reserve(tx, all, patience, &room))) {
        memset(room, 6, all);
        begin(COMMIT);
        end(PRODUCER, ipcx_producer_abort(tx));
    }
    begin(SEND_FILE);
    end(PRODUCER, ipcx_producer_send_file(tx, zeros, 40, patience, &sent));
}

static void bounded(size_t len, size_t capacity)
{
    if (len > capacity - 16)
        fail("bytes received", (long)len);
}

static void use_consumer(ipcx_consumer *rx, size_t capacity)
{
    size_t len, lens[5], count, total = 0;
    const void *data;

    begin(BORROW);
    if (end(CONSUMER, ipcx_consumer_borrow(rx, &data, &len, patience))) {
        bounded(len, capacity);
        memcpy(buffer, data, len);
        begin(READ);
        end(CONSUMER, len % 2 ? ipcx_consumer_release(rx) : ipcx_consumer_return(rx));
    }
    begin(RECV);
    if (end(CONSUMER, ipcx_consumer_recv(rx, buffer, sizeof buffer, &len, patience)))
        bounded(len, capacity);
    begin(RECV_MANY);
    if (end(CONSUMER, ipcx_consumer_recv_many(rx, buffer, sizeof buffer, lens, 5, &count, patience)))
        for (size_t i = 0; i < count; i++)
            bounded(total += lens[i], capacity);
}

static void use_handle(ipcx_ring *ring)
{
    ipcx_stats stats = IPCX_STATS_INIT;

    begin(STATS);
    if (end(HANDLE, ipcx_ring_stats(ring, &stats)) && stats.used > stats.capacity)
        fail("bytes used", (long)stats.used);
}

static void watch(ipcx_producer *tx, ipcx_consumer *rx)
{
    if (tx) {
        begin(PRODUCER_FD);
        end(PRODUCER, ipcx_producer_poll_fd(tx));
    }
    if (rx) {
        begin(CONSUMER_FD);
        end(CONSUMER, ipcx_consumer_poll_fd(rx));
    }
}

/* The roles, as far as they can be had, for a while. */
static void take_roles(ipcx_ring *ring, size_t capacity)
{
    static const int64_t waits[] = { IPCX_NOWAIT, IPCX_NOWAIT, 50000, 2000000 };
    ipcx_producer *tx = NULL;
    ipcx_consumer *rx = NULL;

    begin(TAKE_PRODUCER);
    end(PRODUCER, ipcx_ring_producer(ring, &tx));
    begin(TAKE_CONSUMER);
    end(CONSUMER, ipcx_ring_consumer(ring, &rx));
    if (next_random() % 16 == 0)
        watch(tx, rx);
    for (uint64_t turns = next_random() % 20; turns > 0; turns--) {
        begin_turn();
        patience = waits[next_random() % 4];
        if (tx)
            use_producer(tx, capacity);
        if (rx)
            use_consumer(rx, capacity);
        use_handle(ring);
    }
    begin(CLOSE_PRODUCER);
    ipcx_producer_close(tx);
    end(PRODUCER, IPCX_OK);
    begin(CLOSE_CONSUMER);
    ipcx_consumer_close(rx);
    end(CONSUMER, IPCX_OK);
}

static void attach(void)
{
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_ring *ring;

    begin_turn();
    begin(ATTACH);
    if (!end(HANDLE, ipcx_ring_attach("prey", &ring)))
        return;
    if (ipcx_ring_stats(ring, &stats) != IPCX_OK)
        fail("no figures", 0);
    for (int i = 0; i < 20; i++)
        take_roles(ring, stats.capacity);
    ipcx_ring_close(ring);
}

int main(void)
{
    const char *tally = getenv("IPCX_TEST_TALLY"), *argument = getenv("IPCX_TEST_CHILD");
    int file = tally ? open(tally, O_RDWR) : -1;
    pid_t parent = getppid();

    words = mmap(NULL, WORDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    schedule = open("/proc/thread-self/schedstat", O_RDONLY);
    zeros = open("/dev/zero", O_RDONLY);
    if (words == MAP_FAILED || zeros < 0 || !argument || sscanf(argument, "exposed %" SCNu64, &state) != 1)
        fail("not started by the test", 0);
    while (!get(STOP) && getppid() == parent) {
        attach();
        set(DONE, get(DONE) + 1);
    }
    return 0;
}

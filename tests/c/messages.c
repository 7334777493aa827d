/* Sending and receiving. */
#include "check.h"

static void records_arrive_whole_and_in_order(void)
{
    struct ends ends = new_ends(4096);
    char data[256];
    uint64_t position = ipcx_consumer_position(ends.rx);

    CHECK(position == 0);
    for (int i = 0; i < 1000; i++) {
        memset(data, i, sizeof data);
        OK(ipcx_producer_send(ends.tx, data, (size_t)i % sizeof data, IPCX_FOREVER));
        expect(ends.rx, data, (size_t)i % sizeof data);
        CHECK(ipcx_consumer_position(ends.rx) > position);
        position = ipcx_consumer_position(ends.rx);
    }
    close_ends(&ends);
}

static void an_empty_record_is_a_record(void)
{
    struct ends ends = new_ends(0);
    size_t len = 1;

    OK(ipcx_producer_send(ends.tx, NULL, 0, IPCX_NOWAIT));
    OK(ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_NOWAIT));
    CHECK(len == 0);
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_NOWAIT));
    close_ends(&ends);
}

static void a_buffer_too_small_learns_the_size_and_loses_nothing(void)
{
    struct ends ends = new_ends(0);
    char buffer[64];
    size_t len = 0, lens[4] = { 0 }, n = 99;

    OK(ipcx_producer_send(ends.tx, "hello", 5, IPCX_NOWAIT));
    GIVES(IPCX_E_TOO_BIG, ipcx_consumer_recv(ends.rx, buffer, 4, &len, IPCX_NOWAIT));
    CHECK(len == 5 && errno == EMSGSIZE);
    SAYS("5 bytes do not fit into 4");
    len = 0;
    GIVES(IPCX_E_TOO_BIG, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_FOREVER));
    CHECK(len == 5);
    GIVES(IPCX_E_TOO_BIG, ipcx_consumer_recv_many(ends.rx, buffer, 4, lens, 4, &n, IPCX_NOWAIT));
    CHECK(lens[0] == 5 && n == 99);
    expect(ends.rx, "hello", 5);
    close_ends(&ends);
}

static size_t largest_of(ipcx_ring *ring)
{
    ipcx_stats stats = IPCX_STATS_INIT;

    OK(ipcx_ring_stats(ring, &stats));
    CHECK(stats.max_message == stats.capacity - 16);
    return (size_t)stats.max_message;
}

static void a_record_larger_than_the_ring_is_too_big(void)
{
    struct ends ends = new_ends(4096);
    size_t largest = largest_of(ends.ring);
    char data[8192] = { 0 };
    struct iovec iov[2] = { { data, 1 }, { data, sizeof data } };
    size_t sent = 99;
    void *room;

    CHECK(largest == 4096 - 16);
    GIVES(IPCX_E_TOO_BIG, ipcx_producer_send(ends.tx, data, largest + 1, IPCX_FOREVER));
    GIVES(IPCX_E_TOO_BIG, ipcx_producer_send(ends.tx, data, SIZE_MAX, IPCX_NOWAIT));
    GIVES(IPCX_E_TOO_BIG, ipcx_producer_reserve(ends.tx, largest + 1, IPCX_FOREVER, &room));
    GIVES(IPCX_E_TOO_BIG, ipcx_producer_send_many(ends.tx, iov, 2, IPCX_FOREVER, &sent));
    CHECK(sent == 99);
    OK(ipcx_producer_send(ends.tx, data, largest, IPCX_NOWAIT));
    for (size_t less = 0; less < 64; less++)
        GIVES(IPCX_E_TOO_BIG, ipcx_producer_send(ends.tx, data, SIZE_MAX / 2 - less, IPCX_NOWAIT));
    expect(ends.rx, data, largest);
    close_ends(&ends);
}

static void full_and_empty_are_told_at_once_or_in_time(void)
{
    struct ends ends = new_ends(4096);
    char data[1000] = { 0 };
    const void *address;
    size_t len, lens[1], n;
    void *room;
    int64_t start = now_ns();

    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(ends.rx, data, sizeof data, &len, IPCX_NOWAIT));
    CHECK(errno == EAGAIN);
    GIVES(IPCX_E_AGAIN, ipcx_consumer_borrow(ends.rx, &address, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv_many(ends.rx, data, sizeof data, lens, 1, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_TIMEDOUT, ipcx_consumer_recv(ends.rx, data, sizeof data, &len, 30 * MS));
    CHECK(errno == ETIMEDOUT);
    GIVES(IPCX_E_TIMEDOUT, ipcx_consumer_borrow(ends.rx, &address, &len, 1));
    GIVES(IPCX_E_TIMEDOUT, ipcx_consumer_recv_many(ends.rx, data, sizeof data, lens, 1, &n, 30 * MS));
    CHECK(now_ns() - start >= 60 * MS && now_ns() - start < 5000 * MS);

    while (ipcx_producer_send(ends.tx, data, sizeof data, IPCX_NOWAIT) == IPCX_OK)
        ;
    start = now_ns();
    GIVES(IPCX_E_AGAIN, ipcx_producer_send(ends.tx, data, sizeof data, IPCX_NOWAIT));
    GIVES(IPCX_E_AGAIN, ipcx_producer_reserve(ends.tx, sizeof data, IPCX_NOWAIT, &room));
    GIVES(IPCX_E_TIMEDOUT, ipcx_producer_send(ends.tx, data, sizeof data, 30 * MS));
    GIVES(IPCX_E_TIMEDOUT, ipcx_producer_reserve(ends.tx, sizeof data, 30 * MS, &room));
    CHECK(now_ns() - start >= 60 * MS && now_ns() - start < 5000 * MS);
    close_ends(&ends);
}

static void a_timeout_below_forever_is_invalid(void)
{
    struct ends ends = new_ends(0);
    char data[8] = { 0 };
    struct iovec iov = { data, sizeof data };
    const void *address;
    size_t n, lens[1];
    void *room;

    GIVES(IPCX_E_INVALID, ipcx_producer_send(ends.tx, data, 8, -2));
    GIVES(IPCX_E_INVALID, ipcx_producer_send(ends.tx, data, 8, INT64_MIN));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_many(ends.tx, &iov, 1, -2, &n));
    GIVES(IPCX_E_INVALID, ipcx_producer_reserve(ends.tx, 8, -2, &room));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_file(ends.tx, 0, 8, -2, &n));
    OK(ipcx_producer_send(ends.tx, data, 8, INT64_MAX));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv(ends.rx, data, 8, &n, -2));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv_many(ends.rx, data, 8, lens, 1, &n, -2));
    GIVES(IPCX_E_INVALID, ipcx_consumer_borrow(ends.rx, &address, &n, -2));
    expect(ends.rx, data, 8); /* nothing was sent or received by those */
    close_ends(&ends);
}

static void many_records_go_in_one_call(void)
{
    struct ends ends = new_ends(4096);
    char sent_data[40], buffer[256];
    struct iovec iov[40];
    size_t sent = 99, lens[8], n = 0, got = 0;

    OK(ipcx_producer_send_many(ends.tx, NULL, 0, IPCX_NOWAIT, &sent));
    CHECK(sent == 0);
    for (size_t i = 0; i < 40; i++) {
        sent_data[i] = (char)i;
        iov[i].iov_base = i == 0 ? NULL : sent_data;
        iov[i].iov_len = i;
    }
    OK(ipcx_producer_send_many(ends.tx, iov, 40, IPCX_FOREVER, &sent));
    CHECK(sent == 40);
    while (got < 40) {
        size_t used = 0;
        OK(ipcx_consumer_recv_many(ends.rx, buffer, sizeof buffer, lens, 8, &n, IPCX_NOWAIT));
        CHECK(n >= 1 && n <= 8);
        for (size_t i = 0; i < n; used += lens[i], i++, got++)
            CHECK(lens[i] == got && memcmp(buffer + used, sent_data, got) == 0);
    }
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv_many(ends.rx, buffer, sizeof buffer, lens, 8, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv_many(ends.rx, buffer, sizeof buffer, lens, 0, &n, IPCX_NOWAIT));
    close_ends(&ends);
}

static void a_batch_that_does_not_fit_says_how_much_was_sent(void)
{
    struct ends ends = new_ends(4096);
    char data[1000] = { 0 };
    struct iovec iov[8];
    size_t sent = 0;

    for (size_t i = 0; i < 8; i++) {
        iov[i].iov_base = data;
        iov[i].iov_len = sizeof data;
    }
    OK(ipcx_producer_send_many(ends.tx, iov, 8, 20 * MS, &sent));
    CHECK(sent == 4);
    GIVES(IPCX_E_AGAIN, ipcx_producer_send_many(ends.tx, iov, 8, IPCX_NOWAIT, &sent));
    GIVES(IPCX_E_TIMEDOUT, ipcx_producer_send_many(ends.tx, iov, 8, 20 * MS, &sent));
    CHECK(sent == 4);
    close_ends(&ends);
}

static void what_is_reserved_is_sent_by_commit_only(void)
{
    struct ends ends = new_ends(4096);
    void *room = NULL, *other = NULL;
    size_t len;

    GIVES(IPCX_E_INVALID, ipcx_producer_commit(ends.tx, 0));
    GIVES(IPCX_E_INVALID, ipcx_producer_abort(ends.tx));
    OK(ipcx_producer_reserve(ends.tx, 100, IPCX_FOREVER, &room));
    CHECK((uintptr_t)room % 8 == 0);
    memcpy(room, "in place", 8);
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_producer_reserve(ends.tx, 100, IPCX_FOREVER, &other));
    GIVES(IPCX_E_INVALID, ipcx_producer_send(ends.tx, "x", 1, IPCX_FOREVER));
    GIVES(IPCX_E_INVALID, ipcx_producer_commit(ends.tx, 101));
    OK(ipcx_producer_commit(ends.tx, 8));
    expect(ends.rx, "in place", 8);
    GIVES(IPCX_E_INVALID, ipcx_producer_commit(ends.tx, 0));

    OK(ipcx_producer_reserve(ends.tx, 100, IPCX_NOWAIT, &room));
    OK(ipcx_producer_abort(ends.tx));
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(ends.rx, NULL, 0, &len, IPCX_NOWAIT));
    close_ends(&ends);
}

static void what_is_borrowed_stays_until_released(void)
{
    struct ends ends = new_ends(4096);
    const void *data = NULL;
    size_t len = 0;
    uint64_t position;
    char buffer[8];

    GIVES(IPCX_E_INVALID, ipcx_consumer_release(ends.rx));
    OK(ipcx_producer_send(ends.tx, "first", 5, IPCX_NOWAIT));
    OK(ipcx_producer_send(ends.tx, "second", 6, IPCX_NOWAIT));
    position = ipcx_consumer_position(ends.rx);
    OK(ipcx_consumer_borrow(ends.rx, &data, &len, IPCX_FOREVER));
    CHECK(len == 5 && memcmp(data, "first", 5) == 0 && (uintptr_t)data % 8 == 0);
    GIVES(IPCX_E_INVALID, ipcx_consumer_borrow(ends.rx, &data, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv(ends.rx, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    OK(ipcx_consumer_return(ends.rx));
    OK(ipcx_consumer_return(ends.rx)); /* nothing borrowed: nothing happens */
    GIVES(IPCX_E_INVALID, ipcx_consumer_release(ends.rx));
    CHECK(ipcx_consumer_position(ends.rx) == position);
    OK(ipcx_consumer_borrow(ends.rx, &data, &len, IPCX_NOWAIT)); /* the same again */
    CHECK(len == 5 && memcmp(data, "first", 5) == 0);
    OK(ipcx_consumer_release(ends.rx));
    expect(ends.rx, "second", 6);
    close_ends(&ends);
}

static void a_role_has_one_holder(void)
{
    struct ends ends = new_ends(0);
    ipcx_ring *again;
    ipcx_producer *tx;
    ipcx_consumer *rx;

    GIVES(IPCX_E_BUSY, ipcx_ring_producer(ends.ring, &tx));
    SAYS("producer");
    OK(ipcx_ring_attach(ends.name, &again));
    GIVES(IPCX_E_BUSY, ipcx_ring_consumer(again, &rx));
    CHECK(errno == EBUSY);
    ipcx_consumer_close(ends.rx);
    OK(ipcx_ring_consumer(again, &ends.rx));
    ipcx_ring_close(again); /* the consumer goes on */
    OK(ipcx_producer_send(ends.tx, "on", 2, IPCX_NOWAIT));
    expect(ends.rx, "on", 2);
    close_ends(&ends);
}

static void a_peer_that_closed_is_told_after_all_was_received(void)
{
    struct ends ends = new_ends(4096);
    char data[1000] = { 0 };
    size_t len;

    OK(ipcx_producer_send(ends.tx, "last", 4, IPCX_NOWAIT));
    ipcx_producer_close(ends.tx);
    expect(ends.rx, "last", 4);
    GIVES(IPCX_E_CLOSED, ipcx_consumer_recv(ends.rx, data, sizeof data, &len, IPCX_NOWAIT));
    CHECK(errno == EPIPE);
    SAYS(ends.name);
    GIVES(IPCX_E_CLOSED, ipcx_consumer_recv(ends.rx, data, sizeof data, &len, IPCX_FOREVER));
    OK(ipcx_ring_producer(ends.ring, &ends.tx)); /* a successor */
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv(ends.rx, data, sizeof data, &len, IPCX_NOWAIT));
    ipcx_consumer_close(ends.rx);
    for (int i = 0; i < 4; i++)
        OK(ipcx_producer_send(ends.tx, data, sizeof data, IPCX_NOWAIT));
    GIVES(IPCX_E_CLOSED, ipcx_producer_send(ends.tx, data, sizeof data, IPCX_NOWAIT));
    GIVES(IPCX_E_CLOSED, ipcx_producer_send(ends.tx, data, sizeof data, IPCX_FOREVER));
    ends.rx = NULL;
    close_ends(&ends);
}

static void a_handle_of_another_type_is_invalid(void)
{
    struct ends ends = new_ends(0);
    ipcx_ring *ring = (ipcx_ring *)ends.tx;
    ipcx_producer *tx = (ipcx_producer *)ends.rx;
    ipcx_stats stats = IPCX_STATS_INIT;
    uint64_t zeroes[16] = { 0 };

    GIVES(IPCX_E_INVALID, ipcx_ring_stats(ring, &stats));
    GIVES(IPCX_E_INVALID, ipcx_producer_send(tx, "x", 1, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_producer_send((ipcx_producer *)zeroes, "x", 1, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_producer_send((ipcx_producer *)((char *)ends.tx + 1), "x", 1, IPCX_NOWAIT));
    ipcx_ring_close(ring); /* not a ring: left alone */
    OK(ipcx_producer_send(ends.tx, "x", 1, IPCX_NOWAIT));
    close_ends(&ends);
}

static void a_null_handle_or_output_is_invalid(void)
{
    struct ends ends = new_ends(0);
    ipcx_stats stats = IPCX_STATS_INIT;
    struct iovec iov = { NULL, 4 };
    char data[8] = { 0 };
    const void *address;
    size_t n, lens[1];
    void *room;

    GIVES(IPCX_E_INVALID, ipcx_ring_producer(NULL, &ends.tx));
    GIVES(IPCX_E_INVALID, ipcx_ring_producer(ends.ring, NULL));
    GIVES(IPCX_E_INVALID, ipcx_ring_consumer(NULL, &ends.rx));
    GIVES(IPCX_E_INVALID, ipcx_ring_consumer(ends.ring, NULL));
    GIVES(IPCX_E_INVALID, ipcx_ring_share_fd(NULL));
    GIVES(IPCX_E_INVALID, ipcx_ring_stats(NULL, &stats));
    GIVES(IPCX_E_INVALID, ipcx_ring_stats(ends.ring, NULL));
    GIVES(IPCX_E_INVALID, ipcx_producer_send(NULL, data, 8, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_producer_send(ends.tx, NULL, 8, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_many(NULL, &iov, 1, IPCX_NOWAIT, &n));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_many(ends.tx, &iov, 1, IPCX_NOWAIT, &n));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_many(ends.tx, NULL, 1, IPCX_NOWAIT, &n));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_many(ends.tx, &iov, SIZE_MAX, IPCX_NOWAIT, &n));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_many(ends.tx, NULL, 0, IPCX_NOWAIT, NULL));
    GIVES(IPCX_E_INVALID, ipcx_producer_reserve(NULL, 8, IPCX_NOWAIT, &room));
    GIVES(IPCX_E_INVALID, ipcx_producer_reserve(ends.tx, 8, IPCX_NOWAIT, NULL));
    GIVES(IPCX_E_INVALID, ipcx_producer_commit(NULL, 8));
    GIVES(IPCX_E_INVALID, ipcx_producer_abort(NULL));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_file(NULL, 0, 8, IPCX_NOWAIT, &n));
    GIVES(IPCX_E_INVALID, ipcx_producer_send_file(ends.tx, 0, 8, IPCX_NOWAIT, NULL));
    GIVES(IPCX_E_INVALID, ipcx_producer_poll_fd(NULL));
    OK(ipcx_producer_send(ends.tx, data, 8, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv(NULL, data, 8, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv(ends.rx, NULL, 8, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv(ends.rx, data, 8, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv_many(NULL, data, 8, lens, 1, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv_many(ends.rx, NULL, 8, lens, 1, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv_many(ends.rx, data, 8, NULL, 1, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_recv_many(ends.rx, data, 8, lens, 1, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_borrow(NULL, &address, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_borrow(ends.rx, NULL, &n, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_borrow(ends.rx, &address, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_release(NULL));
    GIVES(IPCX_E_INVALID, ipcx_consumer_return(NULL));
    GIVES(IPCX_E_INVALID, ipcx_consumer_poll_fd(NULL));
    CHECK(ipcx_consumer_position(NULL) == UINT64_MAX);
    expect(ends.rx, data, 8); /* none of those did anything */
    close_ends(&ends);
    ipcx_producer_close(NULL);
    ipcx_consumer_close(NULL);
}

static const struct test tests[] = {
    TEST(records_arrive_whole_and_in_order),
    TEST(an_empty_record_is_a_record),
    TEST(a_buffer_too_small_learns_the_size_and_loses_nothing),
    TEST(a_record_larger_than_the_ring_is_too_big),
    TEST(full_and_empty_are_told_at_once_or_in_time),
    TEST(a_timeout_below_forever_is_invalid),
    TEST(many_records_go_in_one_call),
    TEST(a_batch_that_does_not_fit_says_how_much_was_sent),
    TEST(what_is_reserved_is_sent_by_commit_only),
    TEST(what_is_borrowed_stays_until_released),
    TEST(a_role_has_one_holder),
    TEST(a_peer_that_closed_is_told_after_all_was_received),
    TEST(a_handle_of_another_type_is_invalid),
    TEST(a_null_handle_or_output_is_invalid),
};

int main(void)
{
    return RUN(tests);
}

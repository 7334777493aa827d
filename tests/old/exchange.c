/*
 * One side of an exchange over a segment of each kind, for scripts/check-old, which runs the two sides with different
 * libraries.
 *
 *     exchange create KIND     makes the segment
 *     exchange ask KIND        sends
 *     exchange answer KIND     receives, and checks it
 *
 * Exits with 0, or with 3 if the library refuses the segment because of its version, or with 1. It uses only what the
 * first version of the library has.
 */
#include <ipcx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS = 100, REFUSED = 3 };
static const int64_t LIMIT = 20000000000; /* 20 s */
static const char NAME[] = "old", SECOND[] = "old.2";

static int asking;

static void must(int code)
{
    if (code == IPCX_OK)
        return;
    fprintf(stderr, "%s\n", ipcx_last_error());
    exit(code == IPCX_E_VERSION ? REFUSED : 1);
}

static void check(int right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "what came is not what was sent: %s\n", what);
    exit(1);
}

/* The i-th record: i bytes i. */
static size_t record(unsigned char *at, size_t i)
{
    memset(at, (int)i, i);
    return i;
}

static void check_record(const unsigned char *at, size_t len, size_t i)
{
    unsigned char want[RECORDS];

    check(len == record(want, i) && memcmp(at, want, len) == 0, "a record");
}

/* ---- Each kind: made, and both sides ---- */

static void create_ring(void)
{
    ipcx_ring *ring;

    must(ipcx_ring_create(NAME, NULL, &ring));
    ipcx_ring_close(ring);
}

static void exchange_ring(void)
{
    unsigned char bytes[RECORDS];
    ipcx_ring *ring;
    ipcx_producer *tx;
    ipcx_consumer *rx;
    size_t len;

    must(ipcx_ring_attach(NAME, &ring));
    if (asking) {
        must(ipcx_ring_producer(ring, &tx));
        for (size_t i = 0; i < RECORDS; i++)
            must(ipcx_producer_send(tx, bytes, record(bytes, i), LIMIT));
        ipcx_producer_close(tx);
    } else {
        must(ipcx_ring_consumer(ring, &rx));
        for (size_t i = 0; i < RECORDS; i++) {
            must(ipcx_consumer_recv(rx, bytes, sizeof bytes, &len, LIMIT));
            check_record(bytes, len, i);
        }
        ipcx_consumer_close(rx);
    }
    ipcx_ring_close(ring);
}

static void create_pool(void)
{
    ipcx_pool_options options = IPCX_POOL_OPTIONS_INIT;
    ipcx_ring *ring;
    ipcx_pool *pool;

    options.block_size = 4096;
    must(ipcx_pool_create(NAME, &options, &pool));
    must(ipcx_ring_create(SECOND, NULL, &ring));
    ipcx_ring_close(ring);
    ipcx_pool_close(pool);
}

static void exchange_pool(void)
{
    ipcx_pool *pool;
    ipcx_ring *ring;
    ipcx_producer *tx;
    ipcx_consumer *rx;
    ipcx_block block;
    size_t len;

    must(ipcx_pool_attach(NAME, &pool));
    must(ipcx_ring_attach(SECOND, &ring));
    if (asking) {
        must(ipcx_ring_producer(ring, &tx));
        must(ipcx_pool_acquire(pool, LIMIT, &block));
        must(ipcx_producer_send_block(tx, pool, &block, record(block.data, 77), LIMIT));
        ipcx_producer_close(tx);
    } else {
        must(ipcx_ring_consumer(ring, &rx));
        must(ipcx_consumer_recv_block(rx, pool, &block, &len, LIMIT));
        check_record(block.data, len, 77);
        must(ipcx_pool_release(pool, &block));
        ipcx_consumer_close(rx);
    }
    ipcx_ring_close(ring);
    ipcx_pool_close(pool);
}

static void create_buffer(void)
{
    ipcx_buffer *buffer;

    must(ipcx_buffer_create(NAME, NULL, &buffer));
    ipcx_buffer_close(buffer);
}

static void exchange_buffer(void)
{
    unsigned char bytes[RECORDS];
    ipcx_buffer *buffer;
    uint64_t version;
    size_t len;

    must(ipcx_buffer_attach(NAME, &buffer));
    if (asking) {
        must(ipcx_buffer_write(buffer, bytes, record(bytes, 33), LIMIT));
    } else {
        must(ipcx_buffer_wait(buffer, 0, &version, LIMIT));
        must(ipcx_buffer_read(buffer, bytes, sizeof bytes, &len, &version));
        check_record(bytes, len, 33);
    }
    ipcx_buffer_close(buffer);
}

static void create_semaphore(void)
{
    ipcx_semaphore_options options = IPCX_SEMAPHORE_OPTIONS_INIT;
    ipcx_semaphore *semaphore;

    options.initial = IPCX_SEMAPHORE_EMPTY;
    must(ipcx_semaphore_create(NAME, &options, &semaphore));
    ipcx_semaphore_close(semaphore);
}

static void exchange_semaphore(void)
{
    ipcx_semaphore *semaphore;
    uint32_t value;

    must(ipcx_semaphore_attach(NAME, &semaphore));
    if (asking) {
        must(ipcx_semaphore_release(semaphore));
    } else {
        must(ipcx_semaphore_acquire(semaphore, LIMIT));
        must(ipcx_semaphore_value(semaphore, &value));
        check(value == 0, "a permit");
    }
    ipcx_semaphore_close(semaphore);
}

static void create_topic(void)
{
    ipcx_topic_options options = IPCX_TOPIC_OPTIONS_INIT;
    ipcx_topic *topic;

    options.history = 1; /* who is first does not matter */
    must(ipcx_topic_create(NAME, &options, &topic));
    ipcx_topic_close(topic);
}

static void exchange_topic(void)
{
    unsigned char bytes[RECORDS];
    ipcx_topic *topic;
    ipcx_publisher *publisher;
    ipcx_subscriber *subscriber;
    size_t len;

    must(ipcx_topic_attach(NAME, &topic));
    if (asking) {
        must(ipcx_topic_publisher(topic, &publisher));
        for (size_t i = 0; i < RECORDS; i++)
            must(ipcx_publisher_publish(publisher, bytes, record(bytes, i), LIMIT));
        ipcx_publisher_close(publisher);
    } else {
        must(ipcx_topic_subscriber(topic, &subscriber));
        for (size_t i = 0; i < RECORDS; i++) {
            must(ipcx_subscriber_recv(subscriber, bytes, sizeof bytes, &len, LIMIT));
            check_record(bytes, len, i);
        }
        check(ipcx_subscriber_missed(subscriber) == 0, "how many were missed");
        ipcx_subscriber_close(subscriber);
    }
    ipcx_topic_close(topic);
}

static void create_service(void)
{
    ipcx_service *service;

    must(ipcx_service_create(NAME, NULL, &service));
    ipcx_service_close(service);
}

static void exchange_service(void)
{
    unsigned char bytes[RECORDS], reply[RECORDS];
    ipcx_service *service;
    ipcx_client *client;
    ipcx_server *server;
    uint64_t id;
    size_t len;

    must(ipcx_service_attach(NAME, &service));
    if (asking) {
        must(ipcx_service_client(service, &client));
        must(ipcx_client_call(client, bytes, record(bytes, 5), reply, sizeof reply, &len, LIMIT));
        check_record(reply, len, 9);
        ipcx_client_close(client);
    } else {
        must(ipcx_service_server(service, &server));
        must(ipcx_server_recv(server, &id, bytes, sizeof bytes, &len, LIMIT));
        check_record(bytes, len, 5);
        must(ipcx_server_reply(server, id, reply, record(reply, 9)));
        ipcx_server_close(server);
    }
    ipcx_service_close(service);
}

static void create_queue(void)
{
    ipcx_queue *queue;

    must(ipcx_queue_create(NAME, NULL, &queue));
    ipcx_queue_close(queue);
}

static void exchange_queue(void)
{
    unsigned char bytes[RECORDS];
    ipcx_queue *queue;
    uint64_t ticket;
    unsigned priority;
    size_t len;

    must(ipcx_queue_attach(NAME, &queue));
    for (size_t i = 0; i < 32; i++) {
        if (asking) {
            must(ipcx_queue_push(queue, bytes, record(bytes, i), (unsigned)i, LIMIT));
        } else {
            must(ipcx_queue_take(queue, bytes, sizeof bytes, &len, &priority, &ticket, LIMIT));
            check_record(bytes, len, priority);
            must(ipcx_queue_ack(queue, ticket));
        }
    }
    ipcx_queue_close(queue);
}

static const struct {
    const char *name;
    void (*create)(void);
    void (*exchange)(void);
} KINDS[] = {
    { "ring", create_ring, exchange_ring },
    { "pool", create_pool, exchange_pool },
    { "buffer", create_buffer, exchange_buffer },
    { "semaphore", create_semaphore, exchange_semaphore },
    { "topic", create_topic, exchange_topic },
    { "service", create_service, exchange_service },
    { "queue", create_queue, exchange_queue },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (strcmp(argv[2], KINDS[i].name) != 0)
            continue;
        asking = strcmp(argv[1], "ask") == 0;
        if (strcmp(argv[1], "create") == 0)
            KINDS[i].create();
        else
            KINDS[i].exchange();
        return 0;
    }
    return 2;
}

/*
 * The hot operations through libipcx.so, for scripts/check-instructions: what operations.rs does, where C has it.
 * Only what the library itself executes is counted, not what the compiler made of this file.
 */
#include <ipcx.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPERATIONS = 64, ROUNDS = 4, SIZE = 64 };

static ipcx_producer *tx;
static ipcx_consumer *rx;
static ipcx_pool *pool;
static ipcx_buffer *buffer;
static ipcx_semaphore *semaphore;
static ipcx_publisher *publisher;
static ipcx_subscriber *subscriber;
static ipcx_client *client;
static ipcx_server *server;
static ipcx_queue *queue;
static unsigned char data[SIZE], room[OPERATIONS * SIZE];
static struct iovec records[OPERATIONS];
static size_t lens[OPERATIONS];
static ipcx_block blocks[OPERATIONS];

static void must(int code)
{
    if (code != IPCX_OK) {
        fprintf(stderr, "operations: %s: %s\n", ipcx_strerror(code), ipcx_last_error());
        exit(1);
    }
}

#define MEASURED __attribute__((noinline)) static void

MEASURED measured_ring_send(void)
{
    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_producer_send(tx, data, SIZE, IPCX_FOREVER));
}

MEASURED measured_ring_recv(void)
{
    size_t len;

    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_consumer_recv(rx, room, sizeof room, &len, IPCX_FOREVER));
}

MEASURED measured_ring_reserve_commit(void)
{
    void *place;

    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_producer_reserve(tx, SIZE, IPCX_FOREVER, &place));
        must(ipcx_producer_commit(tx, SIZE));
    }
}

MEASURED measured_ring_borrow_release(void)
{
    const void *place;
    size_t len;

    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_consumer_borrow(rx, &place, &len, IPCX_FOREVER));
        must(ipcx_consumer_release(rx));
    }
}

MEASURED measured_ring_send_many(void)
{
    size_t sent;

    must(ipcx_producer_send_many(tx, records, OPERATIONS, IPCX_FOREVER, &sent));
}

MEASURED measured_ring_recv_many(void)
{
    size_t received;

    must(ipcx_consumer_recv_many(rx, room, sizeof room, lens, OPERATIONS, &received, IPCX_FOREVER));
}

MEASURED measured_pool_acquire_release(void)
{
    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_pool_acquire(pool, IPCX_FOREVER, &blocks[0]));
        must(ipcx_pool_release(pool, &blocks[0]));
    }
}

MEASURED measured_pool_acquire(void)
{
    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_pool_acquire(pool, IPCX_FOREVER, &blocks[i]));
}

MEASURED measured_pool_release(void)
{
    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_pool_release(pool, &blocks[i]));
}

MEASURED measured_block_send(void)
{
    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_producer_send_block(tx, pool, &blocks[i], SIZE, IPCX_FOREVER));
}

MEASURED measured_block_recv(void)
{
    size_t len;

    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_consumer_recv_block(rx, pool, &blocks[i], &len, IPCX_FOREVER));
}

MEASURED measured_buffer_write(void)
{
    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_buffer_write(buffer, data, SIZE, IPCX_FOREVER));
}

MEASURED measured_buffer_read(void)
{
    size_t len;
    uint64_t version;

    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_buffer_read(buffer, room, SIZE, &len, &version));
}

MEASURED measured_buffer_lock_unlock(void)
{
    void *place;
    size_t len, cap;

    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_buffer_lock(buffer, IPCX_FOREVER, &place, &len, &cap));
        must(ipcx_buffer_unlock(buffer, len));
    }
}

MEASURED measured_semaphore_acquire_release(void)
{
    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_semaphore_acquire(semaphore, IPCX_FOREVER));
        must(ipcx_semaphore_release(semaphore));
    }
}

MEASURED measured_topic_publish(void)
{
    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_publisher_publish(publisher, data, SIZE, IPCX_FOREVER));
}

MEASURED measured_topic_recv(void)
{
    size_t len;

    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_subscriber_recv(subscriber, room, sizeof room, &len, IPCX_FOREVER));
}

MEASURED measured_topic_reserve_commit(void)
{
    void *place;

    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_publisher_reserve(publisher, SIZE, IPCX_FOREVER, &place));
        must(ipcx_publisher_commit(publisher, SIZE));
    }
}

MEASURED measured_topic_borrow_release(void)
{
    const void *place;
    size_t len;
    int whole;

    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_subscriber_borrow(subscriber, &place, &len, IPCX_FOREVER));
        must(ipcx_subscriber_release(subscriber, &whole));
    }
}

MEASURED measured_service_send(void)
{
    uint64_t id;

    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_client_send(client, data, SIZE, &id, IPCX_FOREVER));
}

MEASURED measured_service_serve(void)
{
    uint64_t id;
    size_t len;

    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_server_recv(server, &id, room, SIZE, &len, IPCX_FOREVER));
        must(ipcx_server_reply(server, id, room, len));
    }
}

MEASURED measured_service_recv(void)
{
    uint64_t id;
    size_t len;

    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_client_recv(client, &id, room, SIZE, &len, IPCX_FOREVER));
}

MEASURED measured_queue_push(void)
{
    for (int i = 0; i < OPERATIONS; i++)
        must(ipcx_queue_push(queue, data, SIZE, 3, IPCX_FOREVER));
}

MEASURED measured_queue_take_ack(void)
{
    uint64_t ticket;
    unsigned priority;
    size_t len;

    for (int i = 0; i < OPERATIONS; i++) {
        must(ipcx_queue_take(queue, room, SIZE, &len, &priority, &ticket, IPCX_FOREVER));
        must(ipcx_queue_ack(queue, ticket));
    }
}

static void begin(void)
{
    ipcx_pool_options options = IPCX_POOL_OPTIONS_INIT;
    ipcx_service_options calls = IPCX_SERVICE_OPTIONS_INIT;
    ipcx_queue_options messages = IPCX_QUEUE_OPTIONS_INIT;
    ipcx_topic *topic;
    ipcx_service *service;
    ipcx_ring *ring;

    must(ipcx_ring_anonymous(NULL, &ring));
    must(ipcx_ring_producer(ring, &tx));
    must(ipcx_ring_consumer(ring, &rx));
    options.block_size = SIZE;
    options.blocks = 2 * OPERATIONS;
    must(ipcx_pool_anonymous(&options, &pool));
    must(ipcx_buffer_anonymous(NULL, &buffer));
    must(ipcx_semaphore_anonymous(NULL, &semaphore));
    must(ipcx_topic_anonymous(NULL, &topic));
    must(ipcx_topic_publisher(topic, &publisher));
    must(ipcx_topic_subscriber(topic, &subscriber));
    calls.depth = OPERATIONS;
    calls.max_clients = 1;
    must(ipcx_service_anonymous(&calls, &service));
    must(ipcx_service_client(service, &client));
    must(ipcx_service_server(service, &server));
    messages.max_message = SIZE;
    must(ipcx_queue_anonymous(&messages, &queue));
    for (int i = 0; i < OPERATIONS; i++)
        records[i] = (struct iovec){data, SIZE};
}

/* The end of the process gives everything back. */
int main(void)
{
    begin();
    for (int round = 0; round < ROUNDS; round++) {
        measured_ring_send();
        measured_ring_recv();
        measured_ring_reserve_commit();
        measured_ring_borrow_release();
        measured_ring_send_many();
        measured_ring_recv_many();
        measured_pool_acquire_release();
        measured_pool_acquire();
        measured_block_send();
        measured_block_recv();
        measured_pool_release();
        measured_buffer_write();
        measured_buffer_read();
        measured_buffer_lock_unlock();
        measured_semaphore_acquire_release();
        measured_topic_publish();
        measured_topic_recv();
        measured_topic_reserve_commit();
        measured_topic_borrow_release();
        measured_service_send();
        measured_service_serve();
        measured_service_recv();
        measured_queue_push();
        measured_queue_take_ack();
    }
    return 0;
}

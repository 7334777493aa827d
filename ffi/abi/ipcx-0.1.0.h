#ifndef IPCX_H
#define IPCX_H 
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#define IPCX_VERSION "0.1.0"
#define IPCX_VERSION_MAJOR 0
#define IPCX_VERSION_MINOR 1
#define IPCX_VERSION_PATCH 0
#define IPCX_OK 0
#define IPCX_E_AGAIN (-1)
#define IPCX_E_TIMEDOUT (-2)
#define IPCX_E_INTR (-3)
#define IPCX_E_CLOSED (-4)
#define IPCX_E_PEER_DEAD (-5)
#define IPCX_E_EXISTS (-6)
#define IPCX_E_NOT_FOUND (-7)
#define IPCX_E_BUSY (-8)
#define IPCX_E_MISMATCH (-9)
#define IPCX_E_VERSION (-10)
#define IPCX_E_CORRUPT (-11)
#define IPCX_E_TOO_BIG (-12)
#define IPCX_E_NO_SPACE (-13)
#define IPCX_E_PERMISSION (-14)
#define IPCX_E_FORKED (-15)
#define IPCX_E_INVALID (-16)
#define IPCX_E_OS (-17)
#define IPCX_E_PANIC (-18)
#define IPCX_E_REMOTE (-19)
#define IPCX_NOWAIT 0
#define IPCX_FOREVER (-1)
#define IPCX_WAIT_BALANCED 0
#define IPCX_WAIT_SPIN 1
#define IPCX_WAIT_YIELD 2
#define IPCX_WAIT_BLOCK 3
#define IPCX_BACKING_DIRECTORY 0
#define IPCX_BACKING_SYSTEM_V 1
#define IPCX_OPT_GROUP 1
#define IPCX_OPT_MUST_EXIST 2
#define IPCX_SEMAPHORE_EMPTY UINT32_MAX
#define IPCX_KIND_RING 1
#define IPCX_KIND_POOL 2
#define IPCX_KIND_BUFFER 3
#define IPCX_KIND_SEMAPHORE 4
#define IPCX_KIND_TOPIC 5
#define IPCX_KIND_SERVICE 6
#define IPCX_KIND_QUEUE 7
#define IPCX_ROLE_NEVER 0
#define IPCX_ROLE_ALIVE 1
#define IPCX_ROLE_CLOSED 2
#define IPCX_ROLE_DEAD 3
#define IPCX_START_NEXT 0
#define IPCX_START_LATEST 1
#define IPCX_START_OLDEST 2
#define IPCX_WAIT_FOR_CONSUMER 1
#define IPCX_WAIT_FOR_PRODUCER 2
#define IPCX_WAIT_FOR_POOL 3
#define IPCX_WAIT_FOR_SEMAPHORE 4
#define IPCX_WAIT_FOR_BUFFER 5
#define IPCX_WAIT_FOR_TRANSPORT 6
#define IPCX_WAIT_FOR_PUBLISHER 7
#define IPCX_WAIT_FOR_SUBSCRIBER 8
#define IPCX_WAIT_FOR_QUEUE 9
#define IPCX_WAIT_FOR_CLIENT 10
#define IPCX_WAIT_FOR_SERVER 11
#define IPCX_LISTED_IN_USE 1
#define IPCX_LISTED_UNUSED 2
#define IPCX_LISTED_UNREADABLE 3
#define IPCX_SEND 1
#define IPCX_RECV 2
typedef struct ipcx_buffer ipcx_buffer;
typedef struct ipcx_child ipcx_child;
typedef struct ipcx_client ipcx_client;
typedef struct ipcx_consumer ipcx_consumer;
typedef struct ipcx_pool ipcx_pool;
typedef struct ipcx_producer ipcx_producer;
typedef struct ipcx_publisher ipcx_publisher;
typedef struct ipcx_queue ipcx_queue;
typedef struct ipcx_ring ipcx_ring;
typedef struct ipcx_semaphore ipcx_semaphore;
typedef struct ipcx_server ipcx_server;
typedef struct ipcx_service ipcx_service;
typedef struct ipcx_subscriber ipcx_subscriber;
typedef struct ipcx_topic ipcx_topic;
typedef struct ipcx_transport ipcx_transport;
typedef struct ipcx_ring_options {
    uint32_t struct_size;
    uint32_t mode;
    uint32_t max_participants;
    uint32_t backing;
    uint32_t wait;
    uint32_t flags;
    uint32_t group;
    int32_t key;
    const char *directory;
    const char *schema;
    uint64_t capacity;
} ipcx_ring_options;
typedef struct ipcx_stats {
    uint32_t struct_size;
    uint32_t kind;
    uint64_t capacity;
    uint64_t used;
    uint64_t sent;
    uint64_t received;
    uint64_t sent_bytes;
    uint64_t received_bytes;
    uint32_t producer_state;
    uint32_t consumer_state;
    uint32_t producer_pid;
    uint32_t consumer_pid;
    uint64_t block_size;
    uint64_t blocks;
    uint64_t blocks_free;
    uint64_t blocks_owned;
    uint64_t blocks_in_flight;
    uint64_t subscribers;
    uint64_t depth;
    uint64_t ready;
    uint64_t taken;
    uint64_t dead;
    uint64_t free;
    uint64_t servers;
    uint64_t clients;
    uint64_t max_message;
    uint64_t max_reply;
    uint64_t holders;
    uint32_t holder_state;
    uint32_t holder_pid;
} ipcx_stats;
typedef struct ipcx_block {
    uint64_t id;
    void *data;
    size_t size;
} ipcx_block;
typedef struct ipcx_pool_options {
    uint32_t struct_size;
    uint32_t mode;
    uint32_t max_participants;
    uint32_t backing;
    uint32_t wait;
    uint32_t flags;
    uint32_t group;
    int32_t key;
    const char *directory;
    const char *schema;
    uint64_t block_size;
    uint64_t blocks;
    uint64_t alignment;
} ipcx_pool_options;
typedef struct ipcx_buffer_options {
    uint32_t struct_size;
    uint32_t mode;
    uint32_t max_participants;
    uint32_t backing;
    uint32_t wait;
    uint32_t flags;
    uint32_t group;
    int32_t key;
    const char *directory;
    const char *schema;
    uint64_t capacity;
} ipcx_buffer_options;
typedef struct ipcx_semaphore_options {
    uint32_t struct_size;
    uint32_t mode;
    uint32_t max_participants;
    uint32_t backing;
    uint32_t wait;
    uint32_t flags;
    uint32_t group;
    int32_t key;
    const char *directory;
    const char *schema;
    uint32_t initial;
    uint32_t limit;
} ipcx_semaphore_options;
typedef struct ipcx_topic_options {
    uint32_t struct_size;
    uint32_t mode;
    uint32_t max_participants;
    uint32_t backing;
    uint32_t wait;
    uint32_t flags;
    uint32_t group;
    int32_t key;
    const char *directory;
    const char *schema;
    uint64_t capacity;
    uint32_t reliable;
    uint32_t history;
} ipcx_topic_options;
typedef struct ipcx_service_options {
    uint32_t struct_size;
    uint32_t mode;
    uint32_t max_participants;
    uint32_t backing;
    uint32_t wait;
    uint32_t flags;
    uint32_t group;
    int32_t key;
    const char *directory;
    const char *schema;
    uint64_t max_request;
    uint64_t max_reply;
    uint64_t max_clients;
    uint64_t depth;
} ipcx_service_options;
typedef struct ipcx_queue_options {
    uint32_t struct_size;
    uint32_t mode;
    uint32_t max_participants;
    uint32_t backing;
    uint32_t wait;
    uint32_t flags;
    uint32_t group;
    int32_t key;
    const char *directory;
    const char *schema;
    uint64_t max_message;
    uint64_t depth;
    uint32_t max_deliveries;
    uint32_t sync;
} ipcx_queue_options;
typedef struct ipcx_waitable {
    uint32_t kind;
    uint32_t ready;
    void *object;
    uint64_t seen;
} ipcx_waitable;
typedef struct ipcx_listed_participant {
    uint64_t attached_ns;
    uint32_t slot;
    uint32_t pid;
    uint32_t alive;
    uint32_t reserved;
    char command[16];
} ipcx_listed_participant;
typedef struct ipcx_listed_role {
    const char *name;
    uint32_t state;
    uint32_t pid;
} ipcx_listed_role;
typedef struct ipcx_listed_parameter {
    const char *name;
    uint64_t value;
} ipcx_listed_parameter;
typedef struct ipcx_listed {
    uint32_t struct_size;
    uint32_t state;
    const char *name;
    const char *reason;
    int problem;
    uint32_t owner;
    uint32_t group;
    uint32_t mode;
    uint64_t size;
    uint64_t created_ns;
    uint32_t kind;
    uint32_t max_participants;
    const char *schema;
    const ipcx_listed_participant *participants;
    size_t participant_count;
    const ipcx_listed_role *roles;
    size_t role_count;
    const ipcx_listed_parameter *parameters;
    size_t parameter_count;
} ipcx_listed;
typedef int (*ipcx_list_function)(const struct ipcx_listed *segment, void *context);
typedef struct ipcx_transport_options {
    uint32_t struct_size;
    uint32_t mode;
    uint64_t capacity;
    uint64_t message_size;
    size_t messages;
    const char *directory;
} ipcx_transport_options;
#define IPCX_RING_OPTIONS_INIT { sizeof(ipcx_ring_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }
#define IPCX_POOL_OPTIONS_INIT { sizeof(ipcx_pool_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0 }
#define IPCX_BUFFER_OPTIONS_INIT { sizeof(ipcx_buffer_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }
#define IPCX_SEMAPHORE_OPTIONS_INIT { sizeof(ipcx_semaphore_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0 }
#define IPCX_TOPIC_OPTIONS_INIT { sizeof(ipcx_topic_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0 }
#define IPCX_SERVICE_OPTIONS_INIT { sizeof(ipcx_service_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }
#define IPCX_QUEUE_OPTIONS_INIT { sizeof(ipcx_queue_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }
#define IPCX_TRANSPORT_OPTIONS_INIT { sizeof(ipcx_transport_options), 0, 0, 0, 0, NULL }
#define IPCX_STATS_INIT \
    { sizeof(ipcx_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#ifdef __cplusplus
extern "C" {
#endif
const char *ipcx_strerror(int code);
const char *ipcx_last_error(void);
int ipcx_last_taken(void);
const char *ipcx_version(void);
uint32_t ipcx_layout_version(void);
int ipcx_unlink(const char *name);
int ipcx_unlink_in(const char *directory,
                   const char *word,
                   const char *name);
int ipcx_ring_create(const char *name, const ipcx_ring_options *opts, ipcx_ring **ring);
int ipcx_ring_open(const char *name,
                   const ipcx_ring_options *opts,
                   ipcx_ring **ring);
int ipcx_ring_attach(const char *name, ipcx_ring **ring);
int ipcx_ring_anonymous(const ipcx_ring_options *opts, ipcx_ring **ring);
int ipcx_ring_from_fd(int fd, ipcx_ring **ring);
int ipcx_ring_share_fd(ipcx_ring *ring);
int ipcx_ring_producer(ipcx_ring *ring, ipcx_producer **producer);
int ipcx_ring_consumer(ipcx_ring *ring, ipcx_consumer **consumer);
int ipcx_ring_stats(ipcx_ring *ring, ipcx_stats *stats);
void ipcx_ring_close(ipcx_ring *ring);
int ipcx_producer_send(ipcx_producer *producer, const void *data, size_t len, int64_t timeout_ns);
int ipcx_producer_send_many(ipcx_producer *producer,
                            const struct iovec *iov,
                            size_t n,
                            int64_t timeout_ns,
                            size_t *sent);
int ipcx_producer_reserve(ipcx_producer *producer, size_t len, int64_t timeout_ns, void **data);
int ipcx_producer_commit(ipcx_producer *producer, size_t len);
int ipcx_producer_abort(ipcx_producer *producer);
int ipcx_producer_send_file(ipcx_producer *producer,
                            int fd,
                            size_t len,
                            int64_t timeout_ns,
                            size_t *sent);
int ipcx_producer_send_block(ipcx_producer *producer,
                             ipcx_pool *pool,
                             ipcx_block *block,
                             size_t len,
                             int64_t timeout_ns);
int ipcx_producer_poll_fd(ipcx_producer *producer);
void ipcx_producer_close(ipcx_producer *producer);
int ipcx_consumer_recv(ipcx_consumer *consumer,
                       void *buf,
                       size_t cap,
                       size_t *len,
                       int64_t timeout_ns);
int ipcx_consumer_recv_many(ipcx_consumer *consumer,
                            void *buf,
                            size_t cap,
                            size_t *lens,
                            size_t max,
                            size_t *n,
                            int64_t timeout_ns);
int ipcx_consumer_borrow(ipcx_consumer *consumer, const void **data, size_t *len, int64_t timeout_ns);
int ipcx_consumer_release(ipcx_consumer *consumer);
int ipcx_consumer_return(ipcx_consumer *consumer);
int ipcx_consumer_recv_block(ipcx_consumer *consumer,
                             ipcx_pool *pool,
                             ipcx_block *block,
                             size_t *len,
                             int64_t timeout_ns);
int ipcx_consumer_skip(ipcx_consumer *consumer);
uint64_t ipcx_consumer_position(ipcx_consumer *consumer);
int ipcx_consumer_poll_fd(ipcx_consumer *consumer);
void ipcx_consumer_close(ipcx_consumer *consumer);
int ipcx_pool_create(const char *name,
                     const ipcx_pool_options *opts,
                     ipcx_pool **pool);
int ipcx_pool_open(const char *name,
                   const ipcx_pool_options *opts,
                   ipcx_pool **pool);
int ipcx_pool_attach(const char *name, ipcx_pool **pool);
int ipcx_pool_anonymous(const ipcx_pool_options *opts, ipcx_pool **pool);
int ipcx_pool_from_fd(int fd, ipcx_pool **pool);
int ipcx_pool_share_fd(ipcx_pool *pool);
int ipcx_pool_acquire(ipcx_pool *pool, int64_t timeout_ns, ipcx_block *block);
int ipcx_pool_release(ipcx_pool *pool, ipcx_block *block);
int ipcx_pool_recover(ipcx_pool *pool,
                      size_t *reclaimed);
int ipcx_pool_stats(ipcx_pool *pool,
                    ipcx_stats *stats);
void ipcx_pool_close(ipcx_pool *pool);
int ipcx_buffer_create(const char *name,
                       const ipcx_buffer_options *opts,
                       ipcx_buffer **buffer);
int ipcx_buffer_open(const char *name,
                     const ipcx_buffer_options *opts,
                     ipcx_buffer **buffer);
int ipcx_buffer_attach(const char *name, ipcx_buffer **buffer);
int ipcx_buffer_anonymous(const ipcx_buffer_options *opts, ipcx_buffer **buffer);
int ipcx_buffer_from_fd(int fd, ipcx_buffer **buffer);
int ipcx_buffer_share_fd(ipcx_buffer *buffer);
int ipcx_buffer_write(ipcx_buffer *buffer,
                      const void *data,
                      size_t len,
                      int64_t timeout_ns);
int ipcx_buffer_read(ipcx_buffer *buffer,
                     void *buf,
                     size_t cap,
                     size_t *len,
                     uint64_t *version);
int ipcx_buffer_wait(ipcx_buffer *buffer,
                     uint64_t seen,
                     uint64_t *version,
                     int64_t timeout_ns);
int ipcx_buffer_lock(ipcx_buffer *buffer,
                     int64_t timeout_ns,
                     void **data,
                     size_t *len,
                     size_t *cap);
int ipcx_buffer_locked(ipcx_buffer *buffer,
                       void **data,
                       size_t *len,
                       size_t *cap);
int ipcx_buffer_unlock(ipcx_buffer *buffer,
                       size_t new_len);
int ipcx_buffer_abandon(ipcx_buffer *buffer);
int ipcx_buffer_wait_locked(ipcx_buffer *buffer,
                            int64_t timeout_ns);
int ipcx_buffer_notify(ipcx_buffer *buffer,
                       int all);
int ipcx_buffer_recovered(ipcx_buffer *buffer);
int ipcx_buffer_stats(ipcx_buffer *buffer, ipcx_stats *stats);
void ipcx_buffer_close(ipcx_buffer *buffer);
int ipcx_semaphore_create(const char *name,
                          const ipcx_semaphore_options *opts,
                          ipcx_semaphore **semaphore);
int ipcx_semaphore_open(const char *name,
                        const ipcx_semaphore_options *opts,
                        ipcx_semaphore **semaphore);
int ipcx_semaphore_attach(const char *name, ipcx_semaphore **semaphore);
int ipcx_semaphore_anonymous(const ipcx_semaphore_options *opts,
                             ipcx_semaphore **semaphore);
int ipcx_semaphore_from_fd(int fd, ipcx_semaphore **semaphore);
int ipcx_semaphore_share_fd(ipcx_semaphore *semaphore);
int ipcx_semaphore_acquire(ipcx_semaphore *semaphore,
                           int64_t timeout_ns);
int ipcx_semaphore_release(ipcx_semaphore *semaphore);
int ipcx_semaphore_consume(ipcx_semaphore *semaphore,
                           int64_t timeout_ns);
int ipcx_semaphore_value(ipcx_semaphore *semaphore,
                         uint32_t *value);
int ipcx_semaphore_stats(ipcx_semaphore *semaphore, ipcx_stats *stats);
void ipcx_semaphore_close(ipcx_semaphore *semaphore);
int ipcx_topic_create(const char *name, const ipcx_topic_options *opts, ipcx_topic **topic);
int ipcx_topic_open(const char *name,
                    const ipcx_topic_options *opts,
                    ipcx_topic **topic);
int ipcx_topic_attach(const char *name, ipcx_topic **topic);
int ipcx_topic_anonymous(const ipcx_topic_options *opts, ipcx_topic **topic);
int ipcx_topic_from_fd(int fd, ipcx_topic **topic);
int ipcx_topic_share_fd(ipcx_topic *topic);
int ipcx_topic_publisher(ipcx_topic *topic, ipcx_publisher **publisher);
int ipcx_topic_subscriber(ipcx_topic *topic,
                          ipcx_subscriber **subscriber);
int ipcx_topic_subscriber_at(ipcx_topic *topic, uint32_t start, ipcx_subscriber **subscriber);
int ipcx_topic_stats(ipcx_topic *topic, ipcx_stats *stats);
void ipcx_topic_close(ipcx_topic *topic);
int ipcx_publisher_publish(ipcx_publisher *publisher,
                           const void *data,
                           size_t len,
                           int64_t timeout_ns);
int ipcx_publisher_publish_file(ipcx_publisher *publisher,
                                int fd,
                                size_t len,
                                int64_t timeout_ns,
                                size_t *sent);
int ipcx_publisher_reserve(ipcx_publisher *publisher,
                           size_t len,
                           int64_t timeout_ns,
                           void **data);
int ipcx_publisher_commit(ipcx_publisher *publisher, size_t len);
int ipcx_publisher_abort(ipcx_publisher *publisher);
int ipcx_publisher_poll_fd(ipcx_publisher *publisher);
void ipcx_publisher_close(ipcx_publisher *publisher);
int ipcx_subscriber_recv(ipcx_subscriber *subscriber,
                         void *buf,
                         size_t cap,
                         size_t *len,
                         int64_t timeout_ns);
int ipcx_subscriber_borrow(ipcx_subscriber *subscriber,
                           const void **data,
                           size_t *len,
                           int64_t timeout_ns);
int ipcx_subscriber_release(ipcx_subscriber *subscriber,
                            int *whole);
int ipcx_subscriber_return(ipcx_subscriber *subscriber);
uint64_t ipcx_subscriber_missed(ipcx_subscriber *subscriber);
int ipcx_subscriber_poll_fd(ipcx_subscriber *subscriber);
void ipcx_subscriber_close(ipcx_subscriber *subscriber);
int ipcx_service_create(const char *name,
                        const ipcx_service_options *opts,
                        ipcx_service **service);
int ipcx_service_open(const char *name,
                      const ipcx_service_options *opts,
                      ipcx_service **service);
int ipcx_service_attach(const char *name, ipcx_service **service);
int ipcx_service_anonymous(const ipcx_service_options *opts,
                           ipcx_service **service);
int ipcx_service_from_fd(int fd, ipcx_service **service);
int ipcx_service_share_fd(ipcx_service *service);
int ipcx_service_server(ipcx_service *service,
                        ipcx_server **server);
int ipcx_service_client(ipcx_service *service,
                        ipcx_client **client);
int ipcx_service_stats(ipcx_service *service, ipcx_stats *stats);
void ipcx_service_close(ipcx_service *service);
int ipcx_client_call(ipcx_client *client,
                     const void *req,
                     size_t len,
                     void *reply,
                     size_t cap,
                     size_t *reply_len,
                     int64_t timeout_ns);
int ipcx_client_send(ipcx_client *client,
                     const void *req,
                     size_t len,
                     uint64_t *id,
                     int64_t timeout_ns);
int ipcx_client_recv(ipcx_client *client,
                     uint64_t *id,
                     void *reply,
                     size_t cap,
                     size_t *len,
                     int64_t timeout_ns);
int ipcx_client_forget(ipcx_client *client,
                       uint64_t id);
int ipcx_client_poll_fd(ipcx_client *client);
void ipcx_client_close(ipcx_client *client);
int ipcx_server_recv(ipcx_server *server,
                     uint64_t *id,
                     void *buf,
                     size_t cap,
                     size_t *len,
                     int64_t timeout_ns);
int ipcx_server_reply(ipcx_server *server,
                      uint64_t id,
                      const void *data,
                      size_t len);
int ipcx_server_refuse(ipcx_server *server,
                       uint64_t id,
                       const void *message,
                       size_t len);
int ipcx_server_remaining(ipcx_server *server,
                          uint64_t id,
                          int64_t *ns);
int ipcx_server_poll_fd(ipcx_server *server);
void ipcx_server_close(ipcx_server *server);
int ipcx_queue_create(const char *name,
                      const ipcx_queue_options *opts,
                      ipcx_queue **queue);
int ipcx_queue_open(const char *name,
                    const ipcx_queue_options *opts,
                    ipcx_queue **queue);
int ipcx_queue_attach(const char *name, ipcx_queue **queue);
int ipcx_queue_anonymous(const ipcx_queue_options *opts, ipcx_queue **queue);
int ipcx_queue_from_fd(int fd, ipcx_queue **queue);
int ipcx_queue_share_fd(ipcx_queue *queue);
int ipcx_queue_push(ipcx_queue *queue,
                    const void *data,
                    size_t len,
                    unsigned int priority,
                    int64_t timeout_ns);
int ipcx_queue_pop(ipcx_queue *queue,
                   void *buf,
                   size_t cap,
                   size_t *len,
                   unsigned int *priority,
                   int64_t timeout_ns);
int ipcx_queue_take(ipcx_queue *queue,
                    void *buf,
                    size_t cap,
                    size_t *len,
                    unsigned int *priority,
                    uint64_t *ticket,
                    int64_t timeout_ns);
int ipcx_queue_take_dead(ipcx_queue *queue,
                         void *buf,
                         size_t cap,
                         size_t *len,
                         unsigned int *priority,
                         uint64_t *ticket);
int ipcx_queue_ack(ipcx_queue *queue,
                   uint64_t ticket);
int ipcx_queue_return(ipcx_queue *queue,
                      uint64_t ticket);
int ipcx_queue_deliveries(ipcx_queue *queue,
                          uint64_t ticket,
                          unsigned int *deliveries);
int ipcx_queue_stats(ipcx_queue *queue,
                     ipcx_stats *stats);
int ipcx_queue_poll_fd(ipcx_queue *queue);
void ipcx_queue_close(ipcx_queue *queue);
int ipcx_wait_any(ipcx_waitable *items,
                  size_t n,
                  int64_t timeout_ns,
                  size_t *ready);
int ipcx_poll_fd(uint32_t kind,
                 void *object,
                 int16_t *events);
int ipcx_signal(uint32_t kind,
                void *object,
                int signo);
int ipcx_list(const char *directory,
              ipcx_list_function function,
              void *context);
int ipcx_transport_open(const char *word,
                        const char *name,
                        uint32_t direction,
                        const ipcx_transport_options *opts,
                        ipcx_transport **transport);
int ipcx_transport_pair(const char *word,
                        const ipcx_transport_options *opts,
                        ipcx_transport **sender,
                        ipcx_transport **receiver);
int ipcx_transport_from_fd(const char *word,
                           uint32_t direction,
                           int fd,
                           ipcx_transport **transport);
int ipcx_transport_into_fd(ipcx_transport *transport);
void ipcx_transport_close(ipcx_transport *transport);
int ipcx_transport_send(ipcx_transport *transport,
                        const void *data,
                        size_t len,
                        unsigned int priority,
                        int64_t timeout_ns);
int ipcx_transport_recv(ipcx_transport *transport,
                        void *buf,
                        size_t cap,
                        size_t *len,
                        unsigned int *priority,
                        int64_t timeout_ns);
int ipcx_transport_send_fd(ipcx_transport *transport,
                           int fd,
                           int64_t timeout_ns);
int ipcx_transport_recv_fd(ipcx_transport *transport,
                           int64_t timeout_ns);
int ipcx_transport_send_file(ipcx_transport *transport,
                             int fd,
                             uint64_t offset,
                             size_t len,
                             int64_t timeout_ns,
                             size_t *sent);
int ipcx_child_start(const char *const *argv,
                     int32_t *pid,
                     ipcx_child **child);
int ipcx_child_write(ipcx_child *child,
                     const void *data,
                     size_t len,
                     int64_t timeout_ns,
                     size_t *written);
int ipcx_child_read(ipcx_child *child,
                    void *buf,
                    size_t cap,
                    size_t *len,
                    int64_t timeout_ns);
int ipcx_child_close(ipcx_child *child,
                     int *status);
#ifdef __cplusplus
}
#endif
#endif

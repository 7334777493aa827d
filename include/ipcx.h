/*
 * ipcx: communication between processes on one Linux host, through shared memory.
 *
 * C, Python and Rust processes use the same segments. There is no daemon: a segment is a file in
 * /dev/shm (or a sealed memfd), and everything else is in this library. Link with -lipcx.
 *
 *     ipcx_ring *ring;                                   ipcx_ring *ring;
 *     ipcx_producer *tx;                                 ipcx_consumer *rx;
 *     ipcx_ring_open("feed", NULL, &ring);               ipcx_ring_open("feed", NULL, &ring);
 *     ipcx_ring_producer(ring, &tx);                     ipcx_ring_consumer(ring, &rx);
 *     ipcx_producer_send(tx, "hi", 2, IPCX_FOREVER);     ipcx_consumer_recv(rx, b, 64, &len, IPCX_FOREVER);
 *
 * Caveats
 *
 * - A ring has one producer and one consumer at a time, over all processes. A second one gets
 *   IPCX_E_BUSY.
 *
 * - Segment handles (ipcx_ring, ipcx_pool, ipcx_buffer, ipcx_semaphore, ipcx_topic, ipcx_service,
 *   ipcx_queue) may be shared between threads. Endpoints (ipcx_producer, ipcx_consumer,
 *   ipcx_publisher, ipcx_subscriber, ipcx_client, ipcx_server) belong to one thread at a time: pass
 *   them on as you like, but do not use one in two threads at once. A signal handler counts as another thread;
 *   what "async-signal-safe" allows it is said with each function.
 *
 * - A handle is a pointer to memory of this library. NULL, a handle of another type, and most other
 *   wrong pointers are answered with IPCX_E_INVALID. A handle used after its close is undefined, as
 *   after free(): it is often noticed, and cannot always be. A pointer into memory that is not
 *   there ends the process.
 *
 * - After fork() the child's inherited handles return IPCX_E_FORKED; it attaches anew. It may close
 *   them, which does nothing to the parent's. Children of exec() inherit nothing.
 *
 * - Closing never removes a name. A segment stays in /dev/shm until ipcx_unlink(), or a reboot;
 *   ipcx_list() shows which there are, and who uses them.
 *
 * - Another process that may write a segment can put any bytes there. This library then returns
 *   data or IPCX_E_CORRUPT; it does not crash, read elsewhere, or loop. It cannot keep such a
 *   process from destroying messages, holding a role, or truncating the file of a named segment
 *   (which ends its users with SIGBUS): give untrusted peers an anonymous segment, which is sealed
 *   against that.
 *
 * - Named segments have mode 0600 unless the options say otherwise. One that belongs to another
 *   user is refused unless it is root's or was shared with a group of yours.
 *
 * When a process dies
 *
 * SIGKILL at any instruction loses, doubles and hangs nothing. A record whose send returned IPCX_OK
 * is delivered; one that was received but not released is delivered again, at the same position.
 * Whoever attaches next takes the dead process's role over. A call that waits for it returns
 * IPCX_E_PEER_DEAD within 250 ms, once nothing is left to do; calling again after the successor
 * came goes on. The blocks of a pool, the permits of a semaphore and the messages of a queue that it
 * had come back. A request that a server had taken ends for its client with IPCX_E_PEER_DEAD, those
 * not taken go to other servers, so that none is carried out twice; replies wait for their client. A
 * buffer's lock goes to the next one who takes it, and the value is the one that was committed
 * last. Liveness is a lock that the kernel holds for each process, never a PID and never a timeout:
 * a process that is stopped, or under a debugger, is alive.
 *
 * Names
 *
 * A name has 1 to 200 letters, digits, '.', '_' and '-', and begins with a letter or digit. All
 * kinds share one name space. The segment NAME is the file ipcx.NAME in the options' directory,
 * else in $IPCX_DIR, else in /dev/shm.
 *
 * For each kind, _create makes what must be new, _open makes or attaches, and _attach attaches to
 * what must exist; so does _open with IPCX_OPT_MUST_EXIST in the options' flags, where a directory or
 * a size is to be given. _stats has the figures of a kind, what it was made with among them.
 *
 * Time
 *
 * A timeout is in nanoseconds, on the monotonic clock. IPCX_NOWAIT (0) does not wait and makes the
 * call return IPCX_E_AGAIN, IPCX_FOREVER (-1) waits as long as it takes, anything below is
 * IPCX_E_INVALID. A signal handler that runs while a call sleeps ends it with IPCX_E_INTR.
 *
 * Buffers
 *
 * A buffer has one value of up to its capacity: the current price, the current map. Who reads it
 * takes no lock and never sees half a value. Each commit makes the next version.
 *
 *     ipcx_buffer_write(price, &now, sizeof now, IPCX_FOREVER);
 *
 *     uint64_t seen = 0;
 *     while (ipcx_buffer_wait(price, seen, NULL, IPCX_FOREVER) == IPCX_OK
 *            && ipcx_buffer_read(price, &now, sizeof now, &len, &seen) == IPCX_OK)
 *         show(&now);
 *
 * Its lock is a mutex between the threads of all processes that survives its owner's death, with a
 * condition. Who has it changes a copy of the value, which becomes the value with the unlock:
 *
 *     code = ipcx_buffer_lock(jobs, IPCX_FOREVER, &data, &len, &cap);
 *     while (code == IPCX_OK && count_of(data) == 0) {
 *         code = ipcx_buffer_wait_locked(jobs, IPCX_FOREVER);     with an error, the lock is gone
 *         if (code == IPCX_OK)
 *             code = ipcx_buffer_locked(jobs, &data, &len, &cap); the copy is elsewhere now
 *     }
 *     if (code == IPCX_OK) {
 *         take_one(data);
 *         ipcx_buffer_unlock(jobs, len);
 *     }
 *
 * Who adds a job locks, adds, unlocks, and calls ipcx_buffer_notify(jobs, 0).
 *
 * Semaphores
 *
 * A semaphore has permits. A process holds what it acquires until it releases it, closes its
 * handle, or dies. By default there is one permit.
 *
 *     ipcx_semaphore_options options = IPCX_SEMAPHORE_OPTIONS_INIT;
 *     options.limit = 4;
 *     ipcx_semaphore_open("licences", &options, &licences);
 *     if (ipcx_semaphore_acquire(licences, IPCX_FOREVER) == IPCX_OK) {
 *         use_one();
 *         ipcx_semaphore_release(licences);
 *     }
 *
 * To tell another process of something, begin with none (options.initial = IPCX_SEMAPHORE_EMPTY):
 * one side calls ipcx_semaphore_release(), which makes a permit where the handle holds none, and
 * the other ipcx_semaphore_consume(), which uses it up.
 *
 * Topics
 *
 * What is published in a topic reaches every subscriber, at the same cost for one as for many.
 *
 *     ipcx_topic_publisher(topic, &pub);                 ipcx_topic_subscriber(topic, &sub);
 *     ipcx_publisher_publish(pub, "hi", 2, IPCX_FOREVER);
 *                                                        ipcx_subscriber_recv(sub, b, 64, &len, IPCX_FOREVER);
 *
 * By default publishers never wait for subscribers: one that is too slow goes on with the oldest
 * record that is still there, and ipcx_subscriber_missed() says how many it did not get. In a topic
 * that was made with options.reliable = 1, publishers wait for the slowest subscriber; one that died
 * is dropped, one that is stopped is not. With options.history = 1, subscribers that come get first
 * what is still there.
 *
 * Services
 *
 * Clients call, and whichever server has time answers. There may be many of both.
 *
 *     ipcx_service *service;                             ipcx_service *service;
 *     ipcx_server *server;                               ipcx_client *client;
 *     ipcx_service_open("sum", NULL, &service);          ipcx_service_open("sum", NULL, &service);
 *     ipcx_service_server(service, &server);             ipcx_service_client(service, &client);
 *
 *     while (ipcx_server_recv(server, &id, in, sizeof in, &len, IPCX_FOREVER) == IPCX_OK)
 *         ipcx_server_reply(server, id, out, sum(in, len, out));
 *
 *     code = ipcx_client_call(client, "1 2 3", 5, out, sizeof out, &len, 50000000);
 *
 * A request is carried out at most once. The call ends with the reply, IPCX_E_REMOTE (the server
 * refused it and says why), IPCX_E_TIMEDOUT (after 50 ms here), or IPCX_E_PEER_DEAD (the server
 * that had it died). After the last two it may have been carried out, at most once: call again if it
 * does no harm twice. ipcx_client_send() and ipcx_client_recv() keep several requests open.
 *
 * Work queues
 *
 * A queue has messages for whoever takes them first: any number of processes push, any number take.
 * The highest priority (0 to 31) comes first, and of these the message that was pushed first.
 *
 *     ipcx_queue_push(jobs, "tidy up", 7, 0, IPCX_FOREVER);
 *     ipcx_queue_push(jobs, "put the fire out", 16, 9, IPCX_FOREVER);
 *
 *     while (ipcx_queue_take(jobs, job, sizeof job, &len, NULL, &ticket, IPCX_FOREVER) == IPCX_OK) {
 *         if (do_it(job, len))
 *             ipcx_queue_ack(jobs, ticket);           done: the message is gone
 *         else
 *             ipcx_queue_return(jobs, ticket);        not done: somebody takes it again
 *     }
 *
 * A message is taken by one at a time. If that process dies, or closes its handle, before it
 * acknowledges, the message comes back, before those of its priority that were pushed later: so
 * each is done at least once. With max_deliveries in the options, one that comes back for the nth
 * time becomes a dead letter, which only ipcx_queue_take_dead() takes. ipcx_queue_pop() takes and
 * acknowledges in one call.
 *
 * A queue in a directory on disk is there after a reboot. `sync` in the options is for power cuts.
 *
 * Waiting for one of several
 *
 * ipcx_wait_any() waits for endpoints and handles of any kind, with one timeout:
 *
 *     ipcx_waitable items[] = { { IPCX_WAIT_FOR_CONSUMER, 0, orders, 0 },
 *                               { IPCX_WAIT_FOR_BUFFER, 0, price, seen } };
 *     if (ipcx_wait_any(items, 2, IPCX_FOREVER, &ready) == IPCX_OK && items[0].ready)
 *         ipcx_consumer_recv(orders, order, sizeof order, &len, IPCX_NOWAIT);
 *
 * The same kinds, with a handle, name what ipcx_poll_fd() gives a descriptor of, for event loops and
 * beside sockets, and what ipcx_signal() has a signal queued for. Endpoints and queues have their
 * descriptor by a function of their own too, such as ipcx_consumer_poll_fd().
 *
 * Signals
 *
 * ipcx_signal() has a real-time signal (SIGRTMIN to SIGRTMAX) queued to this process when an
 * endpoint or a handle becomes ready, from a thread that is started for it as for its descriptor:
 *
 *     sigaction(SIGRTMIN, &action, NULL);
 *     ipcx_signal(IPCX_WAIT_FOR_CONSUMER, rx, SIGRTMIN);
 *
 * One signal comes each time it becomes ready after a call has found that it was not, so receive
 * until IPCX_E_AGAIN, in the handler or outside. It comes to any thread that does not block it. Its
 * si_value.sival_int is the number of the handle among the participants of its segment; give each
 * endpoint a signal of its own where that is not enough. Where the queue of the system is full, it
 * comes later. Closing, or 0 for the signal, ends it; one that is queued already still comes.
 *
 * Transports
 *
 * A transport carries messages from one sender to one receiver, and a word says through what:
 *
 *     word      through                     longest message      is told when the other end went
 *     pipe      a pipe; no name             4 GiB                yes
 *     fifo      a FIFO in the directory     4 GiB                yes
 *     mqueue    a POSIX message queue       8 KiB, as a rule     no
 *     unix      a Unix socket, also there   some 200 KiB         yes
 *     ring      a ring                      its capacity - 16    a receiver; a sender once it is full
 *     buffer    a buffer: the newest only   its capacity         no
 *
 * Both ends give the same word: an end with another word is another name's, and hears nothing.
 *
 *     ipcx_transport_open(word, "feed", IPCX_SEND, NULL, &tx);
 *     ipcx_transport_send(tx, "hi", 2, 0, IPCX_FOREVER);
 *
 * An end belongs to one thread at a time. After fork(), one with a name (but of a message queue) is
 * the parent's, and IPCX_E_FORKED in the child; of a pair, each process closes the end that it does
 * not use.
 *
 * Errors
 *
 * Functions return IPCX_OK (0) or a negative IPCX_E_ code; those that return a descriptor give it
 * or a negative code. A number is never reused. ipcx_strerror() has words for a code,
 * ipcx_last_error() for what went wrong in this thread: on which segment, and what to do. errno is
 * set to the code's nearest relative (and is undefined after success). Outputs are written only on
 * success; the exceptions are the size needed, which comes with IPCX_E_TOO_BIG, and what a client is
 * told of a request that ended without a reply. Any output pointer
 * that is NULL is IPCX_E_INVALID, and then nothing was done. Every function that takes a handle may
 * return IPCX_E_INVALID for a wrong one and IPCX_E_PANIC for a bug in this library, which is
 * caught; a handle that gave IPCX_E_PANIC can only be closed.
 *
 * Signal handlers
 *
 * What is async-signal-safe makes no allocation and takes no lock. The error of a thread is kept in
 * its thread-local memory; where this library was loaded by dlopen(), the system may allocate that
 * memory at the first error of a thread, so let a thread call ipcx_last_error() once before its
 * handlers rely on it. Handlers must save and restore errno.
 *
 * Structs
 *
 * Options and figures begin with their own size, so that programs and libraries of different age go
 * together. Start from the _INIT macro and set fields by name:
 *
 *     ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
 *     options.capacity = 1 << 24;
 *
 * Every other field that is 0 means its default. A field that the library is too old to know is
 * refused unless it is 0.
 *
 * Generated from the sources in ffi/src; edit those.
 */

#ifndef IPCX_H
#define IPCX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/** Version of this header; that of the library that runs is ipcx_version(). */
#define IPCX_VERSION "0.1.0"
#define IPCX_VERSION_MAJOR 0
#define IPCX_VERSION_MINOR 1
#define IPCX_VERSION_PATCH 0

/** Success. */
#define IPCX_OK 0

/** Nothing to receive or acquire, no room to send, or locked; and the call does not wait. */
#define IPCX_E_AGAIN (-1)
/** The deadline passed. Nothing happened (but see ipcx_buffer_wait_locked()). */
#define IPCX_E_TIMEDOUT (-2)
/** A signal handler ran while the call slept. Nothing happened (but see ipcx_buffer_wait_locked()); call again to go on. */
#define IPCX_E_INTR (-3)

/**
 * The peer closed in good order and nothing is left.
 * A peer that had closed before you attached, with nothing left, does not count: you wait for the next one.
 */
#define IPCX_E_CLOSED (-4)
/** The peer died and nothing is left. Ends when a successor attaches. */
#define IPCX_E_PEER_DEAD (-5)
/** The name is in use. */
#define IPCX_E_EXISTS (-6)
/** No segment has this name. */
#define IPCX_E_NOT_FOUND (-7)
/** A living process holds the role; ipcx_last_error() names it. */
#define IPCX_E_BUSY (-8)
/** The segment is of another kind, or has other options or another schema. */
#define IPCX_E_MISMATCH (-9)
/** The segment has the layout of another version of ipcx. */
#define IPCX_E_VERSION (-10)
/** Shared state is not what ipcx wrote. */
#define IPCX_E_CORRUPT (-11)
/** The message cannot fit, or the buffer is too small for it. Nothing is lost. */
#define IPCX_E_TOO_BIG (-12)
/** The file system, or the segment, lacks room. */
#define IPCX_E_NO_SPACE (-13)
/** Access denied, or the segment belongs to somebody who is not trusted. */
#define IPCX_E_PERMISSION (-14)
/** The handle was inherited over fork; attach anew in the child. */
#define IPCX_E_FORKED (-15)
/** A bad argument: NULL, a bad name, a bad option, a call out of order. */
#define IPCX_E_INVALID (-16)
/** Anything else from the system; errno says what. */
#define IPCX_E_OS (-17)
/** A bug in ipcx, caught. Close the handle, which is good for nothing else. */
#define IPCX_E_PANIC (-18)
/** The server of a service answered with an error, whose text is in ipcx_last_error(). */
#define IPCX_E_REMOTE (-19)

/** Timeout: do not wait. */
#define IPCX_NOWAIT 0

/** Timeout: wait as long as it takes. */
#define IPCX_FOREVER (-1)

/** Wait: spin for about as long as a wake-up costs, then sleep. The default. */
#define IPCX_WAIT_BALANCED 0
/** Wait: never sleep. The lowest latency, at the price of a processor. */
#define IPCX_WAIT_SPIN 1
/** Wait: never sleep, but let other threads run between looks. */
#define IPCX_WAIT_YIELD 2
/** Wait: sleep at once. The least processor time. */
#define IPCX_WAIT_BLOCK 3

/** Backing: a file in a directory. The default. */
#define IPCX_BACKING_DIRECTORY 0

/**
 * Backing: the blocks of a pool in a System V segment with a `key`, everything else in a file in a directory. The
 * blocks begin at the segment's second page.
 */
#define IPCX_BACKING_SYSTEM_V 1

/** Flag of options: give a new segment to `group`. */
#define IPCX_OPT_GROUP 1

/**
 * Flag of options, for the _open functions: create nothing. So they attach as the _attach functions do, but in the options'
 * directory, and only to what has the sizes and the schema that the options give.
 */
#define IPCX_OPT_MUST_EXIST 2

/** Initially: a semaphore that has no permit to be acquired, until one is released. */
#define IPCX_SEMAPHORE_EMPTY UINT32_MAX

/** Kind of a segment: a ring. */
#define IPCX_KIND_RING 1
/** Kind of a segment: a pool. */
#define IPCX_KIND_POOL 2
/** Kind of a segment: a buffer. */
#define IPCX_KIND_BUFFER 3
/** Kind of a segment: a semaphore. */
#define IPCX_KIND_SEMAPHORE 4
/** Kind of a segment: a topic. */
#define IPCX_KIND_TOPIC 5
/** Kind of a segment: a service. */
#define IPCX_KIND_SERVICE 6
/** Kind of a segment: a work queue. */
#define IPCX_KIND_QUEUE 7

/** State of a role: nobody has taken it yet. */
#define IPCX_ROLE_NEVER 0
/** State of a role: its owner lives (it may be stopped, or sleep). */
#define IPCX_ROLE_ALIVE 1
/** State of a role: its owner closed in good order. */
#define IPCX_ROLE_CLOSED 2
/** State of a role: its owner died. */
#define IPCX_ROLE_DEAD 3

/** Where a subscriber begins: with what is published from now on. */
#define IPCX_START_NEXT 0
/** Where a subscriber begins: with the newest record, if there is one. */
#define IPCX_START_LATEST 1
/** Where a subscriber begins: with the oldest record that is still there. */
#define IPCX_START_OLDEST 2

/** Can be waited for: an ipcx_consumer that has a record to receive, or whose producer went. */
#define IPCX_WAIT_FOR_CONSUMER 1

/**
 * Can be waited for: an ipcx_producer that has room for the record that last did not fit (at first: for any),
 * or whose consumer went.
 */
#define IPCX_WAIT_FOR_PRODUCER 2
/** Can be waited for: an ipcx_pool that has a block to acquire. */
#define IPCX_WAIT_FOR_POOL 3
/** Can be waited for: an ipcx_semaphore that has a permit to acquire. */
#define IPCX_WAIT_FOR_SEMAPHORE 4
/** Can be waited for: an ipcx_buffer whose version is another than `seen`. */
#define IPCX_WAIT_FOR_BUFFER 5

/**
 * Can be waited for: an ipcx_transport that receives and has a message or the end of its sender to tell of, or that
 * sends and has room. As of its descriptor: of a message longer than a pipe, a part may be there, and one of a FIFO or socket that
 * has told of the end of its sender waits for the next sender. Where such a one is among
 * them, all are waited for through their descriptors.
 */
#define IPCX_WAIT_FOR_TRANSPORT 6

/**
 * Can be waited for: an ipcx_publisher that can publish: nobody else does, and there is room for the record that last
 * was not published (at first: for any).
 */
#define IPCX_WAIT_FOR_PUBLISHER 7
/** Can be waited for: an ipcx_subscriber that has a record to receive. */
#define IPCX_WAIT_FOR_SUBSCRIBER 8
/** Can be waited for: an ipcx_queue that has a message to take. */
#define IPCX_WAIT_FOR_QUEUE 9
/** Can be waited for: an ipcx_client that has a reply to receive, or a request that ended without one. */
#define IPCX_WAIT_FOR_CLIENT 10
/** Can be waited for: an ipcx_server that has a request to receive. */
#define IPCX_WAIT_FOR_SERVER 11

/** State of a segment: somebody alive is attached. */
#define IPCX_LISTED_IN_USE 1
/** State of a segment: nobody alive is attached. */
#define IPCX_LISTED_UNUSED 2
/** State of a segment: it cannot be read. `reason` says why. */
#define IPCX_LISTED_UNREADABLE 3

/** Direction: the end that sends. */
#define IPCX_SEND 1

/** Direction: the end that receives. */
#define IPCX_RECV 2

/**
 * A handle on a buffer: a value that one thread writes at a time, and that any number read without a lock, and
 * wait for.
 *
 * It may be shared between threads. It is one participant of the segment and keeps it mapped. The lock that
 * ipcx_buffer_lock() takes is not the handle's but the thread's.
 */
typedef struct ipcx_buffer ipcx_buffer;

/** A child process, and the pipes that are its standard input and output. It belongs to one thread at a time. */
typedef struct ipcx_child ipcx_child;

/**
 * The asking end of a service. It belongs to one thread at a time.
 *
 * Each request that was sent ends once: by a reply, or by one of
 *
 * - IPCX_E_REMOTE: the server refused it. Its text is in ipcx_last_error(), and, cut to its size, in the reply's buffer.
 * - IPCX_E_PEER_DEAD: the server that had taken it died, and it may have been carried out in part; or no server had taken
 *   it, there is none, and the last one died.
 * - IPCX_E_CLOSED: no server had taken it, there is none, and the last one closed.
 *
 * ipcx_last_taken() tells by number whether a server had taken it. Before the first server came, clients wait for it.
 */
typedef struct ipcx_client ipcx_client;

/** The receiving end of a ring. It belongs to one thread at a time. */
typedef struct ipcx_consumer ipcx_consumer;

/**
 * A handle on a pool: blocks of one size that processes acquire, fill, hand to each other, and release.
 *
 * It may be shared between threads; it keeps a few blocks ready for the thread that used it first, and a thread
 * that wants the same opens a handle of its own. It is one participant of the segment and keeps it mapped.
 */
typedef struct ipcx_pool ipcx_pool;

/** The sending end of a ring. It belongs to one thread at a time. */
typedef struct ipcx_producer ipcx_producer;

/** An end of a topic that publishes. It belongs to one thread at a time. */
typedef struct ipcx_publisher ipcx_publisher;

/**
 * A handle on a work queue: messages with priorities for whoever takes them first, which come back if that process
 * dies.
 *
 * It may be shared between threads, and the messages that it has taken are the handle's, not a thread's. It is one
 * participant of the segment and keeps it mapped.
 */
typedef struct ipcx_queue ipcx_queue;

/**
 * A handle on a ring: a queue of variable-length records from one producer to one consumer.
 *
 * It may be shared between threads. It is one participant of the segment and keeps it mapped.
 */
typedef struct ipcx_ring ipcx_ring;

/**
 * A handle on a semaphore: permits that participants acquire, and that come back when they die.
 *
 * It may be shared between threads, and the permits that it holds are the handle's, not a thread's. It is one
 * participant of the segment and keeps it mapped.
 */
typedef struct ipcx_semaphore ipcx_semaphore;

/**
 * The answering end of a service. It belongs to one thread at a time.
 *
 * It may have several requests at once, and answer them in any order. It answers each, by ipcx_server_reply() or
 * ipcx_server_refuse(): a client that gave no timeout waits for it as long as the server lives.
 */
typedef struct ipcx_server ipcx_server;

/**
 * A handle on a service: clients call, any number of servers answer, and a request is executed at most once.
 *
 * It may be shared between threads. It is one participant of the segment and keeps it mapped.
 */
typedef struct ipcx_service ipcx_service;

/** An end of a topic that receives what is published. It belongs to one thread at a time. */
typedef struct ipcx_subscriber ipcx_subscriber;

/**
 * A handle on a topic: what is published reaches every subscriber.
 *
 * It may be shared between threads. It is one participant of the segment and keeps it mapped.
 */
typedef struct ipcx_topic ipcx_topic;

/** One end of a transport: it sends messages, or receives them. It belongs to one thread at a time. */
typedef struct ipcx_transport ipcx_transport;

/**
 * Options of a ring. Start from IPCX_RING_OPTIONS_INIT; every field that is 0 or NULL means its default.
 *
 * The strings are copied. The fields up to `schema` are the same for all kinds of segment.
 */
typedef struct ipcx_ring_options {
    /** Set by IPCX_RING_OPTIONS_INIT. */
    uint32_t struct_size;
    /** Permission bits of a new segment, not subject to the umask; 0 means 0600. The values are octal. */
    uint32_t mode;
    /**
     * Most handles open on it at once, 1 to 4096; 0 means 32. One that exists must have the same, unless 0
     * is given.
     */
    uint32_t max_participants;
    /** IPCX_BACKING_DIRECTORY; for a new pool with a name also IPCX_BACKING_SYSTEM_V. */
    uint32_t backing;
    /**
     * How calls on a new segment wait: IPCX_WAIT_BALANCED, _SPIN, _YIELD or _BLOCK. It is kept in the
     * segment and used by whoever attaches.
     */
    uint32_t wait;
    /** IPCX_OPT_GROUP and IPCX_OPT_MUST_EXIST, or 0. */
    uint32_t flags;
    /** Group that a new segment is given to if `flags` has IPCX_OPT_GROUP. Give it a mode of 0660 as well. */
    uint32_t group;
    /** Key of the System V segment, with that backing; else 0. */
    int32_t key;
    /**
     * Directory of the segment; NULL means $IPCX_DIR, else /dev/shm. A path on disk keeps the segment over a
     * reboot.
     */
    const char *directory;
    /** Label of what the messages are, up to 63 bytes of UTF-8. Both sides' must be equal when both give one. */
    const char *schema;
    /**
     * Bytes for records, rounded up to a power of two (at least a page, at most 2 GiB); 0 means 1 MiB. A
     * ring that exists must have the same, unless 0 is given. A record takes 8 bytes and its length rounded
     * up to 8.
     */
    uint64_t capacity;
} ipcx_ring_options;

/** Figures of a segment. Start from IPCX_STATS_INIT. Only the fields inside `struct_size` are written. */
typedef struct ipcx_stats {
    /** Set by IPCX_STATS_INIT. */
    uint32_t struct_size;
    /** IPCX_KIND_RING, ... */
    uint32_t kind;
    /** Bytes for records, in blocks, for messages, or that a value has at most; of a service and a semaphore 0. */
    uint64_t capacity;
    /**
     * Bytes taken by records not released, or by blocks or messages that are not free, or that the value of a buffer has. Of a
     * reliable topic: by those that the slowest subscriber has not released.
     */
    uint64_t used;
    /**
     * Records committed since the segment was made; of a ring, off by those in work at the death of a producer. Of a buffer: its
     * version.
     */
    uint64_t sent;
    /** Records released since the segment was made; off by those in work at the death of a consumer. */
    uint64_t received;
    /**
     * Stream position behind the last record committed, in bytes; their length words and padding count. A producer that takes the
     * role over from a dead one finds here how much of its work was sent.
     */
    uint64_t sent_bytes;
    /** Stream position of the first record not released, in bytes. */
    uint64_t received_bytes;
    /** State of the producer's role: IPCX_ROLE_NEVER, _ALIVE, _CLOSED or _DEAD. */
    uint32_t producer_state;
    /** State of the consumer's role. */
    uint32_t consumer_state;
    /**
     * Who holds the producer's role, or died holding it, in its own PID namespace; 0 for nobody. For display only. Of
     * a topic: who publishes at this moment, has a reservation open, or died so. Of a buffer: who has its lock, or
     * died having it.
     */
    uint32_t producer_pid;
    /**
     * Who holds the consumer's role, or died holding it; 0 for nobody. Of a reliable topic: the slowest subscriber, for which
     * publishers wait if there is no room.
     */
    uint32_t consumer_pid;
    /** Of a pool: bytes of a block. */
    uint64_t block_size;
    /** Of a pool: how many blocks there are. The next three add up to it. */
    uint64_t blocks;
    /** Of a pool: blocks that can be acquired. */
    uint64_t blocks_free;
    /** Of a pool: blocks that participants own, dead ones among them until they are recovered. */
    uint64_t blocks_owned;
    /** Of a pool: blocks that were sent and not yet received. */
    uint64_t blocks_in_flight;
    /**
     * Of a reliable topic: its subscribers, dead ones among them until publishers that wait for them drop them. Those of
     * another are not known.
     */
    uint64_t subscribers;
    /**
     * Of a queue: how many messages there can be. The next four, and those that are being pushed at this moment, add
     * up to it. Of a semaphore: how many permits there can be, so too.
     */
    uint64_t depth;
    /**
     * Of a queue: messages to take. Of a semaphore: permits to acquire. Of a service: requests of living clients that no server
     * has taken.
     */
    uint64_t ready;
    /**
     * Of a queue and a semaphore: messages and permits that participants have, dead ones among them until they are recovered. Of
     * a service: requests of living clients that a server has taken, and those whose reply is not received yet.
     */
    uint64_t taken;
    /** Of a queue: dead letters. */
    uint64_t dead;
    /** Of a queue: messages for which there is room. Of a semaphore: permits that releases can still make. */
    uint64_t free;
    /** Of a service: servers that live. */
    uint64_t servers;
    /** Of a service: clients that live. */
    uint64_t clients;
    /** Bytes of the longest record, message or request; of a pool, buffer and semaphore 0. */
    uint64_t max_message;
    /** Of a service: bytes of the longest reply. */
    uint64_t max_reply;
    /** Of a pool, a queue and a semaphore: how many participants have blocks, messages or permits. */
    uint64_t holders;
    /** State of the one that has most: IPCX_ROLE_ALIVE, or _DEAD until it is recovered; _NEVER if there is none. */
    uint32_t holder_state;
    /** Who that is; 0 for nobody. For display only. */
    uint32_t holder_pid;
} ipcx_stats;

/** A block that a pool's handle owns. */
typedef struct ipcx_block {
    /** Names it for as long as this handle owns it; the lowest 28 bits say which block it is, whoever owns it. 0 is none. */
    uint64_t id;
    /** Its bytes, aligned as the pool's options say. Leave it as it is: with the id, it tells which pool's the block is. */
    void *data;
    /** How many they are: the pool's block size. */
    size_t size;
} ipcx_block;

/**
 * Options of a pool. Start from IPCX_POOL_OPTIONS_INIT; every field that is 0 or NULL means its default. A new
 * pool needs a `block_size`.
 *
 * The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
 */
typedef struct ipcx_pool_options {
    /** Set by IPCX_POOL_OPTIONS_INIT. */
    uint32_t struct_size;
    /** As in ipcx_ring_options. */
    uint32_t mode;
    /** As in ipcx_ring_options. */
    uint32_t max_participants;
    /** As in ipcx_ring_options. */
    uint32_t backing;
    /** As in ipcx_ring_options. */
    uint32_t wait;
    /** As in ipcx_ring_options. */
    uint32_t flags;
    /** As in ipcx_ring_options. */
    uint32_t group;
    /** As in ipcx_ring_options. */
    int32_t key;
    /** As in ipcx_ring_options. */
    const char *directory;
    /** As in ipcx_ring_options. */
    const char *schema;
    /** Bytes of a block. A pool that exists must have the same, unless 0 is given; a new one needs it. */
    uint64_t block_size;
    /** How many blocks, up to 268435454; 0 means 64. A pool that exists must have as many, unless 0 is given. */
    uint64_t blocks;
    /**
     * What the address of each block is a multiple of: a power of two from 64 to the page size; 0 means 64. A
     * pool that exists must have the same, unless 0 is given.
     */
    uint64_t alignment;
} ipcx_pool_options;

/**
 * Options of a buffer. Start from IPCX_BUFFER_OPTIONS_INIT; every field that is 0 or NULL means its default.
 *
 * The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
 */
typedef struct ipcx_buffer_options {
    /** Set by IPCX_BUFFER_OPTIONS_INIT. */
    uint32_t struct_size;
    /** As in ipcx_ring_options. */
    uint32_t mode;
    /** As in ipcx_ring_options. */
    uint32_t max_participants;
    /** As in ipcx_ring_options. */
    uint32_t backing;
    /** As in ipcx_ring_options. */
    uint32_t wait;
    /** As in ipcx_ring_options. */
    uint32_t flags;
    /** As in ipcx_ring_options. */
    uint32_t group;
    /** As in ipcx_ring_options. */
    int32_t key;
    /** As in ipcx_ring_options. */
    const char *directory;
    /** As in ipcx_ring_options. */
    const char *schema;
    /**
     * Bytes that a value has at most, up to 2^40; 0 means 4096. A buffer that exists must have the same, unless 0
     * is given.
     */
    uint64_t capacity;
} ipcx_buffer_options;

/**
 * Options of a semaphore. Start from IPCX_SEMAPHORE_OPTIONS_INIT; every field that is 0 or NULL means its default.
 *
 * The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
 */
typedef struct ipcx_semaphore_options {
    /** Set by IPCX_SEMAPHORE_OPTIONS_INIT. */
    uint32_t struct_size;
    /** As in ipcx_ring_options. */
    uint32_t mode;
    /** As in ipcx_ring_options. */
    uint32_t max_participants;
    /** As in ipcx_ring_options. */
    uint32_t backing;
    /** As in ipcx_ring_options. */
    uint32_t wait;
    /** As in ipcx_ring_options. */
    uint32_t flags;
    /** As in ipcx_ring_options. */
    uint32_t group;
    /** As in ipcx_ring_options. */
    int32_t key;
    /** As in ipcx_ring_options. */
    const char *directory;
    /** As in ipcx_ring_options. */
    const char *schema;
    /** Permits that a new one has to be acquired; 0 means its limit, IPCX_SEMAPHORE_EMPTY none. */
    uint32_t initial;
    /**
     * Most permits there can be, up to 1048576; 0 means as many as there are initially, or 1 where neither is given. A
     * semaphore that exists must have the same, unless 0 is given.
     */
    uint32_t limit;
} ipcx_semaphore_options;

/**
 * Options of a topic. Start from IPCX_TOPIC_OPTIONS_INIT; every field that is 0 or NULL means its default.
 *
 * The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
 */
typedef struct ipcx_topic_options {
    /** Set by IPCX_TOPIC_OPTIONS_INIT. */
    uint32_t struct_size;
    /** As in ipcx_ring_options. */
    uint32_t mode;
    /** As in ipcx_ring_options. In a reliable topic, each subscriber is one more. */
    uint32_t max_participants;
    /** As in ipcx_ring_options. */
    uint32_t backing;
    /** As in ipcx_ring_options. */
    uint32_t wait;
    /** As in ipcx_ring_options. */
    uint32_t flags;
    /** As in ipcx_ring_options. */
    uint32_t group;
    /** As in ipcx_ring_options. */
    int32_t key;
    /** As in ipcx_ring_options. */
    const char *directory;
    /** As in ipcx_ring_options. */
    const char *schema;
    /**
     * Bytes for records, rounded up to a power of two (at least a page, at most 2 GiB); 0 means 1 MiB. A topic that
     * exists must have the same, unless 0 is given. A record takes 16 bytes and its length rounded up to 8, and at most
     * half of it.
     */
    uint64_t capacity;
    /**
     * 1: publishers wait for the slowest subscriber, and nothing is missed. 0: they never wait for subscribers, and who is too
     * slow misses the oldest records. A topic that exists must be reliable if this is 1.
     */
    uint32_t reliable;
    /**
     * 1: subscribers begin with the oldest record that is still there, unless they say otherwise. 0: with what is
     * published from then on. A topic that exists must have been made so if this is 1.
     */
    uint32_t history;
} ipcx_topic_options;

/**
 * Options of a service. Start from IPCX_SERVICE_OPTIONS_INIT; every field that is 0 or NULL means its default.
 *
 * The strings are copied. The fields up to `schema` are as in ipcx_ring_options; each server is one participant, and so is
 * each handle, whatever the number of its clients.
 */
typedef struct ipcx_service_options {
    /** Set by IPCX_SERVICE_OPTIONS_INIT. */
    uint32_t struct_size;
    /** As in ipcx_ring_options. */
    uint32_t mode;
    /** As in ipcx_ring_options. */
    uint32_t max_participants;
    /** As in ipcx_ring_options. */
    uint32_t backing;
    /** As in ipcx_ring_options. */
    uint32_t wait;
    /** As in ipcx_ring_options. */
    uint32_t flags;
    /** As in ipcx_ring_options. */
    uint32_t group;
    /** As in ipcx_ring_options. */
    int32_t key;
    /** As in ipcx_ring_options. */
    const char *directory;
    /** As in ipcx_ring_options. */
    const char *schema;
    /**
     * Bytes of the largest request, at most 1 GiB; 0 means 1024. A service that exists must have the same, unless 0 is given;
     * so it is with the next three.
     */
    uint64_t max_request;
    /** Bytes of the largest reply, at most 1 GiB; 0 means 1024. */
    uint64_t max_reply;
    /** Most clients at once, at most 1024; 0 means 32. */
    uint64_t max_clients;
    /** Most requests that a client can have open, at most 1024, rounded up to a power of two; 0 means 16. */
    uint64_t depth;
} ipcx_service_options;

/**
 * Options of a work queue. Start from IPCX_QUEUE_OPTIONS_INIT; every field that is 0 or NULL means its default.
 *
 * The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
 */
typedef struct ipcx_queue_options {
    /** Set by IPCX_QUEUE_OPTIONS_INIT. */
    uint32_t struct_size;
    /** As in ipcx_ring_options. */
    uint32_t mode;
    /** As in ipcx_ring_options. */
    uint32_t max_participants;
    /** As in ipcx_ring_options. */
    uint32_t backing;
    /** As in ipcx_ring_options. */
    uint32_t wait;
    /** As in ipcx_ring_options. */
    uint32_t flags;
    /** As in ipcx_ring_options. */
    uint32_t group;
    /** As in ipcx_ring_options. */
    int32_t key;
    /** As in ipcx_ring_options. */
    const char *directory;
    /** As in ipcx_ring_options. */
    const char *schema;
    /**
     * Bytes of the largest message, up to 2^31 - 1; 0 means 1024. A queue that exists must have the same, unless 0
     * is given.
     */
    uint64_t max_message;
    /**
     * How many messages there can be, up to 2^20, those that are taken and dead letters among them; 0 means 1024. A
     * queue that exists must have the same, unless 0 is given.
     */
    uint64_t depth;
    /**
     * After how many deliveries a message that comes back becomes a dead letter, up to 254; 0 means never. A queue
     * that exists must have the same, unless 0 is given.
     */
    uint32_t max_deliveries;
    /**
     * 1: in a directory on disk, a push returns once its message is on the disk, and an acknowledgement once that
     * is, so that a power cut loses none of it. 0: a power cut, or a crash of the system, may lose messages, bring
     * back some that were acknowledged, or leave some with bytes that were not written; the death of a process does
     * none of that in either case. A queue that exists must have been made so if this is 1.
     */
    uint32_t sync;
} ipcx_queue_options;

/** One of the things that ipcx_wait_any() waits for. */
typedef struct ipcx_waitable {
    /** What `object` is, and what of it is waited for: one of IPCX_WAIT_FOR_*. */
    uint32_t kind;
    /** Set by ipcx_wait_any(): 1 if it is ready, else 0. */
    uint32_t ready;
    /** The handle. */
    void *object;
    /** Of a buffer: the version that is known. Of others: nothing. */
    uint64_t seen;
} ipcx_waitable;

/** A participant of a segment that ipcx_list() shows: one open handle. */
typedef struct ipcx_listed_participant {
    /** When it attached, nanoseconds since 1970. */
    uint64_t attached_ns;
    /** Number of its slot, from 0. */
    uint32_t slot;
    /** Its process, in its own PID namespace. For display only. */
    uint32_t pid;
    /** 1, or 0 if it died: what it left is recovered when somebody needs it. */
    uint32_t alive;
    /** 0. */
    uint32_t reserved;
    /** Its command's name, with a zero behind it. For display only. */
    char command[16];
} ipcx_listed_participant;

/** A role of a segment that ipcx_list() shows. */
typedef struct ipcx_listed_role {
    /** Of a ring, "producer" or "consumer"; of a service, "server" or "client"; of a reliable topic, "subscriber". */
    const char *name;
    /** IPCX_ROLE_NEVER, _ALIVE, _CLOSED or _DEAD. */
    uint32_t state;
    /** Who has it, or died having it and was not recovered yet; 0 for nobody. */
    uint32_t pid;
} ipcx_listed_role;

/** An option that a segment was made with. */
typedef struct ipcx_listed_parameter {
    /** What it is called in the options: "capacity", "block_size", ... */
    const char *name;
    /** Its value. */
    uint64_t value;
} ipcx_listed_parameter;

/**
 * What ipcx_list() shows of a segment. All of it is ipcx's, and goes when the function that it was given to returns.
 *
 * No pointer to a string is NULL. Where a segment cannot be read, what is behind `mode` is 0 or empty.
 */
typedef struct ipcx_listed {
    /** Bytes of this struct: fields behind them are of newer versions of ipcx. */
    uint32_t struct_size;
    /** IPCX_LISTED_IN_USE, _UNUSED or _UNREADABLE. */
    uint32_t state;
    /** Its name, as ipcx_unlink() takes it. */
    const char *name;
    /** Why it cannot be read, or attached to; "" if it can. */
    const char *reason;
    /** The code of that: IPCX_OK, IPCX_E_CORRUPT, IPCX_E_VERSION, IPCX_E_PERMISSION or IPCX_E_OS. */
    int problem;
    /** User that its file belongs to. */
    uint32_t owner;
    /** Group of its file. */
    uint32_t group;
    /** Permission bits of its file. */
    uint32_t mode;
    /** Bytes of its file, and of its System V segment if there is one. */
    uint64_t size;
    /** When it was made, nanoseconds since 1970. */
    uint64_t created_ns;
    /** IPCX_KIND_RING, ... */
    uint32_t kind;
    /** Most participants it can have at once. */
    uint32_t max_participants;
    /** The label that it was made with, without control characters; "" for none. */
    const char *schema;
    /** Who is attached, and who died and was not recovered yet. */
    const ipcx_listed_participant *participants;
    /** How many they are. */
    size_t participant_count;
    /**
     * The roles of its kind: of a ring, the producer's and the consumer's, whether or not somebody has them; of a service, one
     * for each server and each client; of a reliable topic, one for each subscriber. Nothing is written down of publishers, of
     * subscribers of a lossy topic, and of who uses other kinds.
     */
    const ipcx_listed_role *roles;
    /** How many they are. */
    size_t role_count;
    /** The options it was made with. */
    const ipcx_listed_parameter *parameters;
    /** How many they are. */
    size_t parameter_count;
} ipcx_listed;

/** What ipcx_list() calls for each segment: anything but 0 ends the listing. */
typedef int (*ipcx_list_function)(const struct ipcx_listed *segment, void *context);

/**
 * Options of a transport. Start from IPCX_TRANSPORT_OPTIONS_INIT; every field that is 0 or NULL means its default.
 *
 * The string is copied.
 */
typedef struct ipcx_transport_options {
    /** Set by IPCX_TRANSPORT_OPTIONS_INIT. */
    uint32_t struct_size;
    /** Permission bits of what is made, not subject to the umask; 0 means 0600. The values are octal. */
    uint32_t mode;
    /**
     * Bytes under way at most; 0 means the mechanism's own default. Of a pipe, FIFO or socket it is asked for from the
     * kernel, which rounds it up and has limits; a message queue has `messages` instead.
     */
    uint64_t capacity;
    /**
     * Bytes of the longest message that must be possible. A queue or buffer that is made takes no longer ones, and one
     * that exists must have the same; 0 means that of one that exists, or else the default (the host's, 8 KiB as a
     * rule; 4 KiB).
     */
    uint64_t message_size;
    /** How many messages a queue holds; 0 means that of one that exists, or else the host's default, 10 as a rule. */
    size_t messages;
    /** Directory of the name; NULL means $IPCX_DIR, else /dev/shm. Message queues have no directory. */
    const char *directory;
} ipcx_transport_options;

/** Options with every default. */
#define IPCX_RING_OPTIONS_INIT { sizeof(ipcx_ring_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }

/** Options with every default, but for the block size, which a new pool needs. */
#define IPCX_POOL_OPTIONS_INIT { sizeof(ipcx_pool_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0 }

/** Options with every default. */
#define IPCX_BUFFER_OPTIONS_INIT { sizeof(ipcx_buffer_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }

/** Options with every default: a mutex that comes back when its holder dies. */
#define IPCX_SEMAPHORE_OPTIONS_INIT { sizeof(ipcx_semaphore_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0 }

/** Options with every default. */
#define IPCX_TOPIC_OPTIONS_INIT { sizeof(ipcx_topic_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0 }
#define IPCX_SERVICE_OPTIONS_INIT { sizeof(ipcx_service_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }
#define IPCX_QUEUE_OPTIONS_INIT { sizeof(ipcx_queue_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }

/** Options with every default. */
#define IPCX_TRANSPORT_OPTIONS_INIT { sizeof(ipcx_transport_options), 0, 0, 0, 0, NULL }

/** Figures to be filled. */
#define IPCX_STATS_INIT \
    { sizeof(ipcx_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* ---- Errors ------------------------------------------------------------------------------------------ */

/**
 * What a code means, in a few words.
 *
 * The text is static and never NULL, also for a number that is no code.
 *
 * Thread-safe, does not block, async-signal-safe.
 */
const char *ipcx_strerror(int code);

/**
 * What went wrong in this thread's last call that failed: what, on which segment, and what to do about it.
 *
 * Never NULL; empty before the first failure. A call that succeeds leaves it as it is. The text belongs to
 * ipcx and stays until this thread's next failing call; another thread must not be given the pointer.
 *
 * Thread-safe, does not block. Not async-signal-safe (it finds words); what a handler's calls report
 * replaces what the interrupted code would have read.
 */
const char *ipcx_last_error(void);

/**
 * Whether the request of a client with which this thread's last failing call ended may have been carried out.
 *
 * 1 if a server had taken it: it may have been carried out, in part or in full. 0 if none had: it was not carried out and will
 * not be, and to ask again does nothing twice. -1 if the last failure was no end of a request. It is told of
 * IPCX_E_PEER_DEAD, IPCX_E_CLOSED and IPCX_E_REMOTE, and of IPCX_E_TIMEDOUT of ipcx_client_call(); after IPCX_E_INTR of that,
 * the request was not taken.
 *
 * Thread-safe, does not block, async-signal-safe.
 */
int ipcx_last_taken(void);

/* ---- Version and names ------------------------------------------------------------------------------- */

/**
 * Version of the library that is running, such as "0.1.0". The header's is IPCX_VERSION.
 *
 * The text is static. Thread-safe, does not block, async-signal-safe.
 */
const char *ipcx_version(void);

/**
 * Version of the layout of everything in shared memory. Processes whose libraries differ in it refuse each
 * other with IPCX_E_VERSION.
 *
 * Thread-safe, does not block, async-signal-safe.
 */
uint32_t ipcx_layout_version(void);

/**
 * Removes a segment's name from the default directory. Who is attached stays attached; the memory goes with
 * the last of them.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND, IPCX_E_PERMISSION, IPCX_E_INVALID (bad name), IPCX_E_OS.
 */
int ipcx_unlink(const char *name);

/**
 * As ipcx_unlink(), in a directory (NULL means the default one), and of what a transport's `word` says (NULL means a
 * segment of any kind): "fifo", "mqueue", "unix", "ring" or "buffer". What was under way in a FIFO, socket or message
 * queue goes with the last who has it open.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_unlink(); with a word also IPCX_E_MISMATCH (something else has the name) and IPCX_E_INVALID (no
 * such word; a pipe, which has no name).
 */
int ipcx_unlink_in(const char *directory,
                   const char *word,
                   const char *name);

/* ---- Ring: opening, roles, figures ------------------------------------------------------------------- */

/**
 * Creates a ring that must be new, and gives a handle on it in `*ring`.
 *
 * `opts` may be NULL. The ring appears under its name complete or not at all. Its memory is taken now, so
 * that using it never fails for lack of memory.
 *
 * Ownership: the handle is yours; give it back with ipcx_ring_close(), which does not remove the name.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
 * IPCX_E_INVALID (name, options), IPCX_E_OS.
 */
int ipcx_ring_create(const char *name, const ipcx_ring_options *opts, ipcx_ring **ring);

/**
 * Attaches to a ring, or creates it if there is none, and gives a handle on it in `*ring`.
 *
 * `opts` may be NULL. If the ring exists, its capacity, number of participants and schema must be those of
 * the options where these give any (a schema, where both have one); mode, group and wait are only for a new one.
 * With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
 *
 * Ownership: the handle is yours; give it back with ipcx_ring_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_ring_create() less IPCX_E_EXISTS, and those of ipcx_ring_attach();
 * IPCX_E_MISMATCH also for other options.
 */
int ipcx_ring_open(const char *name,
                   const ipcx_ring_options *opts,
                   ipcx_ring **ring);

/**
 * Attaches to a ring that must exist, and gives a handle on it in `*ring`.
 *
 * Ownership: the handle is yours; give it back with ipcx_ring_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
 * IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
 */
int ipcx_ring_attach(const char *name, ipcx_ring **ring);

/**
 * Creates a ring without a name, in a memfd sealed against resizing, and gives a handle on it in `*ring`.
 *
 * Hand ipcx_ring_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
 * ipcx_ring_from_fd(). The options' directory, mode and group mean nothing here.
 *
 * Ownership: the handle is yours; give it back with ipcx_ring_close(). The memory goes with the last
 * descriptor and handle.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
 */
int ipcx_ring_anonymous(const ipcx_ring_options *opts, ipcx_ring **ring);

/**
 * Attaches to the ring behind a descriptor, and gives a handle on it in `*ring`.
 *
 * Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
 * ipcx_ring_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_ring_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
 */
int ipcx_ring_from_fd(int fd, ipcx_ring **ring);

/**
 * A new descriptor of the ring to hand to another process; or a negative code.
 *
 * It is closed on exec until you say otherwise. It keeps the memory, but no role and no participant's slot.
 *
 * Ownership: the descriptor is yours; close it with close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_ring_share_fd(ipcx_ring *ring);

/**
 * Takes the producer's role, the first time or after its owner closed or died, and gives the sending end in
 * `*producer`. There is one at a time, over all processes. A successor goes on behind the last committed
 * record.
 *
 * Ownership: the producer is yours; give it back with ipcx_producer_close(). It outlives `ring`.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_BUSY (a living process has it; ipcx_last_error() names it), IPCX_E_FORKED, IPCX_E_CORRUPT,
 * IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_ring_producer(ipcx_ring *ring, ipcx_producer **producer);

/**
 * Takes the consumer's role, the first time or after its owner closed or died, and gives the receiving end
 * in `*consumer`. There is one at a time, over all processes. A successor gets first what its predecessor
 * did not release.
 *
 * Ownership: the consumer is yours; give it back with ipcx_consumer_close(). It outlives `ring`.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_ring_producer().
 */
int ipcx_ring_consumer(ipcx_ring *ring, ipcx_consumer **consumer);

/**
 * What can be seen of the ring from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
 *
 * Nobody is stopped for it, so the figures may be apart by what was in work.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
 */
int ipcx_ring_stats(ipcx_ring *ring, ipcx_stats *stats);

/**
 * Gives a handle on a ring back. NULL is allowed. The name stays (see ipcx_unlink()), and endpoints taken
 * from it go on working.
 *
 * Not while another thread uses the handle. Does not block. Not async-signal-safe.
 */
void ipcx_ring_close(ipcx_ring *ring);

/* ---- Producer: sending ------------------------------------------------------------------------------- */

/**
 * Sends a copy of `len` bytes at `data` as one record, waiting for room up to `timeout_ns`.
 *
 * Zero bytes are a record too, and then `data` may be NULL. Once this has returned IPCX_OK the record
 * outlives this process.
 *
 * One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the
 * interrupted code is inside a call on this producer.
 * Ownership: `data` stays yours.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_CLOSED and IPCX_E_PEER_DEAD (the ring is full
 * and the consumer went), IPCX_E_TOO_BIG (more than the capacity less 16), IPCX_E_FORKED, IPCX_E_CORRUPT,
 * IPCX_E_INVALID (also while a reservation is open).
 */
int ipcx_producer_send(ipcx_producer *producer, const void *data, size_t len, int64_t timeout_ns);

/**
 * Sends each of `n` buffers as one record, waiting for room up to `timeout_ns`, and says in `*sent` how many
 * were sent.
 *
 * Records that fit together are committed together, by one store. On IPCX_OK `*sent` is `n` unless the wait
 * ended early (deadline, signal, peer gone): then the records behind were not sent, and calling again with
 * them says why.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_producer_send().
 * Ownership: the buffers stay yours.
 * Errors: those of ipcx_producer_send(), if none was sent; IPCX_E_TOO_BIG if any is too big, and then none
 * is sent.
 */
int ipcx_producer_send_many(ipcx_producer *producer,
                            const struct iovec *iov,
                            size_t n,
                            int64_t timeout_ns,
                            size_t *sent);

/**
 * Room for a record of up to `len` bytes, to be written in place, in `*data`; waits for it up to
 * `timeout_ns`.
 *
 * Write there, then call ipcx_producer_commit() or ipcx_producer_abort(). The address is aligned to 8; what
 * is there before you write is whatever was there. Nothing is sent before the commit: if the process dies,
 * it never happened.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_producer_send().
 * Ownership: the `len` bytes are yours to write until commit, abort or close.
 * Errors: those of ipcx_producer_send().
 */
int ipcx_producer_reserve(ipcx_producer *producer, size_t len, int64_t timeout_ns, void **data);

/**
 * Sends the first `len` bytes of the open reservation as one record.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_producer_send(), unless it fails.
 * Errors: IPCX_E_INVALID (none is open; or `len` is more than was reserved, and then it stays open),
 * IPCX_E_FORKED.
 */
int ipcx_producer_commit(ipcx_producer *producer, size_t len);

/**
 * Gives the open reservation up: nothing is sent.
 *
 * One thread at a time. Does not block. Async-signal-safe.
 * Errors: IPCX_E_INVALID (none is open).
 */
int ipcx_producer_abort(ipcx_producer *producer);

/**
 * Sends up to `len` bytes of a file from its current offset as one record, read straight into the ring, and
 * says in `*sent` how many.
 *
 * They are fewer at the end of the file, or if the deadline passed while a pipe or socket had no more. At
 * the end of the file `*sent` is 0 and there is no record.
 *
 * One thread at a time. Blocks up to `timeout_ns` for room and for data; reading a file on disk may take as
 * long as it takes. Not async-signal-safe.
 * Ownership: the descriptor stays yours.
 * Errors: those of ipcx_producer_send(); what reading gives as IPCX_E_OS, and then nothing is sent.
 */
int ipcx_producer_send_file(ipcx_producer *producer,
                            int fd,
                            size_t len,
                            int64_t timeout_ns,
                            size_t *sent);

/**
 * Hands a block over to the consumer, without a copy, with `len` of its bytes used; waits for room in the ring up
 * to `timeout_ns`. On success `*block` is set to zeroes.
 *
 * `pool` is the handle that owns the block; the consumer needs a handle on the same pool. The record takes 40
 * bytes of the ring. When the call has returned, the block is the ring's: neither this process's death nor the
 * consumer's loses it.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Errors: those of ipcx_producer_send(); IPCX_E_INVALID (not this handle's block), IPCX_E_TOO_BIG (`len` is more
 * than the block has), IPCX_E_NO_SPACE (64 rings carry blocks of the pool), IPCX_E_OS. The block stays the
 * handle's then.
 */
int ipcx_producer_send_block(ipcx_producer *producer,
                             ipcx_pool *pool,
                             ipcx_block *block,
                             size_t len,
                             int64_t timeout_ns);

/**
 * The descriptor that ipcx_poll_fd() gives of a producer, readable (POLLIN) while there is room for the record
 * that last did not fit (at first: for any), or the consumer went; or a negative code.
 *
 * Ownership: it stays ipcx's and lives as long as the producer; do not read it, do not close it.
 * One thread at a time. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_producer_poll_fd(ipcx_producer *producer);

/**
 * Gives the producer's role up in good order. NULL is allowed. What was committed stays; an open reservation
 * vanishes. A consumer that has received everything gets IPCX_E_CLOSED.
 *
 * One thread at a time. Does not block. Not async-signal-safe.
 */
void ipcx_producer_close(ipcx_producer *producer);

/* ---- Consumer: receiving ----------------------------------------------------------------------------- */

/**
 * Copies the next record to `buf`, which has `cap` bytes, releases it, and says its length in `*len`; waits
 * for it up to `timeout_ns`.
 *
 * If it does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays: call again with a
 * larger buffer.
 *
 * A process killed inside the call may have released the record without having done anything with it. Where
 * each must be dealt with, call ipcx_consumer_borrow(), and ipcx_consumer_release() when that is done.
 *
 * One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the
 * interrupted code is inside a call on this consumer.
 * Ownership: `buf` stays yours. `buf` may be NULL if `cap` is 0.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_CLOSED and IPCX_E_PEER_DEAD (there is none and
 * the producer went), IPCX_E_TOO_BIG, IPCX_E_MISMATCH (it hands over a block: it stays, for
 * ipcx_consumer_recv_block()), IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also while a record is borrowed).
 */
int ipcx_consumer_recv(ipcx_consumer *consumer,
                       void *buf,
                       size_t cap,
                       size_t *len,
                       int64_t timeout_ns);

/**
 * Copies records one behind the other to `buf`, as many as are there, fit into `cap` bytes and into `max`
 * lengths, and releases them together; a process killed inside the call may have released them already, as in
 * ipcx_consumer_recv(). `lens[i]` gets the length of record i, and `*n` their number, at least 1.
 *
 * Waits up to `timeout_ns` for the first, and for no other. If not even the first fits, the code is
 * IPCX_E_TOO_BIG, `lens[0]` is its length, and it stays.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_consumer_recv().
 * Ownership: `buf` and `lens` stay yours. Their contents are undefined beyond what was received.
 * Errors: those of ipcx_consumer_recv(); IPCX_E_INVALID if `max` is 0.
 */
int ipcx_consumer_recv_many(ipcx_consumer *consumer,
                            void *buf,
                            size_t cap,
                            size_t *lens,
                            size_t max,
                            size_t *n,
                            int64_t timeout_ns);

/**
 * The next record in place: its address in `*data`, its length in `*len`; waits for it up to `timeout_ns`.
 *
 * Read it there, then call ipcx_consumer_release(), or ipcx_consumer_return() to leave it. The address is
 * aligned to 8, in memory that the producer's process can write: it does not while the record is borrowed,
 * if it keeps to the protocol. Where the peer is not trusted, copy first and look at the copy.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_consumer_recv().
 * Ownership: the bytes may be read until release, return or close. Writing there ends the process.
 * Errors: those of ipcx_consumer_recv() less IPCX_E_TOO_BIG.
 */
int ipcx_consumer_borrow(ipcx_consumer *consumer, const void **data, size_t *len, int64_t timeout_ns);

/**
 * Releases the record borrowed: it will not be delivered again.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_consumer_recv().
 * Errors: IPCX_E_INVALID (none is borrowed), IPCX_E_FORKED.
 */
int ipcx_consumer_release(ipcx_consumer *consumer);

/**
 * Ends a borrow without a release: the next call finds the same record, at the same position. Nothing
 * happens if none is borrowed.
 *
 * One thread at a time. Does not block. Async-signal-safe.
 * Errors: IPCX_E_INVALID.
 */
int ipcx_consumer_return(ipcx_consumer *consumer);

/**
 * Takes over the block that the next record hands over, into `*block`, and releases the record; `*len` says how
 * many of its bytes are used. Waits up to `timeout_ns`.
 *
 * `pool` is a handle on the pool that the block is of. From then on the block is that handle's: release it, or
 * send it on. If the process dies, the block goes back to the pool. If its pool was unlinked and made anew, the
 * new one cannot receive it: ipcx_consumer_skip() gets past it.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Errors: those of ipcx_consumer_recv() less IPCX_E_TOO_BIG; IPCX_E_MISMATCH (the next record carries bytes, or a
 * block of another pool: it stays), IPCX_E_OS.
 */
int ipcx_consumer_recv_block(ipcx_consumer *consumer,
                             ipcx_pool *pool,
                             ipcx_block *block,
                             size_t *len,
                             int64_t timeout_ns);

/**
 * Releases the next record without looking at what it carries.
 *
 * For a record that cannot be received: it hands over a block of a pool that was unlinked and made anew. The
 * block is not taken over, but stays in flight. It goes with its pool's memory, where the pool is gone; otherwise
 * ipcx_pool_recover() gives it back once the ring is gone. Who has a handle on its pool receives the block, and
 * releases it, instead.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_consumer_recv().
 * Errors: IPCX_E_AGAIN (there is none, whether the producer went or not), IPCX_E_FORKED, IPCX_E_CORRUPT,
 * IPCX_E_INVALID (also while a record is borrowed).
 */
int ipcx_consumer_skip(ipcx_consumer *consumer);

/**
 * Stream position of the next record, or of the one borrowed: bytes since the ring was made. UINT64_MAX for
 * what is not an open consumer.
 *
 * A record that is delivered again, after a consumer died, has the same position again.
 *
 * One thread at a time. Does not block. Async-signal-safe.
 */
uint64_t ipcx_consumer_position(ipcx_consumer *consumer);

/**
 * The descriptor that ipcx_poll_fd() gives of a consumer, readable (POLLIN) while there is a record, or the
 * producer went; or a negative code.
 *
 * Ownership: it stays ipcx's and lives as long as the consumer; do not read it, do not close it.
 * One thread at a time. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_consumer_poll_fd(ipcx_consumer *consumer);

/**
 * Gives the consumer's role up in good order. NULL is allowed. What was not released is delivered to the
 * next consumer.
 *
 * One thread at a time. Does not block. Not async-signal-safe.
 */
void ipcx_consumer_close(ipcx_consumer *consumer);

/* ---- Pool: blocks without copies --------------------------------------------------------------------- */

/**
 * Creates a pool that must be new, and gives a handle on it in `*pool`.
 *
 * `opts` says the block size at least. The pool appears under its name complete or not at all. Its memory is taken
 * now, so that using it never fails for lack of memory.
 *
 * Ownership: the handle is yours; give it back with ipcx_pool_close(), which does not remove the name.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
 * IPCX_E_INVALID (name, options), IPCX_E_OS.
 */
int ipcx_pool_create(const char *name,
                     const ipcx_pool_options *opts,
                     ipcx_pool **pool);

/**
 * Attaches to a pool, or creates it if there is none, and gives a handle on it in `*pool`. A new one needs a block
 * size.
 *
 * If the pool exists, its sizes, number of participants and schema must be those of the options where these give
 * any; mode, group and wait are only for a new one.
 * With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
 *
 * Ownership: the handle is yours; give it back with ipcx_pool_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_pool_create() less IPCX_E_EXISTS, and those of ipcx_pool_attach();
 * IPCX_E_MISMATCH also for other options.
 */
int ipcx_pool_open(const char *name,
                   const ipcx_pool_options *opts,
                   ipcx_pool **pool);

/**
 * Attaches to a pool that must exist, and gives a handle on it in `*pool`.
 *
 * Ownership: the handle is yours; give it back with ipcx_pool_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
 * IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
 */
int ipcx_pool_attach(const char *name, ipcx_pool **pool);

/**
 * Creates a pool without a name, in a memfd sealed against resizing, and gives a handle on it in `*pool`.
 *
 * Hand ipcx_pool_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
 * ipcx_pool_from_fd(). The options' directory, mode and group mean nothing here.
 *
 * Ownership: the handle is yours; give it back with ipcx_pool_close(). The memory goes with the last
 * descriptor and handle.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
 */
int ipcx_pool_anonymous(const ipcx_pool_options *opts, ipcx_pool **pool);

/**
 * Attaches to the pool behind a descriptor, and gives a handle on it in `*pool`.
 *
 * Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
 * ipcx_pool_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_pool_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
 */
int ipcx_pool_from_fd(int fd, ipcx_pool **pool);

/**
 * A new descriptor of the pool to hand to another process; or a negative code.
 *
 * It is closed on exec until you say otherwise. It keeps the memory, but no block and no participant's slot.
 *
 * Ownership: the descriptor is yours; close it with close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_pool_share_fd(ipcx_pool *pool);

/**
 * A block, in `*block`; waits up to `timeout_ns` for one to be released. What is in it is whatever was there.
 *
 * A few nanoseconds and no system call where this handle has released a block before. A call that waits gives
 * the blocks of the dead back; one that does not wait looks for the dead at most every 50 ms.
 *
 * Ownership: the block is the handle's, until ipcx_pool_release(), ipcx_producer_send_block() or
 * ipcx_pool_close(). If the process dies, it goes back to the pool.
 * Thread-safe. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_FORKED, IPCX_E_INVALID.
 */
int ipcx_pool_acquire(ipcx_pool *pool, int64_t timeout_ns, ipcx_block *block);

/**
 * Gives a block back, and sets `*block` to zeroes.
 *
 * What is not this handle's block, because it was released or sent before, was acquired by another handle, is
 * of another pool, or never existed, is an error that changes nothing.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_INVALID, IPCX_E_FORKED.
 */
int ipcx_pool_release(ipcx_pool *pool, ipcx_block *block);

/**
 * Gives back what dead participants owned, and what is in flight on rings that are gone: that no name leads to,
 * and through which no living process has sent or received blocks. `*reclaimed`, which may be NULL, gets the
 * number of blocks.
 *
 * Only the second needs this call: an acquire that finds nothing free does the first by itself. One that waits
 * does it while it waits; one that does not wait looks for the dead at most every 50 ms. This call looks at once.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_pool_recover(ipcx_pool *pool,
                      size_t *reclaimed);

/**
 * What can be seen of the pool from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
 *
 * It looks at each block. Nobody is stopped for it: a block that changes hands meanwhile counts once, somewhere.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
 */
int ipcx_pool_stats(ipcx_pool *pool,
                    ipcx_stats *stats);

/**
 * Gives a handle on a pool back, and the blocks that it owns. NULL is allowed. The name stays (see
 * ipcx_unlink()).
 *
 * Not while another thread uses the handle or its blocks. Does not block. Not async-signal-safe.
 */
void ipcx_pool_close(ipcx_pool *pool);

/* ---- Buffer: a value, its lock and its condition ----------------------------------------------------- */

/**
 * Creates a buffer that must be new, and gives a handle on it in `*buffer`. Its value is empty, of version 0.
 *
 * `opts` may be NULL. The buffer appears under its name complete or not at all. Its memory is taken now, so that
 * using it never fails for lack of memory.
 *
 * Ownership: the handle is yours; give it back with ipcx_buffer_close(), which does not remove the name.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
 * IPCX_E_INVALID (name, options), IPCX_E_OS.
 */
int ipcx_buffer_create(const char *name,
                       const ipcx_buffer_options *opts,
                       ipcx_buffer **buffer);

/**
 * Attaches to a buffer, or creates it if there is none, and gives a handle on it in `*buffer`.
 *
 * `opts` may be NULL. If the buffer exists, its capacity, number of participants and schema must be those of the
 * options where these give any (a schema, where both have one); mode, group and wait are only for a new one.
 * With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
 *
 * Ownership: the handle is yours; give it back with ipcx_buffer_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_buffer_create() less IPCX_E_EXISTS, and those of ipcx_buffer_attach();
 * IPCX_E_MISMATCH also for other options.
 */
int ipcx_buffer_open(const char *name,
                     const ipcx_buffer_options *opts,
                     ipcx_buffer **buffer);

/**
 * Attaches to a buffer that must exist, and gives a handle on it in `*buffer`.
 *
 * Ownership: the handle is yours; give it back with ipcx_buffer_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
 * IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
 */
int ipcx_buffer_attach(const char *name, ipcx_buffer **buffer);

/**
 * Creates a buffer without a name, in a memfd sealed against resizing, and gives a handle on it in `*buffer`.
 *
 * Hand ipcx_buffer_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
 * ipcx_buffer_from_fd(). The options' directory, mode and group mean nothing here.
 *
 * Ownership: the handle is yours; give it back with ipcx_buffer_close(). The memory goes with the last
 * descriptor and handle.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
 */
int ipcx_buffer_anonymous(const ipcx_buffer_options *opts, ipcx_buffer **buffer);

/**
 * Attaches to the buffer behind a descriptor, and gives a handle on it in `*buffer`.
 *
 * Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
 * ipcx_buffer_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_buffer_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
 */
int ipcx_buffer_from_fd(int fd, ipcx_buffer **buffer);

/**
 * A new descriptor of the buffer to hand to another process; or a negative code.
 *
 * It is closed on exec until you say otherwise. It keeps the memory, but no lock and no participant's slot.
 *
 * Ownership: the descriptor is yours; close it with close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_buffer_share_fd(ipcx_buffer *buffer);

/**
 * Makes a copy of `len` bytes at `data` the value, and wakes who waits for one in ipcx_buffer_wait(); waits for
 * the lock up to `timeout_ns`.
 *
 * Zero bytes are a value too, and then `data` may be NULL. A process killed inside the call leaves the old value or
 * the new one, whole. Who has to know whether the owner before died takes the lock with ipcx_buffer_lock()
 * and asks ipcx_buffer_recovered(): a write does not keep that for the next one.
 *
 * Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe.
 * Ownership: `data` stays yours.
 * Errors: IPCX_E_AGAIN and IPCX_E_TIMEDOUT (somebody else has the lock), IPCX_E_INTR, IPCX_E_TOO_BIG (more than
 * the capacity), IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also if this thread has the lock). The value is
 * then as it was.
 */
int ipcx_buffer_write(ipcx_buffer *buffer,
                      const void *data,
                      size_t len,
                      int64_t timeout_ns);

/**
 * Copies the value to `buf`, which has `cap` bytes; `*len` says how many bytes it has, and `*version`, which may be
 * NULL, which version it is. Version 0 is that of a buffer into which nothing was written; it is empty.
 *
 * If it does not fit, the code is IPCX_E_TOO_BIG, and `*len` is its length.
 *
 * Takes no lock, and is not kept out by those who have it: while one changes the value, others read the one
 * before. Only where writers follow each other so fast that none of many looks found the value unchanged, it takes
 * the lock for a moment.
 *
 * Thread-safe, does not block (but see IPCX_E_AGAIN). Async-signal-safe.
 * Ownership: `buf` stays yours. It may be NULL if `cap` is 0. Its contents are undefined beyond the value, and after
 * an error.
 * Errors: IPCX_E_TOO_BIG, IPCX_E_AGAIN (writers are too fast, and did not let it in for 100 ms), IPCX_E_FORKED,
 * IPCX_E_CORRUPT, IPCX_E_INVALID.
 */
int ipcx_buffer_read(ipcx_buffer *buffer,
                     void *buf,
                     size_t cap,
                     size_t *len,
                     uint64_t *version);

/**
 * Waits up to `timeout_ns` until the version is another than `seen`, and says in `*version`, which may be NULL,
 * which it is. With IPCX_NOWAIT it asks whether it is.
 *
 * Every commit makes a version, that of ipcx_buffer_write() as well as that of ipcx_buffer_unlock(). Who is slow
 * misses versions, and gets the last: this is a value, not a queue.
 *
 * Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_FORKED, IPCX_E_INVALID.
 */
int ipcx_buffer_wait(ipcx_buffer *buffer,
                     uint64_t seen,
                     uint64_t *version,
                     int64_t timeout_ns);

/**
 * Takes the lock, to change the value in place and to use the condition; waits for it up to `timeout_ns`. Gives the
 * address of a copy of the value in `*data`, its length in `*len`, and how many bytes there are in `*cap`.
 *
 * Readers have the old value until ipcx_buffer_unlock() makes the copy the value; ipcx_buffer_abandon() leaves it. The
 * lock excludes the threads of one process as well as processes. It belongs to the thread that took it: another one
 * cannot unlock it, and the same one cannot take it twice (by another handle on the buffer it would wait for itself).
 * If the owner's process dies, the lock goes to the next one, the value is the one that was committed last, and
 * ipcx_buffer_recovered() says so. A thread that merely ends keeps it, until the handle is closed.
 *
 * Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe.
 * Ownership: the bytes at `*data`, aligned to 64, are yours until the lock is given up. What is behind the value's has
 * any content. Errors: those of ipcx_buffer_write() less IPCX_E_TOO_BIG.
 */
int ipcx_buffer_lock(ipcx_buffer *buffer,
                     int64_t timeout_ns,
                     void **data,
                     size_t *len,
                     size_t *cap);

/**
 * Where the copy is that this thread may change, after ipcx_buffer_wait_locked(), which changes its address and its
 * length. As ipcx_buffer_lock() says it in the first place.
 *
 * Thread-safe, does not block. Async-signal-safe.
 * Ownership: as with ipcx_buffer_lock().
 * Errors: IPCX_E_INVALID (also if this thread does not have the lock), IPCX_E_FORKED.
 */
int ipcx_buffer_locked(ipcx_buffer *buffer,
                       void **data,
                       size_t *len,
                       size_t *cap);

/**
 * Makes the first `new_len` bytes of the copy the value, wakes who waits for one in ipcx_buffer_wait(), and unlocks.
 *
 * Thread-safe, does not block. Async-signal-safe.
 * Errors: IPCX_E_INVALID (also if this thread does not have the lock), IPCX_E_TOO_BIG (`new_len` is more than the
 * capacity), IPCX_E_FORKED. The lock then stays as it was.
 */
int ipcx_buffer_unlock(ipcx_buffer *buffer,
                       size_t new_len);

/**
 * Unlocks, and leaves the value as it was.
 *
 * Thread-safe, does not block. Async-signal-safe.
 * Errors: IPCX_E_INVALID (also if this thread does not have the lock), IPCX_E_FORKED.
 */
int ipcx_buffer_abandon(ipcx_buffer *buffer);

/**
 * Unlocks without a commit, waits until somebody calls ipcx_buffer_notify(), and locks again; both within
 * `timeout_ns`. ipcx_buffer_locked() then says where the copy is; it is one of the value of that moment.
 *
 * With an error other than IPCX_E_INVALID, the thread does not have the lock any more. This differs from
 * pthread_cond_timedwait(), which locks again whatever happens, and then waits for that without an end. IPCX_E_INVALID
 * changes nothing.
 *
 * A notification between unlocking and sleeping is not missed. The call may return without one of its own: ask
 * again for what you wait for. A commit notifies nobody here: it wakes those in ipcx_buffer_wait().
 *
 * Thread-safe. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Errors: IPCX_E_AGAIN (with IPCX_NOWAIT, always), IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_FORKED, IPCX_E_CORRUPT,
 * IPCX_E_INVALID (also if this thread does not have the lock).
 */
int ipcx_buffer_wait_locked(ipcx_buffer *buffer,
                            int64_t timeout_ns);

/**
 * Wakes one of those in ipcx_buffer_wait_locked(), or all of them if `all` is not 0. Nothing is kept for who comes
 * later.
 *
 * The lock is not needed. Who has it is best to notify: what was changed by then is seen by who is woken. A change
 * of the value itself is seen once it is committed, so notify after ipcx_buffer_unlock().
 *
 * Thread-safe, does not block. Async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID.
 */
int ipcx_buffer_notify(ipcx_buffer *buffer,
                       int all);

/**
 * 1 if the lock's owner before this thread died while it had it, 0 if not; or a negative code.
 *
 * The value is whole all the same: it is the one that was committed last. What else the lock guards may need repair.
 * Whoever takes the lock next is told nothing of it any more.
 *
 * Thread-safe, does not block. Async-signal-safe.
 * Errors: IPCX_E_INVALID (also if this thread does not have the lock), IPCX_E_FORKED.
 */
int ipcx_buffer_recovered(ipcx_buffer *buffer);

/**
 * What can be seen of the buffer from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
 *
 * Nobody is stopped for it.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
 */
int ipcx_buffer_stats(ipcx_buffer *buffer, ipcx_stats *stats);

/**
 * Gives a handle on a buffer back. NULL is allowed. The name stays (see ipcx_unlink()). If a thread has the lock by
 * this handle, it is given up, and the value is as it was.
 *
 * Not while another thread uses the handle. Does not block. Not async-signal-safe.
 */
void ipcx_buffer_close(ipcx_buffer *buffer);

/* ---- Semaphore: permits ------------------------------------------------------------------------------ */

/**
 * Creates a semaphore that must be new, and gives a handle on it in `*semaphore`.
 *
 * `opts` may be NULL. The semaphore appears under its name complete or not at all. Its memory is taken now, so that
 * using it never fails for lack of memory.
 *
 * Ownership: the handle is yours; give it back with ipcx_semaphore_close(), which does not remove the name.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
 * IPCX_E_INVALID (name, options), IPCX_E_OS.
 */
int ipcx_semaphore_create(const char *name,
                          const ipcx_semaphore_options *opts,
                          ipcx_semaphore **semaphore);

/**
 * Attaches to a semaphore, or creates it if there is none, and gives a handle on it in `*semaphore`.
 *
 * `opts` may be NULL. If the semaphore exists, its limit, number of participants and schema must be those of the
 * options where these give any (a schema, where both have one); initial, mode, group and wait are for a new one.
 * With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
 *
 * Ownership: the handle is yours; give it back with ipcx_semaphore_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_semaphore_create() less IPCX_E_EXISTS, and those of ipcx_semaphore_attach();
 * IPCX_E_MISMATCH also for other options.
 */
int ipcx_semaphore_open(const char *name,
                        const ipcx_semaphore_options *opts,
                        ipcx_semaphore **semaphore);

/**
 * Attaches to a semaphore that must exist, and gives a handle on it in `*semaphore`.
 *
 * Ownership: the handle is yours; give it back with ipcx_semaphore_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
 * IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
 */
int ipcx_semaphore_attach(const char *name, ipcx_semaphore **semaphore);

/**
 * Creates a semaphore without a name, in a memfd sealed against resizing, and gives a handle on it in `*semaphore`.
 *
 * Hand ipcx_semaphore_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
 * ipcx_semaphore_from_fd(). The options' directory, mode and group mean nothing here.
 *
 * Ownership: the handle is yours; give it back with ipcx_semaphore_close(). The memory goes with the last
 * descriptor and handle.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
 */
int ipcx_semaphore_anonymous(const ipcx_semaphore_options *opts,
                             ipcx_semaphore **semaphore);

/**
 * Attaches to the semaphore behind a descriptor, and gives a handle on it in `*semaphore`.
 *
 * Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
 * ipcx_semaphore_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_semaphore_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
 */
int ipcx_semaphore_from_fd(int fd, ipcx_semaphore **semaphore);

/**
 * A new descriptor of the semaphore to hand to another process; or a negative code.
 *
 * It is closed on exec until you say otherwise. It keeps the memory, but no permit and no participant's slot.
 *
 * Ownership: the descriptor is yours; close it with close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_semaphore_share_fd(ipcx_semaphore *semaphore);

/**
 * Acquires a permit, which this handle then holds; waits for one up to `timeout_ns`. Permits of the dead are found
 * where no other is: a call that waits looks for them, one that does not wait at most every 50 ms.
 *
 * Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
 * inside a call on this handle.
 * Ownership: the permit is the handle's, until ipcx_semaphore_release() or ipcx_semaphore_close(). If the process
 * dies, it comes back.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_FORKED, IPCX_E_INVALID.
 */
int ipcx_semaphore_acquire(ipcx_semaphore *semaphore,
                           int64_t timeout_ns);

/**
 * Gives back a permit that this handle holds; if it holds none, makes one more, up to the limit. Wakes one who
 * waits.
 *
 * So a process that only signals releases, and one that only waits for it calls ipcx_semaphore_consume().
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_INVALID (also if this handle holds none and there are as many as the limit says: nothing changes),
 * IPCX_E_FORKED.
 */
int ipcx_semaphore_release(ipcx_semaphore *semaphore);

/**
 * Uses a permit up, waiting for one up to `timeout_ns`: nobody holds it, and it does not come back, until a release
 * makes one more.
 *
 * A process that is killed inside the call may have used it up or not.
 *
 * Thread-safe. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_semaphore_acquire().
 * Errors: those of ipcx_semaphore_acquire(), IPCX_E_CORRUPT.
 */
int ipcx_semaphore_consume(ipcx_semaphore *semaphore,
                           int64_t timeout_ns);

/**
 * Permits that can be acquired, as of now, into `*value`. It looks at each permit, so it takes time in proportion to the
 * limit. Those of the dead count once they came back.
 *
 * Thread-safe, does not block. Async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID.
 */
int ipcx_semaphore_value(ipcx_semaphore *semaphore,
                         uint32_t *value);

/**
 * What can be seen of the semaphore from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
 *
 * It looks at each permit. Nobody is stopped for it: one that changes hands meanwhile counts once, somewhere.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
 */
int ipcx_semaphore_stats(ipcx_semaphore *semaphore, ipcx_stats *stats);

/**
 * Gives a handle on a semaphore back, and the permits that it holds. NULL is allowed. The name stays (see
 * ipcx_unlink()).
 *
 * Not while another thread uses the handle. Does not block. Not async-signal-safe.
 */
void ipcx_semaphore_close(ipcx_semaphore *semaphore);

/* ---- Topic: opening, publishers and subscribers, figures --------------------------------------------- */

/**
 * Creates a topic that must be new, and gives a handle on it in `*topic`.
 *
 * `opts` may be NULL. The topic appears under its name complete or not at all. Its memory is taken now, so
 * that using it never fails for lack of memory.
 *
 * Ownership: the handle is yours; give it back with ipcx_topic_close(), which does not remove the name.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
 * IPCX_E_INVALID (name, options), IPCX_E_OS.
 */
int ipcx_topic_create(const char *name, const ipcx_topic_options *opts, ipcx_topic **topic);

/**
 * Attaches to a topic, or creates it if there is none, and gives a handle on it in `*topic`.
 *
 * `opts` may be NULL. If the topic exists, its capacity, number of participants and schema must be those of
 * the options where these give any (a schema, where both have one), and it must be reliable, or have a history, where
 * they say so; mode, group and wait are only for a new one.
 * With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
 *
 * Ownership: the handle is yours; give it back with ipcx_topic_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_topic_create() less IPCX_E_EXISTS, and those of ipcx_topic_attach();
 * IPCX_E_MISMATCH also for other options.
 */
int ipcx_topic_open(const char *name,
                    const ipcx_topic_options *opts,
                    ipcx_topic **topic);

/**
 * Attaches to a topic that must exist, and gives a handle on it in `*topic`.
 *
 * Ownership: the handle is yours; give it back with ipcx_topic_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
 * IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
 */
int ipcx_topic_attach(const char *name, ipcx_topic **topic);

/**
 * Creates a topic without a name, in a memfd sealed against resizing, and gives a handle on it in `*topic`.
 *
 * Hand ipcx_topic_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
 * ipcx_topic_from_fd(). The options' directory, mode and group mean nothing here.
 *
 * Ownership: the handle is yours; give it back with ipcx_topic_close(). The memory goes with the last
 * descriptor and handle.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
 */
int ipcx_topic_anonymous(const ipcx_topic_options *opts, ipcx_topic **topic);

/**
 * Attaches to the topic behind a descriptor, and gives a handle on it in `*topic`.
 *
 * Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
 * ipcx_topic_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_topic_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
 */
int ipcx_topic_from_fd(int fd, ipcx_topic **topic);

/**
 * A new descriptor of the topic to hand to another process; or a negative code.
 *
 * It is closed on exec until you say otherwise. It keeps the memory, but no participant's slot.
 *
 * Ownership: the descriptor is yours; close it with close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_topic_share_fd(ipcx_topic *topic);

/**
 * A publisher, in `*publisher`. There may be any number, over all processes; they publish one at a time.
 *
 * Ownership: the publisher is yours; give it back with ipcx_publisher_close(). It outlives `topic`.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_topic_publisher(ipcx_topic *topic, ipcx_publisher **publisher);

/**
 * A subscriber, in `*subscriber`, which begins with what is published from now on; in a topic with a history, with the
 * oldest record that is still there.
 *
 * There may be any number, over all processes. In a reliable topic each is a participant of its own, beside `topic`.
 *
 * Ownership: the subscriber is yours; give it back with ipcx_subscriber_close(). It outlives `topic`.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE (the topic is reliable, and all participant slots are taken), IPCX_E_FORKED,
 * IPCX_E_CORRUPT, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_topic_subscriber(ipcx_topic *topic,
                          ipcx_subscriber **subscriber);

/**
 * As ipcx_topic_subscriber(), but begins at `start`: IPCX_START_NEXT, _LATEST or _OLDEST.
 *
 * Ownership: the subscriber is yours; give it back with ipcx_subscriber_close(). It outlives `topic`.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_topic_subscriber().
 */
int ipcx_topic_subscriber_at(ipcx_topic *topic, uint32_t start, ipcx_subscriber **subscriber);

/**
 * What can be seen of the topic from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
 *
 * Nobody is stopped for it, so the figures may be apart by what was in work.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
 */
int ipcx_topic_stats(ipcx_topic *topic, ipcx_stats *stats);

/**
 * Gives a handle on a topic back. NULL is allowed. The name stays (see ipcx_unlink()), and publishers and
 * subscribers taken from it go on working.
 *
 * Not while another thread uses the handle. Does not block. Not async-signal-safe.
 */
void ipcx_topic_close(ipcx_topic *topic);

/* ---- Publisher: publishing --------------------------------------------------------------------------- */

/**
 * Publishes a copy of `len` bytes at `data` as one record, waiting up to `timeout_ns`: while others publish, and in a
 * reliable topic for room, which the slowest subscriber makes.
 *
 * Zero bytes are a record too, and then `data` may be NULL. Once this has returned IPCX_OK the record outlives this
 * process. Subscribers that died are dropped meanwhile.
 *
 * One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the
 * interrupted code is inside a call on this publisher.
 * Ownership: `data` stays yours.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG (more than half of the capacity less 24),
 * IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also while a reservation is open). Nothing is published then.
 */
int ipcx_publisher_publish(ipcx_publisher *publisher,
                           const void *data,
                           size_t len,
                           int64_t timeout_ns);

/**
 * Publishes up to `len` bytes of a file from its current offset as one record, read straight into the topic, and
 * says in `*sent` how many.
 *
 * They are fewer at the end of the file, or if the deadline passed while a pipe or socket had no more. At
 * the end of the file `*sent` is 0 and there is no record. While it waits for a pipe or socket, no other publisher
 * publishes.
 *
 * One thread at a time. Blocks up to `timeout_ns` for room and for data; reading a file on disk may take as
 * long as it takes. Not async-signal-safe.
 * Ownership: the descriptor stays yours.
 * Errors: those of ipcx_publisher_publish(); what reading gives as IPCX_E_OS, and then nothing is published.
 */
int ipcx_publisher_publish_file(ipcx_publisher *publisher,
                                int fd,
                                size_t len,
                                int64_t timeout_ns,
                                size_t *sent);

/**
 * Room for a record of up to `len` bytes, to be written in place, in `*data`; waits for it up to
 * `timeout_ns`. Until it is committed or aborted, no other publisher publishes.
 *
 * Write there, then call ipcx_publisher_commit() or ipcx_publisher_abort(). The address is aligned to 8; what
 * is there before you write is whatever was there. Nothing is published before the commit: if the process dies,
 * it never happened, and others go on.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_publisher_publish().
 * Ownership: the `len` bytes are yours to write until commit, abort or close.
 * Errors: those of ipcx_publisher_publish().
 */
int ipcx_publisher_reserve(ipcx_publisher *publisher,
                           size_t len,
                           int64_t timeout_ns,
                           void **data);

/**
 * Publishes the first `len` bytes of the open reservation as one record.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_publisher_publish(), unless it fails.
 * Errors: IPCX_E_INVALID (none is open; or `len` is more than was reserved, and then it stays open),
 * IPCX_E_FORKED.
 */
int ipcx_publisher_commit(ipcx_publisher *publisher, size_t len);

/**
 * Gives the open reservation up: nothing is published.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_publisher_publish(), unless it fails.
 * Errors: IPCX_E_INVALID (none is open), IPCX_E_FORKED.
 */
int ipcx_publisher_abort(ipcx_publisher *publisher);

/**
 * The descriptor that ipcx_poll_fd() gives of a publisher, readable (POLLIN) while nobody else publishes and there
 * is room for the record that last was not published (at first: for any), as there always is in a topic that is
 * not reliable; or a negative code.
 *
 * Ownership: it stays ipcx's and lives as long as the publisher; do not read it, do not close it.
 * One thread at a time. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_publisher_poll_fd(ipcx_publisher *publisher);

/**
 * Gives a publisher back. NULL is allowed. What was committed stays; an open reservation vanishes.
 *
 * One thread at a time. Does not block. Not async-signal-safe.
 */
void ipcx_publisher_close(ipcx_publisher *publisher);

/* ---- Subscriber: receiving --------------------------------------------------------------------------- */

/**
 * Copies the next record to `buf`, which has `cap` bytes, releases it, and says its length in `*len`; waits
 * for it up to `timeout_ns`.
 *
 * If it does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays the next one: call again with a
 * larger buffer. A subscriber of a topic that is not reliable may be overtaken: then it goes on with the oldest record
 * that is still there, and ipcx_subscriber_missed() says how many it did not get.
 *
 * One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the
 * interrupted code is inside a call on this subscriber.
 * Ownership: `buf` stays yours. `buf` may be NULL if `cap` is 0.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID
 * (also while a record is borrowed). Nobody is told that publishers went: there may be others.
 */
int ipcx_subscriber_recv(ipcx_subscriber *subscriber,
                         void *buf,
                         size_t cap,
                         size_t *len,
                         int64_t timeout_ns);

/**
 * The next record in place: its address in `*data`, its length in `*len`; waits for it up to `timeout_ns`.
 *
 * Read it there, then call ipcx_subscriber_release(), or ipcx_subscriber_return() to leave it. The address is
 * aligned to 8, in memory that publishers' processes can write. In a reliable topic they do not while the record is
 * borrowed, if they keep to the protocol. Otherwise it may be overwritten at any time: what you made of its bytes
 * counts only if the release says that it was whole.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_subscriber_recv().
 * Ownership: the bytes may be read until release, return or close. Writing there ends the process.
 * Errors: those of ipcx_subscriber_recv() less IPCX_E_TOO_BIG.
 */
int ipcx_subscriber_borrow(ipcx_subscriber *subscriber,
                           const void **data,
                           size_t *len,
                           int64_t timeout_ns);

/**
 * Releases the record borrowed: it will not be delivered again. `*whole` becomes 1 if everything that was read of it was
 * the record's, and 0 if it was overwritten meanwhile: then it counts as missed.
 *
 * `whole` may be NULL where it does not matter: in a reliable topic it is always 1.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_subscriber_recv().
 * Errors: IPCX_E_INVALID (none is borrowed), IPCX_E_FORKED, IPCX_E_CORRUPT.
 */
int ipcx_subscriber_release(ipcx_subscriber *subscriber,
                            int *whole);

/**
 * Ends a borrow without a release: the next call finds the same record, if it is still there. Nothing happens if none
 * is borrowed.
 *
 * One thread at a time. Does not block. Async-signal-safe.
 * Errors: IPCX_E_INVALID.
 */
int ipcx_subscriber_return(ipcx_subscriber *subscriber);

/**
 * How many records were overwritten since this subscriber began, before it had them: as of the last one received,
 * exactly. 0 in a reliable topic, and for what is not an open subscriber.
 *
 * One thread at a time. Does not block. Async-signal-safe.
 */
uint64_t ipcx_subscriber_missed(ipcx_subscriber *subscriber);

/**
 * The descriptor that ipcx_poll_fd() gives of a subscriber, readable (POLLIN) while there is a record; or a
 * negative code.
 *
 * Ownership: it stays ipcx's and lives as long as the subscriber; do not read it, do not close it.
 * One thread at a time. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_subscriber_poll_fd(ipcx_subscriber *subscriber);

/**
 * Gives a subscriber back. NULL is allowed. In a reliable topic publishers do not wait for it any more.
 *
 * One thread at a time. Does not block. Not async-signal-safe.
 */
void ipcx_subscriber_close(ipcx_subscriber *subscriber);

/* ---- Service: opening, ends, figures ----------------------------------------------------------------- */

/**
 * Creates a service that must be new, and gives a handle on it in `*service`.
 *
 * `opts` may be NULL. The service appears under its name complete or not at all. Its memory is taken now, so
 * that using it never fails for lack of memory.
 *
 * Ownership: the handle is yours; give it back with ipcx_service_close(), which does not remove the name.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
 * IPCX_E_INVALID (name, options), IPCX_E_OS.
 */
int ipcx_service_create(const char *name,
                        const ipcx_service_options *opts,
                        ipcx_service **service);

/**
 * Attaches to a service, or creates it if there is none, and gives a handle on it in `*service`.
 *
 * `opts` may be NULL. If the service exists, its sizes, number of clients, depth, number of participants and schema must be those
 * of the options where these give any (a schema, where both have one); mode, group and wait are only for a new one.
 * With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
 *
 * Ownership: the handle is yours; give it back with ipcx_service_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_service_create() less IPCX_E_EXISTS, and those of ipcx_service_attach();
 * IPCX_E_MISMATCH also for other options.
 */
int ipcx_service_open(const char *name,
                      const ipcx_service_options *opts,
                      ipcx_service **service);

/**
 * Attaches to a service that must exist, and gives a handle on it in `*service`.
 *
 * Ownership: the handle is yours; give it back with ipcx_service_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
 * IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
 */
int ipcx_service_attach(const char *name, ipcx_service **service);

/**
 * Creates a service without a name, in a memfd sealed against resizing, and gives a handle on it in `*service`.
 *
 * Hand ipcx_service_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
 * ipcx_service_from_fd(). The options' directory, mode and group mean nothing here.
 *
 * Ownership: the handle is yours; give it back with ipcx_service_close(). The memory goes with the last
 * descriptor and handle.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
 */
int ipcx_service_anonymous(const ipcx_service_options *opts,
                           ipcx_service **service);

/**
 * Attaches to the service behind a descriptor, and gives a handle on it in `*service`.
 *
 * Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
 * ipcx_service_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_service_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
 */
int ipcx_service_from_fd(int fd, ipcx_service **service);

/**
 * A new descriptor of the service to hand to another process; or a negative code.
 *
 * It is closed on exec until you say otherwise. It keeps the memory, but no role and no participant's slot.
 *
 * Ownership: the descriptor is yours; close it with close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_service_share_fd(ipcx_service *service);

/**
 * A server of the service, in `*server`. There may be any number at once, over all processes, which take requests as they
 * come. Each is one more participant.
 *
 * Ownership: the server is yours; give it back with ipcx_server_close(). It outlives `service`.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_service_server(ipcx_service *service,
                        ipcx_server **server);

/**
 * A client of the service, in `*client`. There may be as many as the service's max_clients, over all processes, and several
 * of one handle.
 *
 * Ownership: the client is yours; give it back with ipcx_client_close(). It outlives `service`.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE (there are as many as there can be, all alive), IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID,
 * IPCX_E_OS.
 */
int ipcx_service_client(ipcx_service *service,
                        ipcx_client **client);

/**
 * What can be seen of the service from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
 *
 * Nobody is stopped for it, so the figures may be apart by what was in work.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
 */
int ipcx_service_stats(ipcx_service *service, ipcx_stats *stats);

/**
 * Gives a handle on a service back. NULL is allowed. The name stays (see ipcx_unlink()), and clients and servers taken
 * from it go on working.
 *
 * Not while another thread uses the handle. Does not block. Not async-signal-safe.
 */
void ipcx_service_close(ipcx_service *service);

/* ---- Client: asking ---------------------------------------------------------------------------------- */

/**
 * Sends a request of `len` bytes at `req`, waits for its reply up to `timeout_ns`, and copies that to `reply`, which has
 * `cap` bytes; its length is in `*reply_len`.
 *
 * The server knows until when the call waits. One that comes to the request later leaves it out; where one has taken it
 * already, the call ends all the same when the time is over, and the late reply is dropped. So after IPCX_E_TIMEDOUT, and
 * after IPCX_E_PEER_DEAD, the request may have been carried out, unless ipcx_last_taken() is 0: it is for you to know whether
 * it may be asked again.
 *
 * With IPCX_E_REMOTE, `reply` has as much of the server's text as fits and `*reply_len` says how much. If the reply does not
 * fit, the code is IPCX_E_TOO_BIG, `*reply_len` is its length, and it stays, and is the next that ipcx_client_recv() receives.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Ownership: both buffers stay yours. `req` may be NULL if `len` is 0, `reply` if `cap` is 0.
 * Errors: IPCX_E_REMOTE, IPCX_E_PEER_DEAD and IPCX_E_CLOSED, as ipcx_client says; IPCX_E_TIMEDOUT; IPCX_E_INTR (no server had
 * taken the request, and it is withdrawn); IPCX_E_AGAIN (`timeout_ns` is IPCX_NOWAIT, with which no reply can come; or as many
 * requests are open as can be, whose replies are to be received first), IPCX_E_TOO_BIG (also a request of more than
 * the service's max_request: nothing was sent, and `*reply_len` is not written), IPCX_E_FORKED, IPCX_E_CORRUPT,
 * IPCX_E_INVALID.
 */
int ipcx_client_call(ipcx_client *client,
                     const void *req,
                     size_t len,
                     void *reply,
                     size_t cap,
                     size_t *reply_len,
                     int64_t timeout_ns);

/**
 * Sends a request of `len` bytes at `req`, whose reply ipcx_client_recv() will receive, and gives its number in `*id`.
 *
 * A client may have as many requests open as the service's depth says. It waits, up to `timeout_ns`, only for one that was
 * given up to make room. The time is for this call: the request itself has no end.
 *
 * One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
 * inside a call on this client.
 * Ownership: `req` stays yours, and may be NULL if `len` is 0.
 * Errors: IPCX_E_AGAIN (also with a timeout, where all that can be open are, and their replies are to be received first),
 * IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG (more than the service's max_request), IPCX_E_FORKED, IPCX_E_INVALID. Nothing
 * was sent then.
 */
int ipcx_client_send(ipcx_client *client,
                     const void *req,
                     size_t len,
                     uint64_t *id,
                     int64_t timeout_ns);

/**
 * Receives a reply, of whichever request that was sent has one: the request's number in `*id`, the reply in `reply`, which has
 * `cap` bytes, its length in `*len`. Waits for one up to `timeout_ns`.
 *
 * With IPCX_E_REMOTE, IPCX_E_PEER_DEAD, IPCX_E_CLOSED and IPCX_E_CORRUPT a request has ended without a reply, and `*id` says
 * which; it is 0 with other errors. With IPCX_E_REMOTE, `reply` and `*len` have the text, as in ipcx_client_call(). With IPCX_E_TOO_BIG,
 * `*id` and `*len` say which reply it is and how long, and it stays, and is the next to be received.
 *
 * One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
 * inside a call on this client, or a server may refuse a request.
 * Ownership: `reply` stays yours, and may be NULL if `cap` is 0.
 * Errors: IPCX_E_REMOTE, IPCX_E_PEER_DEAD and IPCX_E_CLOSED, as ipcx_client says; IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR,
 * IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also where it would wait and no request is open).
 */
int ipcx_client_recv(ipcx_client *client,
                     uint64_t *id,
                     void *reply,
                     size_t cap,
                     size_t *len,
                     int64_t timeout_ns);

/**
 * Gives up on a request that was sent: it is withdrawn if no server has taken it, and otherwise its reply will be dropped.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_client_send().
 * Errors: IPCX_E_INVALID (no request with this number is open), IPCX_E_FORKED.
 */
int ipcx_client_forget(ipcx_client *client,
                       uint64_t id);

/**
 * The descriptor that ipcx_poll_fd() gives of a client, readable (POLLIN) while ipcx_client_recv() has something
 * to say: a reply, or that a request ended without one; or a negative code.
 *
 * Ownership: it stays ipcx's and lives as long as the client; do not read it, do not close it.
 * One thread at a time. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_client_poll_fd(ipcx_client *client);

/**
 * Closes the client in good order. NULL is allowed. Its requests that no server has taken are not carried out any more, and
 * the replies to the others are dropped.
 *
 * One thread at a time. Does not block. Not async-signal-safe.
 */
void ipcx_client_close(ipcx_client *client);

/* ---- Server: answering ------------------------------------------------------------------------------- */

/**
 * Takes the next request and copies it to `buf`, which has `cap` bytes; its length is in `*len`, and its number, by which it is
 * answered, in `*id`. Waits for one up to `timeout_ns`.
 *
 * From then on the request is this server's: nobody else carries it out, and if the process dies its client is told so. Each
 * client has its turn; of one client's requests the first comes first. Those whose client waits no longer are left out. If the
 * request does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays, for this server or another; a buffer of
 * the service's max_request bytes has room for any.
 *
 * One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
 * inside a call on this server.
 * Ownership: `buf` stays yours, and may be NULL if `cap` is 0.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG, IPCX_E_CORRUPT (a request that ipcx does not write, which
 * is left out), IPCX_E_FORKED, IPCX_E_INVALID.
 */
int ipcx_server_recv(ipcx_server *server,
                     uint64_t *id,
                     void *buf,
                     size_t cap,
                     size_t *len,
                     int64_t timeout_ns);

/**
 * Answers a request that this server has with `len` bytes at `data`. It never waits: the room for the reply is there since the
 * request is.
 *
 * Once this has returned IPCX_OK the reply outlives this process.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_server_recv().
 * Ownership: `data` stays yours, and may be NULL if `len` is 0.
 * Errors: IPCX_E_INVALID (it has no request with this number: it was answered, or is another server's), IPCX_E_TOO_BIG (more
 * than the service's max_reply: the request stays, to be answered otherwise), IPCX_E_FORKED.
 */
int ipcx_server_reply(ipcx_server *server,
                      uint64_t id,
                      const void *data,
                      size_t len);

/**
 * Refuses a request that this server has: its client gets IPCX_E_REMOTE and the text of `len` bytes at `message`, cut to
 * the service's max_reply.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_server_recv().
 * Ownership: `message` stays yours, and may be NULL if `len` is 0.
 * Errors: IPCX_E_INVALID (as ipcx_server_reply()), IPCX_E_FORKED.
 */
int ipcx_server_refuse(ipcx_server *server,
                       uint64_t id,
                       const void *message,
                       size_t len);

/**
 * How long the client of a request that this server has will wait for its reply, in nanoseconds, in `*ns`: 0 if it waits no
 * longer, IPCX_FOREVER if it gave no timeout. Work that takes longer need not begin.
 *
 * One thread at a time. Does not block. Async-signal-safe as ipcx_server_recv().
 * Errors: IPCX_E_INVALID (as ipcx_server_reply()), IPCX_E_FORKED.
 */
int ipcx_server_remaining(ipcx_server *server,
                          uint64_t id,
                          int64_t *ns);

/**
 * The descriptor that ipcx_poll_fd() gives of a server, readable (POLLIN) while there is a request; or a negative
 * code.
 *
 * Ownership: it stays ipcx's and lives as long as the server; do not read it, do not close it.
 * One thread at a time. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_server_poll_fd(ipcx_server *server);

/**
 * Closes the server in good order. NULL is allowed. Requests that it has and did not answer are refused; those that no server has
 * taken stay for the others, and where there is none their clients get IPCX_E_CLOSED.
 *
 * One thread at a time. Does not block. Not async-signal-safe.
 */
void ipcx_server_close(ipcx_server *server);

/* ---- Work queue: messages with priorities, acknowledged ---------------------------------------------- */

/**
 * Creates a queue that must be new, and gives a handle on it in `*queue`.
 *
 * `opts` may be NULL. The queue appears under its name complete or not at all. Its memory is taken now, so that
 * using it never fails for lack of memory.
 *
 * Ownership: the handle is yours; give it back with ipcx_queue_close(), which does not remove the name.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
 * IPCX_E_INVALID (name, options), IPCX_E_OS.
 */
int ipcx_queue_create(const char *name,
                      const ipcx_queue_options *opts,
                      ipcx_queue **queue);

/**
 * Attaches to a queue, or creates it if there is none, and gives a handle on it in `*queue`.
 *
 * `opts` may be NULL. If the queue exists, max_message, depth, max_deliveries, sync, the number of participants and
 * the schema must be those of the options where these give any (a schema, where both have one); mode, group and wait
 * are for a new one.
 * With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
 *
 * Ownership: the handle is yours; give it back with ipcx_queue_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_queue_create() less IPCX_E_EXISTS, and those of ipcx_queue_attach();
 * IPCX_E_MISMATCH also for other options.
 */
int ipcx_queue_open(const char *name,
                    const ipcx_queue_options *opts,
                    ipcx_queue **queue);

/**
 * Attaches to a queue that must exist, and gives a handle on it in `*queue`.
 *
 * Ownership: the handle is yours; give it back with ipcx_queue_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
 * IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
 */
int ipcx_queue_attach(const char *name, ipcx_queue **queue);

/**
 * Creates a queue without a name, in a memfd sealed against resizing, and gives a handle on it in `*queue`.
 *
 * Hand ipcx_queue_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
 * ipcx_queue_from_fd(). The options' directory, mode and group mean nothing here.
 *
 * Ownership: the handle is yours; give it back with ipcx_queue_close(). The memory goes with the last
 * descriptor and handle.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
 */
int ipcx_queue_anonymous(const ipcx_queue_options *opts, ipcx_queue **queue);

/**
 * Attaches to the queue behind a descriptor, and gives a handle on it in `*queue`.
 *
 * Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
 * ipcx_queue_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: those of ipcx_queue_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
 */
int ipcx_queue_from_fd(int fd, ipcx_queue **queue);

/**
 * A new descriptor of the queue to hand to another process; or a negative code.
 *
 * It is closed on exec until you say otherwise. It keeps the memory, but nothing that was taken, and no
 * participant's slot.
 *
 * Ownership: the descriptor is yours; close it with close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_queue_share_fd(ipcx_queue *queue);

/**
 * Pushes a copy of `len` bytes as one message of a priority, 0 to 31; waits for room up to `timeout_ns`.
 *
 * The message of the highest priority is taken first, and of these the one that was pushed first. Once this returned
 * IPCX_OK, the message is there, whatever becomes of this process.
 *
 * Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
 * inside a call on this handle.
 * Ownership: `data` stays yours. It may be NULL if `len` is 0.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG (longer than max_message), IPCX_E_FORKED,
 * IPCX_E_CORRUPT, IPCX_E_INVALID (also another priority): nothing is pushed. IPCX_E_OS, if the queue has `sync` and
 * the disk failed: it may have been pushed.
 */
int ipcx_queue_push(ipcx_queue *queue,
                    const void *data,
                    size_t len,
                    unsigned int priority,
                    int64_t timeout_ns);

/**
 * Copies the next message to `buf`, which has `cap` bytes, and it is gone; its length is in `*len`, and its priority
 * in `*priority`, which may be NULL. Waits for one up to `timeout_ns`.
 *
 * If it does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays: call again with a larger buffer.
 *
 * A process killed inside the call may have removed the message without having done anything with it. Where each
 * must be dealt with, call ipcx_queue_take(), and ipcx_queue_ack() when that is done.
 *
 * Thread-safe. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_queue_push().
 * Ownership: `buf` stays yours. `buf` may be NULL if `cap` is 0.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID;
 * IPCX_E_OS as ipcx_queue_ack().
 */
int ipcx_queue_pop(ipcx_queue *queue,
                   void *buf,
                   size_t cap,
                   size_t *len,
                   unsigned int *priority,
                   int64_t timeout_ns);

/**
 * Copies the next message to `buf`, which has `cap` bytes, and takes it: from now on this handle has it, and nobody
 * else gets it. Its length is in `*len`, its priority in `*priority`, which may be NULL, and what names it in
 * `*ticket`, never 0. Waits for one up to `timeout_ns`.
 *
 * When you are done with it, call ipcx_queue_ack(); to have it taken again, ipcx_queue_return(). If this process
 * dies, or closes the handle, before either, it comes back. If it does not fit, the code is IPCX_E_TOO_BIG, `*len`
 * is its length, and it is not taken: call again with a larger buffer. What dead processes had is found where
 * nothing else is: a call that waits looks for it, one that does not wait at most every 50 ms.
 *
 * Thread-safe. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_queue_push().
 * Ownership: `buf` stays yours, and may be NULL if `cap` is 0. The message is the handle's until it is acknowledged
 * or returned.
 * Errors: those of ipcx_queue_pop() less IPCX_E_OS.
 */
int ipcx_queue_take(ipcx_queue *queue,
                    void *buf,
                    size_t cap,
                    size_t *len,
                    unsigned int *priority,
                    uint64_t *ticket,
                    int64_t timeout_ns);

/**
 * Takes the next dead letter, as ipcx_queue_take() takes a message: the one of the highest priority, and of these
 * the one that was pushed first. Dead letters are the messages that came back after their last delivery (see
 * max_deliveries).
 *
 * ipcx_queue_ack() discards it, and ipcx_queue_return() has it delivered again as if it were new. If this process
 * dies, or closes the handle, before either, it is a dead letter as before.
 *
 * Thread-safe, does not block. Async-signal-safe as ipcx_queue_push().
 * Ownership: as ipcx_queue_take().
 * Errors: IPCX_E_AGAIN (there is none), IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID.
 */
int ipcx_queue_take_dead(ipcx_queue *queue,
                         void *buf,
                         size_t cap,
                         size_t *len,
                         unsigned int *priority,
                         uint64_t *ticket);

/**
 * The message with this ticket is done, and gone. Wakes one who waits for room.
 *
 * Thread-safe, does not block. Async-signal-safe as ipcx_queue_push(), unless it is refused with IPCX_E_INVALID.
 * Errors: IPCX_E_INVALID (also if this handle has not taken it, or has acknowledged or returned it: nothing
 * changes), IPCX_E_FORKED, IPCX_E_CORRUPT. IPCX_E_OS, if the queue has `sync` and the disk failed: it is gone, but a
 * power cut may bring it back.
 */
int ipcx_queue_ack(ipcx_queue *queue,
                   uint64_t ticket);

/**
 * The message with this ticket is not done: it is taken again, before those of its priority that were pushed later;
 * or it becomes a dead letter, if that was its last delivery (see max_deliveries). Wakes one who waits for a
 * message.
 *
 * Thread-safe, does not block. Async-signal-safe as ipcx_queue_ack().
 * Errors: those of ipcx_queue_ack() less IPCX_E_OS.
 */
int ipcx_queue_return(ipcx_queue *queue,
                      uint64_t ticket);

/**
 * How often the message with this ticket was delivered, this time counted, into `*deliveries`: 1 unless it came back
 * before; 255 stands for that many and more.
 *
 * Thread-safe, does not block. Async-signal-safe as ipcx_queue_ack().
 * Errors: IPCX_E_INVALID (also if this handle has not taken it, or has acknowledged or returned it), IPCX_E_FORKED.
 */
int ipcx_queue_deliveries(ipcx_queue *queue,
                          uint64_t ticket,
                          unsigned int *deliveries);

/**
 * Figures of the queue into `*stats`, as of now: how many messages there are to take, taken, and dead, and for how
 * many more there is room. Takes time in proportion to the depth.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID (also if `stats` does not begin as IPCX_STATS_INIT), IPCX_E_OS.
 */
int ipcx_queue_stats(ipcx_queue *queue,
                     ipcx_stats *stats);

/**
 * The descriptor that ipcx_poll_fd() gives of a queue, readable (POLLIN) while there is a message to take; or a
 * negative code.
 *
 * Ownership: it stays ipcx's and lives as long as the queue; do not read it, do not close it.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_queue_poll_fd(ipcx_queue *queue);

/**
 * Gives a handle on a queue back; what it has taken comes back. NULL is allowed. The name stays, and the messages (see
 * ipcx_unlink()).
 *
 * Not while another thread uses the handle. Does not block. Not async-signal-safe.
 */
void ipcx_queue_close(ipcx_queue *queue);

/* ---- Waiting: for one of several, by descriptor, by signal ------------------------------------------- */

/**
 * Waits up to `timeout_ns` until at least one of `n` things is ready. Sets each one's `ready` to 1 or 0, and `*ready` to
 * the number of those that are.
 *
 * Ready is what a call with IPCX_NOWAIT would not answer with IPCX_E_AGAIN; so also an endpoint whose peer closed or
 * died, and the call then says so. Nothing is received or acquired by waiting: where others may be faster, try with
 * IPCX_NOWAIT. Kinds may be mixed. A pool, semaphore, buffer or queue may be given several times, any other once.
 *
 * It costs one system call to sleep on up to 128 things. On a kernel before Linux 5.16, and for more of them, their
 * descriptors are polled, for each of which a thread is started the first time, as by ipcx_poll_fd().
 *
 * Blocks up to `timeout_ns`. In the thread that the endpoints belong to; otherwise thread-safe. Not
 * async-signal-safe.
 * Ownership: `items` stay yours; `ready` in them is written only on success.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_INVALID (also if `n` is 0, for a kind that is none, for a
 * handle of another kind, and for an endpoint that is given twice), IPCX_E_FORKED, IPCX_E_OS.
 */
int ipcx_wait_any(ipcx_waitable *items,
                  size_t n,
                  int64_t timeout_ns,
                  size_t *ready);

/**
 * A descriptor for poll(), select() and epoll that is ready while what IPCX_WAIT_FOR_* says of the `kind` is so; or a
 * negative code. `*events`, which may be NULL, gets what to poll it for: POLLIN, but POLLOUT with some transports that
 * send.
 *
 * It is level-triggered: do not read or write it. Once it is ready, call with IPCX_NOWAIT until IPCX_E_AGAIN, which
 * arms it again; of a buffer, read the value: it is ready while the version is another than this handle last gave, by
 * ipcx_buffer_read() or ipcx_buffer_wait(). Where others were faster, the first call may give IPCX_E_AGAIN. The first
 * call starts a thread that waits on the handle's behalf.
 *
 * A pipe, FIFO, socket or message queue is its own descriptor, without a thread. Then of a long message only a part may
 * be there, or room for a short one only. What a receiving end keeps itself does not show: after IPCX_E_TOO_BIG, and
 * while the descriptor is ready, receive again, until IPCX_E_AGAIN.
 *
 * Ownership: it stays ipcx's and lives as long as the handle (of a FIFO or socket that sends, until a call says that
 * the receiver went); do not close it.
 * Endpoints and transports in one thread at a time; otherwise thread-safe. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_INVALID (also for a kind that is none, and for a handle of another kind), IPCX_E_FORKED, IPCX_E_OS;
 * of transports IPCX_E_AGAIN (the sending end of a FIFO or socket: there is no receiver yet), and those of the first use
 * of a ring's or buffer's end.
 */
int ipcx_poll_fd(uint32_t kind,
                 void *object,
                 int16_t *events);

/**
 * Queues the real-time signal `signo` to this process each time what IPCX_WAIT_FOR_* says of the `kind` becomes so, as
 * with ipcx_poll_fd(), and once now if it is so; 0 ends that.
 *
 * Call with IPCX_NOWAIT until IPCX_E_AGAIN, or read the buffer: only then is the next signal queued. See "Signals" above.
 *
 * Of transports, receiving ends of rings, buffers and message queues only. Of a message queue it is the kernel's own
 * notification (mq_notify()): one process of each queue gets it, si_value.sival_int is the number of ipcx_poll_fd(), and
 * it ends when the process closes another descriptor of the same queue. A signal may come although the message has been
 * received already.
 *
 * Endpoints and transports in one thread at a time; otherwise thread-safe. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_INVALID (also for what is no real-time signal, for a kind that is none, for a handle of another kind, and
 * of other transports), IPCX_E_FORKED, IPCX_E_OS; of a message queue IPCX_E_BUSY (another process is told of its messages;
 * receiving may find this too, when there is nothing to receive) and IPCX_E_NO_SPACE (the queue of signals is full).
 */
int ipcx_signal(uint32_t kind,
                void *object,
                int signo);

/* ---- Which segments there are ------------------------------------------------------------------------ */

/**
 * Calls `function` with each segment of a directory, by name; NULL means the default directory.
 *
 * Looking changes nothing and takes nothing, and nobody is stopped for it. What cannot be read is shown with a reason.
 * Segments without a name, and the files of FIFOs and sockets, are not shown. All has been read when the first call is
 * made: the function may do as it likes, also unlink what it is shown. It must return (no longjmp(), no C++ exception).
 *
 * Gives IPCX_OK when all were shown, or what the function gave if that was not 0, or an error.
 *
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND (no such directory), IPCX_E_PERMISSION, IPCX_E_INVALID (no function), IPCX_E_OS.
 */
int ipcx_list(const char *directory,
              ipcx_list_function function,
              void *context);

/* ---- Transport: opening, handing over, closing ------------------------------------------------------- */

/**
 * Opens one end of a transport under a name, and gives it in `*transport`. `word` says what carries the messages:
 * "fifo", "mqueue", "unix", "ring" or "buffer" ("Transports" above says what each is); `direction` is IPCX_SEND or
 * IPCX_RECV.
 *
 * `opts` may be NULL. Either end may be opened first; this does not wait for the other. What a ring, buffer or queue is
 * sent before there is a receiver waits for it there. A FIFO and a socket are the receiver's, which makes anew what one
 * left that closed or died: until there is a receiver, sending waits, or says IPCX_E_AGAIN, and again after one that
 * went (which is first told by IPCX_E_CLOSED).
 *
 * Ownership: the end is yours; give it back with ipcx_transport_close(), which does not remove the name.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_BUSY (a living process has this end; not of a queue or buffer, which any number may open),
 * IPCX_E_MISMATCH (something else has the name, or it has other options), IPCX_E_INVALID (no such word; a pipe, which
 * has no name; name, direction, options), IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory), IPCX_E_NO_SPACE,
 * IPCX_E_EXISTS (others unlink it all the time), IPCX_E_OS.
 */
int ipcx_transport_open(const char *word,
                        const char *name,
                        uint32_t direction,
                        const ipcx_transport_options *opts,
                        ipcx_transport **transport);

/**
 * Makes both ends of a transport without a name, for threads, for a child made by fork() (each process closes the end
 * that it does not use), or to be handed over with ipcx_transport_into_fd(): "pipe", "mqueue", "unix", "ring" or
 * "buffer".
 *
 * `opts` may be NULL. An end of a ring takes its role at the first call that uses it, in whichever process that is.
 *
 * Ownership: both ends are yours; give them back with ipcx_transport_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_INVALID (no such word; a FIFO, which has a name; options), IPCX_E_NO_SPACE, IPCX_E_OS.
 */
int ipcx_transport_pair(const char *word,
                        const ipcx_transport_options *opts,
                        ipcx_transport **sender,
                        ipcx_transport **receiver);

/**
 * Makes an end again of a descriptor that ipcx_transport_into_fd() gave, in this process or another, and gives it in
 * `*transport`. Word and direction must be those of that end.
 *
 * Ownership: on success the descriptor is the end's (as with fdopen()); on failure it stays yours. The end is yours;
 * give it back with ipcx_transport_close().
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_INVALID (no such word or direction; a FIFO, which is opened by its name; a descriptor of something
 * else), IPCX_E_PERMISSION, IPCX_E_OS. What is wrong with a ring's or buffer's is said by the first call that uses it.
 */
int ipcx_transport_from_fd(const char *word,
                           uint32_t direction,
                           int fd,
                           ipcx_transport **transport);

/**
 * The descriptor of an end without a name, to hand to another process, which makes it an end again with
 * ipcx_transport_from_fd(); or a negative code. This process does not have the end any more: it is closed by this call,
 * also if that fails.
 *
 * It is closed on exec until you say otherwise. Hand it over by inheritance, or with ipcx_transport_send_fd().
 *
 * Ownership: the descriptor is yours; close it with close().
 * One thread at a time. Does not block. Not async-signal-safe.
 * Errors: IPCX_E_INVALID (it has a name, and is no queue's: the other process opens that; or it keeps a message, or a part
 * of one).
 */
int ipcx_transport_into_fd(ipcx_transport *transport);

/**
 * Closes an end. NULL is allowed. The other end learns it, where its transport tells; what a name keeps, it keeps.
 *
 * What was sent and not received is lost with the last end of a pipe, and with the receiver of a FIFO or socket.
 *
 * One thread at a time. Does not block. Not async-signal-safe.
 */
void ipcx_transport_close(ipcx_transport *transport);

/* ---- Transport: sending and receiving ---------------------------------------------------------------- */

/**
 * Sends a copy of `len` bytes as one message; waits for room, and of a FIFO or socket for a receiver, up to
 * `timeout_ns`. A message queue gives it before every message of a lower `priority`, 0 to 32767; all others keep the
 * order, and take 0.
 *
 * Messages of up to 4092 bytes go into a pipe or FIFO all at once or not at all. Of a longer one a part may be there
 * when the call ends with IPCX_E_AGAIN, IPCX_E_TIMEDOUT or IPCX_E_INTR: it is then remembered. Sending the same bytes
 * again goes on with that message, so that a call that is repeated sends it once; sending others finishes it first. If
 * the end is closed instead, the receiver gets IPCX_E_PEER_DEAD.
 *
 * No transport raises SIGPIPE, whatever the process does with that signal.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Ownership: `data` stays yours. It may be NULL if `len` is 0.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_CLOSED, of a ring IPCX_E_PEER_DEAD too (the receiver went),
 * IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_INVALID (also of a receiving end, and for another priority), IPCX_E_OS; those of
 * opening, where connecting to a receiver meets them.
 */
int ipcx_transport_send(ipcx_transport *transport,
                        const void *data,
                        size_t len,
                        unsigned int priority,
                        int64_t timeout_ns);

/**
 * Copies the next message to `buf`, which has `cap` bytes, and says its length in `*len`, and its priority, which is 0
 * but from a message queue, in `*priority`, which may be NULL. Waits for it up to `timeout_ns`.
 *
 * If it does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays: call again with a larger buffer.
 * If the call ends in the middle of a message, what came of it is kept, and the next call goes on. A buffer gives the
 * newest message, once; ones before it may have been overwritten unseen.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Ownership: `buf` stays yours. It may be NULL if `cap` is 0.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG, IPCX_E_CLOSED (the sender went and nothing is
 * left), IPCX_E_PEER_DEAD (it went in the middle of a message, or of a ring, died; both end when a successor is there),
 * IPCX_E_MISMATCH (it is a descriptor, for ipcx_transport_recv_fd(): it stays), IPCX_E_FORKED, IPCX_E_CORRUPT,
 * IPCX_E_INVALID (also of a sending end), IPCX_E_OS. A message queue or buffer does not tell of its sender: give a timeout.
 */
int ipcx_transport_recv(ipcx_transport *transport,
                        void *buf,
                        size_t cap,
                        size_t *len,
                        unsigned int *priority,
                        int64_t timeout_ns);

/**
 * Sends a descriptor as one message, for ipcx_transport_recv_fd(): of an anonymous segment (ipcx_ring_share_fd()), or
 * any. Unix sockets only.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Ownership: the descriptor stays yours, and open here.
 * Errors: those of ipcx_transport_send() less IPCX_E_TOO_BIG; IPCX_E_INVALID also through anything else.
 */
int ipcx_transport_send_fd(ipcx_transport *transport,
                           int fd,
                           int64_t timeout_ns);

/**
 * Receives a descriptor, or gives a negative code; waits for it up to `timeout_ns`. Unix sockets only.
 *
 * It is closed on exec until you say otherwise.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Ownership: the descriptor is yours; close it with close().
 * Errors: those of ipcx_transport_recv() less IPCX_E_TOO_BIG; IPCX_E_MISMATCH (the next message is bytes: it stays),
 * IPCX_E_INVALID also from anything else, IPCX_E_CORRUPT also if it was lost because there are too many open files.
 */
int ipcx_transport_recv_fd(ipcx_transport *transport,
                           int64_t timeout_ns);

/**
 * Sends up to `len` bytes of a file from `offset` on as one message, and says in `*sent` how many: fewer at the end of
 * the file. At the end, `*sent` is 0 and there is no message. The file's own offset stays as it is.
 *
 * A pipe or FIFO gets the pages of the file themselves, without a copy (splice()): what is written to the file before
 * the message is received may be in it. A ring gets them with one read. Where the call ends in the middle of a message,
 * as ipcx_transport_send() describes, the same descriptor, offset and length mean the same message.
 *
 * One thread at a time. Blocks up to `timeout_ns`; reading a file on disk may take as long as it takes. Not
 * async-signal-safe.
 * Ownership: the descriptor stays yours.
 * Errors: those of ipcx_transport_send(); IPCX_E_INVALID also if it is no regular file; IPCX_E_CORRUPT if the file was
 * shortened meanwhile: a message that was begun cannot be finished then, and the receiver gets IPCX_E_PEER_DEAD.
 */
int ipcx_transport_send_file(ipcx_transport *transport,
                             int fd,
                             uint64_t offset,
                             size_t len,
                             int64_t timeout_ns,
                             size_t *sent);

/* ---- Child process: its input and output ------------------------------------------------------------- */

/**
 * Starts a program with pipes as its standard input and output, and gives a handle in `*child`: what popen() does,
 * in both directions, without a shell that would read the words again.
 *
 * `argv` is as for execvp(): the program, which is looked for in $PATH unless there is a '/' in it, its arguments, and
 * NULL. Its standard error and its environment are this process's; no signal is blocked, and SIGPIPE does what it does
 * by default. `*pid`, which may be NULL, gets its process id: good for kill() until ipcx_child_close().
 *
 * Ownership: the handle is yours; give it back with ipcx_child_close(). `argv` stays yours.
 * Thread-safe, does not block. Not async-signal-safe.
 * Errors: IPCX_E_NOT_FOUND (no such program), IPCX_E_PERMISSION, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_child_start(const char *const *argv,
                     int32_t *pid,
                     ipcx_child **child);

/**
 * Writes some of `len` bytes for the child to read, and says in `*written` how many: at least one. Waits for room up to
 * `timeout_ns`. With `data` NULL, ends the child's input instead: its next read finds the end.
 *
 * While it waits, it keeps what the child writes, for ipcx_child_read(): so a child that waits for that to be read does
 * not wait for ever. It raises no SIGPIPE.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Ownership: `data` stays yours.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_CLOSED (the child reads no more, or its input was ended),
 * IPCX_E_NO_SPACE (it does not read while 64 MiB that it wrote are kept: read them), IPCX_E_INVALID, IPCX_E_OS. Nothing was
 * written then.
 */
int ipcx_child_write(ipcx_child *child,
                     const void *data,
                     size_t len,
                     int64_t timeout_ns,
                     size_t *written);

/**
 * Reads some of what the child writes to `buf`, which has `cap` bytes, and says in `*len` how many: 0 at the end. Waits
 * for it up to `timeout_ns`.
 *
 * A program that reads to the end before it writes, as sort does, needs its input ended first.
 *
 * One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
 * Ownership: `buf` stays yours.
 * Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_INVALID, IPCX_E_OS.
 */
int ipcx_child_read(ipcx_child *child,
                    void *buf,
                    size_t cap,
                    size_t *len,
                    int64_t timeout_ns);

/**
 * Closes both pipes, waits until the child has ended, and says in `*status`, which may be NULL, how: as waitpid() does,
 * for WIFEXITED() and WEXITSTATUS(). As pclose().
 *
 * It waits as long as that takes. Who does not want to wait for a child that does not end kills it first, by the pid
 * that ipcx_child_start() gave.
 *
 * Ownership: the handle is gone, also after an error.
 * One thread at a time. Blocks. Not async-signal-safe.
 * Errors: IPCX_E_INVALID; IPCX_E_OS (errno ECHILD) if how it ended is not known: SIGCHLD is ignored, or something else in
 * this process waited for it.
 */
int ipcx_child_close(ipcx_child *child,
                     int *status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* IPCX_H */

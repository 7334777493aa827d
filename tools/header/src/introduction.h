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

/*
 * The process that is stepped and killed. For each line of its input, `OPERATION NAME`, it forks; the child prepares
 * the operation on the ring NAME, and runs it between two marks. The first mark says which record is next, or -1
 * where the operation begins without a role; the second says what the operation returned.
 *
 * To add an operation: a function, and a line in the table at the end. What it changes is said in ring.rs or segment.rs.
 */
#define _GNU_SOURCE
#include "../peers/stream.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if !defined __x86_64__
#error "the tracer knows the marks and the steps of x86-64 only"
#endif

enum { BATCH = 3, LARGEST = 1000, SEED = 11 };
#define A_MILLISECOND INT64_C(1000000)
static const int64_t TO_SLEEP = 100 * A_MILLISECOND; /* more than stepping to the sleep takes, and two slices */

/* Stops for the tracer, which finds `code` in rax. One place for all marks: the tracer knows it by its address. */
__attribute__((noinline)) static void mark(long code)
{
    __asm__ volatile("int3" : "+a"(code) : : "memory");
}

static const char *name;
static ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
static ipcx_ring *ring;
static ipcx_producer *tx;
static ipcx_consumer *rx;
static unsigned char records[BATCH][LARGEST], room[BATCH * LARGEST];
static struct iovec batch[BATCH];
static int pipes[2];
static ipcx_pool *pool;
static ipcx_block blocks[64];
static size_t held; /* of these blocks */
static int64_t next = -1; /* record that the role held is at */

/* ---- Before the first mark ---- */

static void attach(void)
{
    must(ipcx_ring_attach(name, &ring));
}

/* Position of the next record. */
static uint64_t sent_bytes(void)
{
    ipcx_stats stats = IPCX_STATS_INIT;

    must(ipcx_ring_stats(ring, &stats));
    return stats.sent_bytes;
}

static void produce(void)
{
    attach();
    must(ipcx_ring_producer(ring, &tx));
    next = (int64_t)number_at(sent_bytes());
    for (uint64_t i = 0; i < BATCH; i++) {
        fill((uint64_t)next + i, records[i]);
        batch[i] = (struct iovec){ records[i], len_of((uint64_t)next + i) };
    }
}

static void consume(void)
{
    attach();
    must(ipcx_ring_consumer(ring, &rx));
    next = (int64_t)number_at(ipcx_consumer_position(rx));
}

static void reserve(void)
{
    void *data;

    produce();
    must(ipcx_producer_reserve(tx, LARGEST, A_MILLISECOND, &data));
    memcpy(data, batch[0].iov_base, batch[0].iov_len);
}

/* With a thread that keeps the descriptor true. */
static void produce_watched(void)
{
    produce();
    must(ipcx_producer_poll_fd(tx));
}

static void consume_watched(void)
{
    consume();
    must(ipcx_consumer_poll_fd(rx));
}

static void produce_from_pipe(void)
{
    produce();
    if (pipe(pipes) != 0 || write(pipes[1], batch[0].iov_base, batch[0].iov_len) < 0)
        fail("no pipe");
}

static void borrow(void)
{
    const void *data;
    size_t len;

    consume();
    must(ipcx_consumer_borrow(rx, &data, &len, A_MILLISECOND));
}

static void nothing(void)
{
}

static void attach_pool(void)
{
    must(ipcx_pool_attach(name, &pool));
}

static void hold(size_t count)
{
    while (held < count)
        must(ipcx_pool_acquire(pool, 0, &blocks[held++]));
}

static void drop_to(size_t count)
{
    while (held > count)
        must(ipcx_pool_release(pool, &blocks[--held]));
}

static void hold_one(void)
{
    attach_pool();
    hold(1);
}

static void hold_some(void)
{
    attach_pool();
    hold(8);
}

/* The next acquire takes what this handle keeps ready. */
static void keep_one_ready(void)
{
    hold_one();
    drop_to(0);
}

/* The next release finds no room among them. */
static void keep_many_ready(void)
{
    attach_pool();
    hold(20);
    drop_to(1);
}

static void number_block(void)
{
    memcpy(blocks[0].data, &next, sizeof next);
}

/* The ring that carries the blocks. */
static void carry(void)
{
    hold_one();
    must(ipcx_ring_attach("carrier", &ring));
    must(ipcx_ring_producer(ring, &tx));
    next = (int64_t)(sent_bytes() / 40);
    number_block();
}

static void carry_again(void)
{
    carry();
    must(ipcx_producer_send_block(tx, pool, &blocks[0], 8, 0));
    must(ipcx_pool_acquire(pool, 0, &blocks[0]));
    next++;
    number_block();
}

static void fetch(void)
{
    attach_pool();
    must(ipcx_ring_attach("carrier", &ring));
    must(ipcx_ring_consumer(ring, &rx));
    next = (int64_t)(ipcx_consumer_position(rx) / 40);
}

static void fetch_again(void)
{
    size_t len;

    fetch();
    must(ipcx_consumer_recv_block(rx, pool, &blocks[0], &len, 0));
    must(ipcx_pool_release(pool, &blocks[0]));
    next++;
}

/* From here on the kernel refuses unnamed files, as file systems without O_TMPFILE do. */
static void without_unnamed_files(void)
{
    const size_t flags = offsetof(struct seccomp_data, args[2]);
    struct sock_filter refusal[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, O_TMPFILE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, O_TMPFILE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof refusal / sizeof *refusal, refusal };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        fail("no seccomp filter");
}

/* ---- Segment ---- */

static int create(void)
{
    return ipcx_ring_create(name, &options, &ring);
}

static int open_ring(void)
{
    return ipcx_ring_open(name, &options, &ring);
}

static int anonymous(void)
{
    return ipcx_ring_anonymous(&options, &ring);
}

static int attach_ring(void)
{
    ipcx_ring_options existing = options;

    existing.flags = IPCX_OPT_MUST_EXIST;
    return ipcx_ring_open(name, &existing, &ring);
}

static int close_ring(void)
{
    ipcx_ring_close(ring);
    return 0;
}

static int unlink_ring(void)
{
    return ipcx_unlink(name);
}

static int share(void)
{
    int code = ring ? 0 : ipcx_ring_attach(name, &ring), fd;

    if (code < 0)
        return code;
    if ((fd = ipcx_ring_share_fd(ring)) < 0)
        return fd;
    ipcx_ring_close(ring);
    ring = NULL;
    code = ipcx_ring_from_fd(fd, &ring);
    close(fd);
    return code;
}

static int stats(void)
{
    ipcx_stats figures = IPCX_STATS_INIT;

    return ipcx_ring_stats(ring, &figures);
}

/* ---- Producer ---- */

static int take_producer(void)
{
    int code = ipcx_ring_attach(name, &ring);

    if (code == 0 && (code = ipcx_ring_producer(ring, &tx)) < 0)
        ipcx_ring_close(ring);
    return code;
}

static int close_producer(void)
{
    ipcx_producer_close(tx);
    return 0;
}

static int try_send(void)
{
    return ipcx_producer_send(tx, batch[0].iov_base, batch[0].iov_len, 0);
}

static int send_wait(void)
{
    return ipcx_producer_send(tx, batch[0].iov_base, batch[0].iov_len, A_MILLISECOND);
}

static int send_asleep(void)
{
    return ipcx_producer_send(tx, batch[0].iov_base, batch[0].iov_len, TO_SLEEP);
}

static int send_many(void)
{
    size_t sent = 0;
    int code = ipcx_producer_send_many(tx, batch, BATCH, 0, &sent);

    return code < 0 ? code : (int)sent;
}

static int commit(void)
{
    return ipcx_producer_commit(tx, batch[0].iov_len);
}

static int abort_reservation(void)
{
    return ipcx_producer_abort(tx);
}

static int reserve_only(void)
{
    void *data;

    return ipcx_producer_reserve(tx, LARGEST, 0, &data);
}

static int send_file(void)
{
    size_t sent;

    return ipcx_producer_send_file(tx, pipes[0], batch[0].iov_len, 0, &sent);
}

static int producer_poll_fd(void)
{
    return ipcx_producer_poll_fd(tx);
}

/* ---- Consumer ---- */

static int take_consumer(void)
{
    int code = ipcx_ring_attach(name, &ring);

    if (code == 0 && (code = ipcx_ring_consumer(ring, &rx)) < 0)
        ipcx_ring_close(ring);
    return code;
}

static int close_consumer(void)
{
    ipcx_consumer_close(rx);
    return 0;
}

static int try_recv(void)
{
    size_t len;

    return ipcx_consumer_recv(rx, room, sizeof room, &len, 0);
}

static int recv_wait(void)
{
    size_t len;

    return ipcx_consumer_recv(rx, room, sizeof room, &len, A_MILLISECOND);
}

static int recv_asleep(void)
{
    size_t len;

    return ipcx_consumer_recv(rx, room, sizeof room, &len, TO_SLEEP);
}

static int recv_many(void)
{
    size_t lens[BATCH], received = 0;
    int code = ipcx_consumer_recv_many(rx, room, sizeof room, lens, BATCH, &received, 0);

    return code < 0 ? code : (int)received;
}

static int borrow_only(void)
{
    const void *data;
    size_t len;

    return ipcx_consumer_borrow(rx, &data, &len, 0);
}

static int release(void)
{
    return ipcx_consumer_release(rx);
}

static int give_back(void)
{
    return ipcx_consumer_return(rx);
}

static int consumer_poll_fd(void)
{
    return ipcx_consumer_poll_fd(rx);
}

/* ---- Pool ---- */

/* The key is the tracer's: pool.rs knows it by the same rule. */
static int create_by_key(void)
{
    ipcx_pool_options by_key = IPCX_POOL_OPTIONS_INIT;

    by_key.block_size = 64;
    by_key.blocks = 4;
    by_key.max_participants = 4;
    by_key.backing = IPCX_BACKING_SYSTEM_V;
    by_key.key = atoi(getenv("IPCX_TEST_KEY"));
    return ipcx_pool_create(name, &by_key, &pool);
}

static int create_pool(void)
{
    ipcx_pool_options plain = IPCX_POOL_OPTIONS_INIT;

    plain.block_size = 64;
    plain.blocks = 4;
    plain.max_participants = 4;
    return ipcx_pool_create(name, &plain, &pool);
}

static int open_pool(void)
{
    return ipcx_pool_attach(name, &pool);
}

static int close_pool(void)
{
    ipcx_pool_close(pool);
    return 0;
}

static int acquire(void)
{
    return ipcx_pool_acquire(pool, 0, &blocks[held]);
}

static int acquire_asleep(void)
{
    return ipcx_pool_acquire(pool, TO_SLEEP, &blocks[held]);
}

static int release_block(void)
{
    return ipcx_pool_release(pool, &blocks[held - 1]);
}

/* As whoever finds the dead does it: attaches, and gives back what they had. */
static int recover(void)
{
    size_t found;
    int code = ipcx_pool_attach(name, &pool);

    if (code == 0 && (code = ipcx_pool_recover(pool, &found)) < 0)
        ipcx_pool_close(pool);
    return code;
}

static int pool_stats(void)
{
    ipcx_stats figures = IPCX_STATS_INIT;

    return ipcx_pool_stats(pool, &figures);
}

static int send_block(void)
{
    return ipcx_producer_send_block(tx, pool, &blocks[0], 8, 0);
}

static int recv_block(void)
{
    size_t len;

    return ipcx_consumer_recv_block(rx, pool, &blocks[0], &len, 0);
}

static const struct operation {
    const char *name;
    void (*prepare)(void);
    int (*run)(void);
} operations[] = {
    { "create", nothing, create },
    { "create_by_rename", without_unnamed_files, create },
    { "open", nothing, open_ring },
    { "open_by_rename", without_unnamed_files, open_ring },
    { "anonymous", nothing, anonymous },
    { "attach", nothing, attach_ring },
    { "close", attach, close_ring },
    { "unlink", nothing, unlink_ring },
    { "share", attach, share },
    { "stats", attach, stats },
    { "take_producer", nothing, take_producer },
    { "close_producer", produce, close_producer },
    { "try_send", produce, try_send },
    { "send", produce, send_wait },
    { "send_asleep", produce, send_asleep },
    { "send_many", produce, send_many },
    { "reserve", produce, reserve_only },
    { "commit", reserve, commit },
    { "abort", reserve, abort_reservation },
    { "send_file", produce_from_pipe, send_file },
    { "watched_send", produce_watched, try_send },
    { "producer_poll_fd", produce, producer_poll_fd },
    { "take_consumer", nothing, take_consumer },
    { "close_consumer", consume, close_consumer },
    { "try_recv", consume, try_recv },
    { "recv", consume, recv_wait },
    { "recv_asleep", consume, recv_asleep },
    { "recv_many", consume, recv_many },
    { "borrow", consume, borrow_only },
    { "release", borrow, release },
    { "return", borrow, give_back },
    { "watched_recv", consume_watched, try_recv },
    { "consumer_poll_fd", consume, consumer_poll_fd },
    { "pool_create", nothing, create_pool },
    { "create_by_key", nothing, create_by_key },
    { "unlink_by_key", nothing, unlink_ring },
    { "pool_attach", nothing, open_pool },
    { "pool_close", hold_some, close_pool },
    { "acquire", attach_pool, acquire },
    { "acquire_ready", keep_one_ready, acquire },
    { "acquire_asleep", attach_pool, acquire_asleep },
    { "release_block", hold_one, release_block },
    { "release_freely", keep_many_ready, release_block },
    { "pool_recover", nothing, recover },
    { "pool_stats", attach_pool, pool_stats },
    { "send_block", carry, send_block },
    { "send_block_again", carry_again, send_block },
    { "recv_block", fetch, recv_block },
    { "recv_block_again", fetch_again, recv_block },
};

/* In the child: everything between the marks is what the tracer steps through. */
static void be_the_victim(const char *operation)
{
    const struct operation *found = operations, *end = found + sizeof operations / sizeof *operations;

    while (found < end && strcmp(found->name, operation) != 0)
        found++;
    if (found == end)
        fail("no operation %s", operation);
    options.capacity = 4096;
    options.max_participants = 3;
    found->prepare();
    mark(next);
    for (;;)
        mark(found->run()); /* made again only where it failed */
}

int main(void)
{
    char line[256], operation[64], ring_name[64];

    make_stream(SEED, LARGEST);
    name = ring_name;
    signal(SIGCHLD, SIG_IGN); /* nobody but the tracer waits for the victims */
    setvbuf(stdin, NULL, _IONBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%63s %63s", operation, ring_name) != 2)
            fail("not a command: %s", line);
        switch (fork()) {
        case -1:
            fail("no process");
        case 0:
            be_the_victim(operation);
            _exit(0);
        }
    }
    return 0;
}

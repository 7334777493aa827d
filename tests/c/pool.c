/* Blocks of a pool. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/shm.h>

static ipcx_pool_options sized(uint64_t block_size, uint64_t blocks)
{
    ipcx_pool_options options = IPCX_POOL_OPTIONS_INIT;

    options.block_size = block_size;
    options.blocks = blocks;
    return options;
}

static ipcx_pool *new_pool(uint64_t block_size, uint64_t blocks)
{
    ipcx_pool_options options = sized(block_size, blocks);
    ipcx_pool *pool;

    OK(ipcx_pool_anonymous(&options, &pool));
    return pool;
}

/* The sum is always the number of blocks. */
static void expect_counts(ipcx_pool *pool, uint64_t unused, uint64_t owned, uint64_t in_flight)
{
    ipcx_stats stats = IPCX_STATS_INIT;

    OK(ipcx_pool_stats(pool, &stats));
    CHECK(stats.kind == IPCX_KIND_POOL && stats.blocks == unused + owned + in_flight);
    CHECK(stats.blocks_free == unused && stats.blocks_owned == owned && stats.blocks_in_flight == in_flight);
    CHECK(stats.capacity == stats.blocks * stats.block_size);
    CHECK(stats.used == (owned + in_flight) * stats.block_size);
}

static void a_block_is_acquired_written_and_released(void)
{
    ipcx_pool *pool = new_pool(1000, 2);
    ipcx_block a, b, c;

    OK(ipcx_pool_acquire(pool, IPCX_NOWAIT, &a));
    OK(ipcx_pool_acquire(pool, IPCX_FOREVER, &b));
    CHECK(a.id != 0 && b.id != 0 && a.id != b.id && a.data != b.data);
    CHECK(a.size == 1000 && (uintptr_t)a.data % 64 == 0 && (uintptr_t)b.data % 64 == 0);
    memset(a.data, 1, a.size);
    memset(b.data, 2, b.size);
    CHECK(((char *)a.data)[999] == 1);
    GIVES(IPCX_E_AGAIN, ipcx_pool_acquire(pool, IPCX_NOWAIT, &c));
    GIVES(IPCX_E_TIMEDOUT, ipcx_pool_acquire(pool, 1000000, &c));
    expect_counts(pool, 0, 2, 0);
    OK(ipcx_pool_release(pool, &a));
    CHECK(a.id == 0 && a.data == NULL && a.size == 0);
    expect_counts(pool, 1, 1, 0);
    ipcx_pool_close(pool);
}

static void a_bad_release_is_an_error_and_changes_nothing(void)
{
    ipcx_pool *pool = new_pool(64, 8), *other;
    ipcx_block block, copy, invented = { 5, NULL, 0 };
    int fd = ipcx_pool_share_fd(pool);

    CHECK(fd >= 0);
    OK(ipcx_pool_from_fd(fd, &other));
    close(fd);
    OK(ipcx_pool_acquire(pool, IPCX_NOWAIT, &block));
    copy = block;
    GIVES(IPCX_E_INVALID, ipcx_pool_release(other, &copy));
    SAYS("not this handle's");
    OK(ipcx_pool_release(pool, &block));
    GIVES(IPCX_E_INVALID, ipcx_pool_release(pool, &block));
    GIVES(IPCX_E_INVALID, ipcx_pool_release(pool, &copy));
    OK(ipcx_pool_acquire(pool, IPCX_NOWAIT, &block));
    GIVES(IPCX_E_INVALID, ipcx_pool_release(pool, &copy)); /* the same block, of a generation before */
    GIVES(IPCX_E_INVALID, ipcx_pool_release(pool, &invented));
    GIVES(IPCX_E_INVALID, ipcx_pool_release(pool, NULL));
    GIVES(IPCX_E_INVALID, ipcx_pool_release(NULL, &block));
    CHECK(block.id != 0);
    expect_counts(other, 7, 1, 0);
    ipcx_pool_close(other);
    ipcx_pool_close(pool);
}

static void a_block_goes_through_a_ring(void)
{
    ipcx_pool *pool = new_pool(1000, 4), *stranger = new_pool(1000, 4);
    struct ends ends = new_ends(4096);
    ipcx_block block, got, copy;
    size_t len = 0;
    char bytes[64];

    for (int i = 0; i < 100; i++) {
        OK(ipcx_pool_acquire(pool, IPCX_NOWAIT, &block));
        copy = block;
        memset(block.data, i, 10);
        GIVES(IPCX_E_TOO_BIG, ipcx_producer_send_block(ends.tx, pool, &block, 1001, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_producer_send_block(ends.tx, stranger, &block, 10, IPCX_NOWAIT));
        OK(ipcx_producer_send_block(ends.tx, pool, &block, 10, IPCX_NOWAIT));
        CHECK(block.id == 0);
        GIVES(IPCX_E_INVALID, ipcx_pool_release(pool, &copy));
        GIVES(IPCX_E_INVALID, ipcx_producer_send_block(ends.tx, pool, &copy, 10, IPCX_NOWAIT));
        expect_counts(pool, 3, 0, 1);
        GIVES(IPCX_E_MISMATCH, ipcx_consumer_recv(ends.rx, bytes, sizeof bytes, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_MISMATCH, ipcx_consumer_recv_block(ends.rx, stranger, &got, &len, IPCX_NOWAIT));
        OK(ipcx_consumer_recv_block(ends.rx, pool, &got, &len, IPCX_NOWAIT));
        CHECK(len == 10 && got.id != copy.id && got.data == copy.data && ((char *)got.data)[9] == i);
        OK(ipcx_pool_release(pool, &got));
    }
    GIVES(IPCX_E_AGAIN, ipcx_consumer_recv_block(ends.rx, pool, &got, &len, IPCX_NOWAIT));
    OK(ipcx_producer_send(ends.tx, "bytes", 5, IPCX_NOWAIT));
    GIVES(IPCX_E_MISMATCH, ipcx_consumer_recv_block(ends.rx, pool, &got, &len, IPCX_NOWAIT));
    expect(ends.rx, "bytes", 5);
    close_ends(&ends);
    ipcx_pool_close(stranger);
    ipcx_pool_close(pool);
}

/* Blocks of two pools may have one id: whose a block is, its address tells. */
static void a_block_of_another_pool_is_refused_though_its_id_is_owned(void)
{
    ipcx_pool *mine = new_pool(64, 4), *other = new_pool(64, 4);
    struct ends ends = new_ends(4096);
    ipcx_block a, b, moved;

    OK(ipcx_pool_acquire(mine, IPCX_NOWAIT, &a));
    OK(ipcx_pool_acquire(other, IPCX_NOWAIT, &b));
    CHECK(a.id == b.id && a.data != b.data);
    GIVES(IPCX_E_INVALID, ipcx_pool_release(other, &a));
    SAYS("another pool");
    GIVES(IPCX_E_INVALID, ipcx_producer_send_block(ends.tx, other, &a, 8, IPCX_NOWAIT));
    SAYS("another pool");
    moved = b;
    moved.data = (char *)b.data + 1;
    GIVES(IPCX_E_INVALID, ipcx_pool_release(other, &moved));
    CHECK(a.id == b.id && a.data != NULL && a.size == 64);
    expect_counts(mine, 3, 1, 0);
    expect_counts(other, 3, 1, 0);
    OK(ipcx_pool_release(other, &b));
    OK(ipcx_producer_send_block(ends.tx, mine, &a, 8, IPCX_NOWAIT));
    expect_counts(mine, 3, 0, 1);
    close_ends(&ends);
    ipcx_pool_close(other);
    ipcx_pool_close(mine);
}

static void a_block_of_a_pool_that_was_made_anew_is_skipped(void)
{
    ipcx_pool *old = new_pool(64, 4), *new = new_pool(64, 4);
    struct ends ends = new_ends(4096);
    ipcx_block block;
    const void *data;
    size_t len;

    GIVES(IPCX_E_AGAIN, ipcx_consumer_skip(ends.rx));
    OK(ipcx_pool_acquire(old, IPCX_NOWAIT, &block));
    OK(ipcx_producer_send_block(ends.tx, old, &block, 8, IPCX_NOWAIT));
    OK(ipcx_producer_send(ends.tx, "bytes", 5, IPCX_NOWAIT));
    GIVES(IPCX_E_MISMATCH, ipcx_consumer_recv_block(ends.rx, new, &block, &len, IPCX_NOWAIT));
    OK(ipcx_consumer_skip(ends.rx));
    expect_counts(old, 3, 0, 1);
    OK(ipcx_consumer_borrow(ends.rx, &data, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_consumer_skip(ends.rx));
    CHECK(len == 5 && memcmp(data, "bytes", 5) == 0);
    OK(ipcx_consumer_release(ends.rx));
    GIVES(IPCX_E_INVALID, ipcx_consumer_skip(NULL));
    close_ends(&ends);
    ipcx_pool_close(new);
    ipcx_pool_close(old);
}

static void a_pool_without_a_block_size_is_one_that_exists(void)
{
    ipcx_pool_options options = sized(64, 4), none = IPCX_POOL_OPTIONS_INIT;
    const char *name = new_name();
    ipcx_pool *pool, *same;
    ipcx_block block;

    GIVES(IPCX_E_INVALID, ipcx_pool_open(name, &none, &pool));
    SAYS("block_size");
    GIVES(IPCX_E_INVALID, ipcx_pool_open(name, NULL, &pool));
    OK(ipcx_pool_open(name, &options, &pool));
    OK(ipcx_pool_open(name, &none, &same));
    OK(ipcx_pool_acquire(same, IPCX_NOWAIT, &block));
    CHECK(block.size == 64);
    expect_counts(pool, 3, 1, 0);
    OK(ipcx_unlink(name));
    ipcx_pool_close(same);
    ipcx_pool_close(pool);
}

static void what_a_dead_process_owned_comes_back(void)
{
    ipcx_pool_options options = sized(64, 32);
    ipcx_pool *pool, *theirs;
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_block block;
    const char *name = new_name();
    size_t reclaimed = 0;
    pid_t child;
    int status;

    OK(ipcx_pool_create(name, &options, &pool));
    GIVES(IPCX_E_EXISTS, ipcx_pool_create(name, &options, &theirs));
    child = fork();
    if (child == 0) {
        int bad = ipcx_pool_acquire(pool, IPCX_NOWAIT, &block) != IPCX_E_FORKED || ipcx_pool_attach(name, &theirs) != 0;

        for (int i = 0; i < 20; i++)
            bad |= ipcx_pool_acquire(theirs, IPCX_NOWAIT, &block);
        ipcx_pool_close(pool); /* inherited: the parent's stays as it is */
        _exit(bad); /* as a SIGKILL would end it: nothing is closed */
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    expect_counts(pool, 12, 20, 0);
    OK(ipcx_pool_stats(pool, &stats));
    CHECK(stats.holders == 1 && stats.holder_state == IPCX_ROLE_DEAD && stats.holder_pid == (uint32_t)child);
    OK(ipcx_pool_recover(pool, &reclaimed));
    CHECK(reclaimed == 20);
    expect_counts(pool, 32, 0, 0);
    OK(ipcx_pool_stats(pool, &stats));
    CHECK(stats.holders == 0 && stats.holder_state == IPCX_ROLE_NEVER && stats.holder_pid == 0);
    OK(ipcx_pool_recover(pool, NULL));
    OK(ipcx_unlink(name));
    ipcx_pool_close(pool);
}

static void options_are_checked(void)
{
    ipcx_pool_options options = IPCX_POOL_OPTIONS_INIT;
    ipcx_pool *pool = NULL;

    GIVES(IPCX_E_INVALID, ipcx_pool_anonymous(&options, &pool)); /* no block size */
    GIVES(IPCX_E_INVALID, ipcx_pool_anonymous(NULL, &pool));
    GIVES(IPCX_E_INVALID, ipcx_pool_anonymous(&options, NULL));
    options.block_size = 64;
    options.alignment = 96;
    GIVES(IPCX_E_INVALID, ipcx_pool_anonymous(&options, &pool));
    options.alignment = 0;
    options.blocks = UINT64_C(1) << 40;
    GIVES(IPCX_E_INVALID, ipcx_pool_anonymous(&options, &pool));
    options.blocks = UINT64_C(1) << 27;
    options.block_size = UINT64_C(1) << 20;
    GIVES(IPCX_E_NO_SPACE, ipcx_pool_anonymous(&options, &pool)); /* more than there is */
    SAYS("bytes are needed");
    options.struct_size = 4;
    GIVES(IPCX_E_INVALID, ipcx_pool_anonymous(&options, &pool));
    GIVES(IPCX_E_NOT_FOUND, ipcx_pool_attach(new_name(), &pool));
    CHECK(pool == NULL);
    ipcx_pool_close(NULL);
}

static void blocks_can_be_in_system_v_memory(void)
{
    ipcx_pool_options options = sized(64, 4);
    const char *name = new_name();
    key_t key = (key_t)(0x69700000 ^ ((getpid() & 0xfff) << 4 | 10));
    ipcx_pool *pool;
    ipcx_block block;
    char *mine;
    int id;

    options.key = key;
    GIVES(IPCX_E_INVALID, ipcx_pool_create(name, &options, &pool)); /* a key, and no backing that has one */
    options.backing = IPCX_BACKING_SYSTEM_V;
    GIVES(IPCX_E_INVALID, ipcx_pool_anonymous(&options, &pool));
    OK(ipcx_pool_create(name, &options, &pool));
    OK(ipcx_pool_acquire(pool, IPCX_NOWAIT, &block));
    memcpy(block.data, "by key", 7);
    id = shmget(key, 0, 0);
    mine = shmat(id, NULL, 0);
    CHECK(id >= 0 && mine != (char *)-1);
    CHECK(strcmp(mine + sysconf(_SC_PAGESIZE) + 64 * ((block.id & 0xfffffff) - 1), "by key") == 0);
    shmdt(mine);
    ipcx_pool_close(pool);
    OK(ipcx_unlink(name));
    CHECK(shmget(key, 0, 0) == -1 && errno == ENOENT);
}

static const struct test tests[] = {
    TEST(a_block_is_acquired_written_and_released),
    TEST(a_bad_release_is_an_error_and_changes_nothing),
    TEST(a_block_goes_through_a_ring),
    TEST(a_block_of_another_pool_is_refused_though_its_id_is_owned),
    TEST(a_block_of_a_pool_that_was_made_anew_is_skipped),
    TEST(a_pool_without_a_block_size_is_one_that_exists),
    TEST(what_a_dead_process_owned_comes_back),
    TEST(options_are_checked),
    TEST(blocks_can_be_in_system_v_memory),
};

int main(void)
{
    return RUN(tests);
}

/* The programs of examples-c/, built by the runner into $IPCX_EXAMPLES. */
#include "check.h"

enum { PIECE = 64 * 1024, FILE_SIZE = 3 * 1024 * 1024 + 123 };

struct header {
    uint64_t offset, sent_ns, length, hash;
};

static pid_t start(const char *program, const char *first, const char *second, int output)
{
    const char *directory = getenv("IPCX_EXAMPLES");
    char path[512];
    pid_t child;

    CHECK(directory != NULL);
    snprintf(path, sizeof path, "%s/%s", directory, program);
    child = fork();
    if (child == 0) {
        alarm(TIME_LIMIT_S);
        if (output >= 0)
            dup2(output, STDOUT_FILENO);
        execl(path, program, first, second, (char *)NULL);
        _exit(127);
    }
    return child;
}

/* Their name is fixed, so they get a directory of their own. */
static void use_directory(char *directory)
{
    snprintf(directory, 128, "/dev/shm/%s", new_name());
    CHECK(mkdir(directory, 0700) == 0 && setenv("IPCX_DIR", directory, 1) == 0);
}

static void hello_arrives_whoever_starts_first(void)
{
    char directory[128], text[64];
    int ways[2];

    use_directory(directory);
    CHECK(pipe(ways) == 0);
    for (int first = 0; first < 2; first++) {
        pid_t receiver = 0, sender;
        if (first == 0) {
            receiver = start("hello_recv", NULL, NULL, ways[1]);
            sleep_ms(50);
        }
        sender = start("hello_send", NULL, NULL, -1);
        CHECK(wait_for(sender) == 0);
        if (first == 1)
            receiver = start("hello_recv", NULL, NULL, ways[1]);
        CHECK(wait_for(receiver) == 0);
        CHECK(read(ways[0], text, sizeof text) == 13 && memcmp(text, "hello from C\n", 13) == 0);
    }
    CHECK(rmdir(directory) == 0); /* nothing left in it */
}

/* The next line that the watcher prints. */
static void expect_line(int from, const char *line)
{
    char text[64];
    ssize_t got = read(from, text, sizeof text - 1);

    CHECK(got > 0);
    text[got] = '\0';
    CHECK(strcmp(text, line) == 0);
}

static void the_price_is_watched_until_the_market_closes(void)
{
    char directory[128], rest;
    int ways[2];
    pid_t watcher;

    use_directory(directory);
    CHECK(pipe(ways) == 0);
    CHECK(wait_for(start("price", "12.25", "12.50", -1)) == 0);
    watcher = start("price", "watch", NULL, ways[1]);
    close(ways[1]);
    expect_line(ways[0], "12.25 12.50\n"); /* who comes later sees the price too */
    CHECK(wait_for(start("price", "12.00", "12.75", -1)) == 0);
    expect_line(ways[0], "12.00 12.75\n");
    CHECK(wait_for(start("price", "close", NULL, -1)) == 0);
    CHECK(wait_for(watcher) == 0 && read(ways[0], &rest, 1) == 0);
    CHECK(rmdir(directory) == 0); /* nothing left in it */
}

static void unlink_queue(void)
{
    if (getpid() == test_process)
        ipcx_unlink_in(NULL, "mqueue", "transport-example"); /* a queue is in no directory */
}

static void a_message_arrives_through_whichever_transport(void)
{
    static const char *const words[] = { "fifo", "unix", "ring", "buffer", "mqueue" };
    char directory[128], text[64];
    int ways[2];

    use_directory(directory);
    atexit(unlink_queue);
    CHECK(pipe(ways) == 0);
    for (int i = 0; i < 10; i++) {
        const char *word = words[i / 2];
        ipcx_transport *tx, *rx;
        pid_t sender, receiver;

        if (i / 2 == 4 && ipcx_transport_pair(word, NULL, &tx, &rx) == IPCX_E_OS) {
            printf("    skipped: this host has no %s\n", word);
            break;
        }
        if (i % 2 == 0) {
            sender = start("transport", word, "one word", -1);
            sleep_ms(50);
            receiver = start("transport", word, NULL, ways[1]);
        } else {
            receiver = start("transport", word, NULL, ways[1]);
            sleep_ms(50);
            sender = start("transport", word, "one word", -1);
        }
        CHECK(wait_for(sender) == 0 && wait_for(receiver) == 0);
        CHECK(read(ways[0], text, sizeof text) == 9 && memcmp(text, "one word\n", 9) == 0);
    }
    CHECK(rmdir(directory) == 0); /* nothing left in it */
}

static uint64_t hash_words(const unsigned char *bytes, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, len - at < 8 ? len - at : 8);
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static unsigned char contents[FILE_SIZE];

/* Receives pieces to the end and gives how far the file came; dies after `limit` of them. */
static uint64_t receive(const char *name, uint64_t offset, int limit)
{
    static unsigned char buffer[sizeof(struct header) + PIECE];
    struct header header = { 0, 0, 1, 0 };
    ipcx_ring *ring;
    ipcx_consumer *rx;
    size_t len;

    OK(ipcx_ring_open(name, NULL, &ring));
    OK(ipcx_ring_consumer(ring, &rx));
    while (limit-- > 0 && header.length > 0) {
        OK(ipcx_consumer_recv(rx, buffer, sizeof buffer, &len, IPCX_FOREVER));
        memcpy(&header, buffer, sizeof header);
        CHECK(len == sizeof header + header.length && header.offset == offset && header.sent_ns > 0);
        CHECK(memcmp(buffer + sizeof header, contents + offset, header.length) == 0);
        CHECK(header.hash == hash_words(contents + offset, header.length));
        offset += header.length;
    }
    if (header.length > 0)
        raise(SIGKILL);
    ipcx_consumer_close(rx);
    ipcx_ring_close(ring);
    return offset;
}

static void the_demo_carries_a_file_past_a_killed_consumer(void)
{
    const char *name = new_name();
    char path[64];
    pid_t producer, victim;
    int file = memfd_create("file", 0);

    for (size_t i = 0; i < sizeof contents; i++)
        contents[i] = (unsigned char)(i * 2654435761u >> 13);
    CHECK(file >= 0 && write(file, contents, sizeof contents) == (ssize_t)sizeof contents);
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getpid(), file);
    victim = fork();
    if (victim == 0)
        _exit(receive(name, 0, 5) > 0);
    producer = start("demo_producer", name, path, -1);
    CHECK(wait_for(victim) == -1);
    sleep_ms(100); /* long enough for the producer to find the ring full and its peer dead */
    CHECK(receive(name, 5 * PIECE, 1000) == FILE_SIZE);
    CHECK(wait_for(producer) == 0);
}

enum { FRAME = 64 + 1920 * 1080 + 8 };

static void the_camera_waits_for_blocks_and_ends_in_good_order(void)
{
    ipcx_pool_options options = IPCX_POOL_OPTIONS_INIT;
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_pool *pool;
    ipcx_ring *ring;
    ipcx_consumer *rx;
    ipcx_block block;
    char pools[64], rings[64], text[32];
    uint64_t numbers[2], received = 0;
    size_t len;
    pid_t camera;
    int code, ways[2];

    snprintf(pools, sizeof pools, "%s", new_name());
    snprintf(rings, sizeof rings, "%s", new_name());
    options.block_size = FRAME;
    options.blocks = 8;
    OK(ipcx_pool_open(pools, &options, &pool));
    OK(ipcx_ring_open(rings, NULL, &ring));
    OK(ipcx_ring_consumer(ring, &rx));
    CHECK(pipe(ways) == 0);
    camera = start("frames_camera", pools, rings, ways[1]);
    do
        OK(ipcx_pool_stats(pool, &stats));
    while (stats.blocks_in_flight < 8); /* nobody takes them: it has to wait for the ninth */
    while ((code = ipcx_consumer_recv_block(rx, pool, &block, &len, IPCX_FOREVER)) == IPCX_OK) {
        memcpy(&numbers[0], block.data, sizeof numbers[0]);
        memcpy(&numbers[1], (unsigned char *)block.data + FRAME - 8, sizeof numbers[1]);
        CHECK(len == FRAME && numbers[0] == received && numbers[1] == received);
        OK(ipcx_pool_release(pool, &block));
        if (++received == 20)
            CHECK(kill(camera, SIGTERM) == 0);
    }
    CHECK(code == IPCX_E_CLOSED && received >= 20 && wait_for(camera) == 0);
    len = (size_t)read(ways[0], text, sizeof text - 1);
    CHECK(len < sizeof text);
    text[len] = '\0';
    CHECK(strtoull(text, NULL, 10) == received);
    OK(ipcx_pool_stats(pool, &stats));
    CHECK(stats.blocks_free == 8);
    ipcx_consumer_close(rx);
    ipcx_ring_close(ring);
    ipcx_pool_close(pool);
}

static void a_failure_has_words_and_a_code(void)
{
    int ways[2], saved = dup(STDERR_FILENO);
    char text[512];
    ssize_t got;

    CHECK(pipe(ways) == 0 && dup2(ways[1], STDERR_FILENO) >= 0);
    int status = wait_for(start("demo_producer", "a/b", "/dev/null", -1));
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    got = read(ways[0], text, sizeof text - 1);
    CHECK(got > 0 && status == 1);
    text[got] = '\0';
    CHECK(strstr(text, "demo_producer: ") != NULL && strstr(text, "a/b") != NULL);
}

static const struct test tests[] = {
    TEST(hello_arrives_whoever_starts_first),
    TEST(the_price_is_watched_until_the_market_closes),
    TEST(a_message_arrives_through_whichever_transport),
    TEST(the_demo_carries_a_file_past_a_killed_consumer),
    TEST(the_camera_waits_for_blocks_and_ends_in_good_order),
    TEST(a_failure_has_words_and_a_code),
};

int main(void)
{
    return RUN(tests);
}

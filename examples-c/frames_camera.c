/*
 * Draws frames of a moving picture into the blocks of a pool and hands them over, without a copy.
 *
 *     frames_camera POOL RING [RATE [FRAMES]]
 *
 * RATE frames a second, or as fast as blocks come free (0); FRAMES of them, or until SIGTERM or SIGINT (0). It then says how many
 * there were. Whoever receives them may die and be started again at any time: this process waits and goes on.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <ipcx.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 1920, HEIGHT = 1080, BLOCKS = 8, BAR = 4, BARS = 64 * BAR, PERIOD = 512, SPEED = 7 };

#define PATIENCE_NS (INT64_C(100) * 1000 * 1000) /* how soon a signal to end is noticed */

/* A block: this, in the byte order of the host; the rows of the picture, a byte for each pixel; and the number again. */
struct header {
    uint64_t number;  /* of the frame, from 0 on */
    uint64_t made_ns; /* monotonic clock */
    uint64_t block;   /* which block: whoever finds the frame in another one has a copy */
    uint64_t filters; /* how many have changed the picture */
    uint32_t width, height;
    unsigned char unused[24];
};

#define SEAL_AT (sizeof(struct header) + (size_t)WIDTH * HEIGHT)
#define FRAME_SIZE (SEAL_AT + sizeof(uint64_t))

static volatile sig_atomic_t ended;

static void end(int number)
{
    (void)number;
    ended = 1;
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t when)
{
    struct timespec at;

    at.tv_sec = (time_t)(when / UINT64_C(1000000000));
    at.tv_nsec = (long)(when % UINT64_C(1000000000));
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Light and dark from left to right, in whole numbers, so that every language draws the same. */
static unsigned char wave(unsigned x)
{
    unsigned up = x % PERIOD < PERIOD / 2 ? x % PERIOD : PERIOD - 1 - x % PERIOD;

    return (unsigned char)(up * up * (765 - 2 * up) / (255 * 255));
}

/*
 * Each row begins with the frame's number as 64 bars, the lowest bit first; behind them are bent stripes, which move with the
 * number. So every pixel tells which frame it is of.
 */
static void draw(unsigned char *picture, uint64_t number)
{
    static unsigned char stripes[PERIOD + WIDTH - BARS];
    unsigned char bars[BARS];

    if (stripes[PERIOD / 2] == 0)
        for (unsigned x = 0; x < sizeof stripes; x++)
            stripes[x] = wave(x);
    for (unsigned x = 0; x < BARS; x++)
        bars[x] = number >> (x / BAR) & 1 ? 255 : 0;
    for (unsigned y = 0; y < HEIGHT; y++) {
        unsigned char *row = picture + (size_t)y * WIDTH;
        memcpy(row, bars, BARS);
        memcpy(row + BARS, stripes + (y * y / HEIGHT + number % PERIOD * SPEED) % PERIOD, WIDTH - BARS);
    }
}

static void fill(const ipcx_block *block, uint64_t number)
{
    struct header header = { 0, 0, 0, 0, WIDTH, HEIGHT, { 0 } };
    unsigned char *bytes = block->data;

    header.number = number;
    header.block = block->id & 0xfffffff;
    header.made_ns = monotonic_ns();
    memcpy(bytes, &header, sizeof header);
    draw(bytes + sizeof header, number);
    memcpy(bytes + SEAL_AT, &number, sizeof number);
}

/* What passes: nothing to be had yet, a signal, or a consumer that died and will be started again. */
static int passes(int code)
{
    return code == IPCX_E_TIMEDOUT || code == IPCX_E_INTR || code == IPCX_E_PEER_DEAD;
}

/* A block, once there is one. */
static int acquire(ipcx_pool *pool, ipcx_block *block)
{
    int code;

    do
        code = ipcx_pool_acquire(pool, PATIENCE_NS, block);
    while (!ended && passes(code));
    return code;
}

/* Hands a frame over, once there is room in the ring. */
static int hand_over(ipcx_producer *tx, ipcx_pool *pool, ipcx_block *block)
{
    const struct timespec moment = { 0, 5 * 1000 * 1000 };
    int code;

    while (passes(code = ipcx_producer_send_block(tx, pool, block, FRAME_SIZE, PATIENCE_NS)) && !ended)
        if (code == IPCX_E_PEER_DEAD)
            nanosleep(&moment, NULL);
    return code;
}

/* Makes frames until there are enough, or it is told to end. Their number, in `*made`. */
static int film(ipcx_producer *tx, ipcx_pool *pool, double rate, uint64_t frames, uint64_t *made)
{
    uint64_t pause = rate > 0 ? (uint64_t)(1e9 / rate) : 0, next = monotonic_ns();
    int code = IPCX_OK;

    for (*made = 0; !ended && (frames == 0 || *made < frames); ++*made) {
        ipcx_block block;
        if ((code = acquire(pool, &block)) != IPCX_OK)
            break;
        fill(&block, *made);
        if ((code = hand_over(tx, pool, &block)) != IPCX_OK)
            break; /* closing the pool releases the block */
        next += pause;
        if (next > monotonic_ns())
            sleep_until(next);
        else
            next = monotonic_ns(); /* what was missed is not made up for */
    }
    return ended && passes(code) ? IPCX_OK : code;
}

int main(int argc, char **argv)
{
    ipcx_pool_options options = IPCX_POOL_OPTIONS_INIT;
    struct sigaction action;
    ipcx_pool *pool;
    ipcx_ring *ring;
    ipcx_producer *tx;
    uint64_t made;
    int code;

    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: frames_camera POOL RING [RATE [FRAMES]]\n");
        return 2;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = end;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    options.block_size = FRAME_SIZE;
    options.blocks = BLOCKS;
    if (ipcx_pool_open(argv[1], &options, &pool) != IPCX_OK || ipcx_ring_open(argv[2], NULL, &ring) != IPCX_OK
        || ipcx_ring_producer(ring, &tx) != IPCX_OK) {
        fprintf(stderr, "frames_camera: %s\n", ipcx_last_error());
        return 1;
    }
    code = film(tx, pool, argc > 3 ? strtod(argv[3], NULL) : 0, argc > 4 ? strtoull(argv[4], NULL, 10) : 0, &made);
    if (code != IPCX_OK)
        fprintf(stderr, "frames_camera: %s\n", ipcx_last_error());
    printf("%" PRIu64 "\n", made);
    ipcx_producer_close(tx);
    ipcx_ring_close(ring);
    ipcx_pool_close(pool);
    return code == IPCX_OK ? 0 : 1;
}

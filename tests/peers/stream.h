/*
 * The stream of records that C peers make and check; tests/src/stream.rs says what it is, and does the same.
 */
#ifndef IPCX_TESTS_STREAM_H
#define IPCX_TESTS_STREAM_H

#include <ipcx.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PERIOD = 256, OFFSETS = 4096 };

/* What goes wrong ends the process with a message. */
__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("peer (C): ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

/* The call works, or the process ends. */
static inline void must(int code)
{
    if (code < 0)
        fail("%s: %s", ipcx_strerror(code), ipcx_last_error());
}

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t word = *state += 0x9e3779b97f4a7c15;

    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
    word = (word ^ word >> 27) * 0x94d049bb133111eb;
    return word ^ word >> 31;
}

static struct {
    uint64_t seed;
    size_t largest;
    unsigned char *table;
    size_t lens[PERIOD];
    uint64_t positions[PERIOD + 1];
} stream;

static inline void make_stream(uint64_t seed, size_t largest)
{
    static const size_t special[] = { 0, 1, 7, 8, 9, 63, 64, 65, 4087, 4088, 4095, 4096, 4097 };
    size_t words = (largest + OFFSETS + 7) / 8, made = 0;
    uint64_t state = seed;

    stream.seed = seed;
    stream.largest = largest;
    if ((stream.table = malloc(words * 8)) == NULL)
        fail("no memory");
    for (size_t i = 0; i < words; i++) {
        uint64_t word = next_random(&state);
        memcpy(stream.table + i * 8, &word, 8); /* little-endian, as everything that ipcx runs on here */
    }
    state = ~seed;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (special[i] < largest)
            stream.lens[made++] = special[i];
    stream.lens[made++] = largest;
    while (made < PERIOD) {
        uint64_t word = next_random(&state);
        size_t len = (size_t)(word >> 8 & ((UINT64_C(1) << word % 21) - 1));
        stream.lens[made++] = len < largest ? len : largest;
    }
    for (size_t i = 0; i < PERIOD; i++)
        stream.positions[i + 1] = stream.positions[i] + 8 + (stream.lens[i] + 7) / 8 * 8;
}

static inline size_t len_of(uint64_t n)
{
    return stream.lens[n % PERIOD];
}

static inline uint64_t position_of(uint64_t n)
{
    return n / PERIOD * stream.positions[PERIOD] + stream.positions[n % PERIOD];
}

static inline uint64_t number_at(uint64_t position)
{
    uint64_t rest = position % stream.positions[PERIOD];

    for (uint64_t i = 0; i < PERIOD; i++)
        if (stream.positions[i] == rest)
            return position / stream.positions[PERIOD] * PERIOD + i;
    fail("no record begins at position %llu", (unsigned long long)position);
}

static inline const unsigned char *window(uint64_t n)
{
    uint64_t state = stream.seed + n;

    return stream.table + next_random(&state) % OFFSETS;
}

/* Bytes of the number in a record. */
static inline size_t number_len(size_t len)
{
    return len < 16 ? 0 : 8;
}

static inline void fill(uint64_t n, unsigned char *to)
{
    memcpy(to, window(n), len_of(n));
    memcpy(to, &n, number_len(len_of(n)));
}

static inline void check(uint64_t n, const unsigned char *record, size_t len)
{
    size_t number = number_len(len);

    if (len != len_of(n) || memcmp(record, &n, number) != 0
        || memcmp(record + number, window(n) + number, len - number) != 0)
        fail("record %llu of %zu bytes was expected; another of %zu came", (unsigned long long)n, len_of(n), len);
}

#endif

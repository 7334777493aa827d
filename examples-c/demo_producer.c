/*
 * Sends a file through a ring without copying it: pread() puts each piece where the consumer reads it.
 *
 *     demo_producer RING FILE [PIECE]
 *
 * Each record is a header and up to PIECE bytes of the file (64 KiB); the last one has no piece. The consumer may die and be
 * started again at any time: this process waits for the successor and goes on.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <ipcx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static size_t most = 64 * 1024; /* bytes in a piece */

/* In front of each piece, in the byte order of the host. */
struct header {
    uint64_t offset;  /* of the piece in the file */
    uint64_t sent_ns; /* monotonic clock */
    uint64_t length;  /* of the piece; 0 ends the stream */
    uint64_t hash;    /* of the piece */
};

/* FNV-1a over 8-byte words; the last word is filled up with zeroes. */
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

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Room for a record. A signal, or a consumer that died and will be started again, only takes time. */
static int reserve(ipcx_producer *tx, void **room)
{
    const struct timespec moment = { 0, 5 * 1000 * 1000 };
    int code;

    while ((code = ipcx_producer_reserve(tx, sizeof(struct header) + most, IPCX_FOREVER, room)) != IPCX_OK) {
        if (code == IPCX_E_PEER_DEAD)
            nanosleep(&moment, NULL);
        else if (code != IPCX_E_INTR)
            break;
    }
    return code;
}

/* Sends the piece at an offset and gives its length, or -1. */
static ssize_t send_piece(ipcx_producer *tx, int file, uint64_t offset)
{
    struct header header = { offset, 0, 0, 0 };
    unsigned char *piece;
    void *room;
    ssize_t len;

    if (reserve(tx, &room) != IPCX_OK) {
        fprintf(stderr, "demo_producer: %s\n", ipcx_last_error());
        return -1;
    }
    piece = (unsigned char *)room + sizeof header;
    len = pread(file, piece, most, (off_t)offset);
    if (len < 0) {
        perror("demo_producer: pread");
        return -1; /* closing gives the reservation up */
    }
    header.length = (uint64_t)len;
    header.hash = hash_words(piece, (size_t)len);
    header.sent_ns = monotonic_ns();
    memcpy(room, &header, sizeof header);
    if (ipcx_producer_commit(tx, sizeof header + (size_t)len) != IPCX_OK) {
        fprintf(stderr, "demo_producer: %s\n", ipcx_last_error());
        return -1;
    }
    return len;
}

int main(int argc, char **argv)
{
    ipcx_ring *ring;
    ipcx_producer *tx;
    uint64_t offset = 0;
    ssize_t len;
    int file;

    if (argc == 4)
        most = (size_t)strtoul(argv[3], NULL, 10);
    if (argc < 3 || argc > 4 || most == 0) {
        fprintf(stderr, "usage: demo_producer RING FILE [PIECE]\n");
        return 2;
    }
    if ((file = open(argv[2], O_RDONLY)) < 0) {
        perror(argv[2]);
        return 1;
    }
    if (ipcx_ring_open(argv[1], NULL, &ring) != IPCX_OK || ipcx_ring_producer(ring, &tx) != IPCX_OK) {
        fprintf(stderr, "demo_producer: %s\n", ipcx_last_error());
        return 1;
    }
    while ((len = send_piece(tx, file, offset)) > 0)
        offset += (uint64_t)len;
    ipcx_producer_close(tx);
    ipcx_ring_close(ring);
    close(file);
    return len == 0 ? 0 : 1;
}

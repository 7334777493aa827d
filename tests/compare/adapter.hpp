// What every adapter in C++ shares: numbered records, a log that outlives its writer, and the two loops.
//
//     ADAPTER make|remove NAME          creates the queue, or removes it
//     ADAPTER send|recv NAME LOG        sends records for ever, or receives and checks them
//
// An adapter defines struct Rival (see boost.cpp) and includes this file. The log is a file of 64-bit words that is
// mapped: plain stores, which stay when the process is killed. `adapter.py` is the same in Python.

#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

constexpr size_t LARGEST = 1024;

// Words of a log.
enum Word { BEGUN, DONE, READY, STARTED, TOLD, TORN, TAKEN, LAST, FIRST, STOP, RUNS, RUNS_AT = 16 };

constexpr size_t LOG_BYTES = 8 << 20;
inline volatile uint64_t *words;

// Compilers keep the order of volatile accesses, and a death does not change it.
inline void put(size_t word, uint64_t value) { words[word] = value; }

inline uint64_t now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// The queue said, by a code or an exception or an end of file, that the other side died.
inline void told() {
    if (words[TOLD] == 0) put(TOLD, now());
}

[[noreturn]] inline void fail(const std::string &what) {
    fprintf(stderr, "%s: %s\n", what.c_str(), strerror(errno));
    _exit(1);
}

// Record n: its number, then bytes that follow from it. `buffer` has LARGEST bytes.
struct Records {
    char table[8192];
    Records() {
        uint32_t x = 1;
        for (char &byte : table) byte = char((x = x * 1103515245 + 12345) >> 24);
    }
    static size_t length(uint64_t n) { return 16 + n * 37 % 985; }
    size_t fill(uint64_t n, char *buffer) const {
        memcpy(buffer, &n, 8);
        memcpy(buffer + 8, table + n * 61 % 4096, length(n) - 8);
        return length(n);
    }
    // The number, or -1 if the bytes are not those of a whole record.
    int64_t check(const char *record, size_t len) const {
        uint64_t n;
        if (len < 16) return -1;
        memcpy(&n, record, 8);
        bool whole = n < (1ull << 40) && len == length(n) && memcmp(record + 8, table + n * 61 % 4096, len - 8) == 0;
        return whole ? int64_t(n) : -1;
    }
};

// What was received, in order, as runs of numbers: first, end, position of the first in the stream (if it has one).
inline void received(uint64_t n, uint64_t position) {
    static bool begun = false;
    uint64_t runs = words[RUNS];
    size_t at = RUNS_AT + 3 * (runs - 1);
    if (begun && words[at + 1] == n) {
        put(at + 1, n + 1);
    } else {
        at = RUNS_AT + 3 * runs;
        if ((at + 3) * 8 > LOG_BYTES) fail("the log is full");
        put(at, n), put(at + 1, n + 1), put(at + 2, position);
        put(RUNS, runs + 1);
        begun = true;
    }
    put(LAST, n + 1);
}

template <class Rival> int run(int argc, char **argv) {
    std::string verb = argc > 2 ? argv[1] : "", name = argc > 2 ? argv[2] : "";
    if (verb == "make") return Rival::make(name), 0;
    if (verb == "remove") return Rival::remove(name), 0;
    int fd = argc > 3 ? open(argv[3], O_RDWR) : -1;
    words = (uint64_t *)mmap(nullptr, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED) fail("usage: ADAPTER make|remove NAME, ADAPTER send|recv NAME LOG");
    close(fd);
    static const Records records;
    alignas(8) static char buffer[2 * LARGEST];
    put(READY, 1);
    Rival rival(name, verb == "send");
    put(STARTED, 1);
    if (verb == "send") {
        for (uint64_t n = words[FIRST]; !words[STOP]; n++) {
            size_t len = records.fill(n, buffer);
            put(BEGUN, n + 1);
            rival.send(buffer, len);
            put(DONE, n + 1);
        }
        return 0;
    }
    for (uint64_t calls = 1;; calls++) {
        put(BEGUN, calls);
        const char *record = buffer;
        size_t len = rival.receive(buffer, sizeof buffer, record);
        put(DONE, calls);
        int64_t n = records.check(record, len);
        if (n >= 0) {
            put(TAKEN, n + 1);
            received(n, rival.position());
        } else {
            put(TORN, words[TORN] + 1);
        }
        rival.processed();
    }
}

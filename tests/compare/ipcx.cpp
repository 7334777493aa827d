// The ring of ipcx, through its C library. A record is borrowed, checked and noted, then released; with -DCOPY it is
// received by one call, which copies and releases it, as the other queues do.

#include "adapter.hpp"
#include "ipcx.h"

struct Rival {
    ipcx_ring *ring = nullptr;
    ipcx_producer *producer = nullptr;
    ipcx_consumer *consumer = nullptr;
    uint64_t at = 0;

    static void must(int code) {
        if (code != IPCX_OK) fail(ipcx_last_error());
    }
    static void make(const std::string &name) {
        ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
        options.capacity = 64 << 10;
        ipcx_ring *ring;
        must(ipcx_ring_create(name.c_str(), &options, &ring));
        ipcx_ring_close(ring);
    }
    static void remove(const std::string &name) { ipcx_unlink(name.c_str()); }

    Rival(const std::string &name, bool sender) {
        must(ipcx_ring_open(name.c_str(), nullptr, &ring));
        must(sender ? ipcx_ring_producer(ring, &producer) : ipcx_ring_consumer(ring, &consumer));
    }

    // True if the call did its work; false if it is to be made again, once the successor of a dead peer came.
    static bool worked(int code) {
        if (code == IPCX_E_PEER_DEAD) return told(), usleep(1000), false;
        if (code == IPCX_E_CLOSED) return usleep(1000), false;
        return must(code), true;
    }

    void send(const char *data, size_t len) {
        while (!worked(ipcx_producer_send(producer, data, len, IPCX_FOREVER))) {}
    }

    size_t receive([[maybe_unused]] char *buffer, [[maybe_unused]] size_t room, [[maybe_unused]] const char *&record) {
        size_t len;
#ifdef COPY
        do at = ipcx_consumer_position(consumer);
        while (!worked(ipcx_consumer_recv(consumer, buffer, room, &len, IPCX_FOREVER)));
#else
        const void *place;
        while (!worked(ipcx_consumer_borrow(consumer, &place, &len, IPCX_FOREVER))) {}
        at = ipcx_consumer_position(consumer);
        record = static_cast<const char *>(place);
#endif
        return len;
    }
    uint64_t position() { return at; }
    void processed() {
#ifndef COPY
        must(ipcx_consumer_release(consumer));
#endif
    }
};

int main(int argc, char **argv) { return run<Rival>(argc, argv); }

// boost.interprocess: message_queue, opened by name, with its blocking calls.

#include <boost/interprocess/ipc/message_queue.hpp>

#include "adapter.hpp"

namespace ipc = boost::interprocess;

struct Rival {
    ipc::message_queue queue;

    static void make(const std::string &name) { ipc::message_queue(ipc::create_only, name.c_str(), 64, LARGEST); }
    static void remove(const std::string &name) { ipc::message_queue::remove(name.c_str()); }

    Rival(const std::string &name, bool) : queue(ipc::open_only, name.c_str()) {}

    void send(const char *data, size_t len) { queue.send(data, len, 0); }

    // Into the buffer, or at a place of the queue's own: `record` says where.
    size_t receive(char *buffer, size_t room, const char *&) {
        ipc::message_queue::size_type len;
        unsigned priority;
        queue.receive(buffer, room, len, priority);
        return len;
    }
    // Of the record last received; 0 where records have none.
    uint64_t position() { return 0; }
    // The record last received was checked and noted.
    void processed() {}
};

int main(int argc, char **argv) { return run<Rival>(argc, argv); }

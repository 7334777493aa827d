// POSIX message queue: the kernel keeps it, by name.

#include <mqueue.h>

#include "adapter.hpp"

struct Rival {
    mqd_t queue;

    static void make(const std::string &name) {
        mq_attr attributes = {};
        attributes.mq_maxmsg = 10;
        attributes.mq_msgsize = LARGEST;
        if (mq_open(("/" + name).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600, &attributes) == mqd_t(-1)) fail("mq_open");
    }
    static void remove(const std::string &name) { mq_unlink(("/" + name).c_str()); }

    Rival(const std::string &name, bool sender) : queue(mq_open(("/" + name).c_str(), sender ? O_WRONLY : O_RDONLY)) {
        if (queue == mqd_t(-1)) fail("mq_open");
    }

    void send(const char *data, size_t len) {
        if (mq_send(queue, data, len, 0) != 0) fail("mq_send");
    }

    size_t receive(char *buffer, size_t room, const char *&) {
        ssize_t len = mq_receive(queue, buffer, room, nullptr);
        if (len < 0) fail("mq_receive");
        return len;
    }
    uint64_t position() { return 0; }
    void processed() {}
};

int main(int argc, char **argv) { return run<Rival>(argc, argv); }

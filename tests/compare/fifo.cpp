// A named pipe. Records have one size, less than PIPE_BUF, so that each is written and read as a whole.
//
// A sender without a receiver keeps the pipe open, and what is in it, until the next receiver comes.

#include <csignal>
#include <sys/stat.h>

#include "adapter.hpp"

struct Rival {
    std::string name;
    bool sender;
    int fd = -1;

    static void make(const std::string &name) {
        if (mkfifo(name.c_str(), 0600) != 0) fail("mkfifo");
    }
    static void remove(const std::string &name) { unlink(name.c_str()); }

    Rival(const std::string &name, bool sender) : name(name), sender(sender) {
        signal(SIGPIPE, SIG_IGN);
        attach();
    }

    void attach() {
        fd = open(name.c_str(), sender ? O_WRONLY : O_RDONLY);
        if (fd < 0) fail("open");
    }

    void send(const char *data, size_t len) {
        char frame[LARGEST] = {};
        uint16_t length = len;
        memcpy(frame, &length, 2);
        memcpy(frame + 2, data, len);
        while (write(fd, frame, sizeof frame) != ssize_t(sizeof frame)) {
            if (errno != EPIPE) fail("write");
            told();
            usleep(1000);
        }
    }

    size_t receive(char *data, size_t, const char *&) {
        char frame[LARGEST];
        ssize_t len;
        while ((len = read(fd, frame, sizeof frame)) == 0) {
            told();
            // The next one first: the pipe must not be without any end open.
            int before = fd;
            attach();
            close(before);
        }
        uint16_t length;
        memcpy(&length, frame, 2);
        if (len != ssize_t(sizeof frame) || length > LARGEST - 2) return 0;
        memcpy(data, frame + 2, length);
        return length;
    }
    uint64_t position() { return 0; }
    void processed() {}
};

int main(int argc, char **argv) { return run<Rival>(argc, argv); }

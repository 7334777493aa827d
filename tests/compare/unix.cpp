// A Unix socket that keeps record boundaries (SOCK_SEQPACKET): the receiver listens at a path, the sender connects.
//
// Whoever loses its partner connects anew; a record whose send failed is sent again.

#include <csignal>
#include <sys/socket.h>
#include <sys/un.h>

#include "adapter.hpp"

struct Rival {
    sockaddr_un address = {};
    int listener = -1, connection = -1;

    static void make(const std::string &) {}
    static void remove(const std::string &name) { unlink(name.c_str()); }

    Rival(const std::string &name, bool sender) {
        signal(SIGPIPE, SIG_IGN);
        address.sun_family = AF_UNIX;
        strncpy(address.sun_path, name.c_str(), sizeof address.sun_path - 1);
        if (sender) return;
        listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        unlink(name.c_str()); // what a predecessor left
        if (bind(listener, (sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0) fail("bind, listen");
    }

    void lost() {
        told();
        close(connection);
        connection = -1;
    }

    void send(const char *data, size_t len) {
        for (;;) {
            if (connection < 0) {
                connection = socket(AF_UNIX, SOCK_SEQPACKET, 0);
                if (connect(connection, (sockaddr *)&address, sizeof address) == 0) continue;
                close(connection);
                connection = -1;
                usleep(1000);
            } else if (::send(connection, data, len, 0) == ssize_t(len)) {
                return;
            } else {
                lost();
            }
        }
    }

    size_t receive(char *buffer, size_t room, const char *&) {
        for (;;) {
            if (connection < 0 && (connection = accept(listener, nullptr, nullptr)) < 0) fail("accept");
            ssize_t len = recv(connection, buffer, room, 0);
            if (len > 0) return len;
            lost();
        }
    }
    uint64_t position() { return 0; }
    void processed() {}
};

int main(int argc, char **argv) { return run<Rival>(argc, argv); }

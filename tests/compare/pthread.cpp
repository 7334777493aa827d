// A bounded buffer in shared memory with a process-shared mutex and two condition variables, as in any textbook.
//
// With -DROBUST the mutex is robust. One store, of `tail` or `head`, commits; so the state is whole at any time, and
// all that whoever finds the owner dead has to do is to say so and to wake those whom the owner may have failed to
// wake. With -DPOLLED as well, there are no condition variables: who waits looks again every 100 us.

#include <pthread.h>

#include "adapter.hpp"

struct Buffer {
    static constexpr uint64_t SLOTS = 64;
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, not_full;
    uint64_t head, tail;
    struct {
        size_t len;
        char data[LARGEST];
    } slot[SLOTS];
};

inline void must(int code, const char *what) {
    if (code != 0) errno = code, fail(what);
}

struct Rival {
    Buffer *buffer;

    static Buffer *map(const std::string &name, int flags) {
        int fd = shm_open(("/" + name).c_str(), O_RDWR | flags, 0600);
        if (fd < 0 || (flags && ftruncate(fd, sizeof(Buffer)) != 0)) fail("shm_open");
        void *at = mmap(nullptr, sizeof(Buffer), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) fail("mmap");
        close(fd);
        return static_cast<Buffer *>(at);
    }

    static void make(const std::string &name) {
        Buffer *buffer = map(name, O_CREAT | O_EXCL);
        pthread_mutexattr_t mutex;
        pthread_mutexattr_init(&mutex);
        pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
#ifdef ROBUST
        pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
#endif
        must(pthread_mutex_init(&buffer->mutex, &mutex), "pthread_mutex_init");
        pthread_condattr_t cond;
        pthread_condattr_init(&cond);
        pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
        must(pthread_cond_init(&buffer->not_empty, &cond), "pthread_cond_init");
        must(pthread_cond_init(&buffer->not_full, &cond), "pthread_cond_init");
    }
    static void remove(const std::string &name) { shm_unlink(("/" + name).c_str()); }

    Rival(const std::string &name, bool) : buffer(map(name, 0)) {}

    // After a lock or a wait.
    void locked(int code) {
        if (code == EOWNERDEAD) {
            told();
            must(pthread_mutex_consistent(&buffer->mutex), "pthread_mutex_consistent");
            wake(pthread_cond_broadcast, buffer->not_empty);
            wake(pthread_cond_broadcast, buffer->not_full);
        } else {
            must(code, "lock");
        }
    }

#ifdef POLLED
    void wait(pthread_cond_t &) {
        must(pthread_mutex_unlock(&buffer->mutex), "pthread_mutex_unlock");
        usleep(100);
        locked(pthread_mutex_lock(&buffer->mutex));
    }
    void wake(int (*)(pthread_cond_t *), pthread_cond_t &) {}
#else
    void wait(pthread_cond_t &cond) { locked(pthread_cond_wait(&cond, &buffer->mutex)); }
    void wake(int (*call)(pthread_cond_t *), pthread_cond_t &cond) { must(call(&cond), "pthread_cond_signal"); }
#endif

    void send(const char *data, size_t len) {
        locked(pthread_mutex_lock(&buffer->mutex));
        while (buffer->tail - buffer->head == Buffer::SLOTS) wait(buffer->not_full);
        auto &slot = buffer->slot[buffer->tail % Buffer::SLOTS];
        memcpy(slot.data, data, slot.len = len);
        __atomic_store_n(&buffer->tail, buffer->tail + 1, __ATOMIC_RELEASE);
        wake(pthread_cond_signal, buffer->not_empty);
        must(pthread_mutex_unlock(&buffer->mutex), "pthread_mutex_unlock");
    }

    size_t receive(char *data, size_t, const char *&) {
        locked(pthread_mutex_lock(&buffer->mutex));
        while (buffer->tail == buffer->head) wait(buffer->not_empty);
        auto &slot = buffer->slot[buffer->head % Buffer::SLOTS];
        size_t len = slot.len;
        memcpy(data, slot.data, len);
        __atomic_store_n(&buffer->head, buffer->head + 1, __ATOMIC_RELEASE);
        wake(pthread_cond_signal, buffer->not_full);
        must(pthread_mutex_unlock(&buffer->mutex), "pthread_mutex_unlock");
        return len;
    }
    uint64_t position() { return 0; }
    void processed() {}
};

int main(int argc, char **argv) { return run<Rival>(argc, argv); }

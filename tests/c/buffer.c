/* The value of a buffer, its lock and its condition. */
#include "check.h"
#include <pthread.h>

static ipcx_buffer *new_buffer(uint64_t capacity)
{
    ipcx_buffer_options options = IPCX_BUFFER_OPTIONS_INIT;
    ipcx_buffer *buffer;

    options.capacity = capacity;
    OK(ipcx_buffer_anonymous(&options, &buffer));
    return buffer;
}

static ipcx_stats figures(ipcx_buffer *buffer)
{
    ipcx_stats stats = IPCX_STATS_INIT;

    OK(ipcx_buffer_stats(buffer, &stats));
    CHECK(stats.kind == IPCX_KIND_BUFFER && stats.used <= stats.capacity);
    return stats;
}

/* The value is this, of this version. */
static void expect_value(ipcx_buffer *buffer, const char *value, uint64_t version)
{
    char bytes[64];
    size_t len = 99;
    uint64_t found = 99;

    OK(ipcx_buffer_read(buffer, bytes, sizeof bytes, &len, &found));
    CHECK(len == strlen(value) && memcmp(bytes, value, len) == 0 && found == version);
    CHECK(figures(buffer).sent == version && figures(buffer).used == len);
}

/* A copy of the value, locked. */
struct copy {
    void *data;
    size_t len, cap;
};

static struct copy lock(ipcx_buffer *buffer)
{
    struct copy copy = { NULL, 0, 0 };

    OK(ipcx_buffer_lock(buffer, IPCX_FOREVER, &copy.data, &copy.len, &copy.cap));
    CHECK(copy.data != NULL && copy.cap == figures(buffer).capacity && copy.len <= copy.cap);
    CHECK(figures(buffer).producer_pid == (uint32_t)getpid());
    return copy;
}

static void a_value_is_written_and_read_with_its_version(void)
{
    const char *name = new_name();
    ipcx_buffer *buffer, *other;
    char bytes[8] = "--------";
    size_t len;

    GIVES(IPCX_E_NOT_FOUND, ipcx_buffer_attach(name, &buffer));
    OK(ipcx_buffer_create(name, NULL, &buffer));
    GIVES(IPCX_E_EXISTS, ipcx_buffer_create(name, NULL, &other));
    OK(ipcx_buffer_attach(name, &other));
    CHECK(figures(buffer).capacity == 4096 && figures(buffer).producer_pid == 0);
    expect_value(other, "", 0); /* nothing was written */
    OK(ipcx_buffer_write(buffer, "one", 3, IPCX_NOWAIT));
    expect_value(other, "one", 1);
    OK(ipcx_buffer_write(other, "two", 3, IPCX_FOREVER));
    expect_value(buffer, "two", 2);
    OK(ipcx_buffer_write(buffer, NULL, 0, 10 * MS)); /* empty, and of another version than in the beginning */
    expect_value(other, "", 3);
    OK(ipcx_buffer_write(buffer, "four", 4, IPCX_NOWAIT));
    OK(ipcx_buffer_read(buffer, bytes, sizeof bytes, &len, NULL));
    CHECK(len == 4 && memcmp(bytes, "four----", 8) == 0);
    ipcx_buffer_close(other);
    ipcx_buffer_close(buffer);
}

static void what_is_too_big_says_so_and_changes_nothing(void)
{
    ipcx_buffer *buffer = new_buffer(16);
    char bytes[17] = "0123456789abcdef";
    uint64_t version = 77;
    size_t len = 0;

    GIVES(IPCX_E_TOO_BIG, ipcx_buffer_write(buffer, bytes, 17, IPCX_NOWAIT));
    GIVES(IPCX_E_TOO_BIG, ipcx_buffer_write(buffer, bytes, SIZE_MAX, IPCX_NOWAIT));
    expect_value(buffer, "", 0);
    OK(ipcx_buffer_write(buffer, bytes, 16, IPCX_NOWAIT));
    GIVES(IPCX_E_TOO_BIG, ipcx_buffer_read(buffer, bytes, 15, &len, &version));
    CHECK(len == 16 && version == 77);
    len = 0;
    GIVES(IPCX_E_TOO_BIG, ipcx_buffer_read(buffer, NULL, 0, &len, &version));
    CHECK(len == 16 && version == 77);
    lock(buffer);
    GIVES(IPCX_E_TOO_BIG, ipcx_buffer_unlock(buffer, 17));
    OK(ipcx_buffer_unlock(buffer, 10)); /* the lock stayed */
    expect_value(buffer, "0123456789", 2);
    ipcx_buffer_close(buffer);
}

static void under_the_lock_a_copy_is_changed_that_a_commit_makes_the_value(void)
{
    ipcx_buffer *buffer = new_buffer(100);
    struct copy copy;

    OK(ipcx_buffer_write(buffer, "one", 3, IPCX_NOWAIT));
    copy = lock(buffer);
    CHECK(copy.len == 3 && memcmp(copy.data, "one", 3) == 0 && (uintptr_t)copy.data % 64 == 0);
    memcpy(copy.data, "two!", 4);
    expect_value(buffer, "one", 1); /* readers need no lock, and see nothing yet */
    OK(ipcx_buffer_unlock(buffer, 4));
    expect_value(buffer, "two!", 2);
    copy = lock(buffer);
    CHECK(copy.len == 4 && copy.cap == 100 && memcmp(copy.data, "two!", 4) == 0);
    memcpy(copy.data, "no", 2);
    OK(ipcx_buffer_abandon(buffer));
    expect_value(buffer, "two!", 2);
    copy = lock(buffer);
    CHECK(copy.len == 4 && memcmp(copy.data, "two!", 4) == 0);
    ((char *)copy.data)[4] = '!';
    OK(ipcx_buffer_unlock(buffer, 5));
    expect_value(buffer, "two!!", 3);
    GIVES(IPCX_E_INVALID, ipcx_buffer_unlock(buffer, 5));
    SAYS("does not have");
    ipcx_buffer_close(buffer);
}

/* Every call of a thread that does not have the lock. */
static void *in_another_thread(void *handle)
{
    ipcx_buffer *buffer = handle;
    struct copy copy;
    int64_t start = now_ns();

    GIVES(IPCX_E_INVALID, ipcx_buffer_unlock(buffer, 0));
    GIVES(IPCX_E_INVALID, ipcx_buffer_abandon(buffer));
    GIVES(IPCX_E_INVALID, ipcx_buffer_wait_locked(buffer, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_buffer_recovered(buffer));
    GIVES(IPCX_E_INVALID, ipcx_buffer_locked(buffer, &copy.data, &copy.len, &copy.cap));
    GIVES(IPCX_E_AGAIN, ipcx_buffer_write(buffer, "x", 1, IPCX_NOWAIT));
    GIVES(IPCX_E_AGAIN, ipcx_buffer_lock(buffer, IPCX_NOWAIT, &copy.data, &copy.len, &copy.cap));
    GIVES(IPCX_E_TIMEDOUT, ipcx_buffer_lock(buffer, 30 * MS, &copy.data, &copy.len, &copy.cap));
    CHECK(now_ns() - start >= 30 * MS);
    expect_value(buffer, "mine", 1);
    OK(ipcx_buffer_notify(buffer, 0));
    return NULL;
}

static void the_lock_belongs_to_the_thread_that_took_it(void)
{
    ipcx_buffer *buffer = new_buffer(64);
    struct copy copy;
    pthread_t thread;

    OK(ipcx_buffer_write(buffer, "mine", 4, IPCX_NOWAIT));
    lock(buffer);
    CHECK(pthread_create(&thread, NULL, in_another_thread, buffer) == 0 && pthread_join(thread, NULL) == 0);
    GIVES(IPCX_E_INVALID, ipcx_buffer_write(buffer, "x", 1, IPCX_FOREVER));
    GIVES(IPCX_E_INVALID, ipcx_buffer_lock(buffer, IPCX_FOREVER, &copy.data, &copy.len, &copy.cap));
    SAYS("already");
    CHECK(ipcx_buffer_recovered(buffer) == 0);
    OK(ipcx_buffer_unlock(buffer, 4));
    ipcx_buffer_close(buffer);
}

static void a_commit_wakes_who_waits_for_a_version(void)
{
    enum { WRITES = 200 };
    const char *name = new_name();
    uint64_t seen = 0, version = 0, number = 0;
    ipcx_buffer *buffer;
    size_t len;
    pid_t child;

    OK(ipcx_buffer_create(name, NULL, &buffer));
    GIVES(IPCX_E_AGAIN, ipcx_buffer_wait(buffer, 0, &version, IPCX_NOWAIT));
    GIVES(IPCX_E_TIMEDOUT, ipcx_buffer_wait(buffer, 0, &version, 10 * MS));
    OK(ipcx_buffer_wait(buffer, 1, NULL, IPCX_FOREVER)); /* another than seen is all that counts */
    child = fork();
    if (child == 0) {
        ipcx_buffer *theirs;
        OK(ipcx_buffer_attach(name, &theirs));
        for (uint64_t i = 1; i <= WRITES; i++) {
            struct copy copy;
            if (i % 3 == 0) {
                OK(ipcx_buffer_write(theirs, &i, sizeof i, IPCX_FOREVER));
                continue;
            }
            copy = lock(theirs);
            memcpy(copy.data, &i, sizeof i);
            OK(ipcx_buffer_unlock(theirs, sizeof i));
            if (i % 3 == 1) {
                lock(theirs);
                OK(ipcx_buffer_abandon(theirs));
            }
        }
        ipcx_buffer_close(theirs);
        _exit(0);
    }
    while (seen < WRITES) {
        OK(ipcx_buffer_wait(buffer, seen, &version, IPCX_FOREVER));
        CHECK(version > seen);
        OK(ipcx_buffer_read(buffer, &number, sizeof number, &len, &seen));
        CHECK(len == sizeof number && number == seen && seen >= version);
    }
    CHECK(wait_for(child) == 0 && seen == WRITES);
    ipcx_buffer_close(buffer);
}

enum { TURNS = 2000 };

/* Takes each second turn of a number that is under the lock; in between, waits for the other one. */
static void take_turns(const char *name, uint64_t own)
{
    ipcx_buffer *buffer;
    struct copy copy;
    uint64_t turn = 0;

    OK(ipcx_buffer_attach(name, &buffer));
    copy = lock(buffer);
    while (turn + 1 < TURNS) {
        memcpy(&turn, copy.data, sizeof turn);
        if (turn % 2 == own) {
            turn++;
            memcpy(copy.data, &turn, sizeof turn);
            OK(ipcx_buffer_unlock(buffer, sizeof turn));
            OK(ipcx_buffer_notify(buffer, turn % 5 == 0));
            copy = lock(buffer);
        } else {
            OK(ipcx_buffer_wait_locked(buffer, 30000 * MS));
            OK(ipcx_buffer_locked(buffer, &copy.data, &copy.len, &copy.cap));
        }
        CHECK(copy.len == sizeof turn);
    }
    OK(ipcx_buffer_abandon(buffer));
    ipcx_buffer_close(buffer);
}

static void a_notification_wakes_who_waits_under_the_lock(void)
{
    const char *name = new_name();
    ipcx_buffer *buffer;
    uint64_t turn = 0;
    size_t len;
    pid_t child;

    OK(ipcx_buffer_create(name, NULL, &buffer));
    OK(ipcx_buffer_write(buffer, &turn, sizeof turn, IPCX_NOWAIT));
    child = fork();
    if (child == 0) {
        take_turns(name, 1);
        _exit(0);
    }
    take_turns(name, 0);
    CHECK(wait_for(child) == 0);
    OK(ipcx_buffer_read(buffer, &turn, sizeof turn, &len, NULL));
    CHECK(turn == TURNS && figures(buffer).sent == TURNS + 1);
    ipcx_buffer_close(buffer);
}

static void on_signal(int number)
{
    (void)number;
}

static void a_wait_that_fails_leaves_the_thread_without_the_lock(void)
{
    ipcx_buffer *buffer = new_buffer(64);
    struct sigaction action;
    pid_t child, parent = getpid();
    int64_t start = now_ns();

    lock(buffer);
    GIVES(IPCX_E_INVALID, ipcx_buffer_wait_locked(buffer, -2)); /* nothing was done */
    GIVES(IPCX_E_TIMEDOUT, ipcx_buffer_wait_locked(buffer, 20 * MS));
    CHECK(now_ns() - start >= 20 * MS);
    GIVES(IPCX_E_INVALID, ipcx_buffer_abandon(buffer));
    lock(buffer);
    GIVES(IPCX_E_AGAIN, ipcx_buffer_wait_locked(buffer, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_buffer_abandon(buffer));
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    lock(buffer);
    child = fork();
    if (child == 0)
        alarm(TIME_LIMIT_S);
    while (child == 0) { /* until one arrives during a sleep */
        sleep_ms(20);
        kill(parent, SIGUSR1);
    }
    GIVES(IPCX_E_INTR, ipcx_buffer_wait_locked(buffer, IPCX_FOREVER));
    GIVES(IPCX_E_INVALID, ipcx_buffer_abandon(buffer));
    kill(child, SIGKILL);
    wait_for(child);
    ipcx_buffer_close(buffer);
}

static void a_dead_owners_lock_goes_to_the_next_who_is_told(void)
{
    const char *name = new_name();
    ipcx_buffer *buffer;
    struct copy copy;
    int64_t start;
    int ready[2];
    pid_t child;
    char byte;

    OK(ipcx_buffer_create(name, NULL, &buffer));
    OK(ipcx_buffer_write(buffer, "whole", 5, IPCX_NOWAIT));
    CHECK(pipe(ready) == 0);
    child = fork();
    if (child == 0) {
        ipcx_buffer *theirs;
        alarm(TIME_LIMIT_S);
        OK(ipcx_buffer_attach(name, &theirs));
        copy = lock(theirs);
        memcpy(copy.data, "hal", 3);
        CHECK(write(ready[1], "", 1) == 1);
        for (;;)
            pause();
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    GIVES(IPCX_E_AGAIN, ipcx_buffer_lock(buffer, IPCX_NOWAIT, &copy.data, &copy.len, &copy.cap)); /* it lives */
    expect_value(buffer, "whole", 1);
    kill(child, SIGKILL);
    wait_for(child);
    start = now_ns();
    copy = lock(buffer);
    CHECK(now_ns() - start < 250 * MS && ipcx_buffer_recovered(buffer) == 1);
    CHECK(copy.len == 5 && memcmp(copy.data, "whole", 5) == 0);
    OK(ipcx_buffer_unlock(buffer, 5));
    lock(buffer);
    CHECK(ipcx_buffer_recovered(buffer) == 0);
    ipcx_buffer_close(buffer); /* gives the lock up */
    OK(ipcx_buffer_attach(name, &buffer));
    lock(buffer);
    CHECK(ipcx_buffer_recovered(buffer) == 0);
    OK(ipcx_buffer_abandon(buffer));
    expect_value(buffer, "whole", 2);
    ipcx_buffer_close(buffer);
}

static void a_forked_child_attaches_by_a_descriptor(void)
{
    ipcx_buffer *buffer = new_buffer(64), *theirs;
    int fd = ipcx_buffer_share_fd(buffer), tried[2];
    pid_t child;
    char byte;

    CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) && pipe(tried) == 0);
    CHECK(ftruncate(fd, 0) == -1 && errno == EPERM); /* sealed */
    lock(buffer);
    child = fork();
    if (child == 0) {
        struct copy copy;
        uint64_t version;
        ipcx_stats stats = IPCX_STATS_INIT;
        GIVES(IPCX_E_FORKED, ipcx_buffer_stats(buffer, &stats));
        GIVES(IPCX_E_FORKED, ipcx_buffer_write(buffer, "x", 1, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_buffer_read(buffer, NULL, 0, &copy.len, &version));
        GIVES(IPCX_E_FORKED, ipcx_buffer_wait(buffer, 1, &version, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_buffer_lock(buffer, IPCX_NOWAIT, &copy.data, &copy.len, &copy.cap));
        GIVES(IPCX_E_FORKED, ipcx_buffer_locked(buffer, &copy.data, &copy.len, &copy.cap));
        GIVES(IPCX_E_FORKED, ipcx_buffer_unlock(buffer, 0));
        GIVES(IPCX_E_FORKED, ipcx_buffer_abandon(buffer));
        GIVES(IPCX_E_FORKED, ipcx_buffer_wait_locked(buffer, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_buffer_notify(buffer, 1));
        GIVES(IPCX_E_FORKED, ipcx_buffer_recovered(buffer));
        GIVES(IPCX_E_FORKED, ipcx_buffer_share_fd(buffer));
        GIVES(IPCX_E_FORKED, ipcx_poll_fd(IPCX_WAIT_FOR_BUFFER, buffer, NULL));
        GIVES(IPCX_E_FORKED, ipcx_signal(IPCX_WAIT_FOR_BUFFER, buffer, SIGRTMIN));
        ipcx_buffer_close(buffer); /* the parent keeps its lock */
        OK(ipcx_buffer_from_fd(fd, &theirs));
        GIVES(IPCX_E_AGAIN, ipcx_buffer_write(theirs, "x", 1, IPCX_NOWAIT));
        CHECK(write(tried[1], "", 1) == 1);
        OK(ipcx_buffer_wait(theirs, 0, NULL, IPCX_FOREVER));
        OK(ipcx_buffer_write(theirs, "child", 5, IPCX_FOREVER));
        ipcx_buffer_close(theirs);
        _exit(0);
    }
    close(tried[1]);
    CHECK(read(tried[0], &byte, 1) == 1);
    close(tried[0]);
    OK(ipcx_buffer_unlock(buffer, 0));
    CHECK(wait_for(child) == 0);
    expect_value(buffer, "child", 2);
    close(fd);
    GIVES(IPCX_E_OS, ipcx_buffer_from_fd(fd, &theirs));
    ipcx_buffer_close(buffer);
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd fds = { fd, POLLIN, 0 };

    return poll(&fds, 1, timeout_ms) == 1 && (fds.revents & POLLIN);
}

static void the_descriptor_is_readable_while_there_is_a_version_not_read(void)
{
    ipcx_buffer *buffer = new_buffer(64);
    int fd = ipcx_poll_fd(IPCX_WAIT_FOR_BUFFER, buffer, NULL);

    CHECK(fd >= 0 && ipcx_poll_fd(IPCX_WAIT_FOR_BUFFER, buffer, NULL) == fd && !readable(fd, 50));
    OK(ipcx_buffer_write(buffer, "1", 1, IPCX_NOWAIT));
    CHECK(readable(fd, 2000) && readable(fd, 0));
    expect_value(buffer, "1", 1);
    CHECK(!readable(fd, 50));
    OK(ipcx_buffer_write(buffer, "2", 1, IPCX_NOWAIT));
    CHECK(readable(fd, 2000));
    OK(ipcx_buffer_wait(buffer, 1, NULL, IPCX_NOWAIT));
    CHECK(!readable(fd, 50));
    ipcx_buffer_close(buffer);
}

static void a_signal_comes_with_each_version_after_one_that_was_read(void)
{
    const struct timespec patience = { 10, 0 }, little = { 0, 50 * (long)MS };
    ipcx_buffer *buffer = new_buffer(64);
    sigset_t set;
    siginfo_t info;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_BUFFER, buffer, SIGUSR1));
    SAYS("real-time");
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_BUFFER, buffer, -1));
    OK(ipcx_signal(IPCX_WAIT_FOR_BUFFER, buffer, SIGRTMIN));
    for (uint64_t version = 1; version <= 20; version++) {
        OK(ipcx_buffer_write(buffer, "x", 1, IPCX_NOWAIT));
        CHECK(sigtimedwait(&set, &info, &patience) == SIGRTMIN);
        CHECK(info.si_code == SI_QUEUE && info.si_pid == getpid() && info.si_value.sival_int == 0);
        expect_value(buffer, "x", version);
    }
    OK(ipcx_signal(IPCX_WAIT_FOR_BUFFER, buffer, 0));
    OK(ipcx_buffer_write(buffer, "x", 1, IPCX_NOWAIT));
    CHECK(sigtimedwait(&set, NULL, &little) == -1 && errno == EAGAIN);
    OK(ipcx_signal(IPCX_WAIT_FOR_BUFFER, buffer, SIGRTMIN)); /* and at once, where it is ready already */
    CHECK(sigtimedwait(&set, NULL, &patience) == SIGRTMIN);
    ipcx_buffer_close(buffer);
}

static void bad_arguments_are_invalid_and_do_nothing(void)
{
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_buffer_options options = IPCX_BUFFER_OPTIONS_INIT;
    const char *name = new_name();
    ipcx_buffer *buffer = new_buffer(64), *other = NULL;
    ipcx_buffer *wrong;
    ipcx_ring *ring;
    struct copy copy;
    uint64_t version;
    size_t len;

    GIVES(IPCX_E_INVALID, ipcx_buffer_create(NULL, NULL, &other));
    GIVES(IPCX_E_INVALID, ipcx_buffer_create("a/b", NULL, &other));
    GIVES(IPCX_E_INVALID, ipcx_buffer_open(name, NULL, NULL));
    GIVES(IPCX_E_INVALID, ipcx_buffer_from_fd(-1, &other));
    options.capacity = UINT64_MAX;
    GIVES(IPCX_E_INVALID, ipcx_buffer_create(name, &options, &other));
    options.capacity = UINT64_C(1) << 39;
    GIVES(IPCX_E_NO_SPACE, ipcx_buffer_create(name, &options, &other));
    options.capacity = 100;
    options.backing = IPCX_BACKING_SYSTEM_V;
    GIVES(IPCX_E_INVALID, ipcx_buffer_create(name, &options, &other));
    options.backing = 0;
    options.struct_size = 4;
    GIVES(IPCX_E_INVALID, ipcx_buffer_create(name, &options, &other));
    GIVES(IPCX_E_NOT_FOUND, ipcx_buffer_attach(name, &other));
    options.struct_size = sizeof options;
    OK(ipcx_buffer_open(name, &options, &other));
    ipcx_buffer_close(other);
    options.capacity = 101;
    GIVES(IPCX_E_MISMATCH, ipcx_buffer_open(name, &options, &other));
    options.flags = IPCX_OPT_MUST_EXIST;
    GIVES(IPCX_E_MISMATCH, ipcx_buffer_open(name, &options, &other));
    GIVES(IPCX_E_MISMATCH, ipcx_ring_attach(name, &ring));

    GIVES(IPCX_E_INVALID, ipcx_buffer_write(buffer, NULL, 1, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_buffer_write(buffer, "x", 1, -2));
    GIVES(IPCX_E_INVALID, ipcx_buffer_read(buffer, NULL, 1, &len, &version));
    GIVES(IPCX_E_INVALID, ipcx_buffer_read(buffer, NULL, 0, NULL, &version));
    GIVES(IPCX_E_INVALID, ipcx_buffer_lock(buffer, IPCX_NOWAIT, NULL, &copy.len, &copy.cap));
    GIVES(IPCX_E_INVALID, ipcx_buffer_lock(buffer, IPCX_NOWAIT, &copy.data, NULL, &copy.cap));
    GIVES(IPCX_E_INVALID, ipcx_buffer_lock(buffer, IPCX_NOWAIT, &copy.data, &copy.len, NULL));
    lock(buffer); /* none of them has locked it */
    OK(ipcx_buffer_abandon(buffer));
    expect_value(buffer, "", 0);

    OK(ipcx_ring_anonymous(NULL, &ring));
    wrong = (ipcx_buffer *)ring;
    for (int i = 0; i < 2; i++, wrong = NULL) {
        GIVES(IPCX_E_INVALID, ipcx_buffer_write(wrong, "x", 1, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_buffer_read(wrong, NULL, 0, &len, &version));
        GIVES(IPCX_E_INVALID, ipcx_buffer_wait(wrong, 0, &version, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_buffer_lock(wrong, IPCX_NOWAIT, &copy.data, &copy.len, &copy.cap));
        GIVES(IPCX_E_INVALID, ipcx_buffer_locked(wrong, &copy.data, &copy.len, &copy.cap));
        GIVES(IPCX_E_INVALID, ipcx_buffer_unlock(wrong, 0));
        GIVES(IPCX_E_INVALID, ipcx_buffer_abandon(wrong));
        GIVES(IPCX_E_INVALID, ipcx_buffer_wait_locked(wrong, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_buffer_notify(wrong, 0));
        GIVES(IPCX_E_INVALID, ipcx_buffer_recovered(wrong));
        GIVES(IPCX_E_INVALID, ipcx_buffer_share_fd(wrong));
        GIVES(IPCX_E_INVALID, ipcx_poll_fd(IPCX_WAIT_FOR_BUFFER, wrong, NULL));
        GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_BUFFER, wrong, 0));
        GIVES(IPCX_E_INVALID, ipcx_buffer_stats(wrong, &stats));
        ipcx_buffer_close(wrong); /* left alone */
    }
    ipcx_ring_close(ring);
    ipcx_buffer_close(buffer);
}

static const struct test tests[] = {
    TEST(a_value_is_written_and_read_with_its_version),
    TEST(what_is_too_big_says_so_and_changes_nothing),
    TEST(under_the_lock_a_copy_is_changed_that_a_commit_makes_the_value),
    TEST(the_lock_belongs_to_the_thread_that_took_it),
    TEST(a_commit_wakes_who_waits_for_a_version),
    TEST(a_notification_wakes_who_waits_under_the_lock),
    TEST(a_wait_that_fails_leaves_the_thread_without_the_lock),
    TEST(a_dead_owners_lock_goes_to_the_next_who_is_told),
    TEST(a_forked_child_attaches_by_a_descriptor),
    TEST(the_descriptor_is_readable_while_there_is_a_version_not_read),
    TEST(a_signal_comes_with_each_version_after_one_that_was_read),
    TEST(bad_arguments_are_invalid_and_do_nothing),
};

int main(void)
{
    return RUN(tests);
}

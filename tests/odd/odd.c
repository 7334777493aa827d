/*
 * What the tests of odd hosts have C processes do. main.rs lists it; bin/odd.rs and odd.py do the part that is asked of
 * every language.
 */
#define _GNU_SOURCE
#include "../peers/stream.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 * MS + time.tv_nsec;
}

static void say(const char *what, long number)
{
    printf("%s %ld\n", what, number);
    fflush(stdout);
}

static ipcx_ring *attach(const char *name)
{
    ipcx_ring *ring;

    must(ipcx_ring_attach(name, &ring));
    return ring;
}

/* A producer that has sent its first record. */
static ipcx_producer *producer_of(const char *name)
{
    ipcx_producer *tx;

    must(ipcx_ring_producer(attach(name), &tx));
    must(ipcx_producer_send(tx, "held", 4, IPCX_NOWAIT));
    return tx;
}

/* ---- Asked of every language ---- */

/* Waits with a timeout, again and again, and says how long it took. A signal only takes time. */
static void timeouts(const char *verb, const char *name, int64_t ns, int count)
{
    static char full[1000];
    int sends = strcmp(verb, "send") == 0, code;
    ipcx_producer *tx = NULL;
    ipcx_consumer *rx = NULL;
    size_t len;

    must(sends ? ipcx_ring_producer(attach(name), &tx) : ipcx_ring_consumer(attach(name), &rx));
    while (sends && ipcx_producer_send(tx, full, sizeof full, IPCX_NOWAIT) == IPCX_OK)
        ;
    for (; count > 0; count--) {
        int64_t begin = now(), left;
        do {
            left = begin + ns - now();
            left = left > 1 ? left : 1;
            code = sends ? ipcx_producer_send(tx, full, sizeof full, left)
                         : ipcx_consumer_recv(rx, full, sizeof full, &len, left);
        } while (code == IPCX_E_INTR);
        if (code != IPCX_E_TIMEDOUT)
            fail("%s: %s", ipcx_strerror(code), ipcx_last_error());
        say("after", (long)(now() - begin));
    }
}

static void hold(const char *name)
{
    producer_of(name);
    pause();
}

/* A child that is not ipcx's any more, by posix_spawn; it ends with the input. */
static void spawn_and_stay(const char *name)
{
    static char *const arguments[] = { "cat", NULL };
    extern char **environ;
    pid_t child;

    producer_of(name);
    if (posix_spawnp(&child, "cat", NULL, NULL, arguments, environ) != 0)
        fail("posix_spawn");
    say("spawned", child);
    pause();
}

static void become_another_program(const char *name)
{
    producer_of(name);
    execlp("cat", "cat", NULL);
    fail("exec");
}

/* The child has its handles refused, closes them, attaches anew elsewhere, and exits; the parent goes on. */
static int fork_and_go_on(const char *own, const char *other)
{
    ipcx_ring *ring = attach(own);
    ipcx_producer *tx, *child_tx;
    int status;
    pid_t child;

    must(ipcx_ring_producer(ring, &tx));
    must(ipcx_producer_send(tx, "before", 6, IPCX_NOWAIT));
    if ((child = fork()) == 0) {
        if (ipcx_producer_send(tx, "stolen", 6, IPCX_NOWAIT) != IPCX_E_FORKED
            || ipcx_ring_producer(ring, &child_tx) != IPCX_E_FORKED)
            fail("an inherited handle works");
        ipcx_producer_close(tx);
        ipcx_ring_close(ring);
        if (ipcx_ring_producer(attach(own), &child_tx) != IPCX_E_BUSY)
            fail("the parent's role is free");
        must(ipcx_ring_producer(attach(other), &child_tx));
        must(ipcx_producer_send(child_tx, "from the child", 14, IPCX_NOWAIT));
        ipcx_producer_close(child_tx);
        exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("the child ended with %#x", status);
    must(ipcx_producer_send(tx, "after", 5, IPCX_NOWAIT));
    ipcx_producer_close(tx);
    ipcx_ring_close(ring);
    return 0;
}

/* Beyond the limit on files. */
static int create_beyond_a_limit(void)
{
    struct rlimit limit = { 100000, RLIM_INFINITY };
    ipcx_ring *ring;

    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        fail("setrlimit");
    if (ipcx_ring_create("large", NULL, &ring) != IPCX_E_NO_SPACE)
        fail("a ring beyond the limit");
    puts(ipcx_last_error());
    if (ipcx_ring_anonymous(NULL, &ring) != IPCX_E_NO_SPACE)
        fail("an anonymous ring beyond the limit");
    return 0;
}

/* ---- C only ---- */

static pthread_t leader;

static void *outlive_the_leader(void *tx)
{
    pthread_join(leader, NULL);
    must(ipcx_producer_send(tx, "leader gone", 11, IPCX_NOWAIT));
    pause();
    return tx;
}

/* The process goes on without its first thread, which the system shows as a zombie. */
static void end_the_leader(const char *name)
{
    ipcx_producer *tx = producer_of(name);
    pthread_t other;

    leader = pthread_self();
    if (pthread_create(&other, NULL, outlive_the_leader, tx) != 0)
        fail("pthread_create");
    pthread_exit(NULL);
}

/* A child between vfork and exec, until there is a file named gate; this process sleeps meanwhile. */
static void stay_in_vfork(const char *name)
{
    char gate[4096];
    const char *directory = getenv("IPCX_DIR");

    snprintf(gate, sizeof gate, "%s/gate", directory ? directory : "");
    producer_of(name);
    if (vfork() == 0) {
        if (write(1, "vforked\n", 8) != 8)
            _exit(1);
        while (access(gate, F_OK) != 0)
            usleep(1000);
        execlp("cat", "cat", NULL);
        _exit(1);
    }
    pause();
}

/* A child that the C library knows nothing of. */
static void fork_behind_the_back(const char *name)
{
    long child;

    producer_of(name);
    child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        char byte;
        while (read(0, &byte, 1) > 0)
            ;
        _exit(0);
    }
    say("cloned", child);
    pause();
}

/* Much memory, which the kernel takes down first when the process is killed. */
static void hold_memory(const char *name, size_t mib)
{
    size_t size = mib << 20;
    char *memory = malloc(size);

    if (memory == NULL)
        fail("no memory");
    memset(memory, 1, size);
    producer_of(name);
    say("holds", (long)mib);
    pause();
}

/* Memory in large pieces, taken and given back without pause by another thread: long calls that nothing interrupts. */
static void *take_and_give_back(void *unused)
{
    for (;;) {
        size_t size = 64 << 20;
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (memory == MAP_FAILED)
            fail("no memory");
        munmap(memory, size);
    }
    return unused;
}

static void work_in_the_kernel(const char *name)
{
    pthread_t other;

    producer_of(name);
    if (pthread_create(&other, NULL, take_and_give_back, NULL) != 0)
        fail("pthread_create");
    pause();
}

/* As the first process of a PID namespace: the child is the first one of another. */
static int fork_an_equal(const char *name)
{
    ipcx_producer *tx = producer_of(name);
    int status;
    pid_t child;

    if (getpid() != 1 || unshare(CLONE_NEWPID) != 0)
        fail("unshare");
    if ((child = fork()) == 0) {
        int code = ipcx_producer_send(tx, "stolen", 6, IPCX_NOWAIT);
        say(code == IPCX_E_FORKED ? "forked" : "sent", (long)getpid());
        exit(0);
    }
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

/* ---- The first use of the library, while another thread forks ---- */

static const char *ring_name;
static volatile int delays[2];

/* Where the thread is stopped while the process forks, if anywhere. */
enum { NOWHERE, BEFORE, BEHIND };
static atomic_int stop_at, stopped, forked;

static void stop_if(int here)
{
    int at = here;

    if (atomic_compare_exchange_strong(&stop_at, &at, NOWHERE)) {
        atomic_store(&stopped, 1);
        while (!atomic_load(&forked))
            sched_yield();
    }
}

/* What pthread_atfork() calls in glibc: the library's first use can be stopped in the middle. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object)
{
    int (*next)(void (*)(void), void (*)(void), void (*)(void), void *) = dlsym(RTLD_NEXT, "__register_atfork");
    int result;

    stop_if(BEFORE);
    result = next(prepare, parent, child, object);
    stop_if(BEHIND);
    return result;
}

static void spin(int turns)
{
    for (volatile int i = 0; i < turns; i++)
        ;
}

/* With a handler, for the first process of a namespace takes no other signal. */
static void give_up(int signal)
{
    _exit(signal);
}

static void give_up_after(unsigned seconds)
{
    signal(SIGALRM, give_up);
    alarm(seconds);
}

static void *use_first(void *unused)
{
    spin(delays[0]);
    ipcx_ring_close(attach(ring_name));
    return unused;
}

/* In a process that has not used the library yet. True if the child that is forked meanwhile can. */
static int race(int own_namespace)
{
    int stops = atomic_load(&stop_at) != NOWHERE, status;
    ipcx_producer *tx;
    pthread_t other;
    pid_t child;

    give_up_after(20);
    if (pthread_create(&other, NULL, use_first, NULL) != 0)
        fail("pthread_create");
    if (own_namespace && unshare(CLONE_NEWPID) != 0)
        fail("unshare");
    spin(delays[1]);
    while (stops && !atomic_load(&stopped))
        sched_yield();
    if ((child = fork()) == 0) {
        give_up_after(5); /* a hang is a failure */
        if (own_namespace && getpid() != 1)
            fail("not the first process of its namespace");
        must(ipcx_ring_producer(attach(ring_name), &tx));
        ipcx_producer_close(tx);
        _exit(0);
    }
    atomic_store(&forked, 1);
    if (child < 0 || waitpid(child, &status, 0) != child || pthread_join(other, NULL) != 0)
        fail("fork");
    return status == 0;
}

/* Runs work in a child; true if it exits with 0. */
static int in_child(int (*work)(int), int argument)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(work(argument) ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* race(), as the first process of a PID namespace. */
static int race_as_first(int unused)
{
    return unshare(CLONE_NEWPID) == 0 && in_child(race, 1 + unused);
}

static int races(const char *name, long count, uint64_t seed, int own_namespace, const char *where)
{
    ring_name = name;
    atomic_store(&stop_at, strcmp(where, "before") == 0 ? BEFORE : strcmp(where, "behind") == 0 ? BEHIND : NOWHERE);
    for (long i = 0; i < count; i++) {
        delays[0] = (int)(next_random(&seed) % 40000);
        delays[1] = (int)(next_random(&seed) % 60000);
        if (!(own_namespace ? in_child(race_as_first, 0) : in_child(race, 0)))
            fail("turn %ld: the child of a process in its first use hangs or fails", i);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "", *name = argc > 2 ? argv[2] : "";

    if (strcmp(verb, "timeouts") == 0 && argc == 6)
        timeouts(name, argv[3], atoll(argv[4]) * MS, atoi(argv[5]));
    else if (strcmp(verb, "hold") == 0)
        hold(name);
    else if (strcmp(verb, "spawn") == 0)
        spawn_and_stay(name);
    else if (strcmp(verb, "exec") == 0)
        become_another_program(name);
    else if (strcmp(verb, "fork") == 0 && argc == 4)
        return fork_and_go_on(name, argv[3]);
    else if (strcmp(verb, "limit") == 0)
        return create_beyond_a_limit();
    else if (strcmp(verb, "leader") == 0)
        end_the_leader(name);
    else if (strcmp(verb, "vfork") == 0)
        stay_in_vfork(name);
    else if (strcmp(verb, "clone") == 0)
        fork_behind_the_back(name);
    else if (strcmp(verb, "memory") == 0 && argc == 4)
        hold_memory(name, strtoul(argv[3], NULL, 10));
    else if (strcmp(verb, "kernel") == 0)
        work_in_the_kernel(name);
    else if (strcmp(verb, "equal") == 0)
        return fork_an_equal(name);
    else if (strcmp(verb, "races") == 0 && argc == 7)
        return races(name, atol(argv[3]), strtoull(argv[4], NULL, 10), strcmp(argv[5], "namespaces") == 0, argv[6]);
    else
        return 2;
    return 0;
}

/*
 * Services: calling, several requests at once, refusals, deadlines, deaths of servers and clients, waiting for them.
 */
#include "check.h"
#include <pthread.h>

enum { ROOM = 64 };

static ipcx_service *new_service(uint64_t depth)
{
    ipcx_service_options options = IPCX_SERVICE_OPTIONS_INIT;
    ipcx_service *service;

    options.max_request = ROOM;
    options.max_reply = ROOM;
    options.max_clients = 8;
    options.depth = depth;
    OK(ipcx_service_anonymous(&options, &service));
    return service;
}

/* Another handle on it, as of another process. */
static ipcx_service *another(ipcx_service *service)
{
    ipcx_service *other;
    int fd = ipcx_service_share_fd(service);

    CHECK(fd >= 0);
    OK(ipcx_service_from_fd(fd, &other));
    close(fd);
    return other;
}

static ipcx_server *new_server(ipcx_service *service)
{
    ipcx_server *server;

    OK(ipcx_service_server(service, &server));
    return server;
}

static ipcx_client *new_client(ipcx_service *service)
{
    ipcx_client *client;

    OK(ipcx_service_client(service, &client));
    return client;
}

static uint64_t sends(ipcx_client *client, const char *text)
{
    uint64_t id = 0;

    OK(ipcx_client_send(client, text, strlen(text), &id, IPCX_NOWAIT));
    return id;
}

/* Takes the next request, which must be this one. */
static uint64_t takes(ipcx_server *server, const char *text)
{
    char buffer[ROOM];
    size_t len = 0;
    uint64_t id = 0;

    OK(ipcx_server_recv(server, &id, buffer, sizeof buffer, &len, 10000 * MS));
    CHECK(id != 0 && len == strlen(text) && memcmp(buffer, text, len) == 0);
    return id;
}

static void replies(ipcx_server *server, uint64_t id, const char *text)
{
    OK(ipcx_server_reply(server, id, text, strlen(text)));
}

/* Receives a reply, which must be this one, to this request. */
static void receives(ipcx_client *client, uint64_t expected, const char *text)
{
    char buffer[ROOM];
    size_t len = 0;
    uint64_t id = 0;

    OK(ipcx_client_recv(client, &id, buffer, sizeof buffer, &len, 10000 * MS));
    CHECK(id == expected && len == strlen(text) && memcmp(buffer, text, len) == 0);
}

static ipcx_stats figures(ipcx_service *service)
{
    ipcx_stats stats = IPCX_STATS_INIT;

    OK(ipcx_service_stats(service, &stats));
    CHECK(stats.kind == IPCX_KIND_SERVICE);
    return stats;
}

/* Until it is told to end, answers with the request backwards; refuses what begins with '!', and dies of "die". */
static void serve(ipcx_server *server)
{
    for (;;) {
        char in[ROOM], out[ROOM];
        size_t len = 0;
        uint64_t id = 0;

        OK(ipcx_server_recv(server, &id, in, sizeof in, &len, IPCX_FOREVER));
        for (size_t i = 0; i < len; i++)
            out[i] = in[len - 1 - i];
        if (len == 3 && memcmp(in, "die", 3) == 0)
            kill(getpid(), SIGKILL);
        if (len > 0 && in[0] == '!')
            OK(ipcx_server_refuse(server, id, "not this", 8));
        else
            OK(ipcx_server_reply(server, id, out, len));
        if (len == 3 && memcmp(in, "end", 3) == 0)
            return;
    }
}

/* A process that serves. */
static pid_t serving(ipcx_service *service)
{
    pid_t child;
    int fd = ipcx_service_share_fd(service), ready[2];
    char byte;

    CHECK(fd >= 0 && pipe(ready) == 0);
    child = fork();
    if (child == 0) {
        ipcx_service *own;
        ipcx_server *server;

        OK(ipcx_service_from_fd(fd, &own));
        server = new_server(own);
        CHECK(write(ready[1], "x", 1) == 1);
        serve(server);
        ipcx_server_close(server);
        ipcx_service_close(own);
        _exit(0);
    }
    close(fd);
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    return child;
}

static int call(ipcx_client *client, const char *text, char reply[ROOM], size_t *len, int64_t timeout_ns)
{
    memset(reply, 0, ROOM);
    *len = 0;
    return ipcx_client_call(client, text, strlen(text), reply, ROOM - 1, len, timeout_ns);
}

static void a_call_gives_the_reply_or_what_the_server_refused_with(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    pid_t child = serving(service);
    char reply[ROOM];
    size_t len;

    for (int i = 0; i < 1000; i++) {
        OK(call(client, "hello", reply, &len, IPCX_FOREVER));
        CHECK(len == 5 && strcmp(reply, "olleh") == 0);
    }
    OK(ipcx_client_call(client, NULL, 0, NULL, 0, &len, IPCX_FOREVER));
    CHECK(len == 0);
    GIVES(IPCX_E_REMOTE, call(client, "!this", reply, &len, IPCX_FOREVER));
    SAYS("not this");
    CHECK(len == 8 && strcmp(reply, "not this") == 0 && strstr(ipcx_strerror(IPCX_E_REMOTE), "server") != NULL);
    GIVES(IPCX_E_REMOTE, ipcx_client_call(client, "!", 1, reply, 3, &len, IPCX_FOREVER));
    SAYS("not this");
    CHECK(len == 3);
    OK(call(client, "end", reply, &len, IPCX_FOREVER));
    CHECK(wait_for(child) == 0);
    GIVES(IPCX_E_CLOSED, call(client, "more", reply, &len, IPCX_FOREVER));
    ipcx_client_close(client);
    ipcx_service_close(service);
}

static void several_requests_are_open_and_answered_in_any_order(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    ipcx_server *server = new_server(service);
    uint64_t sent[4], taken[4], id = 77;
    char buffer[ROOM];
    size_t len = 0;

    GIVES(IPCX_E_AGAIN, ipcx_server_recv(server, &id, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_AGAIN, ipcx_client_recv(client, &id, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_client_recv(client, &id, buffer, sizeof buffer, &len, IPCX_FOREVER));
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 4; i++)
            sent[i] = sends(client, "abcd" + i);
        GIVES(IPCX_E_AGAIN, ipcx_client_send(client, "x", 1, &id, IPCX_FOREVER)); /* what there is is to be received */
        for (int i = 0; i < 4; i++)
            taken[i] = takes(server, "abcd" + i);
        CHECK(figures(service).taken == 4 && figures(service).ready == 0);
        replies(server, taken[2], "two");
        receives(client, sent[2], "two");
        replies(server, taken[0], "");
        receives(client, sent[0], "");
        OK(ipcx_server_refuse(server, taken[3], "no", 2));
        GIVES(IPCX_E_REMOTE, ipcx_client_recv(client, &id, buffer, sizeof buffer, &len, IPCX_FOREVER));
        CHECK(id == sent[3] && len == 2 && memcmp(buffer, "no", 2) == 0);
        OK(ipcx_client_forget(client, sent[1]));
        GIVES(IPCX_E_INVALID, ipcx_client_forget(client, sent[1]));
        replies(server, taken[1], "late"); /* and dropped */
        GIVES(IPCX_E_AGAIN, ipcx_client_recv(client, &id, buffer, sizeof buffer, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_server_reply(server, taken[1], "again", 5));
        CHECK(id == 0);
    }
    ipcx_client_close(client);
    ipcx_server_close(server);
    ipcx_service_close(service);
}

static void what_does_not_fit_stays(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    ipcx_server *server = new_server(service);
    char buffer[2 * ROOM] = { 0 };
    size_t len = 77;
    uint64_t id = 78, sent, taken;

    GIVES(IPCX_E_TOO_BIG, ipcx_client_send(client, buffer, ROOM + 1, &id, IPCX_FOREVER));
    GIVES(IPCX_E_TOO_BIG, ipcx_client_call(client, buffer, ROOM + 1, buffer, ROOM, &len, IPCX_FOREVER));
    CHECK(id == 78 && len == 77);
    sent = sends(client, "hello");
    GIVES(IPCX_E_TOO_BIG, ipcx_server_recv(server, &id, buffer, 4, &len, IPCX_FOREVER));
    CHECK(id == 78 && len == 5 && figures(service).ready == 1);
    taken = takes(server, "hello");
    GIVES(IPCX_E_TOO_BIG, ipcx_server_reply(server, taken, buffer, ROOM + 1));
    OK(ipcx_server_reply(server, taken, "a longer one", 12));
    GIVES(IPCX_E_TOO_BIG, ipcx_client_recv(client, &id, buffer, 4, &len, IPCX_FOREVER));
    CHECK(id == sent && len == 12);
    receives(client, sent, "a longer one");
    CHECK(figures(service).max_message == ROOM && figures(service).max_reply == ROOM);
    ipcx_client_close(client);
    ipcx_server_close(server);
    ipcx_service_close(service);
}

static void nobody_waits_longer_than_it_said(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    ipcx_server *server;
    char reply[ROOM];
    size_t len;
    uint64_t id;
    int64_t left = -7, before = now_ns();

    GIVES(IPCX_E_AGAIN, call(client, "never", reply, &len, IPCX_NOWAIT));
    SAYS("a call that does not wait has no reply");
    CHECK(ipcx_last_taken() == -1);
    GIVES(IPCX_E_TIMEDOUT, call(client, "late", reply, &len, 50 * MS)); /* a server might have come */
    SAYS("no server has attached to the service");
    CHECK(ipcx_last_taken() == 0);
    CHECK(now_ns() - before >= 50 * MS && now_ns() - before < 5000 * MS);
    server = new_server(service);
    GIVES(IPCX_E_TIMEDOUT, call(client, "slow", reply, &len, 50 * MS)); /* nobody receives */
    SAYS("no server has taken the request");
    CHECK(ipcx_last_taken() == 0);
    GIVES(IPCX_E_TIMEDOUT, ipcx_server_recv(server, &id, reply, ROOM, &len, 20 * MS)); /* so it was withdrawn */
    id = sends(client, "whenever");
    id = takes(server, "whenever");
    OK(ipcx_server_remaining(server, id, &left));
    CHECK(left == IPCX_FOREVER);
    replies(server, id, "now");
    GIVES(IPCX_E_INVALID, ipcx_server_remaining(server, id, &left));
    ipcx_client_close(client);
    ipcx_server_close(server);
    ipcx_service_close(service);
}

static void *call_for_a_second(void *client)
{
    char reply[ROOM];
    size_t len;

    GIVES(IPCX_E_TIMEDOUT, call(client, "how long", reply, &len, 1000 * MS));
    SAYS("has taken the request, and has not answered it");
    CHECK(ipcx_last_taken() == 1);
    return NULL;
}

static void a_server_knows_how_long_its_client_waits(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    ipcx_server *server = new_server(service);
    pthread_t thread;
    uint64_t id;
    int64_t left = -7;

    CHECK(pthread_create(&thread, NULL, call_for_a_second, client) == 0);
    id = takes(server, "how long");
    OK(ipcx_server_remaining(server, id, &left));
    CHECK(left > 0 && left <= 1000 * MS);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(ipcx_server_remaining(server, id, &left));
    CHECK(left == 0);
    replies(server, id, "too late");
    ipcx_client_close(client);
    ipcx_server_close(server);
    ipcx_service_close(service);
}

static void a_killed_servers_client_is_told_and_others_go_on(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    char reply[ROOM];
    size_t len;

    for (int i = 0; i < 10; i++) {
        pid_t first = serving(service), second = serving(service);
        int64_t before = now_ns();

        CHECK(figures(service).servers == 2 && figures(service).clients == 1);
        GIVES(IPCX_E_PEER_DEAD, call(client, "die", reply, &len, IPCX_FOREVER));
        CHECK(now_ns() - before < 2000 * MS);
        OK(call(client, "abc", reply, &len, 5000 * MS));
        CHECK(len == 3 && memcmp(reply, "cba", 3) == 0);
        GIVES(IPCX_E_PEER_DEAD, call(client, "die", reply, &len, IPCX_FOREVER));
        SAYS("carried out");
        CHECK(ipcx_last_taken() == 1);
        GIVES(IPCX_E_PEER_DEAD, call(client, "abc", reply, &len, IPCX_FOREVER)); /* there is none */
        CHECK(ipcx_last_taken() == 0);
        CHECK(wait_for(first) == -1 && wait_for(second) == -1);
    }
    ipcx_client_close(client);
    ipcx_service_close(service);
}

static void a_killed_clients_requests_are_left_out_and_its_place_is_free(void)
{
    ipcx_service *service = new_service(4), *other = another(service);
    ipcx_server *server = new_server(other);
    ipcx_client *clients[8], *none;
    uint64_t id;
    char buffer[ROOM];
    size_t len;

    for (int i = 0; i < 5; i++) {
        int fd = ipcx_service_share_fd(service), status;
        pid_t child = fork();

        if (child == 0) {
            ipcx_service *own;
            ipcx_client *client;

            OK(ipcx_service_from_fd(fd, &own));
            for (int place = 0; place < 8; place++) {
                client = new_client(own);
                sends(client, "from the dead");
            }
            raise(SIGKILL);
        }
        close(fd);
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        id = takes(server, "from the dead"); /* nobody has noticed */
        for (int place = 0; place < 8; place++)
            clients[place] = new_client(service);
        GIVES(IPCX_E_NO_SPACE, ipcx_service_client(service, &none));
        SAYS("max_clients");
        GIVES(IPCX_E_AGAIN, ipcx_server_recv(server, &id, buffer, sizeof buffer, &len, IPCX_NOWAIT));
        replies(server, id, "to nobody");
        id = sends(clients[i], "from the living");
        replies(server, takes(server, "from the living"), "yes");
        receives(clients[i], id, "yes");
        for (int place = 0; place < 8; place++)
            ipcx_client_close(clients[place]);
    }
    ipcx_server_close(server);
    ipcx_service_close(other);
    ipcx_service_close(service);
}

static void what_a_server_did_not_answer_is_refused_when_it_closes(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    ipcx_server *server = new_server(service), *second = new_server(service);
    uint64_t sent[2], id = 0;
    char buffer[ROOM];
    size_t len;

    sent[0] = sends(client, "one");
    sent[1] = sends(client, "two");
    takes(server, "one");
    ipcx_server_close(server);
    GIVES(IPCX_E_REMOTE, ipcx_client_recv(client, &id, buffer, sizeof buffer, &len, IPCX_FOREVER));
    SAYS("closed");
    CHECK(id == sent[0]);
    replies(second, takes(second, "two"), "2");
    receives(client, sent[1], "2");
    ipcx_server_close(second);
    ipcx_client_close(client);
    ipcx_service_close(service);
}

static void a_forked_child_attaches_anew(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    ipcx_server *server = new_server(service);
    uint64_t sent = sends(client, "hello"), taken = takes(server, "hello");
    pid_t child = fork();

    if (child == 0) {
        char buffer[ROOM];
        size_t len;
        uint64_t id;
        int64_t left;
        ipcx_stats stats = IPCX_STATS_INIT;
        ipcx_server *no_server;
        ipcx_client *no_client;

        GIVES(IPCX_E_FORKED, ipcx_client_call(client, "x", 1, buffer, ROOM, &len, IPCX_FOREVER));
        GIVES(IPCX_E_FORKED, ipcx_client_send(client, "x", 1, &id, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_client_recv(client, &id, buffer, ROOM, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_client_forget(client, sent));
        GIVES(IPCX_E_FORKED, ipcx_client_poll_fd(client));
        GIVES(IPCX_E_FORKED, ipcx_signal(IPCX_WAIT_FOR_CLIENT, client, SIGRTMIN));
        GIVES(IPCX_E_FORKED, ipcx_server_recv(server, &id, buffer, ROOM, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_FORKED, ipcx_server_reply(server, taken, "x", 1));
        GIVES(IPCX_E_FORKED, ipcx_server_refuse(server, taken, "x", 1));
        GIVES(IPCX_E_FORKED, ipcx_server_remaining(server, taken, &left));
        GIVES(IPCX_E_FORKED, ipcx_server_poll_fd(server));
        GIVES(IPCX_E_FORKED, ipcx_signal(IPCX_WAIT_FOR_SERVER, server, SIGRTMIN));
        GIVES(IPCX_E_FORKED, ipcx_service_server(service, &no_server));
        GIVES(IPCX_E_FORKED, ipcx_service_client(service, &no_client));
        GIVES(IPCX_E_FORKED, ipcx_service_stats(service, &stats));
        GIVES(IPCX_E_FORKED, ipcx_service_share_fd(service));
        ipcx_client_close(client); /* the parent keeps its own */
        ipcx_server_close(server);
        ipcx_service_close(service);
        _exit(0);
    }
    CHECK(wait_for(child) == 0);
    replies(server, taken, "still here");
    receives(client, sent, "still here");
    ipcx_client_close(client);
    ipcx_server_close(server);
    ipcx_service_close(service);
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd fds = { fd, POLLIN, 0 };

    return poll(&fds, 1, timeout_ms) == 1 && (fds.revents & POLLIN);
}

static int got(const sigset_t *set)
{
    const struct timespec patience = { 10, 0 };

    return sigtimedwait(set, NULL, &patience);
}

static void descriptors_and_signals_tell_of_requests_and_replies(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    ipcx_server *server = new_server(service);
    int request = ipcx_server_poll_fd(server), reply = ipcx_client_poll_fd(client);
    uint64_t sent, id;
    char buffer[ROOM];
    size_t len;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGRTMIN + 2);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && request >= 0 && reply >= 0);
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_SERVER, server, SIGUSR1));
    GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_CLIENT, client, SIGUSR1));
    OK(ipcx_signal(IPCX_WAIT_FOR_SERVER, server, SIGRTMIN + 1));
    OK(ipcx_signal(IPCX_WAIT_FOR_CLIENT, client, SIGRTMIN + 2));
    CHECK(!readable(request, 50) && !readable(reply, 0));
    for (int i = 0; i < 20; i++) {
        sent = sends(client, "news?");
        CHECK(readable(request, 2000) && got(&set) == SIGRTMIN + 1);
        id = takes(server, "news?");
        GIVES(IPCX_E_AGAIN, ipcx_server_recv(server, &id, buffer, ROOM, &len, IPCX_NOWAIT));
        CHECK(!readable(request, 0) && !readable(reply, 0));
        replies(server, id, "none");
        CHECK(readable(reply, 2000) && got(&set) == SIGRTMIN + 2);
        receives(client, sent, "none");
        GIVES(IPCX_E_AGAIN, ipcx_client_recv(client, &id, buffer, ROOM, &len, IPCX_NOWAIT));
        CHECK(!readable(reply, 0));
    }
    sends(client, "last");
    CHECK(got(&set) == SIGRTMIN + 1);
    takes(server, "last");
    ipcx_server_close(server); /* refuses it, which is told of as well */
    CHECK(readable(reply, 2000) && got(&set) == SIGRTMIN + 2);
    ipcx_client_close(client);
    ipcx_service_close(service);
}

static void ends_are_waited_for_among_other_things(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    ipcx_server *server = new_server(service);
    ipcx_semaphore_options none = IPCX_SEMAPHORE_OPTIONS_INIT;
    ipcx_semaphore *semaphore;
    ipcx_waitable items[3];
    uint64_t sent;
    size_t ready = 0;

    none.initial = IPCX_SEMAPHORE_EMPTY;
    OK(ipcx_semaphore_anonymous(&none, &semaphore));
    items[0] = (ipcx_waitable){ IPCX_WAIT_FOR_SEMAPHORE, 7, semaphore, 0 };
    items[1] = (ipcx_waitable){ IPCX_WAIT_FOR_SERVER, 7, server, 0 };
    items[2] = (ipcx_waitable){ IPCX_WAIT_FOR_CLIENT, 7, client, 0 };
    GIVES(IPCX_E_TIMEDOUT, ipcx_wait_any(items, 3, 20 * MS, &ready));
    sent = sends(client, "x");
    OK(ipcx_wait_any(items, 3, IPCX_FOREVER, &ready));
    CHECK(ready == 1 && items[0].ready == 0 && items[1].ready == 1 && items[2].ready == 0);
    replies(server, takes(server, "x"), "y");
    OK(ipcx_wait_any(items, 3, IPCX_FOREVER, &ready));
    CHECK(ready == 1 && items[1].ready == 0 && items[2].ready == 1);
    receives(client, sent, "y");
    GIVES(IPCX_E_AGAIN, ipcx_wait_any(items, 3, IPCX_NOWAIT, &ready));
    items[0] = items[1];
    GIVES(IPCX_E_INVALID, ipcx_wait_any(items, 3, IPCX_NOWAIT, &ready));
    ipcx_semaphore_close(semaphore);
    ipcx_client_close(client);
    ipcx_server_close(server);
    ipcx_service_close(service);
}

static ipcx_server *handler_server;
static volatile sig_atomic_t handler_code;

static void answer_in_handler(int number)
{
    int saved = errno;
    char buffer[ROOM];
    size_t len;
    uint64_t id;

    (void)number;
    handler_code = ipcx_server_recv(handler_server, &id, buffer, sizeof buffer, &len, IPCX_NOWAIT);
    if (handler_code == IPCX_OK)
        handler_code = ipcx_server_reply(handler_server, id, buffer, len);
    errno = saved;
}

static void a_handler_may_answer(void)
{
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service);
    struct sigaction action;
    uint64_t sent;

    handler_server = new_server(service);
    memset(&action, 0, sizeof action);
    action.sa_handler = answer_in_handler;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 100; i++) {
        CHECK(raise(SIGUSR1) == 0 && handler_code == IPCX_E_AGAIN);
        sent = sends(client, "echo");
        CHECK(raise(SIGUSR1) == 0 && handler_code == IPCX_OK);
        receives(client, sent, "echo");
    }
    ipcx_client_close(client);
    ipcx_server_close(handler_server);
    ipcx_service_close(service);
}

static void options_are_kept_and_compared(void)
{
    const char *name = new_name();
    ipcx_service_options options = IPCX_SERVICE_OPTIONS_INIT, wanted;
    ipcx_service *service = NULL, *other;

    options.max_clients = 1025;
    GIVES(IPCX_E_INVALID, ipcx_service_create(name, &options, &service));
    options.max_clients = 3;
    options.depth = 1025;
    GIVES(IPCX_E_INVALID, ipcx_service_create(name, &options, &service));
    options.depth = 5; /* becomes 8 */
    options.max_request = (UINT64_C(1) << 30) + 1;
    GIVES(IPCX_E_INVALID, ipcx_service_create(name, &options, &service));
    options.max_request = 100;
    options.max_reply = 200;
    GIVES(IPCX_E_INVALID, ipcx_service_create(NULL, &options, &service));
    GIVES(IPCX_E_INVALID, ipcx_service_create(name, &options, NULL));
    GIVES(IPCX_E_INVALID, ipcx_service_from_fd(-1, &service));
    GIVES(IPCX_E_NOT_FOUND, ipcx_service_attach(name, &service));
    OK(ipcx_service_open(name, &options, &service));
    GIVES(IPCX_E_EXISTS, ipcx_service_create(name, &options, &other));
    for (int i = 0; i < 4; i++) {
        wanted = options;
        wanted.max_request += i == 0;
        wanted.max_reply += i == 1;
        wanted.max_clients += i == 2;
        wanted.depth += i == 3 ? 8 : 0;
        GIVES(IPCX_E_MISMATCH, ipcx_service_open(name, &wanted, &other));
        wanted.flags = IPCX_OPT_MUST_EXIST;
        GIVES(IPCX_E_MISMATCH, ipcx_service_open(name, &wanted, &other));
    }
    OK(ipcx_service_open(name, &options, &other));
    ipcx_service_close(other);
    OK(ipcx_service_attach(name, &other)); /* takes it as it is */
    CHECK(figures(other).max_message == 100 && figures(other).max_reply == 200);
    ipcx_service_close(other);
    ipcx_service_close(service);
}

static void bad_arguments_are_invalid_and_do_nothing(void)
{
    char buffer[ROOM];
    size_t len = 77;
    uint64_t id = 78;
    int64_t left;
    ipcx_service *service = new_service(4);
    ipcx_client *client = new_client(service), *no_client;
    ipcx_server *server = new_server(service), *no_server;
    ipcx_stats stats = IPCX_STATS_INIT;
    ipcx_ring *ring;
    void *wrong;

    GIVES(IPCX_E_INVALID, ipcx_client_call(client, NULL, 1, buffer, ROOM, &len, IPCX_FOREVER));
    GIVES(IPCX_E_INVALID, ipcx_client_call(client, "x", 1, NULL, ROOM, &len, IPCX_FOREVER));
    GIVES(IPCX_E_INVALID, ipcx_client_call(client, "x", 1, buffer, ROOM, NULL, IPCX_FOREVER));
    GIVES(IPCX_E_INVALID, ipcx_client_call(client, "x", 1, buffer, ROOM, &len, -2));
    GIVES(IPCX_E_INVALID, ipcx_client_send(client, NULL, 1, &id, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_client_send(client, "x", 1, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_client_recv(client, NULL, buffer, ROOM, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_client_recv(client, &id, buffer, ROOM, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_client_recv(client, &id, NULL, ROOM, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_server_recv(server, NULL, buffer, ROOM, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_server_recv(server, &id, buffer, ROOM, NULL, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_server_recv(server, &id, NULL, ROOM, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_service_stats(service, NULL));
    GIVES(IPCX_E_INVALID, ipcx_service_server(service, NULL));
    GIVES(IPCX_E_INVALID, ipcx_service_client(service, NULL));
    for (uint64_t none = 0; none < 6; none++) {
        GIVES(IPCX_E_INVALID, ipcx_server_reply(server, none, "x", 1));
        GIVES(IPCX_E_INVALID, ipcx_server_refuse(server, UINT64_MAX - none, "x", 1));
        GIVES(IPCX_E_INVALID, ipcx_client_forget(client, none));
    }
    GIVES(IPCX_E_AGAIN, ipcx_server_recv(server, &id, buffer, ROOM, &len, IPCX_NOWAIT));
    sends(client, "x");
    id = takes(server, "x");
    GIVES(IPCX_E_INVALID, ipcx_server_reply(server, id, NULL, 1));
    GIVES(IPCX_E_INVALID, ipcx_server_refuse(server, id, NULL, 1));
    GIVES(IPCX_E_INVALID, ipcx_server_remaining(server, id, NULL));
    OK(ipcx_server_reply(server, id, NULL, 0));
    ipcx_client_close(client);
    ipcx_server_close(server);
    ipcx_service_close(service);

    OK(ipcx_ring_anonymous(NULL, &ring));
    wrong = ring;
    for (int i = 0; i < 2; i++, wrong = NULL) {
        GIVES(IPCX_E_INVALID, ipcx_client_call(wrong, "x", 1, buffer, ROOM, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_client_send(wrong, "x", 1, &id, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_client_recv(wrong, &id, buffer, ROOM, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_client_forget(wrong, 1));
        GIVES(IPCX_E_INVALID, ipcx_client_poll_fd(wrong));
        GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_CLIENT, wrong, 0));
        GIVES(IPCX_E_INVALID, ipcx_server_recv(wrong, &id, buffer, ROOM, &len, IPCX_NOWAIT));
        GIVES(IPCX_E_INVALID, ipcx_server_reply(wrong, 1, "x", 1));
        GIVES(IPCX_E_INVALID, ipcx_server_refuse(wrong, 1, "x", 1));
        GIVES(IPCX_E_INVALID, ipcx_server_remaining(wrong, 1, &left));
        GIVES(IPCX_E_INVALID, ipcx_server_poll_fd(wrong));
        GIVES(IPCX_E_INVALID, ipcx_signal(IPCX_WAIT_FOR_SERVER, wrong, 0));
        GIVES(IPCX_E_INVALID, ipcx_service_stats(wrong, &stats));
        GIVES(IPCX_E_INVALID, ipcx_service_share_fd(wrong));
        GIVES(IPCX_E_INVALID, ipcx_service_server(wrong, &no_server));
        GIVES(IPCX_E_INVALID, ipcx_service_client(wrong, &no_client));
        ipcx_client_close(wrong); /* left alone */
        ipcx_server_close(wrong);
        ipcx_service_close(wrong);
    }
    ipcx_ring_close(ring);
}

static const struct test tests[] = {
    TEST(a_call_gives_the_reply_or_what_the_server_refused_with),
    TEST(several_requests_are_open_and_answered_in_any_order),
    TEST(what_does_not_fit_stays),
    TEST(nobody_waits_longer_than_it_said),
    TEST(a_server_knows_how_long_its_client_waits),
    TEST(a_killed_servers_client_is_told_and_others_go_on),
    TEST(a_killed_clients_requests_are_left_out_and_its_place_is_free),
    TEST(what_a_server_did_not_answer_is_refused_when_it_closes),
    TEST(a_forked_child_attaches_anew),
    TEST(descriptors_and_signals_tell_of_requests_and_replies),
    TEST(ends_are_waited_for_among_other_things),
    TEST(a_handler_may_answer),
    TEST(options_are_kept_and_compared),
    TEST(bad_arguments_are_invalid_and_do_nothing),
};

int main(void)
{
    return RUN(tests);
}

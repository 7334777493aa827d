/* Which segments there are, and who uses them. */
#include "check.h"

/* What was seen of the segment with a name. */
struct seen {
    const char *name;
    int count, total;
    uint32_t state, kind, participants, alive, pid, roles[2], role_pid;
    int problem;
    uint64_t size, capacity;
    char reason[256], schema[64], last[256];
    int sorted;
};

static int see(const ipcx_listed *segment, void *context)
{
    struct seen *seen = context;

    CHECK(segment->struct_size >= sizeof *segment);
    CHECK(segment->name && segment->reason && segment->schema);
    seen->sorted &= strcmp(seen->last, segment->name) < 0;
    snprintf(seen->last, sizeof seen->last, "%s", segment->name);
    seen->total++;
    if (strcmp(segment->name, seen->name) != 0)
        return 0;
    seen->count++;
    seen->state = segment->state;
    seen->kind = segment->kind;
    seen->problem = segment->problem;
    seen->size = segment->size;
    snprintf(seen->reason, sizeof seen->reason, "%s", segment->reason);
    snprintf(seen->schema, sizeof seen->schema, "%s", segment->schema);
    seen->participants = (uint32_t)segment->participant_count;
    seen->alive = 0;
    for (size_t i = 0; i < segment->participant_count; i++) {
        const ipcx_listed_participant *participant = &segment->participants[i];

        CHECK(participant->slot < segment->max_participants && participant->attached_ns > segment->created_ns);
        CHECK(participant->command[0] != '\0' && memchr(participant->command, 0, 16) != NULL);
        seen->alive += participant->alive;
        seen->pid = participant->pid;
    }
    if (segment->role_count == 2) {
        CHECK(strcmp(segment->roles[0].name, "producer") == 0 && strcmp(segment->roles[1].name, "consumer") == 0);
        seen->roles[0] = segment->roles[0].state;
        seen->roles[1] = segment->roles[1].state;
        seen->role_pid = segment->roles[0].pid;
    }
    for (size_t i = 0; i < segment->parameter_count; i++)
        if (strcmp(segment->parameters[i].name, "capacity") == 0)
            seen->capacity = segment->parameters[i].value;
    return 0;
}

static struct seen look(const char *name)
{
    struct seen seen;

    memset(&seen, 0, sizeof seen);
    seen.name = name;
    seen.sorted = 1;
    OK(ipcx_list(NULL, see, &seen));
    CHECK(seen.sorted);
    return seen;
}

static void a_ring_is_listed_with_who_uses_it(void)
{
    const char *name = new_name();
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
    ipcx_ring *ring;
    ipcx_producer *tx;
    struct seen seen;

    options.capacity = 8192;
    options.schema = "trades/2";
    CHECK(look(name).count == 0);
    OK(ipcx_ring_create(name, &options, &ring));
    OK(ipcx_ring_producer(ring, &tx));
    seen = look(name);
    CHECK(seen.count == 1 && seen.kind == IPCX_KIND_RING && seen.state == IPCX_LISTED_IN_USE);
    CHECK(seen.problem == IPCX_OK && seen.reason[0] == '\0' && strcmp(seen.schema, "trades/2") == 0);
    CHECK(seen.capacity == 8192 && seen.size > 8192);
    CHECK(seen.participants == 1 && seen.alive == 1 && seen.pid == (uint32_t)getpid());
    CHECK(seen.roles[0] == IPCX_ROLE_ALIVE && seen.roles[1] == IPCX_ROLE_NEVER);
    CHECK(seen.role_pid == (uint32_t)getpid());
    ipcx_producer_close(tx);
    ipcx_ring_close(ring);
    seen = look(name);
    CHECK(seen.state == IPCX_LISTED_UNUSED && seen.participants == 0);
    CHECK(seen.roles[0] == IPCX_ROLE_CLOSED && seen.role_pid == 0);
}

static void who_was_killed_is_listed_as_dead(void)
{
    const char *name = new_name();
    struct seen seen;
    pid_t child = fork();

    if (child == 0) {
        ipcx_ring *ring;
        ipcx_producer *tx;

        OK(ipcx_ring_create(name, NULL, &ring));
        OK(ipcx_ring_producer(ring, &tx));
        kill(getpid(), SIGKILL);
    }
    CHECK(wait_for(child) == -1);
    seen = look(name);
    CHECK(seen.state == IPCX_LISTED_UNUSED && seen.participants == 1 && seen.alive == 0);
    CHECK(seen.pid == (uint32_t)child && seen.role_pid == (uint32_t)child && seen.roles[0] == IPCX_ROLE_DEAD);
}

static void what_cannot_be_read_has_a_reason(void)
{
    const char *name = new_name(), *fifo = new_name();
    struct seen seen;
    int file = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

    CHECK(file >= 0 && write(file, "no segment", 10) == 10 && close(file) == 0);
    seen = look(name);
    CHECK(seen.state == IPCX_LISTED_UNREADABLE && seen.problem == IPCX_E_CORRUPT && seen.kind == 0);
    CHECK(strstr(seen.reason, name) != NULL && seen.size == 10 && seen.participants == 0);
    CHECK(mkfifo(path_of(fifo), 0600) == 0);
    seen = look(fifo);
    CHECK(seen.state == IPCX_LISTED_UNREADABLE && strstr(seen.reason, "not a regular file") != NULL);
}

static int unlink_it(const ipcx_listed *segment, void *context)
{
    if (strcmp(segment->name, context) != 0)
        return 0;
    OK(ipcx_unlink(segment->name));
    return 42;
}

static int refuse(const ipcx_listed *segment, void *context)
{
    (void)segment;
    (void)context;
    CHECK(!"called");
    return 1;
}

static void the_function_may_unlink_and_end_the_listing(void)
{
    char name[64];
    ipcx_buffer *buffer;

    snprintf(name, sizeof name, "%s", new_name());
    OK(ipcx_buffer_create(name, NULL, &buffer));
    CHECK(look(name).kind == IPCX_KIND_BUFFER);
    CHECK(ipcx_list(NULL, unlink_it, name) == 42);
    CHECK(look(name).count == 0);
    ipcx_buffer_close(buffer);
}

static int count_roles(const ipcx_listed *segment, void *context)
{
    int *counts = context; /* of servers and of clients */

    if (strcmp(segment->name, "c-list-roles") != 0)
        return 0;
    for (size_t i = 0; i < segment->role_count; i++) {
        CHECK(segment->roles[i].state == IPCX_ROLE_ALIVE && segment->roles[i].pid == (uint32_t)getpid());
        counts[strcmp(segment->roles[i].name, "client") == 0]++;
    }
    return 0;
}

static void who_serves_and_who_asks_is_listed(void)
{
    ipcx_service *service;
    ipcx_server *server;
    ipcx_client *clients[2];
    int counts[2] = {0, 0};

    ipcx_unlink("c-list-roles");
    OK(ipcx_service_create("c-list-roles", NULL, &service));
    OK(ipcx_service_server(service, &server));
    OK(ipcx_service_client(service, &clients[0]));
    OK(ipcx_service_client(service, &clients[1]));
    OK(ipcx_list(NULL, count_roles, counts));
    CHECK(counts[0] == 1 && counts[1] == 2);
    ipcx_client_close(clients[0]);
    ipcx_client_close(clients[1]);
    ipcx_server_close(server);
    ipcx_service_close(service);
    OK(ipcx_unlink("c-list-roles"));
}

static void bad_arguments_are_refused(void)
{
    GIVES(IPCX_E_INVALID, ipcx_list(NULL, NULL, NULL));
    GIVES(IPCX_E_NOT_FOUND, ipcx_list("/dev/shm/no-such-directory", refuse, NULL));
    SAYS("/dev/shm/no-such-directory");
}

int main(void)
{
    static const struct test tests[] = {
        TEST(a_ring_is_listed_with_who_uses_it),
        TEST(who_was_killed_is_listed_as_dead),
        TEST(what_cannot_be_read_has_a_reason),
        TEST(the_function_may_unlink_and_end_the_listing),
        TEST(who_serves_and_who_asks_is_listed),
        TEST(bad_arguments_are_refused),
    };

    return RUN(tests);
}

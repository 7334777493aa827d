/*
 * A server or a client for the tests of services, in C. tests/src/bin/service.rs says what it does, and does the same.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <ipcx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LANGUAGE = 1 << 4, LARGEST = 908, AT_ONCE = 4 };
enum { ANSWERED = 1, REFUSED, DIED, CLOSED };
#define LIMIT_NS (INT64_C(30) * 1000000000)

static int ledger;

static void fail(const char *what, uint64_t number)
{
    fprintf(stderr, "service (C): %s, %" PRIu64 ": %s\n", what, number, ipcx_last_error());
    exit(1);
}

static size_t request(uint64_t number, unsigned char *data)
{
    memcpy(data, &number, 8);
    for (uint64_t at = 0; at < number % 900; at++)
        data[8 + at] = (unsigned char)(number + at);
    return 8 + number % 900;
}

static size_t reply(uint64_t number, unsigned char *data)
{
    size_t len = request(number, data);

    for (size_t at = 8; at < len; at++)
        data[at] = (unsigned char)~data[at];
    return len;
}

static void carried_out(uint64_t number)
{
    unsigned char byte = 0;

    if (pread(ledger, &byte, 1, (off_t)(number * 2)) != 1)
        fail("ledger", number);
    byte = (unsigned char)(((byte & 15) + 1) | LANGUAGE);
    if (pwrite(ledger, &byte, 1, (off_t)(number * 2)) != 1)
        fail("ledger", number);
}

static void answer(ipcx_server *server, uint64_t id, uint64_t number)
{
    unsigned char data[LARGEST];
    char text[40];
    int code;

    if (number % 11 == 0)
        usleep(1000);
    if (number % 7 == 0)
        code = ipcx_server_refuse(server, id, text, (size_t)sprintf(text, "refused %" PRIu64, number));
    else
        code = ipcx_server_reply(server, id, data, reply(number, data));
    if (code != IPCX_OK)
        fail("answer", number);
}

/* Takes a request and carries it out. False if there is none. */
static int take(ipcx_server *server, uint64_t *id, uint64_t *number, int64_t timeout_ns)
{
    unsigned char data[LARGEST], expected[LARGEST];
    size_t len = 0;
    int code = ipcx_server_recv(server, id, data, sizeof data, &len, timeout_ns);

    if (code == IPCX_E_AGAIN)
        return 0;
    if (code != IPCX_OK)
        fail("recv", 0);
    memcpy(number, data, 8);
    if (len != request(*number, expected) || memcmp(data, expected, len) != 0)
        fail("request", *number);
    carried_out(*number);
    return 1;
}

static void serve(ipcx_server *server)
{
    for (;;) {
        uint64_t id, number, other_id, other;

        take(server, &id, &number, IPCX_FOREVER);
        if (number % 5 == 0 && take(server, &other_id, &other, IPCX_NOWAIT))
            answer(server, other_id, other);
        answer(server, id, number);
    }
}

static void end(uint64_t number, int code, const unsigned char *data, size_t len)
{
    unsigned char expected[LARGEST], how = 0;
    char text[40];

    switch (code) {
    case IPCX_OK:
        if (len != reply(number, expected) || memcmp(data, expected, len) != 0)
            fail("reply", number);
        how = ANSWERED;
        break;
    case IPCX_E_REMOTE:
        if ((size_t)sprintf(text, "refused %" PRIu64, number) != len || memcmp(data, text, len) != 0 || number % 7 != 0)
            fail("refusal", number);
        how = REFUSED;
        break;
    case IPCX_E_PEER_DEAD:
        how = DIED;
        break;
    case IPCX_E_CLOSED:
        how = CLOSED;
        break;
    default:
        fail("call", number);
    }
    if (pwrite(ledger, &how, 1, (off_t)(number * 2 + 1)) != 1)
        fail("ledger", number);
}

static void ask_together(ipcx_client *client, uint64_t first)
{
    unsigned char data[LARGEST];
    uint64_t sent[AT_ONCE];

    for (unsigned i = 0; i < AT_ONCE; i++)
        if (ipcx_client_send(client, data, request(first + i, data), &sent[i], IPCX_FOREVER) != IPCX_OK)
            fail("send", first + i);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        uint64_t id = 0, at = 0;
        size_t len = 0;
        int code = ipcx_client_recv(client, &id, data, sizeof data, &len, LIMIT_NS);

        while (at < AT_ONCE && sent[at] != id)
            at++;
        if (at == AT_ONCE)
            fail("receive", id);
        end(first + at, code, data, len);
    }
}

static void ask(ipcx_client *client, uint64_t first, uint64_t count)
{
    unsigned char data[LARGEST], in[LARGEST];

    for (uint64_t at = first; at < first + count; at += AT_ONCE) {
        if (at / AT_ONCE % 2 == 0) {
            ask_together(client, at);
            continue;
        }
        for (uint64_t n = at; n < at + AT_ONCE; n++) {
            size_t len = 0;
            int code = ipcx_client_call(client, data, request(n, data), in, sizeof in, &len, LIMIT_NS);

            end(n, code, in, len);
        }
    }
}

int main(int argc, char **argv)
{
    ipcx_service *service;
    ipcx_client *client;
    ipcx_server *server;

    if (argc < 4)
        return 2;
    ledger = open(argv[3], O_RDWR);
    if (ledger < 0 || ipcx_service_attach(argv[2], &service) != IPCX_OK)
        fail("attach", 0);
    if (strcmp(argv[1], "serve") == 0) {
        if (ipcx_service_server(service, &server) != IPCX_OK)
            fail("server", 0);
        serve(server);
    }
    if (argc < 6 || ipcx_service_client(service, &client) != IPCX_OK)
        fail("client", 0);
    ask(client, strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
    ipcx_client_close(client);
    ipcx_service_close(service);
    return 0;
}

/*
 * Has payments checked by whichever server has time, again and again, and never waits longer than it said.
 *
 *     fraud_check SERVICE FILE DEADLINE_MS [ROUNDS]
 *
 * Each line of FILE is a payment. To check one does no harm twice, so where a server died with it, or was too slow, it is asked
 * again. That goes on for ROUNDS of the file, or until SIGTERM or SIGINT; then the figures are one line of JSON on stdout.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <ipcx.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINES = 256, LINE = 128, MOST_TRIES = 100 };

static volatile sig_atomic_t ended;

static struct {
    unsigned long payments, approved, denied, refused; /* every payment ends as one of the three */
    unsigned long died, timed_out, none;               /* calls that were made again, and why */
    double longest_ms, longest_death_ms;
} figures;

static void end(int number)
{
    (void)number;
    ended = 1;
}

static void fail(const char *what)
{
    fprintf(stderr, "fraud_check: %s: %s\n", what, ipcx_last_error());
    exit(1);
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Reads the payments, and says how many. */
static size_t read_payments(const char *path, char payments[LINES][LINE])
{
    FILE *file = fopen(path, "r");
    size_t count = 0;

    if (file == NULL) {
        perror(path);
        exit(1);
    }
    while (count < LINES && fgets(payments[count], LINE, file) != NULL) {
        payments[count][strcspn(payments[count], "\n")] = '\0';
        count += payments[count][0] != '\0';
    }
    fclose(file);
    return count;
}

/* A verdict begins with the payment's number: this one, and no other's. */
static void count_verdict(const char *payment, const char *verdict)
{
    size_t digits = strcspn(payment, ",");

    if (strncmp(verdict, payment, digits) != 0 || verdict[digits] != ' ') {
        fprintf(stderr, "fraud_check: asked about '%s', answered '%s'\n", payment, verdict);
        exit(1);
    }
    if (strcmp(verdict + digits, " approved") == 0)
        figures.approved++;
    else
        figures.denied++;
}

/* One call. False if it is to be made again. */
static int ask(ipcx_client *client, const char *payment, int64_t deadline_ns)
{
    char verdict[LINE + 1];
    size_t len = 0;
    double begin = now_ms(), took;
    int code = ipcx_client_call(client, payment, strlen(payment), verdict, LINE, &len, deadline_ns);

    took = now_ms() - begin;
    if (took > figures.longest_ms)
        figures.longest_ms = took;
    switch (code) {
    case IPCX_OK:
        verdict[len] = '\0';
        count_verdict(payment, verdict);
        return 1;
    case IPCX_E_REMOTE: /* ipcx_last_error() says why: this is no payment */
        figures.refused++;
        return 1;
    case IPCX_E_TIMEDOUT: /* the server stands still, or there is none yet */
        figures.timed_out++;
        return 0;
    case IPCX_E_PEER_DEAD: /* with this payment */
        figures.died++;
        if (took > figures.longest_death_ms)
            figures.longest_death_ms = took;
        return 0;
    case IPCX_E_CLOSED: /* the last server ended, and no other came yet */
        figures.none++;
        return 0;
    case IPCX_E_INTR: /* before a server had taken it */
        return 0;
    default:
        fail("call");
        return 0;
    }
}

static void check(ipcx_client *client, const char *payment, int64_t deadline_ns)
{
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        if (ask(client, payment, deadline_ns)) {
            figures.payments++;
            return;
        }
        if (ended)
            return; /* without a verdict, and not counted */
    }
    fail("no server answers");
}

int main(int argc, char **argv)
{
    static char payments[LINES][LINE];
    ipcx_service_options options = IPCX_SERVICE_OPTIONS_INIT;
    ipcx_service *service;
    ipcx_client *client;
    struct sigaction action;
    long rounds, round;
    size_t count;
    int64_t deadline_ns;

    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: fraud_check SERVICE FILE DEADLINE_MS [ROUNDS]\n");
        return 2;
    }
    count = read_payments(argv[2], payments);
    deadline_ns = INT64_C(1000000) * atol(argv[3]);
    rounds = argc == 5 ? atol(argv[4]) : 0;
    memset(&action, 0, sizeof action);
    action.sa_handler = end;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    options.max_request = options.max_reply = LINE;
    if (ipcx_service_open(argv[1], &options, &service) != IPCX_OK)
        fail("open");
    if (ipcx_service_client(service, &client) != IPCX_OK)
        fail("client");
    for (round = 0; !ended && (rounds == 0 || round < rounds); round++)
        for (size_t i = 0; i < count && !ended; i++)
            check(client, payments[i], deadline_ns);
    ipcx_client_close(client);
    ipcx_service_close(service);

    printf("{\"payments\": %lu, \"approved\": %lu, \"denied\": %lu, \"refused\": %lu, ", figures.payments,
           figures.approved, figures.denied, figures.refused);
    printf("\"died\": %lu, \"timed_out\": %lu, \"none\": %lu, ", figures.died, figures.timed_out, figures.none);
    printf("\"longest_ms\": %.3f, \"longest_death_ms\": %.3f}\n", figures.longest_ms, figures.longest_death_ms);
    return 0;
}

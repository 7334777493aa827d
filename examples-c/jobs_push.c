/*
 * Pushes seat bookings to a work queue: one of the producers of the jobs example.
 *
 *     jobs_push QUEUE COUNT
 *
 * Every fortieth is of row 0, which no coach has: whoever takes it puts it back, until it is put aside.
 */
#include <ipcx.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 40 };

/* Booking `number`. Once this returned IPCX_OK, it is in the queue, whatever becomes of this process. */
static int book(ipcx_queue *jobs, unsigned number)
{
    char text[64];
    int len = snprintf(text, sizeof text, "C %u %u%c", number, number % ROWS, "ABCD"[number % 4]);
    int code;

    do
        code = ipcx_queue_push(jobs, text, (size_t)len, 0, IPCX_FOREVER); /* waits while the queue is full */
    while (code == IPCX_E_INTR);
    return code;
}

int main(int argc, char **argv)
{
    ipcx_queue_options options = IPCX_QUEUE_OPTIONS_INIT;
    unsigned count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    ipcx_queue *jobs;
    int code;

    if (argc != 3) {
        fprintf(stderr, "usage: jobs_push QUEUE COUNT\n");
        return 2;
    }
    options.max_deliveries = 3;
    code = ipcx_queue_open(argv[1], &options, &jobs);
    for (unsigned number = 0; code == IPCX_OK && number < count; number++)
        code = book(jobs, number);
    if (code != IPCX_OK) {
        fprintf(stderr, "jobs_push: %s\n", ipcx_last_error());
        return 1;
    }
    ipcx_queue_close(jobs);
    return 0;
}

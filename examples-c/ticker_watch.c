/*
 * Watches the prices on a topic until the feed says that it is over, and sums up what it saw.
 *
 *     ticker_watch TOPIC
 *
 * Numbers of quotes have no gaps but those that the subscriber knows of: this ends with status 1 if a quote is torn, or comes where
 * another one was due.
 */
#include <inttypes.h>
#include <ipcx.h>
#include <stdio.h>

struct quote {
    uint64_t number;
    char date[12];
    uint32_t cents;
    uint64_t again; /* the number */
};

struct seen {
    uint64_t began; /* number of the first quote that was published since the subscriber began */
    uint64_t received, missed, cents;
    uint32_t low, high;
};

static int add(struct seen *seen, const struct quote *quote)
{
    if (seen->received == 0) {
        seen->began = quote->number - seen->missed;
        seen->low = seen->high = quote->cents;
    }
    if (quote->number != quote->again || quote->number != seen->began + seen->received + seen->missed) {
        fprintf(stderr, "ticker_watch: quote %" PRIu64 " (%" PRIu64 ") came after %" PRIu64 ", and %" PRIu64 " missed\n",
                quote->number, quote->again, seen->received, seen->missed);
        return 1;
    }
    seen->received++;
    seen->cents += quote->cents;
    seen->low = quote->cents < seen->low ? quote->cents : seen->low;
    seen->high = quote->cents > seen->high ? quote->cents : seen->high;
    return 0;
}

static int watch(ipcx_subscriber *quotes, struct seen *seen)
{
    struct quote quote;
    size_t len;

    for (;;) {
        if (ipcx_subscriber_recv(quotes, &quote, sizeof quote, &len, IPCX_FOREVER)) {
            fprintf(stderr, "ticker_watch: %s\n", ipcx_last_error());
            return 1;
        }
        seen->missed = ipcx_subscriber_missed(quotes);
        if (len == 0)
            return 0; /* it is over */
        if (add(seen, &quote))
            return 1;
    }
}

int main(int count, char **words)
{
    struct seen seen = { 0 };
    ipcx_topic *topic;
    ipcx_subscriber *quotes;
    int failed;

    if (count != 2) {
        fprintf(stderr, "usage: ticker_watch TOPIC\n");
        return 2;
    }
    if (ipcx_topic_attach(words[1], &topic) || ipcx_topic_subscriber(topic, &quotes)) {
        fprintf(stderr, "ticker_watch: %s\n", ipcx_last_error());
        return 1;
    }
    puts("watching");
    fflush(stdout);
    failed = watch(quotes, &seen);
    if (!failed)
        printf("received %" PRIu64 " missed %" PRIu64 " cents %" PRIu64 " low %" PRIu32 " high %" PRIu32 "\n", seen.received,
               seen.missed, seen.cents, seen.low, seen.high);
    ipcx_subscriber_close(quotes);
    ipcx_topic_close(topic);
    return failed;
}

/*
 * The current price in a buffer: who sets it waits for nobody, and who watches it sees the newest, never half of one.
 *
 *     price BID ASK       sets it
 *     price watch         prints it, and again whenever it changes, until the market closes
 *     price close         watchers end, and the buffer's name goes
 */
#include <ipcx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char name[] = "price";

struct price {
    double bid, ask;
};

static int watch(ipcx_buffer *buffer)
{
    struct price price;
    uint64_t seen = 0; /* nothing was written yet */
    size_t len;

    for (;;) {
        if (ipcx_buffer_wait(buffer, seen, NULL, IPCX_FOREVER) || ipcx_buffer_read(buffer, &price, sizeof price, &len, &seen))
            return -1;
        if (len == 0)
            return 0; /* the market closed */
        printf("%.2f %.2f\n", price.bid, price.ask);
        fflush(stdout);
    }
}

static int set(ipcx_buffer *buffer, const char *bid, const char *ask)
{
    const struct price price = { strtod(bid, NULL), strtod(ask, NULL) };

    return ipcx_buffer_write(buffer, &price, sizeof price, IPCX_FOREVER);
}

static int close_market(ipcx_buffer *buffer)
{
    return ipcx_buffer_write(buffer, NULL, 0, IPCX_FOREVER) || ipcx_unlink(name);
}

int main(int count, char **words)
{
    const int watches = count == 2 && strcmp(words[1], "watch") == 0;
    const int closes = count == 2 && strcmp(words[1], "close") == 0;
    ipcx_buffer_options options = IPCX_BUFFER_OPTIONS_INIT;
    ipcx_buffer *buffer;

    if (!watches && !closes && count != 3) {
        fprintf(stderr, "usage: price BID ASK | price watch | price close\n");
        return 2;
    }
    options.capacity = sizeof(struct price);
    options.schema = "price v1";
    if (ipcx_buffer_open(name, &options, &buffer)
        || (watches ? watch(buffer) : closes ? close_market(buffer) : set(buffer, words[1], words[2]))) {
        fprintf(stderr, "price: %s\n", ipcx_last_error());
        return 1;
    }
    ipcx_buffer_close(buffer);
    return 0;
}

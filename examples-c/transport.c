/*
 * Which transport? One word on the command line: fifo, mqueue, unix, ring or buffer. The rest of the program is the same.
 *
 *     transport WORD TEXT     sends a message
 *     transport WORD          receives one, and prints it; then the transport's name goes
 *
 * Either may be started first.
 */
#include <ipcx.h>
#include <stdio.h>
#include <string.h>

static const char name[] = "transport-example";

static int send_text(const char *word, const char *text)
{
    ipcx_transport *tx;

    if (ipcx_transport_open(word, name, IPCX_SEND, NULL, &tx))
        return -1;
    const int code = ipcx_transport_send(tx, text, strlen(text), 0, IPCX_FOREVER);
    ipcx_transport_close(tx);
    return code;
}

static int print_message(const char *word)
{
    ipcx_transport *rx;
    char text[4096];
    size_t len;

    if (ipcx_transport_open(word, name, IPCX_RECV, NULL, &rx)
        || ipcx_transport_recv(rx, text, sizeof text, &len, NULL, IPCX_FOREVER))
        return -1;
    printf("%.*s\n", (int)len, text);
    ipcx_transport_close(rx);
    return ipcx_unlink_in(NULL, word, name);
}

int main(int count, char **words)
{
    if (count != 2 && count != 3) {
        fprintf(stderr, "usage: transport fifo|mqueue|unix|ring|buffer [TEXT]\n");
        return 2;
    }
    if (count == 3 ? send_text(words[1], words[2]) : print_message(words[1])) {
        fprintf(stderr, "transport: %s\n", ipcx_last_error());
        return 1;
    }
    return 0;
}

/* Waits for one record and prints it. cc hello_recv.c -lipcx */
#include <ipcx.h>
#include <stdio.h>

int main(void)
{
    ipcx_ring *ring;
    ipcx_consumer *rx;
    char text[64];
    size_t len;

    if (ipcx_ring_open("hello", NULL, &ring) || ipcx_ring_consumer(ring, &rx)
        || ipcx_consumer_recv(rx, text, sizeof text, &len, IPCX_FOREVER)) {
        fprintf(stderr, "hello_recv: %s\n", ipcx_last_error());
        return 1;
    }
    printf("%.*s\n", (int)len, text);
    ipcx_consumer_close(rx);
    ipcx_ring_close(ring);
    return ipcx_unlink("hello") ? 1 : 0; /* the next hello begins with a new ring */
}

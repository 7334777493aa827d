/* Sends one record; hello_recv, in C, Python or Rust, prints it. cc hello_send.c -lipcx */
#include <ipcx.h>
#include <stdio.h>

int main(void)
{
    ipcx_ring *ring;
    ipcx_producer *tx;

    if (ipcx_ring_open("hello", NULL, &ring) || ipcx_ring_producer(ring, &tx)
        || ipcx_producer_send(tx, "hello from C", 12, IPCX_FOREVER)) {
        fprintf(stderr, "hello_send: %s\n", ipcx_last_error());
        return 1;
    }
    ipcx_producer_close(tx);
    ipcx_ring_close(ring);
    return 0;
}

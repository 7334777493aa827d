/*
 * The ring through libipcx.so, as a C program uses it: a worker of ipcx-bench.
 */
#define BATCHES
#include "worker.h"

#include <ipcx.h>
#include <sys/uio.h>

static struct {
	ipcx_ring *there, *back;
	ipcx_producer *out;
	ipcx_consumer *in;
} end;

static inline void must(int code, const char *what)
{
	if (code != IPCX_OK)
		fail(what, ipcx_last_error());
}

static inline void send_one(const struct payload *payload)
{
	must(ipcx_producer_send(end.out, payload, SIZE, IPCX_FOREVER), "send");
}

static inline void recv_one(struct payload *payload)
{
	size_t len = 0;
	must(ipcx_consumer_recv(end.in, payload, SIZE, &len, IPCX_FOREVER), "recv");
	if (len != SIZE)
		fail("recv", "a message had another length");
}

static inline void send_batch(const struct payload *batch)
{
	struct iovec parts[BATCH];
	for (size_t i = 0; i < BATCH; i++)
		parts[i] = (struct iovec){.iov_base = (void *)&batch[i], .iov_len = SIZE};
	for (size_t sent = 0, n; sent < BATCH; sent += n)
		must(ipcx_producer_send_many(end.out, parts + sent, BATCH - sent, IPCX_FOREVER, &n), "send_many");
}

static inline size_t recv_batch(struct payload *batch)
{
	size_t lens[BATCH], n = 0;
	must(ipcx_consumer_recv_many(end.in, batch, BATCH * SIZE, lens, BATCH, &n, IPCX_FOREVER), "recv_many");
	for (size_t i = 0; i < n; i++)
		if (lens[i] != SIZE)
			fail("recv_many", "a message had another length");
	return n;
}

/* The near side makes both rings; the far side attaches and removes the names, which nobody needs then. */
static void connect_side(const struct orders *orders)
{
	ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
	char names[2][200];
	ipcx_ring **rings[2] = {&end.there, &end.back};
	options.capacity = CAPACITY;
	options.wait = orders->blocks ? IPCX_WAIT_BLOCK : IPCX_WAIT_SPIN;
	for (int i = 0; i < 2; i++) {
		snprintf(names[i], sizeof names[i], "%s-%s", orders->label, i == 0 ? "there" : "back");
		if (orders->is_near) {
			must(ipcx_ring_create(names[i], &options, rings[i]), "create");
		} else {
			must(ipcx_ring_attach(names[i], rings[i]), "attach");
			must(ipcx_unlink(names[i]), "unlink");
		}
	}
	must(ipcx_ring_producer(orders->is_near ? end.there : end.back, &end.out), "producer");
	must(ipcx_ring_consumer(orders->is_near ? end.back : end.there, &end.in), "consumer");
}

static void disconnect(void)
{
	ipcx_producer_close(end.out);
	ipcx_consumer_close(end.in);
	ipcx_ring_close(end.there);
	ipcx_ring_close(end.back);
}

int main(int argc, char **argv)
{
	return work(argc, argv);
}

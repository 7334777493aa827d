/*
 * Peer: ZeroMQ, a PAIR of sockets over ipc://: a worker of ipcx-bench.
 *
 * The sockets sleep while they wait. The library carries messages in a thread of its own, which has this side's core too.
 * The high-water marks are as many messages as the others have room for, and nothing is dropped.
 */
#include "worker.h"

#include <zmq.h>

static void *context, *endpoint;

static inline void must(int outcome, const char *what)
{
	if (outcome < 0)
		fail(what, zmq_strerror(zmq_errno()));
}

static void set(int option, int value, const char *what)
{
	must(zmq_setsockopt(endpoint, option, &value, sizeof value), what);
}

static void connect_side(const struct orders *orders)
{
	char address[200];
	snprintf(address, sizeof address, "ipc://@%s", orders->label); /* a name without a file */
	context = zmq_ctx_new();
	endpoint = zmq_socket(context, ZMQ_PAIR);
	if (context == NULL || endpoint == NULL)
		fail("socket", zmq_strerror(zmq_errno()));
	set(ZMQ_SNDHWM, CAPACITY / SIZE, "ZMQ_SNDHWM");
	set(ZMQ_RCVHWM, CAPACITY / SIZE, "ZMQ_RCVHWM");
	set(ZMQ_LINGER, 0, "ZMQ_LINGER");
	must(orders->is_near ? zmq_bind(endpoint, address) : zmq_connect(endpoint, address), address);
}

static inline void send_one(const struct payload *payload)
{
	must(zmq_send(endpoint, payload, SIZE, 0), "zmq_send");
}

static inline void recv_one(struct payload *payload)
{
	if (zmq_recv(endpoint, payload, SIZE, 0) != SIZE)
		fail("zmq_recv", "a message had another length");
}

static void disconnect(void)
{
	zmq_close(endpoint);
	zmq_ctx_destroy(context);
}

int main(int argc, char **argv)
{
	return work(argc, argv);
}

/*
 * Peer: ZeroMQ over ipc://: a worker of ipcx-bench.
 *
 *     zeromq             a PAIR of sockets
 *     zeromq-call        REQ and REP
 *     zeromq-pubsub      XPUB and SUB; the publisher waits where a subscriber is too slow, and nothing is dropped
 *     zeromq-published   the same, and what a subscriber has no room for is dropped
 *
 * The sockets sleep while they wait. The library carries messages in a thread of its own, which has this side's core too.
 * The high-water marks are as many messages as the others have room for, for all subscribers together, but at least ZeroMQ's own.
 */
#define AUDIENCE
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

static int kind(const struct orders *orders)
{
	if (orders->subscribers > 0)
		return orders->is_near ? ZMQ_XPUB : ZMQ_SUB;
	if (strcmp(orders->contender, "zeromq-call") == 0)
		return orders->is_near ? ZMQ_REQ : ZMQ_REP;
	return ZMQ_PAIR;
}

static int room(const struct orders *orders)
{
	int all = CAPACITY / SIZE, least = 1000;
	int each = orders->subscribers > 0 ? all / (int)orders->subscribers : all;
	return each < least ? least : each;
}

static void connect_side(const struct orders *orders)
{
	char address[200];
	snprintf(address, sizeof address, "ipc://@%s", orders->label); /* a name without a file */
	context = zmq_ctx_new();
	endpoint = zmq_socket(context, kind(orders));
	if (context == NULL || endpoint == NULL)
		fail("socket", zmq_strerror(zmq_errno()));
	set(ZMQ_SNDHWM, room(orders), "ZMQ_SNDHWM");
	set(ZMQ_RCVHWM, room(orders), "ZMQ_RCVHWM");
	set(ZMQ_LINGER, 0, "ZMQ_LINGER");
	if (strcmp(orders->contender, "zeromq-pubsub") == 0 && orders->is_near)
		set(ZMQ_XPUB_NODROP, 1, "ZMQ_XPUB_NODROP");
	if (kind(orders) == ZMQ_XPUB)
		set(ZMQ_XPUB_VERBOSE, 1, "ZMQ_XPUB_VERBOSE");
	if (kind(orders) == ZMQ_SUB)
		must(zmq_setsockopt(endpoint, ZMQ_SUBSCRIBE, "", 0), "ZMQ_SUBSCRIBE");
	must(orders->is_near ? zmq_bind(endpoint, address) : zmq_connect(endpoint, address), address);
}

/* An XPUB is told of each subscription, and all of them are this process's to wait for once. */
static void await_audience(const struct orders *orders)
{
	static unsigned noticed;
	char subscription[8];
	for (; noticed < orders->subscribers; noticed++)
		must(zmq_recv(endpoint, subscription, sizeof subscription, 0), "a subscription");
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

static inline int recv_before(struct payload *payload, uint64_t end)
{
	uint64_t now = end == 0 ? 0 : monotonic();
	if (end > now)
		set(ZMQ_RCVTIMEO, (int)((end - now) / 1000000 + 1), "ZMQ_RCVTIMEO");
	int len = zmq_recv(endpoint, payload, SIZE, end > now ? 0 : ZMQ_DONTWAIT);
	if (len < 0 && zmq_errno() == EAGAIN)
		return 0;
	if (len != SIZE)
		fail("zmq_recv", "a message had another length");
	return 1;
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

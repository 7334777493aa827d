/*
 * Peer: boost::lockfree::spsc_queue in memory that two processes map, spinning: a worker of ipcx-bench.
 *
 * Its elements are of one fixed type, here 64 bytes on a cache line, and its capacity is known when it is compiled, which
 * is the faster of its two forms. Batches use its push and pop of arrays.
 */
#define BATCHES
#include "../c/worker.h"

#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/shared_memory_object.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <new>
#include <string>

namespace ipc = boost::interprocess;

using Queue = boost::lockfree::spsc_queue<payload, boost::lockfree::capacity<CAPACITY / SIZE>>;

/* Both directions, as they lie in the shared memory. */
struct Channel {
	Queue there, back;
};

static ipc::mapped_region region;
static Queue *out, *in;

static void connect_side(const struct orders *orders)
{
	std::string name = std::string(orders->label) + "-boost";
	ipc::shared_memory_object memory(ipc::open_or_create, name.c_str(), ipc::read_write);
	if (orders->is_near)
		memory.truncate(sizeof(Channel));
	else
		ipc::shared_memory_object::remove(name.c_str());
	region = ipc::mapped_region(memory, ipc::read_write);
	Channel *channel = static_cast<Channel *>(region.get_address());
	if (orders->is_near)
		new (channel) Channel;
	out = orders->is_near ? &channel->there : &channel->back;
	in = orders->is_near ? &channel->back : &channel->there;
}

static inline void send_one(const struct payload *payload)
{
	while (!out->push(*payload))
		pause_while_spinning();
}

static inline void recv_one(struct payload *payload)
{
	while (!in->pop(*payload))
		pause_while_spinning();
}

static inline void send_batch(const struct payload *batch)
{
	for (size_t sent = 0; sent < BATCH; sent += out->push(batch + sent, BATCH - sent))
		pause_while_spinning();
}

static inline size_t recv_batch(struct payload *batch)
{
	for (;;) {
		if (size_t n = in->pop(batch, BATCH))
			return n;
		pause_while_spinning();
	}
}

static void disconnect() {}

int main(int argc, char **argv)
{
	return work(argc, argv);
}

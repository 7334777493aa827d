/*
 * Peer: boost::interprocess::message_queue, one for each direction: a worker of ipcx-bench.
 *
 * Spinning, it calls try_send and try_receive again and again; blocking, send and receive. All messages have one priority.
 */
#include "../c/worker.h"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <memory>
#include <string>

namespace ipc = boost::interprocess;

static std::unique_ptr<ipc::message_queue> out, in;
static bool blocks;

static std::unique_ptr<ipc::message_queue> queue(const struct orders *orders, const char *direction)
{
	std::string name = std::string(orders->label) + direction;
	if (orders->is_near)
		return std::make_unique<ipc::message_queue>(ipc::create_only, name.c_str(), CAPACITY / SIZE, SIZE);
	auto opened = std::make_unique<ipc::message_queue>(ipc::open_only, name.c_str());
	ipc::message_queue::remove(name.c_str());
	return opened;
}

static void connect_side(const struct orders *orders)
{
	auto there = queue(orders, "-there"), back = queue(orders, "-back");
	out = std::move(orders->is_near ? there : back);
	in = std::move(orders->is_near ? back : there);
	blocks = orders->blocks || strncmp(orders->workload, "one-way-", 8) == 0;
}

static inline void send_one(const struct payload *payload)
{
	if (blocks)
		return out->send(payload, SIZE, 0);
	while (!out->try_send(payload, SIZE, 0))
		pause_while_spinning();
}

static inline void recv_one(struct payload *payload)
{
	ipc::message_queue::size_type len = 0;
	unsigned priority;
	if (blocks)
		in->receive(payload, SIZE, len, priority);
	else
		while (!in->try_receive(payload, SIZE, len, priority))
			pause_while_spinning();
	if (len != SIZE)
		fail("receive", "a message had another length");
}

static void disconnect()
{
	out.reset();
	in.reset();
}

int main(int argc, char **argv)
{
	try {
		return work(argc, argv);
	} catch (const ipc::interprocess_exception &error) {
		fail("boost", error.what());
	}
}

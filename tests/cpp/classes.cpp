// The classes of <ipcx.hpp>: what they give, what they throw, and what they undo.
#include <ipcx.hpp>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#if __cplusplus >= 202002L
#include <span>
#endif

using namespace std::chrono_literals;

namespace {

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void check(bool truth, const char *what, int line) {
    if (!truth) throw Failure(std::string("line ") + std::to_string(line) + ": not true: " + what);
}
#define CHECK(condition) check(static_cast<bool>(condition), #condition, __LINE__)

template <class Expected, class Function> std::string thrown(Function function, int line) {
    try {
        function();
    } catch (const Expected &error) {
        return error.what();
    }
    throw Failure("line " + std::to_string(line) + ": nothing was thrown");
}
#define THROWS(type, expression) thrown<type>([&] { (void)(expression); }, __LINE__)

// A name that goes with it.
struct Name {
    std::string text;
    Name() {
        static int number = 0;
        const char *prefix = std::getenv("IPCX_TEST_PREFIX");
        text = std::string(prefix ? prefix : "cpptest") + "-" + std::to_string(getpid()) + "-" + std::to_string(number++);
    }
    ~Name() { ipcx_unlink(text.c_str()); }
    operator const std::string &() const { return text; }
};

// Runs in a child, which is then killed if it is still there.
template <class Function> pid_t in_child(Function function) {
    pid_t child = fork();
    if (child == 0) {
        try {
            function();
        } catch (const std::exception &error) {
            std::cerr << "    in a child: " << error.what() << std::endl;
            _exit(1);
        }
        _exit(0);
    }
    return child;
}

int status_of(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void kill_and_wait(pid_t child) {
    kill(child, SIGKILL);
    status_of(child);
}

void a_name_is_opened_in_each_way() {
    Name name;
    THROWS(ipcx::NotFound, ipcx::Ring::attach(name));
    ipcx::RingOptions options;
    options.capacity = 4096;
    ipcx::Ring made = ipcx::Ring::create(name, options);
    CHECK(made.stats().capacity == 4096);
    THROWS(ipcx::Exists, ipcx::Ring::create(name, options));
    options.capacity = 8192;
    CHECK(THROWS(ipcx::Mismatch, ipcx::Ring::open(name, options)).find(name.text) != std::string::npos);
    THROWS(ipcx::Mismatch, ipcx::Buffer::attach(name));
    CHECK(ipcx::Ring::attach(name).stats().capacity == 4096);
    ipcx::unlink(name);
    THROWS(ipcx::NotFound, ipcx::unlink(name));
}

void a_descriptor_stands_for_a_segment() {
    ipcx::Ring ring = ipcx::Ring::anonymous();
    int fd = ring.share_fd();
    ipcx::Ring other = ipcx::Ring::from_fd(fd);
    ::close(fd);
    ipcx::Producer tx = ring.producer();
    ipcx::Consumer rx = other.consumer();
    tx.send("through a descriptor");
    CHECK(rx.recv() == "through a descriptor");
    CHECK(THROWS(ipcx::RoleTaken, other.producer()).find("producer") != std::string::npos);
}

void bytes_are_made_of_what_lies_together() {
    struct Point {
        int x, y;
    };
    ipcx::Ring ring = ipcx::Ring::anonymous();
    ipcx::Producer tx = ring.producer();
    ipcx::Consumer rx = ring.consumer();

    tx.send("literal");
    tx.send(std::string("string"));
    tx.send(std::string_view("view"));
    tx.send(std::vector<int>{1, 2, 3});
    tx.send(std::array<double, 2>{1, 2});
    Point point{3, 4};
    tx.send({&point, sizeof point});
    tx.send({});
    CHECK(rx.recv() == "literal" && rx.recv() == "string" && rx.recv() == "view");
    CHECK(rx.recv().size() == 3 * sizeof(int));
    std::vector<double> numbers(2);
    CHECK(rx.recv_into(numbers) == sizeof(double) * 2 && numbers[1] == 2);
    {
        ipcx::Record record = rx.borrow();
        CHECK(record.as<Point>().y == 4);
        THROWS(std::length_error, record.as<char>());
        record.release();
    }
    CHECK(rx.recv().empty());
#if __cplusplus >= 202002L
    tx.send(std::span<const int>(std::array<int, 2>{7, 8}));
    CHECK(rx.recv().size() == 2 * sizeof(int));
#endif
}

void a_message_longer_than_the_first_guess_arrives() {
    ipcx::Ring ring = ipcx::Ring::anonymous();
    ipcx::Producer tx = ring.producer();
    ipcx::Consumer rx = ring.consumer();
    const std::string long_one(100000, 'x');
    tx.send(long_one);
    char small[16];
    THROWS(ipcx::TooBig, rx.recv_into(small));
    CHECK(rx.recv() == long_one);
    THROWS(ipcx::TooBig, tx.send(std::string(2 << 20, 'x')));
}

void what_would_wait_is_told_by_the_result() {
    ipcx::RingOptions options;
    options.capacity = 4096;
    ipcx::Ring ring = ipcx::Ring::anonymous(options);
    ipcx::Producer tx = ring.producer();
    ipcx::Consumer rx = ring.consumer();
    char byte[1];
    CHECK(!rx.recv(ipcx::nowait) && !rx.borrow(1ms) && !rx.recv_into(byte, 0.5ms));
    int sent = 0;
    while (tx.send(std::string(1000, 'x'), ipcx::nowait)) sent++;
    CHECK(sent == 4);
    CHECK(!tx.reserve(1000, ipcx::nowait) && !tx.send(std::string(1000, 'x'), 2ms));
    CHECK(ipcx::Timeout(std::chrono::hours::max()).ns() == IPCX_FOREVER);
    CHECK(ipcx::Timeout(-1s).ns() == IPCX_NOWAIT && ipcx::Timeout(0.4e-9s).ns() == 1);
}

void what_is_not_done_is_undone() {
    ipcx::Ring ring = ipcx::Ring::anonymous();
    ipcx::Producer tx = ring.producer();
    ipcx::Consumer rx = ring.consumer();
    {
        auto room = tx.reserve(100);
        static_cast<char *>(room.data())[0] = 'a';
    }
    {
        auto room = tx.reserve(100);
        static_cast<char *>(room.data())[0] = 'b';
        auto moved = std::move(room);
        moved.commit(1);
    }
    CHECK(rx.borrow().text() == "b"); // Destroyed without release().
    ipcx::Record again = rx.borrow();
    ipcx::Record moved = std::move(again);
    CHECK(moved.text() == "b");
    moved.release();
    CHECK(!rx.recv(ipcx::nowait));
}

void a_loop_ends_when_the_producer_closes() {
    ipcx::Ring ring = ipcx::Ring::anonymous();
    ipcx::Consumer rx = ring.consumer();
    {
        ipcx::Producer tx = ring.producer();
        CHECK(tx.send_many({"one", "two", std::string_view("three")}) == 3);
    }
    std::string all;
    for (const std::string &message : rx.messages()) all += message + ";";
    CHECK(all == "one;two;three;");
    THROWS(ipcx::Closed, rx.recv());
}

void a_dead_producer_is_told() {
    Name name;
    ipcx::Ring ring = ipcx::Ring::create(name);
    ipcx::Consumer rx = ring.consumer();
    pid_t child = in_child([&] {
        ipcx::Producer tx = ipcx::Ring::attach(name).producer();
        tx.send("last words");
        pause();
    });
    CHECK(rx.recv() == "last words");
    kill_and_wait(child);
    THROWS(ipcx::PeerDead, rx.recv());
}

void blocks_travel_and_return() {
    ipcx::PoolOptions options;
    options.block_size = 65536;
    options.blocks = 2;
    ipcx::Pool pool = ipcx::Pool::anonymous(options);
    ipcx::Ring ring = ipcx::Ring::anonymous();
    ipcx::Producer tx = ring.producer();
    ipcx::Consumer rx = ring.consumer();
    {
        ipcx::Block block = pool.acquire();
        static_cast<char *>(block.data())[65535] = 'z';
        tx.send_block(pool, block, 65536);
        CHECK(block.data() == nullptr);
    }
    {
        ipcx::Block block = rx.recv_block(pool);
        CHECK(block.used() == 65536 && static_cast<char *>(block.data())[65535] == 'z');
        ipcx::Block other = pool.acquire();
        CHECK(!pool.acquire(ipcx::nowait));
        block = std::move(other);
    }
    ipcx::Block first = pool.acquire(), second = pool.acquire(); // Both are back.
    CHECK(!rx.recv_block(pool, ipcx::nowait) && pool.recover() == 0);
}

void a_value_is_written_read_and_changed_in_place() {
    ipcx::Buffer buffer = ipcx::Buffer::anonymous();
    CHECK(buffer.read().version == 0 && buffer.read().data.empty());
    buffer.write("one");
    ipcx::Value value = buffer.read();
    CHECK(value.data == "one" && value.version == 1 && buffer.wait(0) == 1 && !buffer.wait(1, 1ms));
    {
        ipcx::Locked lock = buffer.lock();
        CHECK(lock.size() == 3 && !lock.recovered());
        static_cast<char *>(lock.data())[0] = 'X';
        std::thread other([&] { CHECK(!buffer.write("two", ipcx::nowait) && !buffer.lock(1ms)); });
        other.join();
    } // Abandoned.
    CHECK(buffer.read().data == "one");
    ipcx::Locked lock = buffer.lock();
    static_cast<char *>(lock.data())[3] = '!';
    lock.commit(4);
    char bytes[8];
    std::uint64_t version = 0;
    CHECK(buffer.read_into(bytes, &version) == 4 && version == 2 && bytes[3] == '!');
}

void a_condition_wakes_who_waits() {
    ipcx::Buffer buffer = ipcx::Buffer::anonymous();
    std::string seen;
    std::atomic<bool> done{false};
    std::thread waiter([&] {
        ipcx::Locked lock = buffer.lock();
        while (lock.size() == 0) lock.wait();
        seen.assign(static_cast<char *>(lock.data()), lock.size());
        done = true;
    });
    {
        ipcx::Locked lock = buffer.lock();
        static_cast<char *>(lock.data())[0] = '1';
        lock.commit(1);
    }
    // The waiter may not have gone to sleep yet: notify until it is done.
    while (!done) {
        ipcx::Locked lock = buffer.lock();
        lock.notify_all();
    }
    waiter.join();
    CHECK(seen == "1");
    ipcx::Locked lock = buffer.lock();
    CHECK(!lock.wait(1ms)); // And the lock is given up.
    CHECK(buffer.write("2", ipcx::nowait));
}

void permits_are_counted() {
    ipcx::SemaphoreOptions options;
    options.limit = 2;
    ipcx::Semaphore semaphore = ipcx::Semaphore::anonymous(options);
    semaphore.acquire();
    CHECK(semaphore.acquire(ipcx::nowait) && !semaphore.acquire(1ms) && semaphore.value() == 0);
    semaphore.release();
    CHECK(semaphore.value() == 1);
}

void a_topic_reaches_every_subscriber() {
    ipcx::Topic topic = ipcx::Topic::anonymous();
    ipcx::Subscriber one = topic.subscriber(), two = topic.subscriber();
    ipcx::Publisher publisher = topic.publisher();
    publisher.publish("news");
    auto room = publisher.reserve(4);
    std::string_view("more").copy(static_cast<char *>(room.data()), 4);
    room.commit();
    CHECK(one.recv() == "news" && one.recv() == "more" && !one.recv(ipcx::nowait));
    CHECK(two.borrow().text() == "news");
    ipcx::Message message = two.borrow();
    CHECK(message.text() == "news");
    CHECK(message.release() && two.missed() == 0);
    char bytes[8];
    CHECK(two.recv_into(bytes) == 4 && topic.stats().sent == 2);
}

void a_service_answers_refuses_and_drops() {
    ipcx::Service service = ipcx::Service::anonymous();
    int fd = service.share_fd();
    pid_t child = in_child([fd] {
        ipcx::Server server = ipcx::Service::from_fd(fd).server();
        server.serve_one([](const std::string &request) { return request + request; });
        server.serve_one([](const std::string &) -> std::string { throw std::invalid_argument("no such account"); });
        server.recv(); // Dropped.
        server.recv().reply(std::string(1000, 'r'));
        server.recv().refuse("not today");
        ipcx::Request last = server.recv();
        pause();
    });
    ipcx::Client client = service.client();
    CHECK(client.call("ab") == "abab");
    CHECK(THROWS(ipcx::Remote, client.call("x")) == "no such account");
    CHECK(THROWS(ipcx::Remote, client.call("x", 10s)).find("dropped") != std::string::npos);
    std::uint64_t id = client.send("x");
    ipcx::Reply reply = client.recv();
    CHECK(reply.id == id && reply.data.size() == 1000);
    id = client.send("x");
    std::uint64_t ended = 0;
    CHECK(THROWS(ipcx::Remote, client.recv(&ended)) == "not today" && ended == id);
    client.send("x");
    CHECK(!client.recv(20ms));
    kill_and_wait(child);
    THROWS(ipcx::PeerDead, client.recv());
    ::close(fd);
}

void a_reply_longer_than_the_first_guess_arrives() {
    ipcx::Service service = ipcx::Service::anonymous();
    ipcx::Server server = service.server();
    ipcx::Client client = service.client();
    std::thread other([&] { server.recv().reply(std::string(1000, 'r')); });
    CHECK(client.call("x") == std::string(1000, 'r'));
    other.join();
    CHECK(!client.call("x", 1ms) && ipcx_last_taken() == 0 && !client.recv(ipcx::nowait));
}

void a_long_reply_to_a_call_is_not_taken_for_anothers() {
    ipcx::Service service = ipcx::Service::anonymous();
    ipcx::Server server = service.server();
    ipcx::Client client = service.client();
    std::uint64_t id = client.send("first");
    std::thread other([&] {
        for (int i = 0; i < 2; i++) {
            ipcx::Request request = server.recv();
            request.reply(std::string(1000, request.data()[0]));
        }
    });
    CHECK(client.call("call") == std::string(1000, 'c'));
    other.join();
    ipcx::Reply first = client.recv();
    CHECK(first.id == id && first.data == std::string(1000, 'f'));
}

void an_error_keeps_whether_the_request_was_taken() {
    ipcx::Service service = ipcx::Service::anonymous();
    ipcx::Client client = service.client();
    client.send("x");
    service.server().close();
    try {
        // What fails on the way out leaves the error as it is.
        struct Fails {
            ~Fails() { ipcx_queue_return(nullptr, 0); }
        } fails;
        client.recv();
        CHECK(false);
    } catch (const ipcx::Closed &error) {
        CHECK(error.taken() == std::optional<bool>(false) && ipcx_last_taken() == -1);
    }
    ipcx::Server server = service.server();
    std::thread other([&] { server.recv().refuse("no"); });
    try {
        client.call("x");
        CHECK(false);
    } catch (const ipcx::Remote &error) {
        CHECK(error.taken() == std::optional<bool>(true));
    }
    other.join();
    try {
        ipcx::unlink("nobody-has-this-name");
        CHECK(false);
    } catch (const ipcx::NotFound &error) {
        CHECK(!error.taken());
    }
}

// Each time it looks there is a message that is too long, which another takes before it can come back.
void a_time_is_for_all_tries_together() {
    std::string out;
    std::int64_t ns = std::chrono::nanoseconds(50ms).count(), last = ns;
    int tries = 0;
    int code = ipcx::detail::into_string(out, ns, [&](void *, std::size_t cap, std::size_t *len, std::int64_t left) {
        CHECK(left <= last && (tries == 0 || left < last));
        last = left;
        std::this_thread::sleep_for(10ms);
        *len = cap + 1;
        return ++tries < 20 && left != IPCX_NOWAIT ? IPCX_E_TOO_BIG : IPCX_E_AGAIN;
    });
    CHECK(code == IPCX_E_AGAIN && last == IPCX_NOWAIT && tries < 20 && out.empty());
}

void a_delivery_that_is_not_acknowledged_comes_back() {
    ipcx::QueueOptions options;
    options.max_deliveries = 2;
    ipcx::Queue queue = ipcx::Queue::anonymous(options);
    queue.push("later");
    CHECK(queue.push("sooner", 31, ipcx::nowait));
    {
        ipcx::Delivery delivery = queue.take();
        CHECK(delivery.data() == "sooner" && delivery.priority() == 31);
    }
    {
        std::optional<ipcx::Delivery> delivery = queue.take(ipcx::nowait);
        CHECK(delivery && delivery->data() == "sooner");
    }
    CHECK(queue.stats().dead == 1 && queue.pop() == "later" && !queue.pop(1ms) && !queue.take(ipcx::nowait));
    std::optional<ipcx::Delivery> dead = queue.take_dead();
    CHECK(dead && dead->data() == "sooner");
    dead->ack();
    CHECK(!queue.take_dead() && queue.stats().dead == 0);
}

void one_of_several_is_waited_for() {
    ipcx::Ring ring = ipcx::Ring::anonymous();
    ipcx::Buffer buffer = ipcx::Buffer::anonymous();
    ipcx::Queue queue = ipcx::Queue::anonymous();
    ipcx::Producer tx = ring.producer();
    ipcx::Consumer rx = ring.consumer();
    CHECK(ipcx::wait_any({rx, queue, {buffer, 0}}, 1ms).empty());
    buffer.write("x");
    tx.send("x");
    CHECK((ipcx::wait_any({rx, queue, {buffer, 0}}) == std::vector<std::size_t>{0, 2}));
}

void segments_are_listed() {
    Name name;
    ipcx::Queue queue = ipcx::Queue::create(name);
    int found = 0;
    ipcx::list([&](const ipcx_listed &segment) {
        if (segment.name == name.text) found += segment.kind == IPCX_KIND_QUEUE ? 1 : 100;
    });
    CHECK(found == 1);
    THROWS(Failure, ipcx::list([](const ipcx_listed &) { throw Failure("out of the callback"); }));
}

void a_handle_is_the_childs_only_when_it_attaches() {
    ipcx::Ring ring = ipcx::Ring::anonymous();
    ipcx::Producer tx = ring.producer();
    pid_t child = in_child([&] { THROWS(ipcx::Forked, tx.send("x")); });
    CHECK(status_of(child) == 0);
    tx.close();
    CHECK(tx.native() == nullptr);
    THROWS(ipcx::Invalid, tx.send("x"));
}

#define TEST(function) { #function, function }
const std::pair<const char *, std::function<void()>> tests[] = {
    TEST(a_name_is_opened_in_each_way),
    TEST(a_descriptor_stands_for_a_segment),
    TEST(bytes_are_made_of_what_lies_together),
    TEST(a_message_longer_than_the_first_guess_arrives),
    TEST(what_would_wait_is_told_by_the_result),
    TEST(what_is_not_done_is_undone),
    TEST(a_loop_ends_when_the_producer_closes),
    TEST(a_dead_producer_is_told),
    TEST(blocks_travel_and_return),
    TEST(a_value_is_written_read_and_changed_in_place),
    TEST(a_condition_wakes_who_waits),
    TEST(permits_are_counted),
    TEST(a_topic_reaches_every_subscriber),
    TEST(a_service_answers_refuses_and_drops),
    TEST(a_reply_longer_than_the_first_guess_arrives),
    TEST(a_long_reply_to_a_call_is_not_taken_for_anothers),
    TEST(an_error_keeps_whether_the_request_was_taken),
    TEST(a_time_is_for_all_tries_together),
    TEST(a_delivery_that_is_not_acknowledged_comes_back),
    TEST(one_of_several_is_waited_for),
    TEST(segments_are_listed),
    TEST(a_handle_is_the_childs_only_when_it_attaches),
};

} // namespace

int main() {
    int failed = 0;
    for (const auto &[name, run] : tests) {
        std::cout.flush();
        pid_t child = in_child([&, run = run] {
            alarm(60);
            run();
        });
        bool ok = status_of(child) == 0;
        std::cout << (ok ? "ok     " : "FAILED ") << name << '\n';
        failed |= !ok;
    }
    return failed;
}

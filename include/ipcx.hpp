/*
 * ipcx for C++17 and later: the handles of <ipcx.h> as classes that give themselves back, and its codes as exceptions.
 *
 *     ipcx::Producer tx = ipcx::Ring::open("hello").producer();
 *     tx.send("hello from C++");
 *
 * Header only: link with -lipcx. What a call does is said at the C function of the same name in <ipcx.h>; here is what differs.
 *
 * Waiting   `send(data)` waits as long as it takes. `send(data, 20ms)` waits that long and is false where the time was over;
 *           with `ipcx::nowait` it is false where it would have to wait. Calls with a result give a std::optional then.
 * Errors    Every other code is thrown as a subclass of ipcx::Error, named as the code: ipcx::Closed, ipcx::PeerDead, ...
 *           To do without exceptions, pass `native()` to the functions of <ipcx.h>.
 * Bytes     Arguments are ipcx::Bytes: made of a std::string_view, of any contiguous container of trivially copyable
 *           elements (std::vector, std::array, std::span), or of an address and a length. A string literal goes
 *           without its zero.
 * Undone    A record borrowed or reserved, a lock, a delivery or a request that is destroyed before its `release()`,
 *           `commit()`, `ack()` or `reply()` was not done: the record stays, the delivery comes back, the value is as it was.
 *           So an exception in between loses nothing. (A request that was taken is refused then, and its client told.)
 * Lifetime  Classes can be moved and not copied. An object taken from another must not outlive it, except that endpoints
 *           (Producer, Consumer, Publisher, Subscriber, Server, Client) may outlive the handle they were taken from. What a
 *           borrow, a reservation, a lock, a delivery or a block came from must stay where it is, unmoved.
 * Threads   As in C: endpoints belong to one thread at a time, other handles to all.
 */
#ifndef IPCX_HPP
#define IPCX_HPP

#include <ipcx.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ipcx {

/* ---- Errors ------------------------------------------------------------------------------------------ */

/** What a function of <ipcx.h> refused to do. `what()` says what happened, on which segment, and what to do. */
class Error : public std::runtime_error {
public:
    explicit Error(int code) : std::runtime_error(ipcx_last_error()), code_(code), taken_(ipcx_last_taken()) {}
    Error(int code, const std::string &text) : std::runtime_error(text), code_(code), taken_(ipcx_last_taken()) {}

    /** One of IPCX_E_*. */
    int code() const noexcept { return code_; }
    /** Of a client's request that ended without a reply: true if a server had taken it, and it may have been carried out; false
     *  if none had, and it will not be. None of other errors. */
    std::optional<bool> taken() const noexcept { return taken_ < 0 ? std::nullopt : std::optional<bool>(taken_ == 1); }

private:
    int code_;
    int taken_; // Kept: what is undone on the way to the handler may fail too.
};

/** An error with one code. */
template <int Code> class ErrorOf : public Error {
public:
    ErrorOf() : Error(Code) {}
    explicit ErrorOf(const std::string &text) : Error(Code, text) {}
};

using WouldBlock = ErrorOf<IPCX_E_AGAIN>;
using TimedOut = ErrorOf<IPCX_E_TIMEDOUT>;
using Interrupted = ErrorOf<IPCX_E_INTR>;
using Closed = ErrorOf<IPCX_E_CLOSED>;
using PeerDead = ErrorOf<IPCX_E_PEER_DEAD>;
using Exists = ErrorOf<IPCX_E_EXISTS>;
using NotFound = ErrorOf<IPCX_E_NOT_FOUND>;
using RoleTaken = ErrorOf<IPCX_E_BUSY>;
using Mismatch = ErrorOf<IPCX_E_MISMATCH>;
using VersionMismatch = ErrorOf<IPCX_E_VERSION>;
using Corrupt = ErrorOf<IPCX_E_CORRUPT>;
using TooBig = ErrorOf<IPCX_E_TOO_BIG>;
using NoSpace = ErrorOf<IPCX_E_NO_SPACE>;
using Permission = ErrorOf<IPCX_E_PERMISSION>;
using Forked = ErrorOf<IPCX_E_FORKED>;
using Invalid = ErrorOf<IPCX_E_INVALID>;
using OsError = ErrorOf<IPCX_E_OS>;
using Panic = ErrorOf<IPCX_E_PANIC>;
/** A server refused a request; `what()` is its text. */
using Remote = ErrorOf<IPCX_E_REMOTE>;

namespace detail {

[[noreturn]] inline void raise(int code) {
    switch (code) {
    case IPCX_E_AGAIN: throw WouldBlock();
    case IPCX_E_TIMEDOUT: throw TimedOut();
    case IPCX_E_INTR: throw Interrupted();
    case IPCX_E_CLOSED: throw Closed();
    case IPCX_E_PEER_DEAD: throw PeerDead();
    case IPCX_E_EXISTS: throw Exists();
    case IPCX_E_NOT_FOUND: throw NotFound();
    case IPCX_E_BUSY: throw RoleTaken();
    case IPCX_E_MISMATCH: throw Mismatch();
    case IPCX_E_VERSION: throw VersionMismatch();
    case IPCX_E_CORRUPT: throw Corrupt();
    case IPCX_E_TOO_BIG: throw TooBig();
    case IPCX_E_NO_SPACE: throw NoSpace();
    case IPCX_E_PERMISSION: throw Permission();
    case IPCX_E_FORKED: throw Forked();
    case IPCX_E_INVALID: throw Invalid();
    case IPCX_E_OS: throw OsError();
    case IPCX_E_PANIC: throw Panic();
    case IPCX_E_REMOTE: throw Remote();
    default: throw Error(code);
    }
}

inline void check(int code) {
    if (code != IPCX_OK) raise(code);
}

/* Descriptors, which are codes when negative. */
inline int checked_fd(int fd) {
    if (fd < 0) raise(fd);
    return fd;
}

/* Whether it came to pass, of a call with a timeout. */
inline bool done(int code) {
    if (code == IPCX_E_AGAIN || code == IPCX_E_TIMEDOUT) return false;
    check(code);
    return true;
}

} // namespace detail

/* ---- Arguments --------------------------------------------------------------------------------------- */

/** How long a call may wait: a std::chrono duration, or ipcx::nowait. */
class Timeout {
public:
    template <class Rep, class Period> constexpr Timeout(std::chrono::duration<Rep, Period> wait) : ns_(round_up(wait)) {}

    /** As the functions of <ipcx.h> take it. */
    constexpr std::int64_t ns() const noexcept { return ns_; }

private:
    template <class Rep, class Period> static constexpr std::int64_t round_up(std::chrono::duration<Rep, Period> wait) {
        if (!(wait > wait.zero())) return IPCX_NOWAIT; // Also one that is no number.
        if (std::chrono::duration<double>(wait).count() > 9e9) return IPCX_FOREVER; // 285 years.
        auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(wait);
        if (ns < wait) ns += std::chrono::nanoseconds(1);
        return ns.count();
    }

    std::int64_t ns_;
};

/** A call with it does not wait. */
inline constexpr Timeout nowait{std::chrono::nanoseconds(0)};

namespace detail {

template <class C> using data_of = std::remove_pointer_t<decltype(std::declval<C &>().data())>;

/* A container whose elements lie one behind the other and are bytes through and through. */
template <class C, class = void> struct is_contiguous : std::false_type {};
template <class C>
struct is_contiguous<C, std::void_t<data_of<C>, decltype(std::declval<C &>().size())>>
    : std::is_trivially_copyable<std::remove_const_t<data_of<C>>> {};

} // namespace detail

/** Bytes to read from. It owns nothing: what it was made of must live as long as the call. */
class Bytes {
public:
    constexpr Bytes() noexcept = default;
    constexpr Bytes(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}
    constexpr Bytes(std::string_view text) noexcept : data_(text.data()), size_(text.size()) {}
    Bytes(const char *text) noexcept : Bytes(std::string_view(text)) {}
    template <class C, class = std::enable_if_t<detail::is_contiguous<const C>::value>>
    constexpr Bytes(const C &container) noexcept
        : data_(container.data()), size_(container.size() * sizeof(detail::data_of<const C>)) {}

    constexpr const void *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

/** Bytes to write to. It owns nothing. */
class MutableBytes {
public:
    constexpr MutableBytes(void *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class C, class = std::enable_if_t<detail::is_contiguous<C>::value && !std::is_const_v<detail::data_of<C>>>>
    constexpr MutableBytes(C &container) noexcept
        : data_(container.data()), size_(container.size() * sizeof(detail::data_of<C>)) {}
    template <class T, std::size_t N, class = std::enable_if_t<std::is_trivially_copyable_v<T> && !std::is_const_v<T>>>
    constexpr MutableBytes(T (&array)[N]) noexcept : data_(array), size_(sizeof array) {}

    constexpr void *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    void *data_;
    std::size_t size_;
};

/** Bytes in place, in shared memory: of a record borrowed, a delivery's, ... Another process may change them at any time. */
class View {
public:
    constexpr View() noexcept = default;
    constexpr View(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}

    const void *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    /** The bytes as text. */
    std::string_view text() const noexcept { return {static_cast<const char *>(data_), size_}; }
    /** The bytes as an object, aligned to at most 8. Throws std::length_error if they are not as many. */
    template <class T> const T &as() const {
        static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 8, "as<T>() is for plain data");
        if (size_ != sizeof(T)) throw std::length_error("ipcx: the record has not the size of the type");
        return *static_cast<const T *>(data_);
    }

protected:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

namespace detail {

/* A handle of <ipcx.h>, given back when this goes. */
template <class T, void (*Close)(T *)> class Handle {
public:
    explicit Handle(T *raw) noexcept : raw_(raw) {}
    /** The handle, for the functions of <ipcx.h>. It stays this object's. */
    T *native() const noexcept { return raw_.get(); }
    /** Gives it back now; after that the object can only be destroyed or assigned to. */
    void close() noexcept { raw_.reset(); }

private:
    struct Closer {
        void operator()(T *raw) const noexcept { Close(raw); }
    };
    std::unique_ptr<T, Closer> raw_;
};

/* What is left of the time of a call that began then. */
inline std::int64_t left_of(std::int64_t ns, std::chrono::steady_clock::time_point begin) {
    auto waited = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin).count();
    return waited < ns ? ns - waited : IPCX_NOWAIT;
}

/* Receives into a string that becomes as long as the message: `call(data, capacity, length, timeout)` is the C function. Where
 * another took what was too long, what comes next may be longer, and there is only the rest of the time for it. */
template <class Call> int into_string(std::string &out, std::int64_t ns, Call call) {
    std::size_t len = 0;
    out.resize(256);
    auto begin = ns > 0 ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
    int code = call(&out[0], out.size(), &len, ns);
    while (code == IPCX_E_TOO_BIG && len > out.size()) {
        out.resize(len);
        code = call(&out[0], out.size(), &len, ns > 0 ? left_of(ns, begin) : ns);
    }
    out.resize(code == IPCX_OK || code == IPCX_E_REMOTE ? (len < out.size() ? len : out.size()) : 0);
    return code;
}

/* A loop over what is received, until the other side closed in good order. */
template <class Receiver> class Messages {
public:
    class iterator {
    public:
        using value_type = std::string;
        using difference_type = std::ptrdiff_t;
        using reference = const std::string &;
        using pointer = const std::string *;
        using iterator_category = std::input_iterator_tag;

        iterator() = default;
        explicit iterator(Receiver *from) : from_(from) { ++*this; }
        reference operator*() const noexcept { return message_; }
        pointer operator->() const noexcept { return &message_; }
        iterator &operator++() {
            try {
                message_ = from_->recv();
            } catch (const Closed &) {
                from_ = nullptr;
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.from_ == b.from_; }
        friend bool operator!=(const iterator &a, const iterator &b) noexcept { return !(a == b); }

    private:
        Receiver *from_ = nullptr;
        std::string message_;
    };

    explicit Messages(Receiver *from) : from_(from) {}
    iterator begin() const { return iterator(from_); }
    iterator end() const { return iterator(); }

private:
    Receiver *from_;
};

} // namespace detail

/** Options of the C struct, with their defaults: set what should differ. */
struct RingOptions : ipcx_ring_options {
    RingOptions() : ipcx_ring_options IPCX_RING_OPTIONS_INIT {}
};
struct PoolOptions : ipcx_pool_options {
    PoolOptions() : ipcx_pool_options IPCX_POOL_OPTIONS_INIT {}
};
struct BufferOptions : ipcx_buffer_options {
    BufferOptions() : ipcx_buffer_options IPCX_BUFFER_OPTIONS_INIT {}
};
struct SemaphoreOptions : ipcx_semaphore_options {
    SemaphoreOptions() : ipcx_semaphore_options IPCX_SEMAPHORE_OPTIONS_INIT {}
};
struct TopicOptions : ipcx_topic_options {
    TopicOptions() : ipcx_topic_options IPCX_TOPIC_OPTIONS_INIT {}
};
struct ServiceOptions : ipcx_service_options {
    ServiceOptions() : ipcx_service_options IPCX_SERVICE_OPTIONS_INIT {}
};
struct QueueOptions : ipcx_queue_options {
    QueueOptions() : ipcx_queue_options IPCX_QUEUE_OPTIONS_INIT {}
};

namespace detail {

/* What every kind of segment has. F names the C functions of the kind. */
template <class Self, class F> class Segment : public Handle<typename F::handle, F::close> {
    using Base = Handle<typename F::handle, F::close>;

public:
    using Options = typename F::options;
    using Base::Base;

    /** A new one. Throws Exists if there is one. */
    static Self create(const std::string &name, const Options &options = {}) {
        return made([&](auto **raw) { return F::create(name.c_str(), &options, raw); });
    }
    /** A new one, or the one that exists. Throws Mismatch if it was made with other options. */
    static Self open(const std::string &name, const Options &options = {}) {
        return made([&](auto **raw) { return F::open(name.c_str(), &options, raw); });
    }
    /** The one that exists. Throws NotFound if there is none. */
    static Self attach(const std::string &name) {
        return made([&](auto **raw) { return F::attach(name.c_str(), raw); });
    }
    /** A new one without a name: for children, or to be sent as a descriptor. */
    static Self anonymous(const Options &options = {}) {
        return made([&](auto **raw) { return F::anonymous(&options, raw); });
    }
    /** The one that a descriptor from share_fd() is of. The descriptor stays yours. */
    static Self from_fd(int fd) {
        return made([&](auto **raw) { return F::from_fd(fd, raw); });
    }
    /** A new descriptor of it, which is yours to close. */
    int share_fd() const { return checked_fd(F::share_fd(this->native())); }

private:
    template <class Call> static Self made(Call call) {
        typename F::handle *raw = nullptr;
        check(call(&raw));
        return Self(raw);
    }
};

#define IPCX_SEGMENT_FUNCTIONS_(kind, Opts)                                                                                    \
    struct kind##_functions {                                                                                                  \
        using handle = ipcx_##kind;                                                                                            \
        using options = Opts;                                                                                                  \
        static constexpr auto create = ipcx_##kind##_create;                                                                   \
        static constexpr auto open = ipcx_##kind##_open;                                                                       \
        static constexpr auto attach = ipcx_##kind##_attach;                                                                   \
        static constexpr auto anonymous = ipcx_##kind##_anonymous;                                                             \
        static constexpr auto from_fd = ipcx_##kind##_from_fd;                                                                 \
        static constexpr auto share_fd = ipcx_##kind##_share_fd;                                                               \
        static constexpr auto close = ipcx_##kind##_close;                                                                     \
    };
IPCX_SEGMENT_FUNCTIONS_(ring, RingOptions)
IPCX_SEGMENT_FUNCTIONS_(pool, PoolOptions)
IPCX_SEGMENT_FUNCTIONS_(buffer, BufferOptions)
IPCX_SEGMENT_FUNCTIONS_(semaphore, SemaphoreOptions)
IPCX_SEGMENT_FUNCTIONS_(topic, TopicOptions)
IPCX_SEGMENT_FUNCTIONS_(service, ServiceOptions)
IPCX_SEGMENT_FUNCTIONS_(queue, QueueOptions)
#undef IPCX_SEGMENT_FUNCTIONS_

/* Room reserved in a ring or topic. F names the C functions of its sender. */
template <class F> class Reserved {
public:
    Reserved(typename F::handle *sender, void *data, std::size_t size) noexcept : sender_(sender), data_(data), size_(size) {}
    Reserved(Reserved &&other) noexcept
        : sender_(std::exchange(other.sender_, nullptr)), data_(other.data_), size_(other.size_) {}
    Reserved &operator=(Reserved &&) = delete;
    ~Reserved() {
        if (sender_) F::abort(sender_);
    }

    /** Where to write, aligned to 8. */
    void *data() const noexcept { return data_; }
    /** How many bytes there are. */
    std::size_t size() const noexcept { return size_; }
    /** Sends all of it. */
    void commit() { commit(size_); }
    /** Sends its first `size` bytes. Where it throws, the room is still reserved. */
    void commit(std::size_t size) {
        check(F::commit(sender_, size));
        sender_ = nullptr;
    }

private:
    typename F::handle *sender_;
    void *data_;
    std::size_t size_;
};

struct producer_functions {
    using handle = ipcx_producer;
    static constexpr auto commit = ipcx_producer_commit;
    static constexpr auto abort = ipcx_producer_abort;
};
struct publisher_functions {
    using handle = ipcx_publisher;
    static constexpr auto commit = ipcx_publisher_commit;
    static constexpr auto abort = ipcx_publisher_abort;
};

} // namespace detail

/* ---- Pool -------------------------------------------------------------------------------------------- */

/** A block of a pool, which goes back to it with this object. */
class Block {
public:
    Block(ipcx_pool *pool, ipcx_block block, std::size_t used) noexcept : pool_(pool), block_(block), used_(used) {}
    Block(Block &&other) noexcept : pool_(other.pool_), block_(std::exchange(other.block_, ipcx_block{})), used_(other.used_) {}
    Block &operator=(Block &&other) noexcept {
        std::swap(pool_, other.pool_);
        std::swap(block_, other.block_);
        std::swap(used_, other.used_);
        return *this;
    }
    ~Block() {
        if (block_.id) ipcx_pool_release(pool_, &block_);
    }

    /** Its bytes; nullptr once it was sent. */
    void *data() const noexcept { return block_.data; }
    /** How many there are. */
    std::size_t size() const noexcept { return block_.size; }
    /** Of a block received: how many the sender said are used. Of a new one: all. */
    std::size_t used() const noexcept { return used_; }
    /** For the functions of <ipcx.h>. */
    ipcx_block *native() noexcept { return &block_; }

private:
    ipcx_pool *pool_;
    ipcx_block block_;
    std::size_t used_;
};

/** Blocks of shared memory. */
class Pool : public detail::Segment<Pool, detail::pool_functions> {
public:
    using Segment::Segment;

    Block acquire() {
        ipcx_block block{};
        detail::check(ipcx_pool_acquire(native(), IPCX_FOREVER, &block));
        return Block(native(), block, block.size);
    }
    [[nodiscard]] std::optional<Block> acquire(Timeout wait) {
        ipcx_block block{};
        if (!detail::done(ipcx_pool_acquire(native(), wait.ns(), &block))) return std::nullopt;
        return Block(native(), block, block.size);
    }
    /** Gets back what the dead had, and says how many blocks. */
    std::size_t recover() {
        std::size_t reclaimed = 0;
        detail::check(ipcx_pool_recover(native(), &reclaimed));
        return reclaimed;
    }
    ipcx_stats stats() const {
        ipcx_stats stats = IPCX_STATS_INIT;
        detail::check(ipcx_pool_stats(native(), &stats));
        return stats;
    }
};

/* ---- Ring -------------------------------------------------------------------------------------------- */

/** Sends records into a ring. */
class Producer : public detail::Handle<ipcx_producer, ipcx_producer_close> {
public:
    using Handle::Handle;
    using Reservation = detail::Reserved<detail::producer_functions>;

    void send(Bytes data) { detail::check(ipcx_producer_send(native(), data.data(), data.size(), IPCX_FOREVER)); }
    [[nodiscard]] bool send(Bytes data, Timeout wait) {
        return detail::done(ipcx_producer_send(native(), data.data(), data.size(), wait.ns()));
    }
    /** Sends all; the first that has no room waits. Says how many were sent, which is fewer where the time was over. */
    std::size_t send_many(const std::vector<Bytes> &records) { return send_many(records, IPCX_FOREVER); }
    [[nodiscard]] std::size_t send_many(const std::vector<Bytes> &records, Timeout wait) {
        return send_many(records, wait.ns());
    }
    /** Room for a record, to be written in place. */
    Reservation reserve(std::size_t size) {
        void *data = nullptr;
        detail::check(ipcx_producer_reserve(native(), size, IPCX_FOREVER, &data));
        return Reservation(native(), data, size);
    }
    [[nodiscard]] std::optional<Reservation> reserve(std::size_t size, Timeout wait) {
        void *data = nullptr;
        if (!detail::done(ipcx_producer_reserve(native(), size, wait.ns(), &data))) return std::nullopt;
        return Reservation(native(), data, size);
    }
    /** Hands a block over with its first `used` bytes; `block` is empty afterwards. */
    void send_block(Pool &pool, Block &block, std::size_t used) {
        detail::check(ipcx_producer_send_block(native(), pool.native(), block.native(), used, IPCX_FOREVER));
    }
    [[nodiscard]] bool send_block(Pool &pool, Block &block, std::size_t used, Timeout wait) {
        return detail::done(ipcx_producer_send_block(native(), pool.native(), block.native(), used, wait.ns()));
    }
    /** Readable where send() would not wait. It stays the producer's. */
    int poll_fd() { return detail::checked_fd(ipcx_producer_poll_fd(native())); }

private:
    std::size_t send_many(const std::vector<Bytes> &records, std::int64_t ns) {
        std::vector<iovec> list;
        list.reserve(records.size());
        for (const Bytes &record : records) list.push_back({const_cast<void *>(record.data()), record.size()});
        std::size_t sent = 0;
        detail::done(ipcx_producer_send_many(native(), list.data(), list.size(), ns, &sent));
        return sent;
    }
};

/** A record in place. Until it is released or destroyed, other calls of its consumer throw Invalid. */
class Record : public View {
public:
    Record(ipcx_consumer *consumer, const void *data, std::size_t size) noexcept : View(data, size), consumer_(consumer) {}
    Record(Record &&other) noexcept : View(other), consumer_(std::exchange(other.consumer_, nullptr)) {}
    Record &operator=(Record &&) = delete;
    ~Record() {
        if (consumer_) ipcx_consumer_return(consumer_);
    }

    /** It is done, and will not be delivered again. Its bytes are gone. */
    void release() { detail::check(ipcx_consumer_release(std::exchange(consumer_, nullptr))); }

private:
    ipcx_consumer *consumer_;
};

/** Receives the records of a ring. */
class Consumer : public detail::Handle<ipcx_consumer, ipcx_consumer_close> {
public:
    using Handle::Handle;

    std::string recv() {
        std::string out;
        detail::check(recv(out, IPCX_FOREVER));
        return out;
    }
    [[nodiscard]] std::optional<std::string> recv(Timeout wait) {
        std::string out;
        if (!detail::done(recv(out, wait.ns()))) return std::nullopt;
        return out;
    }
    /** Into memory of yours; says how many bytes. Throws TooBig, and the record stays, if it does not fit. */
    std::size_t recv_into(MutableBytes to) {
        std::size_t len = 0;
        detail::check(ipcx_consumer_recv(native(), to.data(), to.size(), &len, IPCX_FOREVER));
        return len;
    }
    [[nodiscard]] std::optional<std::size_t> recv_into(MutableBytes to, Timeout wait) {
        std::size_t len = 0;
        if (!detail::done(ipcx_consumer_recv(native(), to.data(), to.size(), &len, wait.ns()))) return std::nullopt;
        return len;
    }
    /** The next record in place. */
    Record borrow() {
        const void *data = nullptr;
        std::size_t len = 0;
        detail::check(ipcx_consumer_borrow(native(), &data, &len, IPCX_FOREVER));
        return Record(native(), data, len);
    }
    [[nodiscard]] std::optional<Record> borrow(Timeout wait) {
        const void *data = nullptr;
        std::size_t len = 0;
        if (!detail::done(ipcx_consumer_borrow(native(), &data, &len, wait.ns()))) return std::nullopt;
        return Record(native(), data, len);
    }
    /** The block that the next record hands over. */
    Block recv_block(Pool &pool) {
        ipcx_block block{};
        std::size_t used = 0;
        detail::check(ipcx_consumer_recv_block(native(), pool.native(), &block, &used, IPCX_FOREVER));
        return Block(pool.native(), block, used);
    }
    [[nodiscard]] std::optional<Block> recv_block(Pool &pool, Timeout wait) {
        ipcx_block block{};
        std::size_t used = 0;
        if (!detail::done(ipcx_consumer_recv_block(native(), pool.native(), &block, &used, wait.ns()))) return std::nullopt;
        return Block(pool.native(), block, used);
    }
    /** `for (const std::string &record : rx.messages())`, until the producer closed. One that dies ends it with PeerDead. */
    detail::Messages<Consumer> messages() { return detail::Messages<Consumer>(this); }
    /** Readable where recv() would not wait. It stays the consumer's. */
    int poll_fd() { return detail::checked_fd(ipcx_consumer_poll_fd(native())); }

private:
    int recv(std::string &out, std::int64_t ns) {
        return detail::into_string(
            out, ns, [&](void *data, std::size_t cap, std::size_t *len, std::int64_t left) {
                return ipcx_consumer_recv(native(), data, cap, len, left);
            });
    }
};

/** Records from one producer to one consumer. */
class Ring : public detail::Segment<Ring, detail::ring_functions> {
public:
    using Segment::Segment;

    /** Takes the role. Throws RoleTaken if a living process has it. */
    Producer producer() {
        ipcx_producer *raw = nullptr;
        detail::check(ipcx_ring_producer(native(), &raw));
        return Producer(raw);
    }
    Consumer consumer() {
        ipcx_consumer *raw = nullptr;
        detail::check(ipcx_ring_consumer(native(), &raw));
        return Consumer(raw);
    }
    ipcx_stats stats() const {
        ipcx_stats stats = IPCX_STATS_INIT;
        detail::check(ipcx_ring_stats(native(), &stats));
        return stats;
    }
};

/* ---- Buffer and semaphore ---------------------------------------------------------------------------- */

/** A value and which of its versions it is; version 0 is that of a buffer into which nothing was written. */
struct Value {
    std::string data;
    std::uint64_t version;
};

/** A buffer's lock, with a copy of the value to change in place. It is given up with this object. */
class Locked {
public:
    Locked(ipcx_buffer *buffer, void *data, std::size_t size, std::size_t capacity) noexcept
        : buffer_(buffer), data_(data), size_(size), capacity_(capacity) {}
    Locked(Locked &&other) noexcept
        : buffer_(std::exchange(other.buffer_, nullptr)), data_(other.data_), size_(other.size_), capacity_(other.capacity_) {}
    Locked &operator=(Locked &&) = delete;
    ~Locked() {
        if (buffer_) ipcx_buffer_abandon(buffer_);
    }

    /** The copy, aligned to 64. */
    void *data() const noexcept { return data_; }
    /** Bytes of the value. */
    std::size_t size() const noexcept { return size_; }
    /** Bytes that there are. */
    std::size_t capacity() const noexcept { return capacity_; }
    /** Whether the owner before died with the lock. */
    bool recovered() const { return ipcx_buffer_recovered(buffer_) == 1; }
    /** Makes the first `size` bytes the value, and unlocks. */
    void commit(std::size_t size) {
        detail::check(ipcx_buffer_unlock(buffer_, size));
        buffer_ = nullptr;
    }
    /** Gives the lock up, sleeps until a notification, and takes it again. Where it throws or is false, the lock is given up
     *  for good. It may return without a notification: ask again for what you wait for. */
    void wait() { wait(IPCX_FOREVER); }
    [[nodiscard]] bool wait(Timeout time) { return wait(time.ns()); }
    /** Wakes one, or all, of those that wait(). */
    void notify_one() { detail::check(ipcx_buffer_notify(buffer_, 0)); }
    void notify_all() { detail::check(ipcx_buffer_notify(buffer_, 1)); }

private:
    bool wait(std::int64_t ns) {
        int code = ipcx_buffer_wait_locked(buffer_, ns);
        if (ipcx_buffer_locked(buffer_, &data_, &size_, &capacity_) != IPCX_OK) buffer_ = nullptr;
        if (ns == IPCX_FOREVER) detail::check(code);
        return detail::done(code);
    }

    ipcx_buffer *buffer_;
    void *data_;
    std::size_t size_;
    std::size_t capacity_;
};

/** A value that any number of processes read and write. */
class Buffer : public detail::Segment<Buffer, detail::buffer_functions> {
public:
    using Segment::Segment;

    void write(Bytes data) { detail::check(ipcx_buffer_write(native(), data.data(), data.size(), IPCX_FOREVER)); }
    [[nodiscard]] bool write(Bytes data, Timeout wait) {
        return detail::done(ipcx_buffer_write(native(), data.data(), data.size(), wait.ns()));
    }
    /** The value. Does not wait. */
    Value read() const {
        Value value{};
        detail::check(detail::into_string(value.data, IPCX_NOWAIT, [&](void *data, std::size_t cap, std::size_t *len, std::int64_t) {
            return ipcx_buffer_read(native(), data, cap, len, &value.version);
        }));
        return value;
    }
    /** Into memory of yours; says how many bytes. */
    std::size_t read_into(MutableBytes to, std::uint64_t *version = nullptr) const {
        std::size_t len = 0;
        detail::check(ipcx_buffer_read(native(), to.data(), to.size(), &len, version));
        return len;
    }
    /** Waits until the version is another than `seen`, and says which it is. */
    std::uint64_t wait(std::uint64_t seen) const {
        std::uint64_t version = 0;
        detail::check(ipcx_buffer_wait(native(), seen, &version, IPCX_FOREVER));
        return version;
    }
    [[nodiscard]] std::optional<std::uint64_t> wait(std::uint64_t seen, Timeout wait) const {
        std::uint64_t version = 0;
        if (!detail::done(ipcx_buffer_wait(native(), seen, &version, wait.ns()))) return std::nullopt;
        return version;
    }
    Locked lock() {
        void *data = nullptr;
        std::size_t len = 0, cap = 0;
        detail::check(ipcx_buffer_lock(native(), IPCX_FOREVER, &data, &len, &cap));
        return Locked(native(), data, len, cap);
    }
    [[nodiscard]] std::optional<Locked> lock(Timeout wait) {
        void *data = nullptr;
        std::size_t len = 0, cap = 0;
        if (!detail::done(ipcx_buffer_lock(native(), wait.ns(), &data, &len, &cap))) return std::nullopt;
        return Locked(native(), data, len, cap);
    }
};

/** Permits, which those of a dead process come back to. */
class Semaphore : public detail::Segment<Semaphore, detail::semaphore_functions> {
public:
    using Segment::Segment;

    void acquire() { detail::check(ipcx_semaphore_acquire(native(), IPCX_FOREVER)); }
    [[nodiscard]] bool acquire(Timeout wait) { return detail::done(ipcx_semaphore_acquire(native(), wait.ns())); }
    void release() { detail::check(ipcx_semaphore_release(native())); }
    /** How many permits can be acquired. */
    std::uint32_t value() const {
        std::uint32_t value = 0;
        detail::check(ipcx_semaphore_value(native(), &value));
        return value;
    }
};

/* ---- Topic ------------------------------------------------------------------------------------------- */

/** Publishes to a topic. */
class Publisher : public detail::Handle<ipcx_publisher, ipcx_publisher_close> {
public:
    using Handle::Handle;
    using Reservation = detail::Reserved<detail::publisher_functions>;

    void publish(Bytes data) { detail::check(ipcx_publisher_publish(native(), data.data(), data.size(), IPCX_FOREVER)); }
    [[nodiscard]] bool publish(Bytes data, Timeout wait) {
        return detail::done(ipcx_publisher_publish(native(), data.data(), data.size(), wait.ns()));
    }
    /** Room for a message, to be written in place. */
    Reservation reserve(std::size_t size) {
        void *data = nullptr;
        detail::check(ipcx_publisher_reserve(native(), size, IPCX_FOREVER, &data));
        return Reservation(native(), data, size);
    }
    [[nodiscard]] std::optional<Reservation> reserve(std::size_t size, Timeout wait) {
        void *data = nullptr;
        if (!detail::done(ipcx_publisher_reserve(native(), size, wait.ns(), &data))) return std::nullopt;
        return Reservation(native(), data, size);
    }
    int poll_fd() { return detail::checked_fd(ipcx_publisher_poll_fd(native())); }
};

/** A message of a topic in place. */
class Message : public View {
public:
    Message(ipcx_subscriber *subscriber, const void *data, std::size_t size) noexcept
        : View(data, size), subscriber_(subscriber) {}
    Message(Message &&other) noexcept : View(other), subscriber_(std::exchange(other.subscriber_, nullptr)) {}
    Message &operator=(Message &&) = delete;
    ~Message() {
        if (subscriber_) ipcx_subscriber_return(subscriber_);
    }

    /** It is done. False where a publisher overwrote it meanwhile, and what was read counts for nothing. */
    [[nodiscard]] bool release() {
        int whole = 0;
        detail::check(ipcx_subscriber_release(std::exchange(subscriber_, nullptr), &whole));
        return whole == 1;
    }

private:
    ipcx_subscriber *subscriber_;
};

/** Receives every message of a topic from when it came. */
class Subscriber : public detail::Handle<ipcx_subscriber, ipcx_subscriber_close> {
public:
    using Handle::Handle;

    std::string recv() {
        std::string out;
        detail::check(recv(out, IPCX_FOREVER));
        return out;
    }
    [[nodiscard]] std::optional<std::string> recv(Timeout wait) {
        std::string out;
        if (!detail::done(recv(out, wait.ns()))) return std::nullopt;
        return out;
    }
    std::size_t recv_into(MutableBytes to) {
        std::size_t len = 0;
        detail::check(ipcx_subscriber_recv(native(), to.data(), to.size(), &len, IPCX_FOREVER));
        return len;
    }
    [[nodiscard]] std::optional<std::size_t> recv_into(MutableBytes to, Timeout wait) {
        std::size_t len = 0;
        if (!detail::done(ipcx_subscriber_recv(native(), to.data(), to.size(), &len, wait.ns()))) return std::nullopt;
        return len;
    }
    Message borrow() {
        const void *data = nullptr;
        std::size_t len = 0;
        detail::check(ipcx_subscriber_borrow(native(), &data, &len, IPCX_FOREVER));
        return Message(native(), data, len);
    }
    [[nodiscard]] std::optional<Message> borrow(Timeout wait) {
        const void *data = nullptr;
        std::size_t len = 0;
        if (!detail::done(ipcx_subscriber_borrow(native(), &data, &len, wait.ns()))) return std::nullopt;
        return Message(native(), data, len);
    }
    /** How many messages it missed since it came. */
    std::uint64_t missed() const { return ipcx_subscriber_missed(native()); }
    int poll_fd() { return detail::checked_fd(ipcx_subscriber_poll_fd(native())); }

private:
    int recv(std::string &out, std::int64_t ns) {
        return detail::into_string(
            out, ns, [&](void *data, std::size_t cap, std::size_t *len, std::int64_t left) {
                return ipcx_subscriber_recv(native(), data, cap, len, left);
            });
    }
};

/** Messages from publishers to all subscribers. */
class Topic : public detail::Segment<Topic, detail::topic_functions> {
public:
    using Segment::Segment;

    Publisher publisher() {
        ipcx_publisher *raw = nullptr;
        detail::check(ipcx_topic_publisher(native(), &raw));
        return Publisher(raw);
    }
    /** From the next message on, or from the history where the topic keeps one. */
    Subscriber subscriber() {
        ipcx_subscriber *raw = nullptr;
        detail::check(ipcx_topic_subscriber(native(), &raw));
        return Subscriber(raw);
    }
    ipcx_stats stats() const {
        ipcx_stats stats = IPCX_STATS_INIT;
        detail::check(ipcx_topic_stats(native(), &stats));
        return stats;
    }
};

/* ---- Service ----------------------------------------------------------------------------------------- */

/** What came of a request. */
struct Reply {
    std::uint64_t id;
    std::string data;
};

/** Asks a service. */
class Client : public detail::Handle<ipcx_client, ipcx_client_close> {
public:
    using Handle::Handle;

    /** Asks and waits for the reply. Throws Remote where the server refuses, PeerDead where it dies. */
    std::string call(Bytes request) {
        std::string reply;
        detail::check(call(request, reply, IPCX_FOREVER));
        return reply;
    }
    /** None where the time was over: the request may have been carried out all the same, unless ipcx_last_taken() is 0 then. */
    [[nodiscard]] std::optional<std::string> call(Bytes request, Timeout wait) {
        std::string reply;
        if (!detail::done(call(request, reply, wait.ns()))) return std::nullopt;
        return reply;
    }
    /** Asks, and says by which number the reply will be known. */
    std::uint64_t send(Bytes request) {
        std::uint64_t id = 0;
        detail::check(ipcx_client_send(native(), request.data(), request.size(), &id, IPCX_FOREVER));
        return id;
    }
    [[nodiscard]] std::optional<std::uint64_t> send(Bytes request, Timeout wait) {
        std::uint64_t id = 0;
        if (!detail::done(ipcx_client_send(native(), request.data(), request.size(), &id, wait.ns()))) return std::nullopt;
        return id;
    }
    /** The next reply. Where the request ended without one, it throws, and `*ended` says which request that was. */
    Reply recv(std::uint64_t *ended = nullptr) {
        Reply reply{};
        ended_check(reply, ended, recv_code(reply, IPCX_FOREVER));
        return reply;
    }
    [[nodiscard]] std::optional<Reply> recv(Timeout wait, std::uint64_t *ended = nullptr) {
        Reply reply{};
        int code = recv_code(reply, wait.ns());
        if (code == IPCX_E_AGAIN || code == IPCX_E_TIMEDOUT) return std::nullopt;
        ended_check(reply, ended, code);
        return reply;
    }
    int poll_fd() { return detail::checked_fd(ipcx_client_poll_fd(native())); }

private:
    int call(Bytes request, std::string &reply, std::int64_t ns) {
        std::size_t len = 0;
        reply.resize(256);
        int code = ipcx_client_call(native(), request.data(), request.size(), &reply[0], reply.size(), &len, ns);
        if (code == IPCX_E_TOO_BIG && len > reply.size()) {
            // The reply is there, and the next to be received.
            std::uint64_t id = 0;
            reply.resize(len);
            code = ipcx_client_recv(native(), &id, &reply[0], reply.size(), &len, IPCX_NOWAIT);
        }
        reply.resize(code == IPCX_OK || code == IPCX_E_REMOTE ? len : 0);
        if (code == IPCX_E_REMOTE) throw Remote(reply);
        return code;
    }
    int recv_code(Reply &reply, std::int64_t ns) {
        return detail::into_string(reply.data, ns, [&](void *data, std::size_t cap, std::size_t *len, std::int64_t left) {
            return ipcx_client_recv(native(), &reply.id, data, cap, len, left);
        });
    }
    static void ended_check(const Reply &reply, std::uint64_t *ended, int code) {
        if (ended) *ended = code == IPCX_OK ? 0 : reply.id;
        if (code == IPCX_E_REMOTE) throw Remote(reply.data);
        detail::check(code);
    }
};

/** A request that a server took. Where it is destroyed unanswered, it is refused. */
class Request {
public:
    Request(ipcx_server *server, std::uint64_t id, std::string data) : server_(server), id_(id), data_(std::move(data)) {}
    Request(Request &&other) noexcept
        : server_(std::exchange(other.server_, nullptr)), id_(other.id_), data_(std::move(other.data_)) {}
    Request &operator=(Request &&) = delete;
    ~Request() {
        constexpr std::string_view text = "the server dropped the request without an answer";
        if (server_) ipcx_server_refuse(server_, id_, text.data(), text.size());
    }

    const std::string &data() const noexcept { return data_; }
    void reply(Bytes data) {
        detail::check(ipcx_server_reply(server_, id_, data.data(), data.size()));
        server_ = nullptr;
    }
    /** The client gets Remote with this text. */
    void refuse(std::string_view text) {
        detail::check(ipcx_server_refuse(server_, id_, text.data(), text.size()));
        server_ = nullptr;
    }

private:
    ipcx_server *server_;
    std::uint64_t id_;
    std::string data_;
};

/** Answers the requests of a service. */
class Server : public detail::Handle<ipcx_server, ipcx_server_close> {
public:
    using Handle::Handle;

    Request recv() {
        std::uint64_t id = 0;
        std::string data;
        detail::check(recv(id, data, IPCX_FOREVER));
        return Request(native(), id, std::move(data));
    }
    [[nodiscard]] std::optional<Request> recv(Timeout wait) {
        std::uint64_t id = 0;
        std::string data;
        if (!detail::done(recv(id, data, wait.ns()))) return std::nullopt;
        return Request(native(), id, std::move(data));
    }
    /** Waits for one request and answers it with what `function(const std::string &)` returns; if that throws, refuses it
     *  with the exception's text. */
    template <class Function> void serve_one(Function function) {
        Request request = recv();
        try {
            request.reply(function(request.data()));
        } catch (const Error &) {
            throw;
        } catch (const std::exception &error) {
            request.refuse(error.what());
        }
    }
    int poll_fd() { return detail::checked_fd(ipcx_server_poll_fd(native())); }

private:
    int recv(std::uint64_t &id, std::string &out, std::int64_t ns) {
        return detail::into_string(
            out, ns, [&](void *data, std::size_t cap, std::size_t *len, std::int64_t left) {
                return ipcx_server_recv(native(), &id, data, cap, len, left);
            });
    }
};

/** Requests of clients, answered by servers. */
class Service : public detail::Segment<Service, detail::service_functions> {
public:
    using Segment::Segment;

    Client client() {
        ipcx_client *raw = nullptr;
        detail::check(ipcx_service_client(native(), &raw));
        return Client(raw);
    }
    Server server() {
        ipcx_server *raw = nullptr;
        detail::check(ipcx_service_server(native(), &raw));
        return Server(raw);
    }
    ipcx_stats stats() const {
        ipcx_stats stats = IPCX_STATS_INIT;
        detail::check(ipcx_service_stats(native(), &stats));
        return stats;
    }
};

/* ---- Queue ------------------------------------------------------------------------------------------- */

/** A message taken from a queue. Where it is destroyed before ack(), it comes back. */
class Delivery {
public:
    Delivery(ipcx_queue *queue, std::uint64_t ticket, unsigned priority, std::string data)
        : queue_(queue), ticket_(ticket), priority_(priority), data_(std::move(data)) {}
    Delivery(Delivery &&other) noexcept
        : queue_(std::exchange(other.queue_, nullptr)), ticket_(other.ticket_), priority_(other.priority_),
          data_(std::move(other.data_)) {}
    Delivery &operator=(Delivery &&) = delete;
    ~Delivery() {
        if (queue_) ipcx_queue_return(queue_, ticket_);
    }

    const std::string &data() const noexcept { return data_; }
    unsigned priority() const noexcept { return priority_; }
    /** It is done, and gone. Where it throws, that is so too if the disk failed (OsError); else it comes back as before. */
    void ack() {
        int code = ipcx_queue_ack(queue_, ticket_);
        if (code == IPCX_OK || code == IPCX_E_OS) queue_ = nullptr;
        detail::check(code);
    }

private:
    ipcx_queue *queue_;
    std::uint64_t ticket_;
    unsigned priority_;
    std::string data_;
};

/** Messages from any number of processes, each to one of those that take them. */
class Queue : public detail::Segment<Queue, detail::queue_functions> {
public:
    using Segment::Segment;

    /** Priority 0 is the lowest, 31 the highest. */
    void push(Bytes data, unsigned priority = 0) {
        detail::check(ipcx_queue_push(native(), data.data(), data.size(), priority, IPCX_FOREVER));
    }
    [[nodiscard]] bool push(Bytes data, unsigned priority, Timeout wait) {
        return detail::done(ipcx_queue_push(native(), data.data(), data.size(), priority, wait.ns()));
    }
    /** Takes the next and acknowledges it in one step. */
    std::string pop() {
        std::string out;
        detail::check(pop(out, IPCX_FOREVER));
        return out;
    }
    [[nodiscard]] std::optional<std::string> pop(Timeout wait) {
        std::string out;
        if (!detail::done(pop(out, wait.ns()))) return std::nullopt;
        return out;
    }
    /** Takes the next; it is gone with ack(). */
    Delivery take() { return *taken(IPCX_FOREVER); }
    [[nodiscard]] std::optional<Delivery> take(Timeout wait) { return taken(wait.ns()); }
    /** The next dead letter, or none. ack() discards it; destroyed, it is delivered again as if it were new. */
    [[nodiscard]] std::optional<Delivery> take_dead() {
        return delivery(IPCX_NOWAIT, [&](void *data, std::size_t cap, std::size_t *len, unsigned *priority, std::uint64_t *ticket,
                                         std::int64_t) {
            return ipcx_queue_take_dead(native(), data, cap, len, priority, ticket);
        });
    }
    ipcx_stats stats() const {
        ipcx_stats stats = IPCX_STATS_INIT;
        detail::check(ipcx_queue_stats(native(), &stats));
        return stats;
    }
    int poll_fd() { return detail::checked_fd(ipcx_queue_poll_fd(native())); }

private:
    int pop(std::string &out, std::int64_t ns) {
        return detail::into_string(
            out, ns, [&](void *data, std::size_t cap, std::size_t *len, std::int64_t left) {
                return ipcx_queue_pop(native(), data, cap, len, nullptr, left);
            });
    }
    std::optional<Delivery> taken(std::int64_t ns) {
        return delivery(ns, [&](void *data, std::size_t cap, std::size_t *len, unsigned *priority, std::uint64_t *ticket,
                                std::int64_t left) {
            return ipcx_queue_take(native(), data, cap, len, priority, ticket, left);
        });
    }
    template <class Call> std::optional<Delivery> delivery(std::int64_t ns, Call call) {
        std::string out;
        unsigned priority = 0;
        std::uint64_t ticket = 0;
        int code = detail::into_string(out, ns, [&](void *data, std::size_t cap, std::size_t *len, std::int64_t left) {
            return call(data, cap, len, &priority, &ticket, left);
        });
        if (ns == IPCX_FOREVER) detail::check(code);
        if (!detail::done(code)) return std::nullopt;
        return Delivery(native(), ticket, priority, std::move(out));
    }
};

/* ---- Everywhere -------------------------------------------------------------------------------------- */

/** Removes a name. Who is attached goes on. Throws NotFound. */
inline void unlink(const std::string &name) { detail::check(ipcx_unlink(name.c_str())); }

/** Something that wait_any() waits for. */
struct Waitable : ipcx_waitable {
    Waitable(const Consumer &c) : Waitable(IPCX_WAIT_FOR_CONSUMER, c.native()) {}
    Waitable(const Producer &p) : Waitable(IPCX_WAIT_FOR_PRODUCER, p.native()) {}
    Waitable(const Pool &p) : Waitable(IPCX_WAIT_FOR_POOL, p.native()) {}
    Waitable(const Semaphore &s) : Waitable(IPCX_WAIT_FOR_SEMAPHORE, s.native()) {}
    /** Until its version is another than `known`. */
    Waitable(const Buffer &b, std::uint64_t known) : Waitable(IPCX_WAIT_FOR_BUFFER, b.native(), known) {}
    Waitable(const Publisher &p) : Waitable(IPCX_WAIT_FOR_PUBLISHER, p.native()) {}
    Waitable(const Subscriber &s) : Waitable(IPCX_WAIT_FOR_SUBSCRIBER, s.native()) {}
    Waitable(const Queue &q) : Waitable(IPCX_WAIT_FOR_QUEUE, q.native()) {}
    Waitable(const Client &c) : Waitable(IPCX_WAIT_FOR_CLIENT, c.native()) {}
    Waitable(const Server &s) : Waitable(IPCX_WAIT_FOR_SERVER, s.native()) {}

private:
    Waitable(std::uint32_t what, void *raw, std::uint64_t known = 0) : ipcx_waitable{what, 0, raw, known} {}
};

namespace detail {
inline std::vector<std::size_t> ready_of(const std::vector<ipcx_waitable> &items) {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < items.size(); i++)
        if (items[i].ready) ready.push_back(i);
    return ready;
}
} // namespace detail

/** Waits until one is ready, and gives the places of those that are. With a timeout, none where the time was over. */
inline std::vector<std::size_t> wait_any(const std::vector<Waitable> &what) {
    std::vector<ipcx_waitable> items(what.begin(), what.end());
    std::size_t count = 0;
    detail::check(ipcx_wait_any(items.data(), items.size(), IPCX_FOREVER, &count));
    return detail::ready_of(items);
}
inline std::vector<std::size_t> wait_any(const std::vector<Waitable> &what, Timeout wait) {
    std::vector<ipcx_waitable> items(what.begin(), what.end());
    std::size_t count = 0;
    if (!detail::done(ipcx_wait_any(items.data(), items.size(), wait.ns(), &count))) return {};
    return detail::ready_of(items);
}

/** Calls `function(const ipcx_listed &)` for every segment there is. What it is given is gone after the call. */
template <class Function> void list(Function function) {
    struct Call {
        Function &function;
        std::exception_ptr error;
    } call{function, nullptr};
    int code = ipcx_list(
        nullptr,
        [](const ipcx_listed *segment, void *context) -> int {
            Call &to = *static_cast<Call *>(context);
            try {
                to.function(*segment);
                return 0;
            } catch (...) {
                to.error = std::current_exception();
                return 1;
            }
        },
        &call);
    if (call.error) std::rethrow_exception(call.error);
    detail::check(code);
}

} // namespace ipcx

#endif /* IPCX_HPP */

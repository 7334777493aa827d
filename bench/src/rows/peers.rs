//! ipcx beside what a user would pick instead.

use super::{case, each, rate, time, Row, Target, W};

/// The groups of `make bench-peers`.
pub const GROUPS: &[(&str, &[Row])] = &[
    ("peers: round trip, spinning", ROUND_TRIP),
    ("peers: round trip, blocking", BLOCKING),
    ("peers: one way", ONE_WAY),
    ("peers: topic, cost of publishing", PUBLISHED),
    ("peers: topic, every message to every subscriber", TO_ALL),
    ("peers: service, round trip, spinning", CALL),
    ("peers: service, round trip, blocking", BLOCKING_CALL),
    ("peers: work queue, one way", QUEUE),
    ("peers: Python, round trip, spinning", PYTHON_ROUND_TRIP),
    ("peers: Python, round trip, blocking", PYTHON_BLOCKING),
    ("peers: Python, one way", PYTHON_ONE_WAY),
    ("peers: Python, batches of 64", PYTHON_BATCHES),
];

const ROUND_TRIP: &[Row] = &[
    time("ring", case("ring", W::ROUND_TRIP_64), case("iceoryx2", W::ROUND_TRIP_64), Target::AtMost(0.40)),
    time("ring", case("ring", W::ROUND_TRIP_64), case("boost-spsc", W::ROUND_TRIP_64), Target::None),
    time("ring", case("ring", W::ROUND_TRIP_64), case("boost-mq", W::ROUND_TRIP_64), Target::None),
];

const BLOCKING: &[Row] = &[
    time("ring", case("ring", W::BLOCKING_64), case("boost-mq", W::BLOCKING_64), Target::None),
    time("ring", case("ring", W::BLOCKING_64), case("zeromq", W::BLOCKING_64), Target::None),
];

const ONE_WAY: &[Row] = &[
    rate("ring", case("ring", W::ONE_WAY_64), case("rtrb", W::ONE_WAY_64), Target::AtLeast(1.0)),
    rate("ring", case("ring", W::ONE_WAY_64), case("iceoryx2", W::ONE_WAY_64), Target::AtLeast(15.0)),
    rate("ring", case("ring", W::ONE_WAY_64), case("boost-spsc", W::ONE_WAY_64), Target::None),
    rate("ring", case("ring", W::ONE_WAY_64), case("boost-mq", W::ONE_WAY_64), Target::None),
    rate("ring", case("ring", W::ONE_WAY_64), case("zeromq", W::ONE_WAY_64), Target::None),
    rate("batches of 64", case("ring", W::BATCH_64), case("rtrb", W::BATCH_64), Target::None),
    rate("batches of 64", case("ring", W::BATCH_64), case("boost-spsc", W::BATCH_64), Target::None),
];

// What a message costs its publisher, whose subscribers read what they can.
const PUBLISHED: &[Row] = &[
    time(
        "to 1",
        case("topic-published", W::PUBLISHED_TO_1),
        case("iceoryx2-published", W::PUBLISHED_TO_1),
        Target::None,
    ),
    time(
        "to 1",
        case("topic-published", W::PUBLISHED_TO_1),
        case("zeromq-published", W::PUBLISHED_TO_1),
        Target::None,
    ),
    time(
        "to 50",
        case("topic-published", W::PUBLISHED_TO_50),
        case("iceoryx2-published", W::PUBLISHED_TO_50),
        Target::None,
    ),
    time(
        "to 50",
        case("topic-published", W::PUBLISHED_TO_50),
        case("zeromq-published", W::PUBLISHED_TO_50),
        Target::None,
    ),
    time(
        "to 50 and to 1",
        case("topic-published", W::PUBLISHED_TO_50),
        case("topic-published", W::PUBLISHED_TO_1),
        Target::AtMost(1.3),
    ),
    time(
        "to 50 and to 1",
        case("iceoryx2-published", W::PUBLISHED_TO_50),
        case("iceoryx2-published", W::PUBLISHED_TO_1),
        Target::None,
    ),
    time(
        "to 50 and to 1",
        case("zeromq-published", W::PUBLISHED_TO_50),
        case("zeromq-published", W::PUBLISHED_TO_1),
        Target::None,
    ),
    time(
        "to 50 who sleep",
        case("topic-published", W::PUBLISHED_TO_50_ASLEEP),
        case("zeromq-published", W::PUBLISHED_TO_50_ASLEEP),
        Target::None,
    ),
];

// Nothing is missed: the slowest decides.
const TO_ALL: &[Row] = &[
    rate("to 1", case("topic", W::TO_1), case("iceoryx2", W::TO_1), Target::None),
    rate("to 1", case("topic", W::TO_1), case("zeromq-pubsub", W::TO_1), Target::None),
    rate("to 50", case("topic", W::TO_50), case("iceoryx2", W::TO_50), Target::None),
    rate("to 50", case("topic", W::TO_50), case("zeromq-pubsub", W::TO_50), Target::None),
];

const CALL: &[Row] = &[
    time("call", case("service", W::ROUND_TRIP_64), case("iceoryx2-call", W::ROUND_TRIP_64), Target::None),
    time("call", case("service", W::ROUND_TRIP_64), case("ring", W::ROUND_TRIP_64), Target::AtMost(1.3)),
];

const BLOCKING_CALL: &[Row] = &[
    time("call", case("service", W::BLOCKING_64), case("zeromq-call", W::BLOCKING_64), Target::None),
    time("call", case("service", W::BLOCKING_64), case("posix-mq", W::BLOCKING_64), Target::None),
    time("call", case("service", W::BLOCKING_64), case("boost-mq", W::BLOCKING_64), Target::None),
];

const QUEUE: &[Row] = &[
    rate(
        "push, take, ack",
        case("queue", W::ONE_WAY_64),
        case("boost-mq", W::ONE_WAY_64),
        Target::AtLeast(1.0),
    ),
    rate("push, pop", case("queue-pop", W::ONE_WAY_64), case("boost-mq", W::ONE_WAY_64), Target::None),
    rate(
        "push, take, ack, blocking",
        case("queue", W::BLOCKING_ONE_WAY_64),
        case("boost-mq", W::ONE_WAY_64),
        Target::None,
    ),
    rate("push, take, ack", case("queue", W::ONE_WAY_64), case("posix-mq", W::ONE_WAY_64), Target::None),
    rate("push, take, ack", case("queue", W::ONE_WAY_64), case("zeromq", W::ONE_WAY_64), Target::None),
];

const PYTHON_ROUND_TRIP: &[Row] = &[
    each("ring", case("ring-python", W::ROUND_TRIP_64), Target::AtMost(1200.0)),
    // Four times faster.
    time(
        "ring",
        case("ring-python", W::ROUND_TRIP_64),
        case("iceoryx2-python", W::ROUND_TRIP_64),
        Target::AtMost(0.25),
    ),
];

const PYTHON_BLOCKING: &[Row] = &[
    time("ring", case("ring-python", W::BLOCKING_64), case("mp-queue", W::BLOCKING_64), Target::None),
    time("ring", case("ring-python", W::BLOCKING_64), case("mp-pipe", W::BLOCKING_64), Target::None),
    time("ring", case("ring-python", W::BLOCKING_64), case("faster-fifo", W::BLOCKING_64), Target::None),
    time("ring", case("ring-python", W::BLOCKING_64), case("pyzmq", W::BLOCKING_64), Target::None),
];

// The rates that are aimed at, as nanoseconds: 3, 8 and 30 million messages a second.
const PYTHON_ONE_WAY: &[Row] = &[
    each("ring", case("ring-python", W::ONE_WAY_64), Target::AtMost(333.3)),
    rate("ring", case("ring-python", W::ONE_WAY_64), case("mp-queue", W::ONE_WAY_64), Target::AtLeast(20.0)),
    rate(
        "ipcx.mp.Queue",
        case("ipcx-mp-queue", W::ONE_WAY_64),
        case("mp-queue", W::ONE_WAY_64),
        Target::AtLeast(10.0),
    ),
    rate("ring", case("ring-python", W::ONE_WAY_64), case("mp-pipe", W::ONE_WAY_64), Target::None),
    rate("ring", case("ring-python", W::ONE_WAY_64), case("faster-fifo", W::ONE_WAY_64), Target::None),
    rate("ring", case("ring-python", W::ONE_WAY_64), case("pyzmq", W::ONE_WAY_64), Target::None),
    rate("ring", case("ring-python", W::ONE_WAY_64), case("iceoryx2-python", W::ONE_WAY_64), Target::None),
];

const PYTHON_BATCHES: &[Row] = &[
    each("ring", case("ring-python", W::BATCH_64), Target::AtMost(125.0)),
    each("ring, packed", case("ring-python-packed", W::BATCH_64), Target::AtMost(33.3)),
    rate("ring", case("ring-python", W::BATCH_64), case("mp-queue", W::BATCH_64), Target::None),
    rate("ring", case("ring-python", W::BATCH_64), case("mp-pipe", W::BATCH_64), Target::None),
    rate("ring", case("ring-python", W::BATCH_64), case("faster-fifo", W::BATCH_64), Target::None),
    rate("ring", case("ring-python", W::BATCH_64), case("pyzmq", W::BATCH_64), Target::None),
];

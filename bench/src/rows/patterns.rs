//! Topics, services and work queues.

use super::{case, each, rate, time, Row, Target, W};

/// One publishes; what it costs with 50 subscribers and with one, who read, who are attached, or whom each message wakes.
pub(super) const TOPIC: &[Row] = &[
    time("topic, 64 B", case("topic", W::ROUND_TRIP_64), case("ring", W::ROUND_TRIP_64), Target::None),
    time("topic, 64 B", case("topic", W::BLOCKING_64), case("ring", W::BLOCKING_64), Target::None),
    rate("topic, one way", case("topic", W::ONE_WAY_64), case("ring", W::ONE_WAY_64), Target::None),
    each("published", case("topic-published", W::PUBLISHED_TO_1), Target::None),
    time(
        "published to 50 who read",
        case("topic-published", W::PUBLISHED_TO_50),
        case("topic-published", W::PUBLISHED_TO_1),
        Target::AtMost(1.3),
    ),
    time(
        "published to 50 who do not look",
        case("topic-published", W::PUBLISHED_TO_50_IDLE),
        case("topic-published", W::PUBLISHED_TO_1_IDLE),
        Target::AtMost(1.3),
    ),
    time(
        "published to 50 who sleep",
        case("topic-published", W::PUBLISHED_TO_50_ASLEEP),
        case("topic-published", W::PUBLISHED_TO_1_ASLEEP),
        Target::None,
    ),
];

/// One request at a time.
pub(super) const SERVICE: &[Row] = &[
    time("call", case("service", W::ROUND_TRIP_64), case("ring", W::ROUND_TRIP_64), Target::AtMost(1.3)),
    time("call", case("service", W::BLOCKING_64), case("ring", W::BLOCKING_64), Target::None),
    time("call", case("service", W::BLOCKING_64), case("pipe", W::BLOCKING_64), Target::None),
    time("call", case("service", W::BLOCKING_64), case("posix-mq", W::BLOCKING_64), Target::None),
];

/// One who pushes and one who takes; acknowledgements are part of it.
pub(super) const QUEUE: &[Row] = &[
    each("push, take, ack", case("queue", W::ONE_WAY_64), Target::None),
    rate("push, take, ack", case("queue", W::ONE_WAY_64), case("ring", W::ONE_WAY_64), Target::None),
    rate("push, pop", case("queue-pop", W::ONE_WAY_64), case("queue", W::ONE_WAY_64), Target::None),
    rate("push, take, ack", case("queue", W::ONE_WAY_64), case("posix-mq", W::ONE_WAY_64), Target::None),
    rate(
        "push, take, ack, blocking",
        case("queue", W::BLOCKING_ONE_WAY_64),
        case("posix-mq", W::ONE_WAY_64),
        Target::None,
    ),
    time("round trip", case("queue", W::ROUND_TRIP_64), case("ring", W::ROUND_TRIP_64), Target::None),
];

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

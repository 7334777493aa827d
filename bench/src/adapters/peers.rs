//! The contenders that `bench/peers` fetches and builds: programs in C, C++ and Python, in a table of their own.
//!
//! Where one is missing, its rows say why.

use std::path::Path;

use super::{ring, Adapter, Start};
use crate::endpoint::Link;
use crate::workload::{Shape, Workload};

/// Short, for the table below.
type W = Workload;

/// Every one of them.
pub const TABLE: &[Adapter] = &[
    program(
        "boost-spsc",
        "boost::lockfree::spsc_queue in shared memory, spinning",
        Start::Program("ipcx-bench-boost-spsc"),
        |w| [W::ROUND_TRIP_64, W::ONE_WAY_64, W::BATCH_64].contains(&w),
    ),
    program(
        "boost-mq",
        "boost::interprocess::message_queue; one way, with its blocking calls",
        Start::Program("ipcx-bench-boost-mq"),
        |w| [W::ROUND_TRIP_64, W::BLOCKING_64, W::ONE_WAY_64].contains(&w),
    ),
    program("zeromq", "ZeroMQ, PAIR over ipc://, blocking", Start::Program("ipcx-bench-zeromq"), |w| {
        [W::BLOCKING_64, W::ONE_WAY_64].contains(&w)
    }),
    program(
        "zeromq-call",
        "ZeroMQ, REQ and REP over ipc://, blocking",
        Start::Program("ipcx-bench-zeromq"),
        |w| w == W::BLOCKING_64,
    ),
    program(
        "zeromq-pubsub",
        "ZeroMQ, PUB and SUB over ipc://, blocking, nothing dropped",
        Start::Program("ipcx-bench-zeromq"),
        |w| matches!(w.shape, Shape::ToAll(_)),
    ),
    program(
        "zeromq-published",
        "ZeroMQ, PUB and SUB over ipc://, dropping",
        Start::Program("ipcx-bench-zeromq"),
        |w| matches!(w.shape, Shape::Published(_)),
    ),
    python(
        "ring-python",
        "ipcx ring, Python: send, recv; batches by send_many, recv_many",
        "ipcx-bench-ring-python",
        |w| [W::ROUND_TRIP_64, W::BLOCKING_64, W::ONE_WAY_64, W::BATCH_64].contains(&w),
    ),
    python(
        "ring-python-packed",
        "ipcx ring, Python: send_packed, recv_packed",
        "ipcx-bench-ring-python-packed",
        |w| [W::BATCH_64].contains(&w),
    ),
    python(
        "iceoryx2-python",
        "iceoryx2 0.10, Python, publish-subscribe, polled",
        "ipcx-bench-iceoryx2-python",
        |w| [W::ROUND_TRIP_64, W::ONE_WAY_64].contains(&w),
    ),
    python("ipcx-mp-queue", "ipcx.mp.Queue; a batch is a list", "ipcx-bench-ipcx-mp-queue", |w| {
        [W::BLOCKING_64, W::ONE_WAY_64, W::BATCH_64].contains(&w)
    }),
    python("mp-queue", "multiprocessing.Queue, blocking; a batch is a list", "ipcx-bench-mp-queue", |w| {
        [W::BLOCKING_64, W::ONE_WAY_64, W::BATCH_64].contains(&w)
    }),
    python(
        "mp-pipe",
        "multiprocessing.Pipe, blocking, bytes; a batch is a list",
        "ipcx-bench-mp-pipe",
        |w| [W::BLOCKING_64, W::ONE_WAY_64, W::BATCH_64].contains(&w),
    ),
    python(
        "faster-fifo",
        "faster-fifo 1.5, blocking, bytes; batches by put_many, get_many",
        "ipcx-bench-faster-fifo",
        |w| [W::BLOCKING_64, W::ONE_WAY_64, W::BATCH_64].contains(&w),
    ),
    python(
        "pyzmq",
        "pyzmq 27, PAIR over ipc://, blocking; a batch is one message of many parts",
        "ipcx-bench-pyzmq",
        |w| [W::BLOCKING_64, W::ONE_WAY_64, W::BATCH_64].contains(&w),
    ),
];

const fn python(
    name: &'static str,
    about: &'static str,
    file: &'static str,
    carries: fn(Workload) -> bool,
) -> Adapter {
    program(name, about, Start::Couple(file), carries)
}

const fn program(
    name: &'static str,
    about: &'static str,
    start: Start,
    carries: fn(Workload) -> bool,
) -> Adapter {
    Adapter { name, about, carries, start, prepare: |_| Ok(Vec::new()), cleanup }
}

/// Removes what a killed program may have left: rings, what bears the label in shared memory, and a folder of that name.
fn cleanup(link: &Link) {
    ring::cleanup(link);
    let shared = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let ours = |name: &str| name.strip_prefix(&link.label).is_some_and(|rest| rest.starts_with('-'));
    for entry in shared.filter(|entry| ours(&entry.file_name().to_string_lossy())) {
        let _gone = std::fs::remove_file(entry.path());
    }
    let _gone = std::fs::remove_dir_all(std::env::temp_dir().join(&link.label));
}

/// Why a program is not there: what `bench/peers` noted, or that nobody built it.
pub fn why_missing(programs: &Path, name: &str) -> String {
    let noted = std::fs::read_to_string(programs.join(format!("{name}.missing")));
    noted.map_or_else(|_| format!("{name} has not been built"), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::Pair;

    const WORKLOADS: [W; 9] = [
        W::ROUND_TRIP_64,
        W::BLOCKING_64,
        W::ONE_WAY_64,
        W::BATCH_64,
        W::TO_1,
        W::TO_50,
        W::PUBLISHED_TO_1,
        W::PUBLISHED_TO_50,
        W::PUBLISHED_TO_50_ASLEEP,
    ];
    /// Messages, in whole batches.
    const FEW: u64 = 256;
    /// Long enough for 50 processes to have had their turn.
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(100);

    #[test]
    fn every_program_that_is_built_delivers_messages_whole_and_in_order() {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release");
        let host = crate::host::Host::look().expect("a host");
        for adapter in TABLE {
            let (Start::Program(file) | Start::Couple(file)) = adapter.start else { continue };
            if !programs.join(file).exists() {
                println!("not checked, {}: {}", adapter.name, why_missing(&programs, file));
                continue;
            }
            for workload in WORKLOADS.into_iter().filter(|workload| (adapter.carries)(*workload)) {
                let label = format!("ipcx-bench-test-{}-{}-{workload}", std::process::id(), adapter.name);
                let done =
                    Pair::start(adapter, workload, &label, host.pinned, &programs).and_then(|mut pair| {
                        if workload.by_the_clock() {
                            return pair.crowd_round("check-pairs", MOMENT);
                        }
                        pair.round("check", FEW)?;
                        pair.round("run", FEW)
                    });
                done.unwrap_or_else(|error| panic!("{}/{workload}: {error}", adapter.name));
            }
        }
    }

    #[test]
    fn what_was_noted_of_a_missing_program_is_said() {
        let folder = std::env::temp_dir().join(format!("ipcx-bench-test-{}-missing", std::process::id()));
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(folder.join("there.missing"), "no network\n").expect("written");
        let said = ["there", "elsewhere"].map(|name| why_missing(&folder, name));
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(said, ["no network", "elsewhere has not been built"]);
    }
}

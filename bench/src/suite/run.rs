//! The plan of a run: contenders that carry the same are measured next to each other, one group after the other, and the
//! time that is left is divided over what is left to measure.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::contenders::{Contender, CONTENDERS};
use crate::chart::Role;
use crate::host::Host;
use crate::schedule::{Measured, Session, Setup};
use crate::workload::Waiting;
use crate::{progress, Result};

/// What a user asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which contenders; all if empty. What they are compared with is measured too.
    pub contenders: Vec<&'static Contender>,
    /// Bytes in a message, at least 8 each.
    pub sizes: Vec<usize>,
    /// How the sides wait.
    pub waiting: Vec<Waiting>,
    /// With what the others are compared; `None`: with a floor where there is one.
    pub versus: Option<&'static Contender>,
    /// About how long the run is to take.
    pub length: Duration,
}

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// There and back.
    RoundTrip,
    /// From one side to the other.
    OneWay,
}

/// Contenders that carry the same.
#[derive(Clone, Debug)]
pub struct Group {
    /// Which way.
    pub way: Way,
    /// How the sides wait.
    pub waiting: Waiting,
    /// Bytes in a message.
    pub size: usize,
    /// With what the others are compared.
    pub base: &'static str,
    /// The contenders, and what was measured of each.
    pub results: Vec<(&'static Contender, Measured)>,
}

/// Part of a case's time in which it warms up.
const WARM_UP: u32 = 10;
/// Shortest and most rounds: below, the figures of one say little; above, more of them say little more.
const ROUND: Duration = Duration::from_millis(20);
const MOST_ROUNDS: u32 = 30;
const FEWEST_ROUNDS: u32 = 4;
/// Round trips are timed one by one for this part of the time, in tenths.
const SAMPLED: u32 = 4;

/// Measures everything that `request` asks for.
///
/// # Errors
/// If the run is to end. A case that cannot be measured says why.
pub fn run(request: &Request, host: &Host) -> Result<Vec<Group>> {
    let end = Instant::now() + request.length;
    let mut groups = plan(request);
    let mut left: usize = groups.iter().map(|group| group.results.len()).sum();
    let bar = progress::bar(left);
    for group in &mut groups {
        let cases = group.results.len();
        let share = end.saturating_duration_since(Instant::now()) / left.max(1) as u32;
        measure(group, share, host, &bar)?;
        left -= cases;
    }
    Ok(groups)
}

/// The groups, with nothing measured.
fn plan(request: &Request) -> Vec<Group> {
    let mut groups = Vec::new();
    for &waiting in &request.waiting {
        for way in [Way::RoundTrip, Way::OneWay] {
            for &size in &request.sizes {
                let base = request.versus.map_or(Contender::base(way, waiting), |versus| versus.name);
                let wanted = |contender: &&Contender| {
                    let all = request.contenders.is_empty();
                    all || contender.name == base
                        || request.contenders.iter().any(|c| c.name == contender.name)
                };
                let results = CONTENDERS.iter().filter(wanted).filter_map(|contender| {
                    let (case, why) = contender.case(way, waiting, size);
                    // A floor has no row where it is no floor.
                    let shown = why.is_none() || contender.role != Role::Floor;
                    shown.then(|| (contender, Measured::nothing(case, None)))
                });
                groups.push(Group { way, waiting, size, base, results: results.collect() });
            }
        }
    }
    groups
}

/// Measures one group; `share` is the time for each of its cases.
fn measure(group: &mut Group, share: Duration, host: &Host, bar: &ProgressBar) -> Result<()> {
    let end = Instant::now() + share * group.results.len() as u32;
    let setup = Setup {
        pinned: host.pinned,
        programs: std::env::current_exe()?.with_file_name(""),
        label: format!("ipcx-bench-{}", std::process::id()),
        warm_up: share / WARM_UP,
        round: ROUND.min(share / WARM_UP),
    };
    let mut session = Session::default();
    for (contender, _) in &group.results {
        let (case, why) = contender.case(group.way, group.waiting, group.size);
        bar.set_message(format!("{}, {} bytes", contender.name, group.size));
        match why {
            Some(why) => session.leave_out(case, why),
            None => session.add(case, &setup)?,
        }
        bar.inc(1);
    }
    let left = end.saturating_duration_since(Instant::now()) / session.running().max(1) as u32;
    let left = left.max(share / 2); // However long it took to begin: the groups that follow have less.
    let sampled = if group.way == Way::RoundTrip { left * SAMPLED / 10 } else { Duration::ZERO };
    let (rounds, length) = rounds(left - sampled);
    for number in 0..rounds {
        session.round(number as usize, length)?;
    }
    session.sample(sampled)?;
    for (result, measured) in group.results.iter_mut().zip(session.finish()) {
        result.1 = measured;
    }
    Ok(())
}

/// How many rounds fit into `time`, and how long each is: an even number, for each order as many.
fn rounds(time: Duration) -> (u32, Duration) {
    let rounds = (time.as_millis() / ROUND.as_millis()) as u32 / 2 * 2;
    let rounds = rounds.clamp(FEWEST_ROUNDS, MOST_ROUNDS);
    (rounds, time / rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(contenders: &[&str], versus: Option<&str>) -> Request {
        Request {
            contenders: contenders.iter().map(|name| Contender::find(name).expect("a contender")).collect(),
            sizes: vec![64, 1000],
            waiting: vec![Waiting::Spin, Waiting::Block],
            versus: versus.and_then(Contender::find),
            length: Duration::from_secs(1),
        }
    }

    fn names(group: &Group) -> Vec<&str> {
        group.results.iter().map(|(contender, _)| contender.name).collect()
    }

    #[test]
    fn what_is_asked_for_is_measured_with_what_it_is_compared_with() {
        let groups = plan(&request(&["unix"], None));
        assert_eq!(groups.len(), 8);
        assert_eq!(names(&groups[0]), ["flag", "unix"]);
        assert_eq!(names(&groups[2]), ["memcpy", "unix"]);
        assert_eq!(names(&groups[4]), ["futex", "unix"]);
        assert_eq!(names(&groups[6]), ["pipe", "unix"]);
        let groups = plan(&request(&["unix"], Some("ring")));
        assert!(groups.iter().all(|group| names(group) == ["ring", "unix"]));
    }

    #[test]
    fn a_value_has_a_row_where_it_makes_no_sense_and_a_floor_has_none() {
        let groups = plan(&request(&["futex", "buffer"], None));
        assert_eq!(names(&groups[0]), ["flag", "buffer"]);
        assert_eq!(names(&groups[2]), ["memcpy", "buffer"]);
        assert!(Contender::find("buffer").expect("buffer").case(Way::OneWay, Waiting::Spin, 64).1.is_some());
    }

    #[test]
    fn rounds_are_even_few_and_long_enough() {
        let (count, length) = rounds(Duration::from_millis(230));
        assert_eq!(count, 10);
        assert_eq!(length, Duration::from_millis(23));
        assert_eq!(rounds(Duration::from_millis(8)), (4, Duration::from_millis(2)));
        assert_eq!(rounds(Duration::from_secs(60)), (30, Duration::from_secs(2)));
    }
}

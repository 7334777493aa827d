//! What is to be said of a segment: for people and as JSON. All subcommands that look say it alike.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipcx::{Figures, Listed, ListedState, Participant, RoleState};
use serde_json::{json, Value};

use crate::outcome::Outcome;

/// One look at a segment.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) listed: Listed,
    /// `None` if they cannot be read.
    pub(crate) figures: Option<Figures>,
    at: Instant,
}

/// A participant, and the roles that it has.
#[derive(Debug)]
pub(crate) struct Attached<'s> {
    pub(crate) slot: u32,
    pub(crate) process: &'s Participant,
    pub(crate) alive: bool,
    pub(crate) roles: Vec<&'static str>,
}

/// Every segment of the default directory that `wanted` names.
pub(crate) fn all(wanted: impl Fn(&str) -> bool) -> Result<Vec<Seen>, Outcome> {
    let listed = ipcx::list()?.into_iter().filter(|listed| wanted(&listed.name));
    Ok(listed.map(Seen::of).collect())
}

/// The one with this name.
pub(crate) fn one(name: &str) -> Result<Seen, Outcome> {
    let mut found = all(|other| other == name)?;
    found.pop().ok_or_else(|| Outcome::NotFound(format!("no segment is called '{name}'; see `ipcx ls`")))
}

impl Seen {
    fn of(mut listed: Listed) -> Seen {
        let figures = match listed.kind.map(|_| ipcx::figures(&listed.name)) {
            Some(Ok(figures)) => Some(figures),
            Some(Err(error)) => {
                listed.problem.get_or_insert(error);
                None
            }
            None => None,
        };
        Seen { listed, figures, at: Instant::now() }
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.listed.kind.map_or("?", ipcx::Kind::name)
    }

    /// Who is attached, and who died.
    pub(crate) fn attached(&self) -> Vec<Attached<'_>> {
        let roles = |slot| {
            let of = self.listed.roles.iter().filter(move |role| role.slot == Some(slot));
            of.map(|role| role.name).collect()
        };
        let all = self.listed.participants.iter();
        all.map(|one| Attached {
            slot: one.slot,
            process: &one.process,
            alive: one.alive,
            roles: roles(one.slot),
        })
        .collect()
    }

    /// Who is attached, in one cell of a table; several handles of a process are one.
    pub(crate) fn who(&self) -> String {
        let mut names: Vec<(String, usize)> = Vec::new();
        for one in self.attached() {
            let roles = one.roles.iter().map(|role| format!("{role} ")).collect::<String>();
            let dead = if one.alive { "" } else { " (dead)" };
            let name = format!("{roles}{} {}{dead}", one.process.pid, printable(&one.process.command));
            match names.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => names.push((name, 1)),
            }
        }
        let times =
            |(name, count): (String, usize)| if count > 1 { format!("{name} x{count}") } else { name };
        names.into_iter().map(times).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn dead(&self) -> usize {
        self.listed.participants.iter().filter(|one| !one.alive).count()
    }

    pub(crate) fn is_in_use(&self) -> bool {
        self.listed.state == ListedState::InUse
    }

    /// In one or a few words.
    pub(crate) fn state(&self) -> String {
        match (&self.listed.problem, self.listed.state, self.dead()) {
            (Some(problem), _, _) => format!("{problem}"),
            (None, ListedState::InUse, 0) => "in use".to_owned(),
            (None, ListedState::InUse, dead) => format!("in use, {dead} dead"),
            (None, _, 0) => "unused".to_owned(),
            (None, _, dead) => format!("unused, {dead} dead"),
        }
    }

    /// How much of what there is room for is used.
    pub(crate) fn used(&self) -> String {
        let Some(figures) = &self.figures else { return String::new() };
        match (figures.used, figures.unit) {
            (None, _) => "-".to_owned(),
            (Some((used, room)), "bytes") => format!("{} of {}", bytes(used), bytes(room)),
            (Some((used, room)), unit) => format!("{used} of {room} {unit}"),
        }
    }

    /// Events a second since an earlier look at the same segment.
    pub(crate) fn rate(&self, before: &Seen) -> Option<f64> {
        let (now, then) = (self.figures.as_ref()?, before.figures.as_ref()?);
        let same = self.listed.created == before.listed.created && self.listed.kind == before.listed.kind;
        let passed = self.at.saturating_duration_since(before.at).as_secs_f64();
        (same && passed > 0.0).then(|| now.moved.saturating_sub(then.moved) as f64 / passed)
    }

    pub(crate) fn json(&self, rate: Option<f64>) -> Value {
        let (listed, figures) = (&self.listed, self.figures.as_ref());
        let participants = self.attached().iter().map(Attached::json).collect::<Vec<_>>();
        let roles = listed.roles.iter().map(|role| {
            json!({ "name": role.name, "state": role_state(role.state), "slot": role.slot,
                    "pid": role.process.as_ref().map(|process| process.pid) })
        });
        let map = |pairs: &[(&'static str, u64)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect::<serde_json::Map<_, _>>()
        };
        json!({
            "name": listed.name,
            "kind": listed.kind.map(ipcx::Kind::name),
            "size": listed.size,
            "owner": listed.owner,
            "group": listed.group,
            "mode": format!("{:04o}", listed.mode),
            "state": match listed.state {
                ListedState::InUse => "in use",
                ListedState::Unused => "unused",
                _ => "unreadable",
            },
            "problem": listed.problem.as_ref().map(ToString::to_string),
            "created": listed.created,
            "schema": listed.schema,
            "max_participants": listed.max_participants,
            "parameters": map(&listed.parameters),
            "participants": participants,
            "roles": roles.collect::<Vec<_>>(),
            "used": figures.and_then(|figures| figures.used).map(|(used, _)| used),
            "room": figures.and_then(|figures| figures.used).map(|(_, room)| room),
            "unit": figures.map(|figures| figures.unit),
            "moved": figures.map(|figures| figures.moved),
            "per_second": rate,
            "counters": figures.map(|figures| map(&figures.counters)),
            "holdings": figures.map(|figures| self.holdings_json(figures)),
            "lock": figures.and_then(|figures| figures.lock),
        })
    }

    fn holdings_json(&self, figures: &Figures) -> Value {
        figures
            .holdings
            .iter()
            .map(|(slot, what, count)| json!({ "slot": slot, "what": what, "count": count }))
            .collect()
    }
}

impl Attached<'_> {
    fn json(&self) -> Value {
        json!({ "slot": self.slot, "pid": self.process.pid, "command": self.process.command, "alive": self.alive,
                "attached": self.process.attached, "roles": self.roles })
    }
}

pub(crate) fn role_state(state: RoleState) -> &'static str {
    match state {
        RoleState::Never => "never taken",
        RoleState::Alive => "alive",
        RoleState::Closed => "closed",
        RoleState::Dead => "dead",
        _ => "?",
    }
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, "B");
    for larger in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "B" || value.fract() < 0.05 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// How long ago a moment was, in nanoseconds since 1970.
pub(crate) fn ago(moment: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(Duration::from_nanos(moment)).as_secs();
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7_199 => format!("{} min ago", seconds / 60),
        7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Events a second for people.
pub(crate) fn per_second(rate: f64) -> String {
    match rate {
        ..1e4 => format!("{rate:.0}/s"),
        ..1e7 => format!("{:.1}k/s", rate / 1e3),
        _ => format!("{:.1}M/s", rate / 1e6),
    }
}

/// Without what a terminal would take for an order.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '?' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_text_gives_no_orders() {
        assert_eq!([0, 1023, 1024, 1536, 1 << 30].map(bytes), ["0 B", "1023 B", "1 KiB", "1.5 KiB", "1 GiB"]);
        assert_eq!([0.4, 12_345.0, 2e7].map(per_second), ["0/s", "12.3k/s", "20.0M/s"]);
        assert_eq!(printable("a\x1b[2Jb"), "a?[2Jb");
    }
}

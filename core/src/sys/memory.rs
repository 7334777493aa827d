//! How much memory there is.

use super::file::{told, told_number};

/// What is smaller is tried without asking how much there is.
pub(crate) const LARGE: u64 = 64 << 20;

/// Bytes that can still be had, as far as the kernel says: by the machine, and by the control group (its second version) that
/// this process sees as the outermost. `None` if nothing is known.
pub(crate) fn available() -> Option<u64> {
    let machine = told("/proc/meminfo", &mut [0; 4096]).and_then(in_machine);
    // "max" is no number: no limit.
    let most = told_number("/sys/fs/cgroup/memory.max");
    let group =
        most.map(|most| most.saturating_sub(told_number("/sys/fs/cgroup/memory.current").unwrap_or(0)));
    machine.into_iter().chain(group).min()
}

/// From `/proc/meminfo`, whose lines are names and numbers of kibibytes.
fn in_machine(text: &str) -> Option<u64> {
    let line = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let available = line("MemAvailable:")?;
    Some(available.saturating_add(line("SwapFree:").unwrap_or(0)).saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read_and_what_it_does_not_say_is_not_made_up() {
        let text = "MemTotal:       100 kB\nMemFree: 1 kB\nMemAvailable:   50 kB\nSwapFree: 7 kB\n";
        assert_eq!(in_machine(text), Some(57 * 1024));
        assert_eq!(in_machine("MemAvailable: 3 kB\n"), Some(3072));
        assert_eq!(in_machine("MemFree: 3 kB\n"), None);
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}

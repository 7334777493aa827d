//! What the run took place on, and which cores it uses.

use std::fs;

use crate::{Error, Result};

/// The machine, as printed above every table.
#[derive(Clone, Debug)]
pub struct Host {
    /// CPU model.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: Vec<usize>,
    /// Kernel release.
    pub kernel: String,
    /// Whether the machine is a guest of a hypervisor.
    pub virtual_machine: bool,
    /// The CPU of the near side and the CPU of the far side.
    pub pinned: [usize; 2],
}

impl Host {
    /// Looks around and chooses two CPUs: the first allowed one, and the first on another core; else another of its core;
    /// else the same.
    ///
    /// # Errors
    /// If the kernel does not say which CPUs this process may use.
    pub fn look() -> Result<Host> {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let cpus = allowed_cpus()?;
        Ok(Host {
            cpu: field("model name").unwrap_or_else(|| "unknown".to_owned()),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            virtual_machine: field("flags").is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")),
            pinned: two_of(&cpus, siblings)?,
            cpus,
        })
    }

    /// Whether the sides are on CPUs of different cores.
    pub fn has_two_cores(&self) -> bool {
        !siblings(self.pinned[0]).contains(&self.pinned[1])
    }

    /// Whether the sides have a CPU each.
    pub fn has_two_cpus(&self) -> bool {
        self.pinned[0] != self.pinned[1]
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!(
            "{}, {} CPU{}{}, Linux {}, near side on CPU {}, far side on CPU {}{}",
            self.cpu,
            self.cpus.len(),
            if self.cpus.len() == 1 { "" } else { "s" },
            if self.virtual_machine { " (virtual machine)" } else { "" },
            self.kernel,
            self.pinned[0],
            self.pinned[1],
            if self.has_two_cpus() && !self.has_two_cores() { " of one core" } else { "" },
        )
    }
}

fn two_of(cpus: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Result<[usize; 2]> {
    let near = *cpus.first().ok_or("no CPU allowed")?;
    let siblings = siblings(near);
    let apart = cpus.iter().find(|cpu| !siblings.contains(cpu));
    Ok([near, *apart.or(cpus.get(1)).unwrap_or(&near)])
}

fn allowed_cpus() -> Result<Vec<usize>> {
    // SAFETY: an all-zero cpu_set_t is the empty set; the kernel fills at most its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&set), &mut set) != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok((0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect())
    }
}

/// The CPUs of `cpu`'s core, itself included, from a list such as `0,8` or `0-1`.
fn siblings(cpu: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    let list = fs::read_to_string(path).unwrap_or_default();
    let mut found = vec![cpu];
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse(), last.parse::<usize>()) {
            found.extend(first..=last);
        }
    }
    found
}

/// Binds the calling thread to one CPU.
pub fn pin(cpu: usize) -> Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set; CPU_SET is bounded by its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        if libc::sched_setaffinity(0, size_of_val(&set), &set) != 0 {
            return Err(Error(format!("pinning to CPU {cpu}: {}", std::io::Error::last_os_error())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sides_are_as_far_apart_as_there_are_cpus() {
        let pairs = |cpu: usize| vec![cpu & !1, cpu | 1];
        assert_eq!(two_of(&[0, 1, 2, 3], pairs).expect("chosen"), [0, 2]);
        assert_eq!(two_of(&[4, 5], pairs).expect("chosen"), [4, 5]);
        assert_eq!(two_of(&[3], pairs).expect("chosen"), [3, 3]);
        assert!(two_of(&[], pairs).is_err());
    }
}

//! The asymmetric memory barrier: the side that is about to sleep pays, the side that sends does not.
//!
//! A sender must not let its look at the partner's sleep word pass its own store of the data. A full fence per
//! message would do; so does the sleeper forcing one on every processor that runs a registered process
//! (`MEMBARRIER_CMD_GLOBAL_EXPEDITED`, Linux 4.16), and then a message costs the sender nothing.

use super::{fork, SysResult};
use crate::sync::{AtomicU32, Ordering};
use nix::errno::Errno;

const UNKNOWN: u32 = 0;
const REGISTERED: u32 = 1;
const REFUSED: u32 = 2;

/// State (low 2 bits) and the fork generation (upper 30) for which it holds.
static STATE: AtomicU32 = AtomicU32::new(UNKNOWN);

/// `int membarrier(int cmd, unsigned int flags, int cpu_id)`
fn membarrier(command: libc::c_int) -> SysResult<()> {
    // SAFETY: membarrier takes three integers and touches no memory of ours.
    Errno::result(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }).map(drop)
}

/// Registers this process, once, so that a sleeping partner's [`global`] reaches it; says whether that worked.
/// Where it did not, this process must fence by itself after each publication.
pub(crate) fn register() -> bool {
    let generation = fork::generation() << 2;
    let state = STATE.load(Ordering::Relaxed); // Relaxed: a hint about the process; the call is idempotent.
    if state & !3 == generation && state & 3 != UNKNOWN {
        return state & 3 == REGISTERED;
    }
    let done = membarrier(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED).is_ok();
    STATE.store(generation | if done { REGISTERED } else { REFUSED }, Ordering::Relaxed);
    done
}

/// Makes every running thread of every registered process execute a full barrier; says whether that worked.
pub(crate) fn global() -> bool {
    membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED).is_ok()
}

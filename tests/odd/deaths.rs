//! Deaths that look odd, and processes that look dead and are not. The lock says which is which.

use super::*;
use std::ptr::null_mut;

#[test]
fn a_death_is_noticed_before_anybody_reaps_the_process() {
    for language in Language::ALL {
        let mut survivor = Survivor::new();
        let mut peer = start(language, &survivor.place, &["hold", RING]);
        survivor.expects("held");
        peer.kill();
        survivor.sees_death();
        assert_eq!(state_of(peer.id()), Some('Z'), "{language:?}: nobody has reaped it");
        peer.wait();
    }
}

#[test]
fn a_process_whose_first_thread_has_ended_is_alive() {
    let mut survivor = Survivor::new();
    let mut peer = start(Language::C, &survivor.place, &["leader", RING]);
    survivor.expects("held");
    survivor.expects("leader gone");
    assert_eq!(state_of(peer.id()), Some('Z'), "the system shows it as a zombie");
    survivor.sees_life();
    peer.kill_and_reap();
    survivor.sees_death();
}

/// Attaches to a process as a debugger does, and stops it.
fn seize(pid: libc::pid_t, options: libc::c_int) {
    let none = null_mut::<libc::c_void>();
    let mut status = 0;
    // SAFETY: requests about a child of this process, which point to nothing of ours; waitpid fills `status`.
    unsafe {
        let seized = libc::ptrace(libc::PTRACE_SEIZE, pid, none, options as usize);
        assert_eq!(seized, 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, pid, none, none), 0);
        assert_eq!(libc::waitpid(pid, &mut status, libc::__WALL), pid);
    }
    assert!(libc::WIFSTOPPED(status), "it stops");
}

#[test]
fn a_process_in_a_debugger_is_alive_until_it_is_killed_there() {
    for language in Language::ALL {
        let mut survivor = Survivor::new();
        let mut peer = start(language, &survivor.place, &["hold", RING]);
        survivor.expects("held");
        seize(peer.id() as libc::pid_t, 0);
        survivor.sees_life();
        peer.kill(); // the debugger hears of it, and does nothing
        survivor.sees_death();
        peer.wait();
    }
}

/// A debugger may also hold a process at its very end. It is alive until it is let go, whatever has killed it.
#[test]
fn a_process_that_a_debugger_holds_at_its_end_is_alive_until_it_is_let_go() {
    let mut survivor = Survivor::new();
    let mut peer = start(Language::C, &survivor.place, &["hold", RING]);
    survivor.expects("held");
    let pid = peer.id() as libc::pid_t;
    seize(pid, libc::PTRACE_O_TRACEEXIT);
    peer.kill();
    let mut status = 0;
    // SAFETY: fills `status`.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, libc::__WALL) }, pid);
    assert_eq!(status >> 8, libc::SIGTRAP | libc::PTRACE_EVENT_EXIT << 8, "it is held at its end");
    survivor.sees_life();
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_CONT, pid, null_mut::<libc::c_void>(), 0) }, 0);
    survivor.sees_death();
    peer.wait();
}

#[test]
fn the_death_of_a_process_with_a_thread_deep_in_the_kernel_is_noticed() {
    let mut slowest = Duration::ZERO;
    for _ in turns(5) {
        let mut survivor = Survivor::new();
        let mut peer = start(Language::C, &survivor.place, &["kernel", RING]);
        survivor.expects("held");
        std::thread::sleep(Duration::from_millis(20)); // so that it is there
        peer.kill();
        slowest = slowest.max(survivor.sees_death());
        peer.wait();
    }
    println!("noticed within {slowest:?}");
}

/// The system takes a process's memory down before its locks, which takes its time: the process is alive until then.
#[test]
fn the_death_of_a_large_process_is_noticed_as_soon_as_it_is_one() {
    const MIB: u64 = 768;
    let mut survivor = Survivor::new();
    let mut peer = start(Language::C, &survivor.place, &["memory", RING, &MIB.to_string()]);
    survivor.expects("held");
    assert_eq!(peer.line(), format!("holds {MIB}"));
    let since = Instant::now();
    peer.kill();
    let dead = survivor.rx.recv_timeout(&mut [0; 64], LIMIT);
    let noticed = since.elapsed();
    assert!(matches!(dead, Err(Error::PeerDead(_))), "{dead:?}");
    peer.wait();
    println!("figures: odd hosts, a large process | {MIB} MiB: its death was noticed {noticed:.1?} after the signal | 0");
}

//! Fork: what a child has of its parent's handles, what of its leases, and that it can use the library whatever the parent's
//! other threads were doing.

use super::*;
use ipcx_tests::Random;

#[test]
fn a_child_closes_what_it_inherited_and_attaches_anew_while_the_parent_goes_on() {
    for language in Language::ALL {
        let mut parent = Survivor::new();
        let other = parent.place.ring("other", CAPACITY, WaitStrategy::Balanced);
        let mut from_child = other.consumer().expect("free");
        let mut peer = start(language, &parent.place, &["fork", RING, "other"]);
        parent.expects("before");
        let mut buffer = [0; 64];
        let len = from_child.recv_timeout(&mut buffer, LIMIT).expect("a record");
        assert_eq!(&buffer[..len], b"from the child");
        parent.expects("after");
        let closed = parent.rx.recv_timeout(&mut buffer, LIMIT);
        assert!(matches!(closed, Err(Error::Closed(_))), "{language:?}: {closed:?}");
        peer.succeed();
    }
}

/// A child of fork and exec, of posix_spawn, or of vfork and exec: whichever the language's standard way is.
#[test]
fn a_lease_ends_with_its_process_although_a_child_that_was_spawned_lives() {
    for language in Language::ALL {
        let mut survivor = Survivor::new();
        let mut parent = start(language, &survivor.place, &["spawn", RING]);
        survivor.expects("held");
        let line = parent.line();
        let child = line.strip_prefix("spawned ").and_then(|text| text.parse().ok()).expect("a number");
        survivor.sees_life();
        parent.kill_and_reap();
        survivor.sees_death();
        assert!(!matches!(state_of(child), None | Some('Z')), "{language:?}: all that while the child lived");
        parent.close_input();
        parent.rest(); // until the child has ended
    }
}

#[test]
fn a_lease_ends_when_its_process_becomes_another_program() {
    for language in Language::ALL {
        let mut survivor = Survivor::new();
        let mut peer = start(language, &survivor.place, &["exec", RING]);
        survivor.expects("held");
        survivor.sees_death();
        assert!(!peer.is_over(), "{language:?}: all that while the process lived");
        peer.close_input();
        peer.succeed();
    }
}

/// What core/src/sys/fork.rs says of children that no handler runs in.
#[test]
fn a_child_in_vfork_has_the_leases_until_its_exec() {
    let mut survivor = Survivor::new();
    let mut parent = start(Language::C, &survivor.place, &["vfork", RING]);
    survivor.expects("held");
    assert_eq!(parent.line(), "vforked");
    parent.kill_and_reap();
    survivor.sees_life(); // the child's
    std::fs::write(survivor.place.path().join("gate"), "").expect("a file");
    survivor.sees_death();
    parent.close_input();
    parent.rest();
}

#[test]
fn a_child_of_a_raw_clone_has_the_leases_until_it_ends() {
    let mut survivor = Survivor::new();
    let mut parent = start(Language::C, &survivor.place, &["clone", RING]);
    survivor.expects("held");
    assert!(parent.line().starts_with("cloned "));
    parent.kill_and_reap();
    survivor.sees_life(); // the child's
    parent.close_input();
    survivor.sees_death();
    parent.rest();
}

/// A process that has not used the library yet forks while another thread begins to; the child must get through its own
/// first use. The thread is stopped before or behind its registering for forks, or nowhere: then chance decides.
fn races(namespaces: &str, quick: u64) -> u64 {
    let mut random = Random::from_environment("races");
    let place = Place::new();
    let _ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
    let mut race = |count: u64, place: &Place, stopped: &str| {
        let (count, seed) = (count.to_string(), random.word().to_string());
        start(Language::C, place, &["races", RING, &count, &seed, namespaces, stopped]).succeed();
    };
    for stopped in ["before", "behind"] {
        race(2, &place, stopped);
    }
    turns(1).map(|_| race(quick, &place, "nowhere")).count() as u64 * quick + 4
}

#[test]
fn a_child_forked_during_the_first_use_of_the_library_can_use_it() {
    let done = races("one", 300);
    println!("figures: odd hosts, fork in the first use | {} forks | 0", with_commas(done));
}

/// The first process of a container makes another container: both have the number 1.
#[test]
fn a_child_with_its_parents_number_can_use_the_library_too() {
    if permitted(&[&["unshare", "--pid", "--fork"]]).is_none() {
        return println!("not tested: `unshare --pid` is missing or not permitted on this host");
    }
    let done = races("namespaces", 60);
    println!("figures: odd hosts, fork in the first use as PID 1 of PID 1 | {} forks | 0", with_commas(done));
}

/// The same, with handles that are there: the child knows that they are its parent's.
#[test]
fn a_child_with_its_parents_number_gets_forked() {
    let Some(unshare) = permitted(&[&["unshare", "--pid", "--fork", "--kill-child"]]) else {
        return println!("not tested: `unshare --pid` is missing or not permitted on this host");
    };
    let mut survivor = Survivor::new();
    let inner = program(Language::C);
    let mut command = Command::new(unshare[0]);
    command.args(&unshare[1..]).arg(inner.get_program()).args(["equal", RING]);
    let mut peer = Peer::run("PID 1 of PID 1".to_owned(), &survivor.place, command);
    survivor.expects("held");
    assert_eq!(peer.line(), "forked 1");
    peer.succeed();
}

//! A role that cannot be taken over, because the ring is damaged.

use crate::segment::{Segment, PRODUCER_WORDS};
use ipcx::{Error, RoleState, WaitStrategy};
use ipcx_tests::Place;

/// Who cannot take a role over does not make a death look like an orderly end.
#[test]
fn a_refused_successor_leaves_the_role_as_it_was() {
    let place = Place::new();
    let [one, other] = ["one", "other"].map(|name| {
        let ring = place.ring(name, 4096, WaitStrategy::Balanced);
        (ring, Segment::map(&place.path().join(format!("ipcx.{name}"))))
    });
    let mut rx = one.0.consumer().unwrap();
    let _tx = one.0.producer().unwrap();
    let role = PRODUCER_WORDS[3];
    let open = one.1.load(one.1.producer + role);
    other.1.store(other.1.producer + role, open); // as if its producer had died
    other.1.store(other.1.data, 0x0101_0101_0101_0101); // and left this
    let mut other_rx = other.0.consumer().unwrap();
    assert!(matches!(other.0.producer(), Err(Error::Corrupt(_))));
    assert_eq!(other.0.stats().unwrap().producer, RoleState::Dead);
    other.1.store(other.1.data, 0);
    assert!(matches!(other_rx.try_recv(&mut [0; 8]), Err(Error::PeerDead(_))));
    assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::WouldBlock(_))));
}

//! The limit on files (`ulimit -f`): an error, and no signal that ends the process.

use super::*;

#[test]
fn a_ring_beyond_the_limit_on_files_is_no_space_and_no_signal() {
    for language in Language::ALL {
        let place = Place::new();
        let mut peer = start(language, &place, &["limit"]);
        peer.succeed();
        assert!(place.files().is_empty(), "{language:?} left {:?}", place.files());
        let said = peer.rest();
        assert!(said.contains("bytes are needed") && said.contains("ulimit -f"), "{language:?}: {said}");
    }
}

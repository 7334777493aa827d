//! Every contender of this build passes the check that comes before its timing: every byte of every message, and of every
//! block that is lent.

use std::path::Path;
use std::process::Command;

#[test]
fn every_contender_that_is_built_passes_its_check() {
    // Where `make` puts those in other languages; one that is not built is named in the table, and no failure.
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release");
    let outcome = Command::new(env!("CARGO_BIN_EXE_ipcx-bench"))
        .args(["--rounds", "1", "--round-ms", "1", "--programs"])
        .arg(programs)
        .output()
        .expect("started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&outcome.stdout));
    assert!(outcome.status.success(), "{}", text(&outcome.stderr));
}

//! Processes that were built otherwise: with musl instead of glibc, and with 32 bits. They use the same rings.
//!
//! Tested where rustc has the target (`rustup target add x86_64-unknown-linux-musl i686-unknown-linux-musl`).

use super::*;
use std::path::Path;

/// The Rust peer for another target, if it can be had here.
fn peer_for(target: &str) -> Result<PathBuf, String> {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if !sysroot.join("lib/rustlib").join(target).exists() {
        return Err(format!("rustc has no target {target} (`rustup target add {target}`)"));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside the repository");
    let out = std::env::current_exe().expect("this test");
    let out = out.ancestors().nth(3).expect("target/PROFILE/deps");
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--locked", "-p", "ipcx-tests", "--bin", "peer", "--target", target])
        .arg("--target-dir")
        .arg(out)
        .current_dir(root)
        .env_remove("RUSTFLAGS")
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    assert!(built.status.success(), "{target}: {}", String::from_utf8_lossy(&built.stderr));
    Ok(out.join(target).join("debug/peer"))
}

/// A peer of the native build in C, and the other one, in either role.
fn exchange(program: &Path, foreign: Role, count: u64) {
    let place = Place::new();
    let _ring = place.ring(RING, CAPACITY, WaitStrategy::Block);
    let mut peers = Role::ALL.map(|role| {
        if role != foreign {
            return start_peer(&["env"], Language::C, &place, (role, "wait"), count);
        }
        let log = Log::open(&place.path().join(role.verb()));
        let (path, count) = (log.path().to_str().expect("a path in ASCII").to_owned(), count.to_string());
        let mut command = Command::new(program);
        command.args([role.verb(), "place", RING, &count, "5", &LARGEST.to_string(), &path]);
        (Peer::run(format!("{}", program.display()), &place, command), log)
    });
    peers.iter_mut().for_each(|(peer, _)| peer.succeed());
}

/// It notices a death, and its own is noticed.
fn deaths(program: &Path) {
    let mut survivor = Survivor::new();
    let place = &survivor.place;
    let log = Log::open(&place.path().join("foreign"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg(log.path());
        Peer::run(format!("{} {arguments:?}", program.display()), place, command)
    };
    let mut victim = run(&["send", "wait", RING, "0", "5", "100"]);
    wait_for(&log, Word::Done);
    victim.kill_and_reap();
    while survivor.rx.try_recv(&mut [0; LARGEST]).is_ok() {}
    let dead = survivor.rx.recv_timeout(&mut [0; LARGEST], NOTICE);
    assert!(matches!(dead, Err(Error::PeerDead(_))), "{dead:?}");

    place.unlink(RING);
    let _ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
    log.clear();
    let _consumer = run(&["recv", "wait", RING, "0", "5", &LARGEST.to_string()]);
    let (mut victim, its_log) = start_peer(&["env"], Language::C, place, (Role::Producer, "wait"), 0);
    wait_for(&its_log, Word::Done);
    wait_for(&log, Word::Done);
    let since = Instant::now();
    victim.kill_and_reap();
    wait_for(&log, Word::PeerDead);
    assert!(since.elapsed() < NOTICE, "noticed after {:?}", since.elapsed());
}

fn get_along(target: &str) {
    let program = match peer_for(target) {
        Ok(program) => program,
        Err(why) => return println!("not tested: {why}"),
    };
    if Command::new(&program).output().is_err() {
        return println!("not tested: this host does not run programs for {target}");
    }
    const COUNT: u64 = 20_000;
    for role in Role::ALL {
        exchange(&program, role, COUNT);
    }
    deaths(&program);
    println!(
        "figures: odd hosts, {target} | {} records with a native C process, deaths | 0",
        with_commas(2 * COUNT)
    );
}

#[test]
fn a_process_with_musl_uses_the_same_rings() {
    get_along(&format!("{}-unknown-linux-musl", std::env::consts::ARCH));
}

#[test]
fn a_process_with_32_bits_uses_the_same_rings() {
    if !cfg!(target_arch = "x86_64") {
        return println!("not tested: processes of 32 bits are tested on x86-64");
    }
    get_along("i686-unknown-linux-musl");
}

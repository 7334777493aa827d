//! Segments in huge pages: a directory on hugetlbfs.

mod common;

use common::{is_root, Scratch};
use ipcx::{Error, Pool, PoolOptions, Ring, RingOptions, SegmentOptions};
use std::ffi::CString;
use std::path::{Path, PathBuf};

const PAGES: &str = "/proc/sys/vm/nr_hugepages";
const WANTED: u64 = 32;

/// A hugetlbfs with some pages, gone with the value.
struct Huge {
    place: Scratch,
    before: String,
}

impl Huge {
    /// `None`, and why, where that is not to be had.
    fn mount() -> Result<Huge, String> {
        if !is_root() {
            return Err("mounting needs root".to_owned());
        }
        let before = std::fs::read_to_string(PAGES).map_err(|error| format!("{PAGES}: {error}"))?;
        let huge = Huge { place: Scratch::new(), before };
        std::fs::write(PAGES, WANTED.to_string()).map_err(|error| format!("{PAGES}: {error}"))?;
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        if field("HugePages_Free:") < WANTED || field("Hugepagesize:") != 2048 {
            return Err("there are not enough huge pages of 2 MiB".to_owned());
        }
        std::fs::create_dir(huge.path()).unwrap();
        let [kind, at] = ["hugetlbfs", huge.path().to_str().unwrap()].map(|text| CString::new(text).unwrap());
        // SAFETY: strings with a zero behind them, and no data.
        let mounted = unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
        if mounted != 0 {
            return Err(format!("mount: {}", std::io::Error::last_os_error()));
        }
        Ok(huge)
    }

    fn path(&self) -> PathBuf {
        Path::new(self.place.path()).join("huge")
    }
}

impl Drop for Huge {
    fn drop(&mut self) {
        let at = CString::new(self.path().to_str().unwrap()).unwrap();
        // SAFETY: a string with a zero behind it.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
        let _ = std::fs::write(PAGES, self.before.trim());
    }
}

#[test]
fn a_ring_and_a_pool_lie_in_huge_pages() {
    let huge = match Huge::mount() {
        Ok(huge) => huge,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let segment = SegmentOptions { directory: Some(huge.path()), ..Default::default() };
    let options = |capacity| RingOptions { capacity, segment: segment.clone() };
    let ring = Ring::create("ring", &options(1 << 20)).unwrap();
    assert_eq!(ring.capacity(), 2 << 20, "a page at least");
    Ring::attach_with("ring", &options(1 << 20)).unwrap();
    let pool = |block_size, blocks| PoolOptions {
        block_size,
        blocks,
        segment: segment.clone(),
        ..Default::default()
    };
    let frames = Pool::create("frames", &pool(100_000, 40)).unwrap();
    let mut block = frames.acquire().unwrap();
    block.write_at(99_990, b"the end").unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.send(b"bytes").unwrap();
    tx.send_block(block).unwrap();
    assert_eq!(rx.recv(&mut [0; 8]).unwrap(), 5);
    let other = Pool::attach_with("frames", &pool(0, 0)).unwrap();
    assert_eq!(&rx.recv_block(&other).unwrap().to_vec()[99_990..][..7], b"the end");
    let large = Pool::create("large", &pool(1 << 20, 1000)).unwrap_err();
    assert!(matches!(large, Error::NoSpace(_)), "{large}");
    assert!(!huge.path().join("ipcx.large").exists());
}

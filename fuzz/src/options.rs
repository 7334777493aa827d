//! Any name and any options: accepted or refused as documented; what was accepted stands in the header, and whoever
//! attaches agrees with it or gets `Mismatch`.

use super::input::Input;
use ipcx::{Error, Ring, RingOptions, SegmentOptions, WaitStrategy};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// A directory that exists, in which nobody can make or remove anything.
const NOWHERE: &str = "/proc/self/fdinfo";
/// No ring is made larger than this here.
const LARGE: u64 = 1 << 16;

/// The target.
pub fn options(data: &[u8]) {
    let mut input = Input::new(data);
    if input.u8() & 1 == 0 {
        name(&String::from_utf8_lossy(data.get(1..).unwrap_or(&[])));
    } else {
        anonymous(&mut input);
    }
}

fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first
        && name.len() <= 200
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn name(name: &str) {
    let directory = Some(NOWHERE.into());
    let options =
        RingOptions { segment: SegmentOptions { directory, ..Default::default() }, ..Default::default() };
    let attached = Ring::attach_with(name, &options).expect_err("there is nothing");
    let created = Ring::create(name, &options).expect_err("nothing can be made there");
    let unlinked = ipcx::unlink_in(Some(Path::new(NOWHERE)), name).expect_err("there is nothing");
    for error in [attached, created, unlinked] {
        assert_eq!(matches!(error, Error::Invalid(_)), !is_name(name), "{name:?}: {error}");
    }
}

fn some_options(input: &mut Input) -> RingOptions {
    let kind = input.u8();
    let capacity = match kind & 3 {
        0 => 0,
        1 => input.u64() % (LARGE + 1),
        2 => (1 << 31) + 1 + input.u64() % (1 << 62),
        _ => u64::from(input.u16()),
    };
    let (mode, max_participants) = (u32::from(input.u16()), u32::from(input.u16()) % 5000);
    let wait = WaitStrategy::from_code(u32::from(input.u8() & 3)).expect("one of four");
    let len = usize::from(input.u8() % 70);
    let schema = (kind & 4 != 0).then(|| String::from_utf8_lossy(input.bytes(len)).into_owned());
    let mode = if kind & 8 != 0 { mode } else { mode & 0o666 };
    let segment = SegmentOptions { mode, max_participants, schema, wait, ..Default::default() };
    RingOptions { capacity, segment }
}

fn is_schema(schema: &Option<String>) -> bool {
    schema.as_ref().is_none_or(|label| label.len() <= 63 && !label.contains('\0'))
}

fn anonymous(input: &mut Input) {
    let options = some_options(input);
    let segment = &options.segment;
    let valid = options.capacity <= 1 << 31
        && segment.mode & !0o666 == 0
        && segment.max_participants <= 4096
        && is_schema(&segment.schema);
    match Ring::anonymous(&options) {
        Ok(ring) if valid => assert_kept(&ring, &options),
        Err(Error::Invalid(_)) if !valid => {}
        other => panic!("{options:?} gave {other:?}"),
    }
}

fn assert_kept(ring: &Ring, options: &RingOptions) {
    let segment = &options.segment;
    let file = File::from(ring.share_fd().expect("a descriptor"));
    let mut header = [0; 256];
    file.read_exact_at(&mut header, 0).expect("its header");
    let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let page = u64::from(word(40));
    let asked = if options.capacity == 0 { 1 << 20 } else { options.capacity };
    assert_eq!(ring.capacity(), asked.max(page).next_power_of_two());
    assert_eq!(u64::from(word(88)), ring.capacity());
    assert_eq!(word(72), if segment.max_participants == 0 { 32 } else { segment.max_participants });
    assert_eq!((word(76), ring.wait_strategy()), (segment.wait.code(), segment.wait));
    assert_eq!(ring.schema(), segment.schema.as_deref().filter(|label| !label.is_empty()));
    let mode = if segment.mode == 0 { 0o666 } else { segment.mode };
    let facts = file.metadata().expect("its facts");
    assert_eq!(facts.mode() & 0o7777, mode);
    assert_eq!(facts.size(), u64::from(word(32)));
}

//! What no test from outside reaches: the way taken on file systems without `O_TMPFILE`.

use super::*;

const FORMAT: Format =
    Format { kind: Kind::Ring, layout: 1, body_size: |_, _, page| Some(page), round: |p, _| p, names: &[] };

/// The way taken on file systems without `O_TMPFILE`, which the machines that run tests hardly have.
#[test]
fn creation_by_rename_is_complete_or_leaves_nothing_and_cleans_up_after_the_dead() {
    let path = PathBuf::from(format!("/dev/shm/ipcx-test-rename-{}", process::id()));
    std::fs::create_dir(&path).unwrap();
    let options = SegmentOptions { directory: Some(path.clone()), ..Default::default() };
    let place = Place::find("a", &options).unwrap();
    let directory = place.open_directory().unwrap();
    let at = directory.as_fd();
    let create =
        || Segment::create_by_rename(&place, at, &options, FORMAT, Parameters::default(), &mut |_| Ok(()));
    let stale = path.join(format!("{TEMPORARY}dead"));
    std::fs::write(&stale, "left by a creator that died").unwrap();
    let alive = NotInherited::open(|| file::create_named(at, &format!("{TEMPORARY}alive"))).unwrap();
    assert!(lock::try_lock(alive.as_fd(), lease::CREATOR).unwrap());

    let segment = create().unwrap();
    assert!(matches!(create(), Err(Error::Exists(_))));
    drop(segment);
    Segment::attach("a", &options, FORMAT, &Parameters::default()).unwrap();
    let mut names = file::names(at).unwrap();
    names.sort();
    assert_eq!(names, [".", "..", ".ipcx-new.alive", "ipcx.a"]);
    std::fs::remove_dir_all(&path).unwrap();
}

/// Each of them cleans up after the dead, and none of them is dead.
#[test]
fn creators_by_rename_at_the_same_time_do_not_hinder_each_other() {
    let path = PathBuf::from(format!("/dev/shm/ipcx-test-creators-{}", process::id()));
    std::fs::create_dir(&path).unwrap();
    let options = SegmentOptions { directory: Some(path.clone()), ..Default::default() };
    let creators = [0, 1, 2].map(|number| {
        let options = options.clone();
        std::thread::spawn(move || {
            (0..100).try_for_each(|turn| {
                let place = Place::find(&format!("{number}-{turn}"), &options)?;
                let directory = place.open_directory()?;
                let parameters = Parameters::default();
                Segment::create_by_rename(
                    &place,
                    directory.as_fd(),
                    &options,
                    FORMAT,
                    parameters,
                    &mut |_| Ok(()),
                )
                .map(drop)
            })
        })
    });
    let created: Result<()> = creators.into_iter().try_for_each(|thread| thread.join().unwrap());
    let names =
        std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let (made, others): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with("ipcx."));
    std::fs::remove_dir_all(&path).unwrap();
    created.unwrap();
    assert!(made.len() == 300 && others.is_empty(), "{} made; {others:?}", made.len());
}

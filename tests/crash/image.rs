//! What a process leaves when it dies: the files of its directory, as they are between two instructions.
//!
//! Its locks are not part of it: the kernel frees them, whatever the moment.

use ipcx_tests::Place;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Names and contents.
type Image = Vec<(String, Vec<u8>)>;

fn take(place: &Place) -> Image {
    let mut names = place.files();
    names.sort();
    let content = |name: &String| std::fs::read(place.path().join(name)).unwrap_or_default();
    names.into_iter().map(|name| (content(&name), name)).map(|(content, name)| (name, content)).collect()
}

/// The images seen in one run.
#[derive(Debug, Default)]
pub(crate) struct Images {
    last: Image,
    seen: HashSet<u64>,
}

impl Images {
    /// Looks at the directory, and says whether it has been like this before.
    pub(crate) fn is_new(&mut self, place: &Place) -> bool {
        let image = take(place);
        if !self.seen.is_empty() && image == self.last {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        image.hash(&mut hasher);
        self.last = image;
        self.seen.insert(hasher.finish())
    }
}

//! A set of participants' slots.

/// Most participants a segment can have.
pub(crate) const MOST_PARTICIPANTS: u32 = 4096;

/// Without memory of its own, so that it can be made where nothing may be allocated.
#[derive(Clone, Debug)]
pub(crate) struct Slots([u64; MOST_PARTICIPANTS as usize / 64]);

impl Slots {
    pub(crate) fn none() -> Slots {
        Slots([0; MOST_PARTICIPANTS as usize / 64])
    }

    pub(crate) fn one(slot: u32) -> Slots {
        let mut slots = Slots::none();
        slots.add(slot);
        slots
    }

    /// A slot beyond the last one is not added.
    pub(crate) fn add(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 64) {
            *word |= 1 << (slot % 64);
        }
    }

    pub(crate) fn has(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word & 1 << (slot % 64) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

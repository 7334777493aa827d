//! The producer's calls of `operations`.

use super::input::Input;
use super::model::End;
use super::operations::{content, Run};
use ipcx::{Deadline, Error};
use std::os::unix::fs::FileExt;

impl Run<'_> {
    /// What sending `len` bytes must give; says whether it must work.
    fn check_send<T>(&mut self, len: usize, result: &Result<T, Error>) -> bool {
        match result {
            _ if self.reserved.is_some() => assert!(matches!(result, Err(Error::Invalid(_)))),
            Err(Error::TooBig { needed, available }) => {
                assert!(len > self.model.largest());
                assert_eq!((*needed, *available), (len, self.model.largest()));
            }
            Err(error) => {
                assert!(len <= self.model.largest() && !self.model.fits(len), "{error}");
                self.refused(End::Producer, error);
                self.misfit = len;
            }
            Ok(_) => {
                assert!(self.model.fits(len), "sent into a full ring");
                return true;
            }
        }
        false
    }

    pub(super) fn send(&mut self, input: &mut Input) {
        let (len, deadline, seed) = (self.len(input), self.deadline(input), input.u8());
        let Some(tx) = &mut self.tx else { return };
        let bytes = content(len, seed);
        let result = tx.send_until(&bytes, deadline);
        if self.check_send(len, &result) {
            self.model.send(&bytes);
        }
    }

    pub(super) fn send_many(&mut self, input: &mut Input) {
        let count = usize::from(input.u8() % 9);
        let batch: Vec<Vec<u8>> = (0..count).map(|i| content(self.len(input), i as u8)).collect();
        let Some(tx) = &mut self.tx else { return };
        let result = tx.try_send_many(&batch);
        let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
        match result {
            Ok(sent) if self.reserved.is_none() && longest <= self.model.largest() => {
                assert!(sent > 0 || batch.is_empty());
                batch[..sent].iter().for_each(|bytes| self.model.send(bytes));
                if let Some(next) = batch.get(sent) {
                    assert!(!self.model.fits(next.len()), "it stopped early");
                    let _ = self.model.refusal(End::Producer); // It looked at its peer, and sent all the same.
                    self.misfit = next.len();
                }
            }
            result => {
                // None was sent: as if it had been the first alone, unless any is too big.
                let len =
                    if longest > self.model.largest() { longest } else { batch.first().map_or(0, Vec::len) };
                assert!(!self.check_send(len, &result));
            }
        }
    }

    pub(super) fn reserve(&mut self, input: &mut Input) {
        let (len, how, seed) = (self.len(input), input.u8(), input.u8());
        let Some(mut tx) = self.tx.take() else { return };
        let result = tx.try_reserve(len).map(|mut room| {
            let bytes = content(len, seed);
            assert_eq!(room.len(), len);
            room.write_at(0, &bytes).expect("inside the reservation");
            assert!(matches!(room.write_at(1, &bytes), Err(Error::TooBig { .. })) || len == 0);
            let part = usize::from(how) % (len + 1);
            match how & 3 {
                0 => drop(room), // Nothing happened.
                1 => {
                    room.commit_len(part).expect("not more than was reserved");
                    self.model.send(&bytes[..part]);
                }
                2 => assert!(matches!(room.commit_len(len + 1), Err(Error::Invalid(_)))),
                _ => {
                    room.commit();
                    self.model.send(&bytes);
                }
            }
        });
        match result {
            Ok(()) => assert_eq!(self.reserved, None),
            Err(_) => assert!(!self.check_send(len, &result)),
        }
        self.tx = Some(tx);
    }

    pub(super) fn reserve_raw(&mut self, input: &mut Input) {
        let len = self.len(input);
        let Some(tx) = &mut self.tx else { return };
        let result = tx.reserve_raw(len, Deadline::NOW);
        if self.check_send(len, &result) {
            assert_eq!(result.expect("room").addr() % 8, 0);
            self.reserved = Some(len);
        }
    }

    pub(super) fn commit_or_abort(&mut self, input: &mut Input) {
        let (how, seed) = (input.u8(), input.u8());
        let Some(tx) = &mut self.tx else { return };
        let Some(reserved) = self.reserved else {
            assert!(matches!(tx.commit_raw(0), Err(Error::Invalid(_))));
            return assert!(matches!(tx.abort_raw(), Err(Error::Invalid(_))));
        };
        if how & 1 == 0 {
            tx.abort_raw().expect("a reservation is open");
        } else {
            assert!(matches!(tx.commit_raw(reserved + 1), Err(Error::Invalid(_))));
            let (at, bytes) =
                (self.bench.layout.at(self.model.tail.wrapping_add(8)), content(reserved, seed));
            self.write_data(at, &bytes);
            let tx = self.tx.as_mut().expect("as before");
            tx.commit_raw(reserved).expect("a reservation is open");
            self.model.send(&bytes);
        }
        self.reserved = None;
    }

    /// Writes into the ring's data from an offset in the file on, round its end.
    pub(super) fn write_data(&self, at: usize, bytes: &[u8]) {
        let layout = &self.bench.layout;
        let (first, rest) = bytes.split_at(bytes.len().min(layout.total - at));
        self.bench.file.write_all_at(first, at as u64).expect("inside the file");
        self.bench.file.write_all_at(rest, layout.data() as u64).expect("inside the file");
    }
}

//! The consumer's calls of `operations`.

use super::input::Input;
use super::model::{End, Entry};
use super::operations::Run;
use ipcx::{Deadline, Error};

impl Run<'_> {
    /// What finding a record must give; says whether there must be one.
    fn check_find<T>(&mut self, result: &Result<T, Error>) -> bool {
        match result {
            _ if self.borrowed.is_some() => assert!(matches!(result, Err(Error::Invalid(_)))),
            Err(Error::TooBig { .. }) | Ok(_) => {
                assert!(!self.model.records.is_empty(), "a record out of nothing");
                return true;
            }
            Err(error) => {
                assert!(self.model.records.is_empty(), "{error}");
                self.refused(End::Consumer, error);
            }
        }
        false
    }

    pub(super) fn recv(&mut self, input: &mut Input) {
        let (room, deadline) = (self.len(input), self.deadline(input));
        let mut buffer = vec![0; room];
        let Some(rx) = &mut self.rx else { return };
        let result = rx.recv_until(&mut buffer, deadline);
        if self.check_find(&result) {
            let len = self.model.records[0].bytes.len();
            match result {
                Err(Error::TooBig { needed, available }) => {
                    assert_eq!((needed, available, room < len), (len, room, true));
                }
                result => {
                    assert_eq!(result.expect("checked"), len);
                    assert!(buffer[..len] == self.model.release().bytes);
                }
            }
        }
    }

    pub(super) fn recv_many(&mut self, input: &mut Input) {
        let (most, room, keeps) = (usize::from(input.u8() % 9), self.len(input), input.u8() & 1 != 0);
        let (mut buffer, mut lens) = (vec![0; room], vec![0; most]);
        let Some(rx) = &mut self.rx else { return };
        let result = match keeps {
            true => rx.borrow_many_raw(&mut buffer, &mut lens, Deadline::NOW),
            false => rx.try_recv_many(&mut buffer, &mut lens),
        };
        if most == 0 {
            return assert!(matches!(result, Err(Error::Invalid(_))));
        }
        if !self.check_find(&result) {
            return;
        }
        let Ok(count) = result else { return assert!(room < self.model.records[0].bytes.len()) };
        let mut used = 0;
        for (len, Entry { bytes, .. }) in lens[..count].iter().zip(&self.model.records) {
            assert!(buffer[used..used + len] == bytes[..]);
            used += len;
        }
        let next = self.model.records.get(count).map(|entry| used + entry.bytes.len());
        assert!(count == most || next.is_none_or(|end| end > room), "it stopped early");
        if keeps {
            self.borrowed = Some(count);
        } else {
            (0..count).for_each(|_| drop(self.model.release()));
        }
    }

    pub(super) fn borrow(&mut self, releases: bool) {
        let Some(mut rx) = self.rx.take() else { return };
        let result = rx.try_borrow().map(|record| {
            let first = &self.model.records[0];
            assert_eq!((record.position(), record.len()), (first.position, first.bytes.len()));
            assert_eq!(record.as_ptr().addr() % 8, 0);
            assert!(record.to_vec() == first.bytes);
            if releases {
                record.release();
                self.model.release();
            }
        });
        if result.is_err() {
            self.check_find(&result);
        }
        self.rx = Some(rx);
    }

    pub(super) fn borrow_raw(&mut self) {
        let Some(rx) = &mut self.rx else { return };
        let result = rx.borrow_raw(Deadline::NOW);
        if self.check_find(&result) {
            assert_eq!(result.expect("a record").1, self.model.records[0].bytes.len());
            self.borrowed = Some(1);
        }
    }

    pub(super) fn release_or_return(&mut self, releases: bool) {
        let Some(rx) = &mut self.rx else { return };
        match self.borrowed.take() {
            None => assert!(matches!(rx.release_raw(), Err(Error::Invalid(_)))),
            Some(_) if !releases => rx.return_raw(),
            Some(count) => {
                rx.release_raw().expect("it is borrowed");
                (0..count).for_each(|_| drop(self.model.release()));
            }
        }
    }
}

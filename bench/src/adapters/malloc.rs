//! `malloc` and `free` of the C library: memory of one process, of a size that it keeps ready for its thread.

use std::ptr::NonNull;

use crate::endpoint::Link;
use crate::lender::Lender;
use crate::pairs::none_left;
use crate::workload::BLOCK;
use crate::Result;

/// The heap.
pub struct Malloc;

impl Lender for Malloc {
    type Held<'a> = NonNull<u8>;

    fn connect(_link: &Link, _number: usize) -> Result<Self> {
        Ok(Malloc)
    }

    #[inline(always)]
    fn acquire(&self) -> Result<NonNull<u8>> {
        // SAFETY: malloc takes a number; what it gives is freed by `release` only.
        NonNull::new(unsafe { libc::malloc(BLOCK) }.cast()).ok_or_else(none_left)
    }

    fn address(&self, held: &NonNull<u8>) -> *mut u8 {
        held.as_ptr()
    }

    #[inline(always)]
    fn release(&self, held: NonNull<u8>) -> Result<()> {
        // SAFETY: it came from `acquire` and is not used again.
        unsafe { libc::free(held.as_ptr().cast()) };
        Ok(())
    }
}

//! Copying between shared and private memory, and bringing it near.

/// Copies `len` bytes. Up to two cache lines in line, by moves of which the last may overlap the one before, so that
/// there is no loop: a call of `memcpy` costs as much as the copy.
///
/// # Safety
/// `from` is valid for reading and `to` for writing `len` bytes, and they do not overlap.
#[inline(always)]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    /// Copies the first and the last `half` bytes in steps of `T`.
    ///
    /// # Safety
    /// As [`copy`]; `half` is a multiple of `T`'s size, and at most `len`.
    #[inline(always)]
    unsafe fn ends<T>(from: *const u8, to: *mut u8, len: usize, half: usize) {
        let steps = half / size_of::<T>();
        for offset in (0..steps).map(|step| step * size_of::<T>()) {
            // SAFETY: inside both ranges, by the caller's promise; no alignment is assumed.
            unsafe {
                let (front, back) = (offset, len - half + offset);
                to.add(front).cast::<T>().write_unaligned(from.add(front).cast::<T>().read_unaligned());
                to.add(back).cast::<T>().write_unaligned(from.add(back).cast::<T>().read_unaligned());
            }
        }
    }
    // SAFETY: in each case `len` is at least the half, and at most two of them.
    unsafe {
        match len {
            65..=128 => ends::<u128>(from, to, len, 64),
            33..=64 => ends::<u128>(from, to, len, 32),
            16..=32 => ends::<u128>(from, to, len, 16),
            8..16 => ends::<u64>(from, to, len, 8),
            4..8 => ends::<u32>(from, to, len, 4),
            _ => to.copy_from_nonoverlapping(from, len),
        }
    }
}

/// Brings the line at an address near for reading; a hint.
#[inline(always)]
pub(crate) fn near_for_reading(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch accesses nothing as far as the program can tell, at any address.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The same for writing.
#[inline(always)]
pub(crate) fn near_for_writing(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_every_byte_and_no_other() {
        let from: Vec<u8> = (0..300u32).map(|i| (i % 251) as u8 + 1).collect();
        for len in 0..200 {
            for shift in 0..9 {
                let mut to = vec![0; 300];
                // SAFETY: both have room for `len` bytes behind the shift.
                unsafe { copy(from.as_ptr().add(shift), to.as_mut_ptr().add(shift), len) };
                assert_eq!(to[shift..shift + len], from[shift..shift + len]);
                assert!(to[..shift].iter().chain(&to[shift + len..]).all(|byte| *byte == 0), "{len} {shift}");
            }
        }
    }
}

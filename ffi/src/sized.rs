//! Structs that begin with their own size, so that programs and libraries of different age go together.
//!
//! | caller's `struct_size` | meaning |
//! |---|---|
//! | below the first version's size, or absurd | `IPCX_E_INVALID`: the initialiser macro was not used |
//! | smaller than this library's | an older program: the fields it does not have are 0, their default |
//! | larger, and the rest is 0 | a newer program that uses nothing new |
//! | larger, and the rest is not 0 | `IPCX_E_INVALID`: it asks for what this library does not know |

use crate::arguments::{invalid, invalid_because};
use crate::boundary::Result;
use std::mem::MaybeUninit;

/// Larger sizes are no struct of any version, but memory that was not initialised.
const ABSURD: usize = 4096;

/// A struct of C that begins with its size in a `uint32_t`.
///
/// # Safety `repr(C)`, begins with `struct_size: u32`, has no padding, and all zeroes and any other bytes are
/// a value.
pub(crate) unsafe trait Sized32: Copy {
    /// Its size in the version of ipcx that first had it.
    const FIRST: usize;
}

/// The size that a struct says it has, if it can be true.
///
/// # Safety `given` points to 4 readable bytes.
pub(crate) unsafe fn claimed_size<T: Sized32>(given: *const T) -> Result<usize> {
    // SAFETY: 4 readable bytes, of any alignment.
    let size = unsafe { given.cast::<u32>().read_unaligned() } as usize;
    if !(T::FIRST..=ABSURD).contains(&size) {
        return Err(invalid_because(format!(
            "struct_size is {size}; start from the struct's _INIT macro, which sets it"
        )));
    }
    Ok(size)
}

/// A private copy of a struct of any version; what it does not have is 0.
///
/// # Safety `given` points to as many readable bytes as it says in its first field.
pub(crate) unsafe fn read<T: Sized32>(given: *const T) -> Result<T> {
    // SAFETY: as the caller promises.
    let size = unsafe { claimed_size(given) }?;
    let (bytes, known) = (given.cast::<u8>(), size.min(size_of::<T>()));
    // SAFETY: `size` readable bytes by the caller's promise.
    if unsafe { (known..size).any(|at| *bytes.add(at) != 0) } {
        return Err(invalid("a field is set that this version of ipcx does not know; use a newer libipcx"));
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes fit both sides, and any bytes are a value of a `Sized32`.
    unsafe {
        copy.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes, known);
        Ok(copy.assume_init())
    }
}

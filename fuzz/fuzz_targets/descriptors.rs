//! Any sequence of calls while descriptors are watched: readable when their end is ready, and whatever a peer writes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ipcx_fuzz::descriptors(data));

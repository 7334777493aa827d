//! Any name and any options: accepted or refused as documented, and kept in the header.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ipcx_fuzz::options(data));

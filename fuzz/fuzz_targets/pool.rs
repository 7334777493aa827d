//! Any bytes as a segment's file: refused before anything is written, or usable by every call.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ipcx_fuzz::pool(data));

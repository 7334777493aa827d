//! Any sequence of calls on both ends, against a queue in private memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ipcx_fuzz::operations(data));

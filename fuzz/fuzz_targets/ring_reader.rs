//! Any bytes behind a valid header: a consumer delivers exactly what the format says, and a producer goes on there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ipcx_fuzz::ring_reader(data));

#![no_main]

use domicile::tlog::harness::try_bytes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| try_bytes(bytes));

#![no_main]

use domicile::forward::harness::try_bulk_answer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| try_bulk_answer(bytes));

#![no_main]

use domicile::admit::http1::harness::try_connection;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| try_connection(bytes));

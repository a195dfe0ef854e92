//! The case `address` of keyplane-hostile.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keyplane_hostile::address(bytes));

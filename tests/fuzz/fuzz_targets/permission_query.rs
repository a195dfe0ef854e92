//! The case `permission_query` of keyplane-hostile.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keyplane_hostile::permission_query(bytes));

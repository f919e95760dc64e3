//! Fuzzes `targets::platform_answer`.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::platform_answer(data));

//! Damaged files and files that are no plugin for this machine: each is rejected with its own reason. If such a file reached
//! the dynamic loader, the test process would crash.

use crate::libraries::{built, compiled, compiled_with, position, rejection};
use menlou_action::{PluginLoadError, check_file};
use object::{
    Endianness,
    elf::FileHeader64,
    read::elf::{FileHeader, ProgramHeader, SectionHeader},
};
use std::collections::BTreeSet;

#[test]
fn a_file_that_is_no_library_is_rejected_as_such() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    for bytes in [b"#!/bin/sh\necho a text\n".as_slice(), png, b"PK\x03\x04", b"!<arch>\n", &[0; 4096]] {
        assert_eq!(rejection("odd.so", bytes), Some(PluginLoadError::NotALibrary));
    }
    let program = compiled_with("program.c", &["-no-pie"]);
    assert_eq!(rejection("odd.so", &program), Some(PluginLoadError::NotALibrary));
    // A position-independent program has the ELF type of a library, but no note.
    assert_eq!(rejection("odd.so", &compiled_with("program.c", &["-fPIE", "-pie"])), Some(PluginLoadError::NoNote));
    let object = compiled_with("program.c", &["-c"]);
    assert_eq!(rejection("odd.so", &object), Some(PluginLoadError::NotALibrary));
}

#[test]
fn the_dynamic_loader_rejects_a_program_with_a_menlou_note() {
    let program = compiled_with("odd.c", &["-fPIE", "-pie", "-Wl,--defsym=main=menlou_plugin_v1"]);
    assert!(
        matches!(rejection("odd.so", &program), Some(PluginLoadError::NotLoaded(why)) if why.contains("dynamically load"))
    );
}

#[test]
fn a_file_for_another_machine_is_rejected_with_its_architecture() {
    let whole = compiled("odd.c", &[]);
    let other = |at: usize, bytes: &[u8]| {
        let mut patched = whole.clone();
        patched[at..at + bytes.len()].copy_from_slice(bytes);
        rejection("odd.so", &patched)
    };
    let this = if cfg!(target_arch = "x86_64") { ("aarch64", 183_u16) } else { ("x86_64", 62) };
    assert_eq!(other(18, &this.1.to_le_bytes()), Some(PluginLoadError::OtherMachine(this.0.into())));
    assert_eq!(other(18, &243_u16.to_le_bytes()), Some(PluginLoadError::OtherMachine("riscv".into())));
    assert_eq!(other(4, &[1]), Some(PluginLoadError::OtherMachine("32-bit".into())));
    assert!(
        matches!(other(5, &[2]), Some(PluginLoadError::OtherMachine(_) | PluginLoadError::Incomplete)),
        "the other endianness"
    );
    let text = PluginLoadError::OtherMachine("aarch64".into()).text();
    assert!(text.en.contains("aarch64") && text.en.contains(std::env::consts::ARCH), "{text:?}");
}

#[test]
fn a_library_without_a_menlou_note_is_rejected() {
    assert_eq!(rejection("odd.so", &compiled_with("program.c", &["-shared", "-fPIC"])), Some(PluginLoadError::NoNote));
    let mut other = compiled("odd.c", &[]);
    let note = position(&other, b"Menlou\0\0");
    other[note] = b'X';
    assert_eq!(rejection("odd.so", &other), Some(PluginLoadError::NoNote));
}

#[test]
fn an_empty_file_and_the_first_bytes_of_one_are_incomplete() {
    let whole = compiled("odd.c", &[]);
    for len in 0..=64 {
        assert_eq!(rejection("odd.so", &whole[..len]), Some(PluginLoadError::Incomplete), "{len} bytes");
    }
}

#[test]
fn a_file_truncated_anywhere_is_incomplete() {
    for (name, whole) in [("odd.so", compiled("odd.c", &[])), ("openid.so", built("menlou_openid"))] {
        let cuts = cuts(&whole);
        assert!(cuts.len() > 39, "{name}: {} cuts", cuts.len());
        for len in cuts {
            assert_eq!(
                rejection(name, &whole[..len]),
                Some(PluginLoadError::Incomplete),
                "{name}: {len} of {}",
                whole.len()
            );
        }
        assert_eq!(rejection(name, &whole), None);
    }
}

#[test]
fn a_preallocated_file_that_is_not_fully_written_is_incomplete() {
    for (name, whole, step) in [("odd.so", compiled("odd.c", &[]), 61), ("openid.so", built("menlou_openid"), 200_003)]
    {
        let headers = header_of(&whole).e_shoff(Endianness::default()) as usize;
        let last = whole.len() - size_of::<object::elf::SectionHeader64<Endianness>>();
        assert!(headers < last, "the linker puts the section headers last");
        let half = whole.len() / 2;
        for written in (0..last).step_by(step).chain([half, headers - 1, headers, headers + 1, last]) {
            let mut bytes = whole.clone();
            bytes[written..].fill(0);
            let why = rejection(name, &bytes);
            match written {
                0 => assert_eq!(why, Some(PluginLoadError::NotALibrary)),
                _ => assert!(
                    matches!(
                        why,
                        Some(
                            PluginLoadError::Incomplete
                                | PluginLoadError::OtherMachine(_)
                                | PluginLoadError::NotALibrary
                        )
                    ),
                    "{name}: {written} of {}: {why:?}",
                    whole.len()
                ),
            }
            if written >= 64 {
                assert_eq!(why, Some(PluginLoadError::Incomplete), "{name}: {written} of {}", whole.len());
            }
        }
    }
}

#[test]
fn a_file_with_a_block_of_zeros_in_its_code_is_incomplete() {
    let libraries = ["openid", "account", "proxy", "wechat", "rogue"].map(|name| built(&format!("menlou_{name}")));
    for whole in libraries.into_iter().chain([compiled("odd.c", &[]), compiled("rude.c", &[])]) {
        check_file(&whole).unwrap();
        let (header, endian) = (header_of(&whole), Endianness::default());
        let sections = header.sections(endian, &*whole).unwrap();
        let (_, text) = sections.section_by_name(endian, b".text").unwrap();
        let (start, end) = (text.sh_offset(endian) as usize, (text.sh_offset(endian) + text.sh_size(endian)) as usize);
        let blocks: Vec<usize> = (start / 4096..end.div_ceil(4096)).map(|block| block * 4096).collect();
        let step = blocks.len().div_ceil(40);
        for block in blocks.into_iter().step_by(step).filter(|block| end.min(block + 4096) - start.max(*block) >= 64) {
            let mut holed = whole.clone();
            holed[block..whole.len().min(block + 4096)].fill(0);
            assert_eq!(check_file(&holed), Err(PluginLoadError::Incomplete), "at {block} of {}", whole.len());
        }
    }
}

/// Measures the search for holes: zeroes each block of the file's loaded part in turn, and counts the rejected files.
#[test]
fn most_blocks_of_zeros_are_found() {
    for name in ["openid", "account", "proxy", "wechat"] {
        let mut bytes = built(&format!("menlou_{name}"));
        let (header, endian) = (header_of(&bytes), Endianness::default());
        let segments = header.program_headers(endian, &*bytes).unwrap().iter();
        let loaded: BTreeSet<usize> = segments
            .filter(|s| s.p_type(endian) == object::elf::PT_LOAD)
            .flat_map(|s| s.p_offset(endian) / 4096..(s.p_offset(endian) + s.p_filesz(endian)) / 4096)
            .map(|block| block as usize * 4096)
            .collect();
        let (mut holes, mut found) = (0, 0);
        for at in loaded.iter().copied().step_by(loaded.len().div_ceil(200)) {
            let block = bytes[at..at + 4096].to_vec();
            if block.iter().any(|byte| *byte != 0) {
                bytes[at..at + 4096].fill(0);
                holes += 1;
                found += usize::from(check_file(&bytes).is_err());
                bytes[at..at + 4096].copy_from_slice(&block);
            }
        }
        println!("{name}: {found} of {holes} holes are found");
        assert!(found * 4 >= holes * 3, "{name}: {found} of {holes}");
    }
}

/// The dynamic loader does not read the last section header, so the file may be loaded or rejected.
#[test]
fn a_file_whose_last_bytes_are_zero_is_loaded_or_incomplete() {
    let whole = compiled("odd.c", &[]);
    for zeroed in 0..=64 {
        let mut bytes = whole.clone();
        let at = whole.len() - zeroed;
        bytes[at..].fill(0);
        let why = rejection("odd.so", &bytes);
        assert!(matches!(why, None | Some(PluginLoadError::Incomplete)), "{zeroed} zeroed: {why:?}");
    }
}

#[test]
fn a_file_with_wrong_header_values_is_incomplete() {
    let whole = compiled("odd.c", &[]);
    // e_phoff, e_shoff, e_phnum, e_shnum, e_shstrndx, and the first segment's p_filesz.
    for (at, len) in [(32, 8), (40, 8), (56, 2), (60, 2), (62, 2), (64 + 32, 8)] {
        for fill in [0xff, 0x7f] {
            let mut bytes = whole.clone();
            bytes[at..at + len].fill(fill);
            assert_eq!(rejection("odd.so", &bytes), Some(PluginLoadError::Incomplete), "{fill:#x} at {at}");
        }
    }
}

fn header_of(bytes: &[u8]) -> &FileHeader64<Endianness> {
    FileHeader64::parse(bytes).unwrap()
}

/// The boundaries of all segments, sections and headers, one byte before and after each, and some offsets between.
fn cuts(bytes: &[u8]) -> BTreeSet<usize> {
    let (header, endian) = (header_of(bytes), Endianness::default());
    let segments = header.program_headers(endian, bytes).unwrap();
    let sections = header.sections(endian, bytes).unwrap();
    let of_segments = segments.iter().map(|s| (s.p_offset(endian), s.p_filesz(endian)));
    let in_file = |s: &&object::elf::SectionHeader64<Endianness>| s.sh_type(endian) != object::elf::SHT_NOBITS;
    let of_sections = sections.iter().filter(in_file).map(|s| (s.sh_offset(endian), s.sh_size(endian)));
    let edges = of_segments.chain(of_sections).flat_map(|(offset, size)| [offset, offset + size]);
    let edges = edges.chain([header.e_phoff(endian), header.e_shoff(endian), bytes.len() as u64]);
    let between = (1..16).map(|i| bytes.len() as u64 * i / 16);
    edges
        .chain(between)
        .flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1])
        .map(|cut| cut as usize)
        .filter(|cut| *cut < bytes.len())
        .collect()
}

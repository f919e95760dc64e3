//! Files that are no whole plugin for this machine: each is refused with its own reason. A miss would end this program,
//! which says so loudly enough.

use crate::made::{built, compiled, made_of, position, refusal};
use menlou_action::{PluginLoadError, check_file};
use object::{
    Endianness,
    elf::FileHeader64,
    read::elf::{FileHeader, ProgramHeader, SectionHeader},
};
use std::collections::BTreeSet;

#[test]
fn what_is_no_library_is_called_that() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    for bytes in [b"#!/bin/sh\necho a text\n".as_slice(), png, b"PK\x03\x04", b"!<arch>\n", &[0; 4096]] {
        assert_eq!(refusal("odd.so", bytes), Some(PluginLoadError::NotALibrary));
    }
    let program = made_of("program.c", &["-no-pie"]);
    assert_eq!(refusal("odd.so", &program), Some(PluginLoadError::NotALibrary));
    // What programs are today looks like a library, but has no note.
    assert_eq!(refusal("odd.so", &made_of("program.c", &["-fPIE", "-pie"])), Some(PluginLoadError::NoNote));
    let object = made_of("program.c", &["-c"]);
    assert_eq!(refusal("odd.so", &object), Some(PluginLoadError::NotALibrary));
}

#[test]
fn a_program_with_our_note_is_refused_by_the_systems_loader() {
    let program = made_of("odd.c", &["-fPIE", "-pie", "-Wl,--defsym=main=menlou_plugin_v1"]);
    assert!(
        matches!(refusal("odd.so", &program), Some(PluginLoadError::NotLoaded(why)) if why.contains("dynamically load"))
    );
}

#[test]
fn what_is_for_another_machine_names_it() {
    let whole = compiled("odd.c", &[]);
    let other = |at: usize, bytes: &[u8]| {
        let mut patched = whole.clone();
        patched[at..at + bytes.len()].copy_from_slice(bytes);
        refusal("odd.so", &patched)
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
fn a_library_without_our_note_is_none_of_ours() {
    assert_eq!(refusal("odd.so", &made_of("program.c", &["-shared", "-fPIC"])), Some(PluginLoadError::NoNote));
    let mut other = compiled("odd.c", &[]);
    let note = position(&other, b"Menlou\0\0");
    other[note] = b'X';
    assert_eq!(refusal("odd.so", &other), Some(PluginLoadError::NoNote));
}

#[test]
fn an_empty_file_and_the_first_bytes_of_one_are_incomplete() {
    let whole = compiled("odd.c", &[]);
    for len in 0..=64 {
        assert_eq!(refusal("odd.so", &whole[..len]), Some(PluginLoadError::Incomplete), "{len} bytes");
    }
}

#[test]
fn a_file_cut_short_anywhere_is_incomplete() {
    for (name, whole) in [("odd.so", compiled("odd.c", &[])), ("openid.so", built("menlou_openid"))] {
        let cuts = cuts(&whole);
        assert!(cuts.len() > 39, "{name}: {} cuts", cuts.len());
        for len in cuts {
            assert_eq!(
                refusal(name, &whole[..len]),
                Some(PluginLoadError::Incomplete),
                "{name}: {len} of {}",
                whole.len()
            );
        }
        assert_eq!(refusal(name, &whole), None);
    }
}

#[test]
fn a_file_of_full_length_that_is_not_yet_written_to_its_end_is_incomplete() {
    for (name, whole, step) in [("odd.so", compiled("odd.c", &[]), 61), ("openid.so", built("menlou_openid"), 200_003)]
    {
        let headers = header_of(&whole).e_shoff(Endianness::default()) as usize;
        let last = whole.len() - size_of::<object::elf::SectionHeader64<Endianness>>();
        assert!(headers < last, "the linker puts the section headers last");
        let half = whole.len() / 2;
        for written in (0..last).step_by(step).chain([half, headers - 1, headers, headers + 1, last]) {
            let mut bytes = whole.clone();
            bytes[written..].fill(0);
            let why = refusal(name, &bytes);
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
fn a_hole_of_zeros_where_code_was_is_incomplete() {
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

/// What is within the last section header is not what the system's loader goes by; it may be taken or not.
#[test]
fn a_file_whose_very_last_bytes_are_missing_or_zero_does_no_harm() {
    let whole = compiled("odd.c", &[]);
    for zeroed in 0..=64 {
        let mut bytes = whole.clone();
        let at = whole.len() - zeroed;
        bytes[at..].fill(0);
        let why = refusal("odd.so", &bytes);
        assert!(matches!(why, None | Some(PluginLoadError::Incomplete)), "{zeroed} zeroed: {why:?}");
    }
}

#[test]
fn headers_that_lie_are_incomplete() {
    let whole = compiled("odd.c", &[]);
    // e_phoff, e_shoff, e_phnum, e_shnum, e_shstrndx, and the first segment's p_filesz.
    for (at, len) in [(32, 8), (40, 8), (56, 2), (60, 2), (62, 2), (64 + 32, 8)] {
        for fill in [0xff, 0x7f] {
            let mut bytes = whole.clone();
            bytes[at..at + len].fill(fill);
            assert_eq!(refusal("odd.so", &bytes), Some(PluginLoadError::Incomplete), "{fill:#x} at {at}");
        }
    }
}

fn header_of(bytes: &[u8]) -> &FileHeader64<Endianness> {
    FileHeader64::parse(bytes).unwrap()
}

/// Every boundary of a segment, a section or a header, each with its neighbours, and some between.
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

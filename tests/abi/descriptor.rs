//! Plugins with a wrong description of themselves.

use crate::libraries::{built, compiled, position, rejection};
use menlou_action::PluginLoadError;

fn odd(defined: &[&str]) -> Option<PluginLoadError> {
    rejection("odd.so", &compiled("odd.c", defined))
}

#[test]
fn a_plugin_with_a_valid_description_is_loaded() {
    assert_eq!(odd(&[]), None);
}

#[test]
fn another_major_version_is_rejected_by_note_and_by_descriptor() {
    for (name, mut bytes) in [("odd.so", compiled("odd.c", &[])), ("rogue.so", built("menlou_rogue"))] {
        let major = position(&bytes, b"Menlou\0\0") + 8;
        bytes[major..major + 2].copy_from_slice(&2_u16.to_le_bytes());
        assert_eq!(rejection(name, &bytes), Some(PluginLoadError::OtherAbi((2, 0), (1, 0))));
    }
    assert_eq!(odd(&["MAJOR=2"]), Some(PluginLoadError::OtherAbi((2, 0), (1, 0))));
}

#[test]
fn other_struct_sizes_are_rejected_by_note_and_by_descriptor() {
    let mut bytes = compiled("odd.c", &[]);
    let sizes = position(&bytes, b"Menlou\0\0") + 12;
    bytes[sizes] ^= 8;
    assert_eq!(rejection("odd.so", &bytes), Some(PluginLoadError::OtherHeader((1, 0))));
    assert_eq!(odd(&["SIZES={240,96,200,232,48,72,72,40}"]), Some(PluginLoadError::OtherHeader((1, 0))));
}

#[test]
fn a_later_minor_version_is_loaded_unless_its_structs_are_smaller() {
    let later = |first_size: Option<u16>| {
        let mut bytes = compiled("odd.c", &[]);
        let minor = position(&bytes, b"Menlou\0\0") + 10;
        bytes[minor..minor + 2].copy_from_slice(&9_u16.to_le_bytes());
        if let Some(size) = first_size {
            bytes[minor + 2..minor + 4].copy_from_slice(&size.to_le_bytes());
        }
        rejection("odd.so", &bytes)
    };
    assert_eq!((later(None), later(Some(1000))), (None, None));
    assert_eq!(later(Some(8)), Some(PluginLoadError::OtherHeader((1, 9))));
}

#[test]
fn a_plugin_that_does_not_contain_panics_is_rejected() {
    assert_eq!(odd(&["FLAGS=0"]), Some(PluginLoadError::Aborts));
}

#[test]
fn a_plugin_without_an_entry_function_is_rejected() {
    assert_eq!(odd(&["ENTRY=0"]), Some(PluginLoadError::NoEntry));
    assert_eq!(odd(&["NO_ENTRY"]), Some(PluginLoadError::NoEntry));
}

#[test]
fn a_plugin_whose_init_fails_is_rejected_with_its_code() {
    assert_eq!(odd(&["INIT=fails"]), Some(PluginLoadError::InitFailed(-7)));
}

#[test]
fn the_dynamic_loader_rejects_an_undefined_symbol() {
    assert!(
        matches!(odd(&["START=undefined_symbol"]), Some(PluginLoadError::NotLoaded(why)) if why.contains("undefined_symbol"))
    );
}

#[test]
fn a_bad_description_is_rejected_with_the_bad_field() {
    let bad_utf8 = "{(const uint8_t *)\"\\xff\\xfe\",2}";
    for (defined, what) in [
        ("MAGIC={'M','E','N','L','O','U','\\n',0}", "magic"),
        ("ACTIONS_LEN=0", "no actions"),
        ("ACTIONS_LEN=2", "two actions \"odd\""),
        ("ACTIONS_LEN=5000", "1024"),
        ("ACTION=MENLOU_STR(\"Odd One\")", "Odd One"),
        ("ACTION={0}", "action \"\""),
        ("ACCESS=9", "access 9"),
        ("METHODS=MENLOU_STR(\"POST,BREW\")", "BREW"),
        ("START=0", "start, poll and drop"),
        ("PARAMS=MENLOU_STR(\"{\")", "params_schema"),
        ("DATA=MENLOU_STR(\"{\\\"x-file\\\":\\\"image/png\\\"}\")", "data_schema: x-file"),
        ("DATA=MENLOU_STR(\"{\\\"x-file\\\":[\\\"image\\\"]}\")", "data_schema: x-file"),
        ("SETTINGS=MENLOU_STR(\"{\\\"properties\\\":{\\\"limits\\\":{}}}\")", "\"limits\" is reserved for the gateway"),
        ("PARAMS=MENLOU_STR(\"[]\")", "params_schema"),
        ("PARAMS=MENLOU_STR(\"{\\\"type\\\":7}\")", "params_schema"),
    ] {
        assert!(
            matches!(odd(&[defined]), Some(PluginLoadError::BadDescriptor(why)) if why.contains(what)),
            "{defined}"
        );
    }
    for field in ["ACTION", "METHODS", "TITLE", "PARAMS"] {
        assert!(matches!(odd(&[&format!("{field}={bad_utf8}")]), Some(PluginLoadError::BadDescriptor(_))), "{field}");
    }
    assert!(matches!(
        rejection("Odd One.so", &compiled("odd.c", &["NAME=\"Odd One\""])),
        Some(PluginLoadError::BadDescriptor(why)) if why.contains("Odd One")
    ));
}

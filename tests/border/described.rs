//! Plugins that say of themselves what can't be.

use crate::made::{built, compiled, position, refusal};
use menlou_action::PluginLoadError;

fn odd(defined: &[&str]) -> Option<PluginLoadError> {
    refusal("odd.so", &compiled("odd.c", defined))
}

#[test]
fn one_that_describes_itself_well_is_taken() {
    assert_eq!(odd(&[]), None);
}

#[test]
fn another_major_is_refused_by_note_and_by_descriptor() {
    for (name, mut bytes) in [("odd.so", compiled("odd.c", &[])), ("rogue.so", built("menlou_rogue"))] {
        let major = position(&bytes, b"Menlou\0\0") + 8;
        bytes[major..major + 2].copy_from_slice(&2_u16.to_le_bytes());
        assert_eq!(refusal(name, &bytes), Some(PluginLoadError::OtherAbi((2, 0), (1, 0))));
    }
    assert_eq!(odd(&["MAJOR=2"]), Some(PluginLoadError::OtherAbi((2, 0), (1, 0))));
}

#[test]
fn other_sizes_of_structs_are_refused_by_note_and_by_descriptor() {
    let mut bytes = compiled("odd.c", &[]);
    let sizes = position(&bytes, b"Menlou\0\0") + 12;
    bytes[sizes] ^= 8;
    assert_eq!(refusal("odd.so", &bytes), Some(PluginLoadError::OtherHeader((1, 0))));
    assert_eq!(odd(&["SIZES={240,96,200,232,48,72,72,40}"]), Some(PluginLoadError::OtherHeader((1, 0))));
}

#[test]
fn a_later_minor_is_taken_unless_its_structs_are_smaller() {
    let later = |first_size: Option<u16>| {
        let mut bytes = compiled("odd.c", &[]);
        let minor = position(&bytes, b"Menlou\0\0") + 10;
        bytes[minor..minor + 2].copy_from_slice(&9_u16.to_le_bytes());
        if let Some(size) = first_size {
            bytes[minor + 2..minor + 4].copy_from_slice(&size.to_le_bytes());
        }
        refusal("odd.so", &bytes)
    };
    assert_eq!((later(None), later(Some(1000))), (None, None));
    assert_eq!(later(Some(8)), Some(PluginLoadError::OtherHeader((1, 9))));
}

#[test]
fn one_that_a_panic_would_take_out_of_is_refused() {
    assert_eq!(odd(&["FLAGS=0"]), Some(PluginLoadError::Aborts));
}

#[test]
fn one_without_an_entry_is_refused() {
    assert_eq!(odd(&["ENTRY=0"]), Some(PluginLoadError::NoEntry));
    assert_eq!(odd(&["NO_ENTRY"]), Some(PluginLoadError::NoEntry));
}

#[test]
fn one_whose_init_fails_is_refused_with_its_code() {
    assert_eq!(odd(&["INIT=fails"]), Some(PluginLoadError::InitFailed(-7)));
}

#[test]
fn a_symbol_that_nobody_has_is_the_systems_loaders_to_refuse() {
    assert!(
        matches!(odd(&["START=nobody_has_this"]), Some(PluginLoadError::NotLoaded(why)) if why.contains("nobody_has_this"))
    );
}

#[test]
fn a_bad_description_is_refused_and_names_what_is_bad() {
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
        refusal("Odd One.so", &compiled("odd.c", &["NAME=\"Odd One\""])),
        Some(PluginLoadError::BadDescriptor(why)) if why.contains("Odd One")
    ));
}

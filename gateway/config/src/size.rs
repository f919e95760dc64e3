//! Sizes in configs: a number and one unit, such as `64KiB` or `1MiB`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, str::FromStr};

/// Pattern of a size.
pub const PATTERN: &str = "^[1-9][0-9]{0,5}(B|KiB|MiB|GiB)$";

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A size in a config, in bytes; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// A size of `n` bytes.
    pub const fn from_bytes(n: u64) -> Self {
        Self(n)
    }

    /// A size of `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// A size of `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The size in bytes, capped at `usize::MAX`.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let wrong = "not a size such as 64KiB";
        let digits = written.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = written.split_at(digits);
        let factor = UNITS.iter().find(|(u, _)| *u == unit).map(|(_, f)| *f).ok_or(wrong)?;
        match number.parse::<u64>() {
            Ok(n) if n > 0 && digits <= 6 && !number.starts_with('0') => Ok(Self(n * factor)),
            _ => Err(wrong),
        }
    }
}

/// Written in the largest unit that divides it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.iter().find(|(_, f)| self.0.is_multiple_of(*f)).copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<str>::deserialize(deserializer)?;
        written.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": PATTERN,
            "x-expected": {
                "zh": "数字加一个单位（B、KiB、MiB、GiB），例如 \"64KiB\"",
                "en": "a number and one unit (B, KiB, MiB, GiB), such as \"64KiB\"",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_and_displayed_in_the_same_form() {
        for (written, bytes) in [("1B", 1), ("64KiB", 65_536), ("1MiB", 1_048_576), ("2GiB", 2_147_483_648)] {
            let size: Size = written.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string()), (bytes, written.to_owned()));
        }
        for written in ["", "1", "0B", "1KB", "1.5MiB", "1000000GiB", "1 MiB"] {
            assert!(written.parse::<Size>().is_err(), "{written}");
        }
    }
}

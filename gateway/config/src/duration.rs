//! Durations in configs: a number and one unit, such as `500ms`, `10s`, `5m`, `2h`, `7d`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, ops::Deref, str::FromStr, time::Duration};

/// Pattern of a duration. The maximum is about 2700 years, which does not overflow any clock.
pub const PATTERN: &str = "^[1-9][0-9]{0,5}(ms|s|m|h|d)$";

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration in a config, from 1 ms; never zero. Dereferences to [`Duration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigDuration(Duration);

impl ConfigDuration {
    /// A duration of `millis` milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A duration of `secs` seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The duration as [`Duration`].
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Deref for ConfigDuration {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<ConfigDuration> for Duration {
    fn from(span: ConfigDuration) -> Self {
        span.0
    }
}

impl FromStr for ConfigDuration {
    type Err = &'static str;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let wrong = "not a duration such as 10s";
        let digits = written.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = written.split_at(digits);
        let factor = UNITS.iter().find(|(u, _)| *u == unit).map(|(_, f)| *f).ok_or(wrong)?;
        match number.parse::<u64>() {
            Ok(n) if n > 0 && digits <= 6 && !number.starts_with('0') => Ok(Self::millis(n * factor)),
            _ => Err(wrong),
        }
    }
}

/// Written in the largest unit that divides it.
impl fmt::Display for ConfigDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (unit, factor) =
            UNITS.iter().find(|(_, f)| millis.is_multiple_of(u128::from(*f))).copied().unwrap_or(("ms", 1));
        write!(f, "{}{unit}", millis / u128::from(factor))
    }
}

impl Serialize for ConfigDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<str>::deserialize(deserializer)?;
        written.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ConfigDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": PATTERN,
            "x-expected": {
                "zh": "数字加一个单位（ms、s、m、h、d），例如 \"500ms\"、\"10s\"、\"7d\"",
                "en": "a number and one unit (ms, s, m, h, d), such as \"500ms\", \"10s\", \"7d\"",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_displayed_in_the_same_form() {
        for (written, millis) in
            [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000)]
        {
            let span: ConfigDuration = written.parse().unwrap();
            assert_eq!((span.as_millis(), span.to_string()), (millis, written.to_owned()));
        }
        for written in
            ["", "10", "s", "0s", "-1s", "1.5s", "1h30m", "10 s", "10S", "١s", "1000000d", "99999999999999999999s"]
        {
            assert!(written.parse::<ConfigDuration>().is_err(), "{written}");
        }
    }
}

//! Rates in configs: `100/s`, `6000/m`, `10/h burst 3`.

use super::duration::ConfigDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

/// Pattern of a rate.
pub const PATTERN: &str = "^([1-9][0-9]{0,4}/s|[1-9][0-9]{0,5}/[mhd])( burst [1-9][0-9]{0,5})?$";

const UNITS: [(&str, Duration); 4] = [
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3600)),
    ("d", Duration::from_secs(86_400)),
];

/// A rate limit: a number of events per second, minute, hour or day, spread evenly, and the number of events that may
/// happen at the same time. The burst defaults to the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    number: u32,
    unit: usize,
    burst: Option<u32>,
}

impl Rate {
    /// Maximum time for a used-up burst to recover.
    pub const LONGEST: ConfigDuration = ConfigDuration::secs(30 * 86_400);

    /// Number of events that may happen at the same time.
    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.number)
    }

    /// Time between two events at the sustained rate: the period divided by the number, rounded up to nanoseconds.
    pub fn interval(&self) -> Duration {
        let nanos = UNITS[self.unit].1.as_nanos().div_ceil(u128::from(self.number));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Time for a used-up burst to recover completely.
    pub fn window(&self) -> Duration {
        self.interval().saturating_mul(self.burst())
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let wrong = "not a rate such as 100/s";
        let number = |digits: &str, most: usize| match digits.parse::<u32>() {
            Ok(n) if n > 0 && digits.len() <= most && digits.bytes().all(|b| b.is_ascii_digit()) => {
                (!digits.starts_with('0')).then_some(n).ok_or(wrong)
            }
            _ => Err(wrong),
        };
        let (rate, burst) = match written.split_once(" burst ") {
            Some((rate, burst)) => (rate, Some(number(burst, 6)?)),
            None => (written, None),
        };
        let (digits, unit) = rate.split_once('/').ok_or(wrong)?;
        let unit = UNITS.iter().position(|(name, _)| *name == unit).ok_or(wrong)?;
        Ok(Self { number: number(digits, if unit == 0 { 5 } else { 6 })?, unit, burst })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, UNITS[self.unit].0)?;
        self.burst.map_or(Ok(()), |burst| write!(f, " burst {burst}"))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<str>::deserialize(deserializer)?;
        written.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": PATTERN,
            "x-expected": {
                "zh": "次数/单位（s、m、h、d），可加突发量，例如 \"100/s\"、\"600/m\"、\"10/s burst 50\"",
                "en": "a number per s, m, h or d, with an optional burst, such as \"100/s\", \"600/m\", \"10/s burst 50\"",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_parsed_and_displayed_in_the_same_form() {
        for (written, interval_ns, burst) in [
            ("100/s", 10_000_000, 100),
            ("99999/s", 10_001, 99_999),
            ("3/s", 333_333_334, 3),
            ("600/m", 100_000_000, 600),
            ("10/h burst 3", 360_000_000_000, 3),
            ("1/d burst 30", 86_400_000_000_000, 30),
        ] {
            let rate: Rate = written.parse().unwrap();
            assert_eq!((rate.interval().as_nanos(), rate.burst()), (interval_ns, burst));
            assert_eq!(rate.to_string(), written);
        }
    }

    #[test]
    fn the_schema_accepts_exactly_what_the_parser_accepts() {
        let schema = crate::schema::Schema::compile(&serde_json::json!({ "pattern": PATTERN })).unwrap();
        for written in [
            "1/s",
            "99999/s",
            "100000/s",
            "999999/m",
            "1000000/d",
            "0/s",
            "01/s",
            "10",
            "10/",
            "10/w",
            "10/S",
            "/s",
            "10 /s",
            "10/s burst",
            "10/s burst 0",
            "10/s burst 5",
            "10/s burst 999999",
            "10/s burst 1000000",
            "10/s  burst 5",
            "10/s burst 5 ",
            "+1/s",
            "1.5/s",
            "١/s",
            "10/s\n",
            "",
        ] {
            assert_eq!(written.parse::<Rate>().is_ok(), schema.fits(&written.into()), "{written:?}");
        }
    }
}

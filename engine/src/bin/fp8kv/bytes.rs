//! Amounts of memory: read from arguments, written for people.

use std::str::FromStr;

const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// A number of bytes, as an argument: `8GiB`, `1.5 GB`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let (number, unit) = UNITS
            .iter()
            .find_map(|&(name, unit)| {
                let at = trimmed.len().checked_sub(name.len())?;
                let end = trimmed.get(at..)?;
                end.eq_ignore_ascii_case(name).then(|| (trimmed[..at].trim_end(), unit))
            })
            .unwrap_or((trimmed, 1));
        let wrong =
            || format!("{text:?} is not a size: write 8GiB, 512MiB, 1.5GB or a number of bytes");
        if let Ok(whole) = number.parse::<u64>() {
            return whole
                .checked_mul(unit)
                .map(Self)
                .ok_or_else(|| format!("{text:?} is too large"));
        }
        // `f64::from_str` also reads `inf`, `nan` and `1e9`: sizes are digits and one point.
        if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(wrong());
        }
        let bytes = number.parse::<f64>().map_err(|_| wrong())? * unit as f64;
        if bytes < u64::MAX as f64 {
            Ok(Self(bytes as u64))
        } else {
            Err(format!("{text:?} is too large"))
        }
    }
}

/// `1.5 MiB`, for people.
pub(crate) fn readable(bytes: u64) -> String {
    let unit = UNITS[..4].iter().rev().find(|(_, unit)| bytes >= *unit);
    match unit {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("4096", 4096),
            ("8GiB", 8 << 30),
            ("8gib", 8 << 30),
            ("1.5 GB", 1_500_000_000),
            ("0.5KiB", 512),
            ("12B", 12),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        let bad = [
            "",
            "GiB",
            "-1",
            "1e9",
            "inf",
            "nan GiB",
            "1.2.3",
            "8 GiBs",
            "99999999TiB",
            "é",
            "1..GB",
        ];
        for text in bad {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_written() {
        assert_eq!(readable(1023), "1023 B");
        assert_eq!(readable(1536), "1.5 KiB");
        assert_eq!(readable(8 << 30), "8.0 GiB");
    }
}

//! RFC 3339, and what is often written in its place: text to instants.

/// An instant: nanoseconds since 1970 began in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Time(i128);

impl Time {
    /// `2024-05-01T12:00:00.25+02:00`, with `T` or a space; or `2024-05-01`, which is its midnight in UTC. Without seconds it is the minute's
    /// beginning. `Z`, `+02:00`, `+0200` or `+02` ends it; a time without any of these is in UTC.
    /// Digits after the ninth of a second are dropped; a leap second is the first of the next minute. `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = Digits(text.as_bytes());
        let year = rest.number(4)?;
        rest.one_of(b"-")?;
        let month = rest.within(2, 1, 12)?;
        rest.one_of(b"-")?;
        let day = rest.within(2, 1, days_in(year, month))?;
        let midnight = i128::from(days_since_1970(year, month, day)) * 86_400;
        if rest.0.is_empty() {
            return Some(Self(midnight * 1_000_000_000));
        }
        rest.one_of(b"Tt ")?;
        let hour = rest.within(2, 0, 23)?;
        rest.one_of(b":")?;
        let minute = rest.within(2, 0, 59)?;
        let mut second = 0;
        let mut nanoseconds = 0;
        if rest.one_of(b":").is_some() {
            second = rest.within(2, 0, 60)?;
            if rest.one_of(b".").is_some() {
                nanoseconds = rest.fraction()?;
            }
        }
        let offset = match rest.one_of(b"Zz+-") {
            Some(sign @ (b'+' | b'-')) => {
                let hours = rest.within(2, 0, 23)?;
                let colon = rest.one_of(b":").is_some();
                let minutes = if rest.0.is_empty() && !colon {
                    0
                } else {
                    rest.within(2, 0, 59)?
                };
                let minutes = hours * 60 + minutes;
                if sign == b'+' { minutes } else { -minutes }
            }
            _ => 0,
        };
        let seconds = midnight + i128::from((hour * 60 + minute - offset) * 60 + second);
        rest.0
            .is_empty()
            .then_some(Self(seconds * 1_000_000_000 + i128::from(nanoseconds)))
    }
}

#[cfg(feature = "parquet")]
impl Time {
    /// From nanoseconds since 1970 began in UTC.
    pub(crate) fn of(nanoseconds: i128) -> Self {
        Self(nanoseconds)
    }

    /// In UTC, with the digits of a second that it has; `None` outside the years 0 to 9999.
    pub(crate) fn to_text(self) -> Option<String> {
        let seconds = i64::try_from(self.0.div_euclid(1_000_000_000)).ok()?;
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // A year is 365 or 366 days long, so that the guess is not too late, before 1970 either; and never far too early.
        let longest = if day < 0 { 365 } else { 366 };
        let mut year = 1970 + day.div_euclid(longest) - 1;
        while days_since_1970(year + 1, 1, 1) <= day {
            year += 1;
            if year > 9999 {
                return None;
            }
        }
        let mut month = 1;
        while month < 12 && days_since_1970(year, month + 1, 1) <= day {
            month += 1;
        }
        let date = day - days_since_1970(year, month, 1) + 1;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let fraction = match self.0.rem_euclid(1_000_000_000) {
            0 => String::new(),
            some => format!(".{}", format!("{some:09}").trim_end_matches('0')),
        };
        (year >= 0).then(|| {
            format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
        })
    }
}

/// What is left to be read.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn one_of(&mut self, these: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        if !these.contains(first) {
            return None;
        }
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + i64::from(digit - b'0'))
        })
    }

    fn within(&mut self, digits: usize, least: i64, most: i64) -> Option<i64> {
        self.number(digits)
            .filter(|number| (least..=most).contains(number))
    }

    fn fraction(&mut self) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit());
        let count = digits.clone().count();
        let nanoseconds = digits
            .chain(&[b'0'; 9])
            .take(9)
            .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        self.0 = &self.0[count..];
        (count > 0).then_some(nanoseconds)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of whole years, months and days before, in the Gregorian calendar also where it did not exist yet.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Leap days before this year, counted from year 0, less those before 1970.
    let before = year - 1;
    let leaps = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 477;
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    (year - 1970) * 365 + leaps + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        let seconds = |text: &str| Time::parse(text).map(|time| time.0 / 1_000_000_000);
        // From `date -u -d ... +%s`.
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2024-05-01T12:00:00Z", 1_714_564_800),
            ("2024-05-01t14:00:00+02:00", 1_714_564_800),
            ("2024-05-01 06:30:00-05:30", 1_714_564_800),
            ("1900-03-01", -2_203_891_200),
            ("9999-12-31T23:59:59z", 253_402_300_799),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("0001-01-01", -62_135_596_800),
            // No offset is none.
            ("2024-05-01T12:00:00", 1_714_564_800),
            ("2024-05-01 12:00:00", 1_714_564_800),
            ("2024-05-01T12:00", 1_714_564_800),
            ("2024-05-01 12:00Z", 1_714_564_800),
            // Offsets without a colon, or of hours alone.
            ("2024-05-01T14:00:00+0200", 1_714_564_800),
            ("2024-05-01T14:00+02", 1_714_564_800),
            ("2024-05-01T06:30-0530", 1_714_564_800),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        assert_eq!(
            Time::parse("1970-01-01T00:00:00.1234567899Z"),
            Some(Time(123_456_789))
        );
        assert_eq!(
            Time::parse("1970-01-01T00:00:00.5Z"),
            Some(Time(500_000_000))
        );
        assert_eq!(
            Time::parse("1970-01-01T00:00:00.123456"),
            Some(Time(123_456_000))
        );
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn text_and_back() {
        let mut random = fastrand::Rng::with_seed(9);
        for text in [
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "2000-02-29T12:00:00Z",
            "1969-12-31T23:59:59.5Z",
        ] {
            assert_eq!(Time::parse(text).unwrap().to_text().unwrap(), text);
        }
        for _ in 0..1000 {
            let time = Time(i128::from(random.i64(..)) * 6);
            assert_eq!(
                Time::parse(&time.to_text().unwrap()),
                Some(time),
                "{time:?}"
            );
        }
        for outside in [
            i128::MAX,
            i128::MIN,
            253_402_300_800_000_000_000,
            -62_167_219_201_000_000_000,
        ] {
            assert_eq!(Time(outside).to_text(), None);
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2024",
            "2024-13-01",
            "2024-00-01",
            "2023-02-29",
            "1900-02-29",
            "2024-04-31",
            "2024-05-01T",
            "2024-05-01T12",
            "2024-05-01T12Z",
            "2024-05-01Z",
            "2024-05-01T12:0",
            "2024-05-01T12:00:",
            "2024-05-01T12:00:0",
            "2024-05-01T12:00.5",
            "2024-05-01T12:00:00 ",
            "2024-05-01T12:00:00+2",
            "2024-05-01T12:00:00+020",
            "2024-05-01T12:00:00+02:",
            "2024-05-01T12:00:00+02:0",
            "2024-05-01T12:00:00+0260",
            "2024-05-01T12:00:00+02000",
            "2024-05-01T24:00:00Z",
            "2024-05-01T12:60:00Z",
            "2024-05-01T12:00:61Z",
            "2024-05-01T12:00:00.Z",
            "2024-05-01T12:00:00+2:00",
            "2024-05-01T12:00:00+24:00",
            "2024-05-01T12:00:00ZZ",
            "+024-05-01",
            "２024-05-01",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}

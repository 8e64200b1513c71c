//! Numbers and tables as plain text.

/// A whole number with commas: `1,234,567`.
#[must_use]
pub fn whole(number: f64) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let digits = format!("{:.0}", number.abs());
    let mut text = String::from(if number <= -0.5 { "-" } else { "" });
    for (place, digit) in digits.chars().rev().enumerate().collect::<Vec<_>>().into_iter().rev() {
        text.push(digit);
        if place > 0 && place.is_multiple_of(3) {
            text.push(',');
        }
    }
    text
}

/// A count with commas.
#[must_use]
pub fn count(number: u64) -> String {
    whole(number as f64)
}

/// Three significant digits and commas: `12,346`, `123`, `12.3`, `1.23`, `0.0123`.
#[must_use]
pub fn figure(number: f64) -> String {
    let size = number.abs();
    if !size.is_finite() || size >= 99.95 {
        return whole(number);
    }
    let digits = if size >= 9.995 {
        1
    } else if size >= 0.9995 || size == 0.0 {
        2
    } else if size >= 0.09995 {
        3
    } else {
        4
    };
    format!("{number:.digits$}")
}

/// Bytes as `12.3 MiB`.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", figure(bytes as f64 / f64::from(1 << 20)))
}

/// `12.3 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `number` by `format`, or a dash.
pub fn or_dash<T>(number: Option<T>, format: impl Fn(T) -> String) -> String {
    number.map_or_else(|| "–".to_owned(), format)
}

/// Day and time of day in UTC, from seconds since 1970: `2026-11-20 18:05 UTC`.
#[must_use]
pub fn utc(seconds: u64) -> String {
    const DAY: u64 = 86_400;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = |year: u64| if leap(year) { 29 } else { 28 };
    let months = |year: u64| [31, february(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut days = seconds / DAY;
    for year in 1970..10_000 {
        for (month, length) in (1..).zip(months(year)) {
            if days < length {
                let (day, hour, minute) = (days.saturating_add(1), seconds % DAY / 3600, seconds % 3600 / 60);
                return format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC");
            }
            days = days.saturating_sub(length);
        }
    }
    format!("{seconds} s after 1970")
}

/// Rows below a head; the first column is text, the others are numbers unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    head: bool,
    words: bool,
}

impl Table {
    /// With this head; no head if it is empty.
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        let head: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
        let there = !head.is_empty();
        Self { rows: if there { vec![head] } else { Vec::new() }, head: there, words: false }
    }

    /// All columns are text, so all begin at the left.
    #[must_use]
    pub fn of_words(mut self) -> Self {
        self.words = true;
        self
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The rows, head first.
    #[must_use]
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// Whether the first row is a head.
    #[must_use]
    pub fn has_head(&self) -> bool {
        self.head
    }

    /// Whether all columns are text.
    #[must_use]
    pub fn is_words(&self) -> bool {
        self.words
    }

    /// Lines with aligned columns.
    #[must_use]
    pub fn text(&self) -> String {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0)
        };
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(width(column).saturating_sub(cell.chars().count()));
                let gap = if column == 0 { "" } else { "  " };
                line +=
                    &if column == 0 || self.words { format!("{gap}{cell}{pad}") } else { format!("{gap}{pad}{cell}") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_commas() {
        let cases = [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1_234_567.0, "1,234,567"), (-12.0, "-12")];
        for (number, text) in cases {
            assert_eq!(whole(number), text);
        }
        assert_eq!(whole(f64::NAN), "–");
    }

    #[test]
    fn figures_have_three_digits() {
        let cases = [
            (12_345.6, "12,346"),
            (123.4, "123"),
            (99.96, "100"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.0, "0.00"),
            (0.1234, "0.123"),
            (0.0123, "0.0123"),
            (-3.0, "-3.00"),
            (f64::INFINITY, "–"),
        ];
        for (number, text) in cases {
            assert_eq!(figure(number), text);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_207_040, "2026-11-20 20:37 UTC"),
            (1_798_761_599, "2026-12-31 23:59 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn columns_stand_below_one_another() {
        let mut table = Table::new(&["µs", "p50"]);
        table.row(["certified", "1.5"]);
        assert_eq!(table.text(), "µs         p50\ncertified  1.5\n");
        assert_eq!(table.of_words().text(), "µs         p50\ncertified  1.5\n");
    }
}

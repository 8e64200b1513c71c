//! Plots as inline SVG. Colours and fonts are the page's, by class, so that one plot is readable in light and in dark; a plotting library
//! would write them into every element.

use super::scale::Scale;
use super::text::figure;
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 42.0;
/// Points of a line at most: about one per pixel.
const POINTS_MAX: usize = 720;

/// How the values of an axis are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// From zero.
    Linear,
    /// By powers of ten; values of 0 and below are at the lower edge.
    Log,
}

/// An axis with its unit.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// What it shows, with unit.
    pub label: &'static str,
    /// How.
    pub spacing: Spacing,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Number of its colour, from 0.
    pub colour: usize,
    /// Ascending in x.
    pub points: Vec<(f64, f64)>,
    /// Dashed: what was wanted rather than what was.
    pub dashed: bool,
    /// Each point has a mark: there are few, and what lies between them was not measured.
    pub marked: bool,
}

/// A plot of lines.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What a reader who cannot see it is told.
    pub title: String,
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Stretches of x that do not count, and why.
    pub shaded: Vec<(f64, f64, &'static str)>,
    /// What x spans at least, so that plots below one another have one axis.
    pub span: Option<(f64, f64)>,
    /// Its height, where its width is 720.
    pub height: f64,
    /// A level of y that matters, and its name.
    pub level: Option<(f64, String)>,
}

impl Plot {
    /// The `svg` element; `None` if there is nothing to draw.
    #[must_use]
    pub fn svg(&self) -> Option<String> {
        let points = || self.series.iter().flat_map(|series| series.points.iter().copied());
        let finite = |(x, y): (f64, f64)| x.is_finite() && y.is_finite();
        if !points().any(finite) {
            return None;
        }
        let level = self.level.as_ref().map(|(level, _)| *level);
        let ends = self.span.iter().flat_map(|(from, to)| [*from, *to]);
        let x = scale(self.x.spacing, points().map(|point| point.0).chain(ends), true);
        let y = scale(self.y.spacing, points().map(|point| point.1).chain(level), false);
        let height = self.height;
        let at_x = |value: f64| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let at_y = |value: f64| height - BOTTOM - y.place(value) * (height - TOP - BOTTOM);

        let title = escape(&self.title);
        let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">"#);
        for (from, to, why) in &self.shaded {
            let (left, right) = (at_x(*from), at_x(*to));
            put(
                &mut svg,
                format_args!(
                    r#"<rect class="shaded" x="{left:.1}" y="{TOP}" width="{:.1}" height="{:.1}"/>"#,
                    right - left,
                    height - TOP - BOTTOM
                ),
            );
            put(
                &mut svg,
                format_args!(
                    r#"<text class="note" x="{:.1}" y="{:.1}">{why}</text>"#,
                    left + 4.0,
                    height - BOTTOM - 6.0
                ),
            );
        }
        let (bottom, right) = (height - BOTTOM, WIDTH - RIGHT);
        for tick in y.ticks() {
            let at = at_y(tick);
            put(&mut svg, format_args!(r#"<line class="grid" x1="{LEFT}" y1="{at:.1}" x2="{right}" y2="{at:.1}"/>"#));
            put(
                &mut svg,
                format_args!(
                    r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                    LEFT - 6.0,
                    at + 4.0,
                    short(tick)
                ),
            );
        }
        for tick in x.ticks() {
            let at = at_x(tick);
            put(&mut svg, format_args!(r#"<line class="grid" x1="{at:.1}" y1="{TOP}" x2="{at:.1}" y2="{bottom}"/>"#));
            put(
                &mut svg,
                format_args!(
                    r#"<text class="tick" x="{at:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                    bottom + 16.0,
                    short(tick)
                ),
            );
        }
        let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
        put(
            &mut svg,
            format_args!(
                r#"<text class="axis" x="{middle}" y="{}" text-anchor="middle">{}</text>"#,
                height - 6.0,
                self.x.label
            ),
        );
        put(&mut svg, format_args!(r#"<text class="axis" x="0" y="12">{}</text>"#, self.y.label));
        if let Some((level, name)) = &self.level {
            let at = at_y(*level);
            put(&mut svg, format_args!(r#"<line class="level" x1="{LEFT}" y1="{at:.1}" x2="{right}" y2="{at:.1}"/>"#));
            put(
                &mut svg,
                format_args!(r#"<text class="note" x="{:.1}" y="{:.1}">{}</text>"#, LEFT + 4.0, at - 5.0, escape(name)),
            );
        }
        for series in &self.series {
            draw(&mut svg, series, at_x, at_y);
        }
        legend(&mut svg, &self.series);
        svg.push_str("</svg>");
        Some(svg)
    }
}

/// One bar across per part: name, share of the whole (0 to 1), and what stands behind it.
#[must_use]
pub fn bars(title: &str, parts: &[(String, f64, String)]) -> Option<String> {
    const ROW: f64 = 24.0;
    const NAME: f64 = 190.0;
    const TEXT: f64 = 200.0;
    if parts.is_empty() {
        return None;
    }
    let height = ROW * parts.len() as f64 + 4.0;
    let longest = parts.iter().map(|part| part.1).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let title = escape(title);
    let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">"#);
    for (row, (name, share, text)) in parts.iter().enumerate() {
        let top = row as f64 * ROW + 2.0;
        let length = (share / longest).clamp(0.0, 1.0) * (WIDTH - NAME - TEXT);
        put(
            &mut svg,
            format_args!(
                r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                NAME - 8.0,
                top + 15.0,
                escape(name)
            ),
        );
        put(
            &mut svg,
            format_args!(
                r#"<rect class="f0" x="{NAME}" y="{top:.1}" width="{length:.1}" height="{:.1}" rx="2"/>"#,
                ROW - 5.0
            ),
        );
        put(
            &mut svg,
            format_args!(
                r#"<text class="tick" x="{:.1}" y="{:.1}">{}</text>"#,
                NAME + length + 8.0,
                top + 15.0,
                escape(text)
            ),
        );
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// Text for a page: names come from files and processes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn scale(spacing: Spacing, values: impl Iterator<Item = f64> + Clone, tight: bool) -> Scale {
    match spacing {
        Spacing::Log => Scale::log(values),
        // Across, a line reaches from edge to edge; up, zero is in sight.
        Spacing::Linear if tight => {
            let finite = values.filter(|value| value.is_finite());
            Scale::exact(finite.clone().fold(f64::INFINITY, f64::min), finite.fold(f64::NEG_INFINITY, f64::max))
        }
        Spacing::Linear => Scale::linear(values),
    }
}

fn draw(svg: &mut String, series: &Series, at_x: impl Fn(f64) -> f64, at_y: impl Fn(f64) -> f64) {
    let points: Vec<(f64, f64)> =
        thin(&series.points).into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
    let dashed = if series.dashed { " dashed" } else { "" };
    put(svg, format_args!(r#"<polyline class="s{}{dashed}" points="{}"/>"#, series.colour, path.join(" ")));
    if series.marked {
        for (x, y) in &points {
            let said = format!("{}: {} at {}", escape(&series.name), figure(*y), figure(*x));
            put(
                svg,
                format_args!(
                    r#"<circle class="f{}" cx="{:.1}" cy="{:.1}" r="3.5"><title>{said}</title></circle>"#,
                    series.colour,
                    at_x(*x),
                    at_y(*y)
                ),
            );
        }
    }
}

/// At most [`POINTS_MAX`] points: means of neighbours.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |chunk: &[(f64, f64)]| {
        let (x, y) = chunk.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (x / chunk.len() as f64, y / chunk.len() as f64)
    };
    points.chunks(points.len().div_ceil(POINTS_MAX).max(1)).map(mean).collect()
}

/// The lines' names, right of the unit of y.
fn legend(svg: &mut String, series: &[Series]) {
    // Widths of letters are the font's; 6.6 a letter is more than most have at this size.
    let width = |name: &str| 34.0 + 6.6 * name.chars().count() as f64;
    let mut at = WIDTH - RIGHT - series.iter().map(|series| width(&series.name)).sum::<f64>();
    for series in series {
        let dashed = if series.dashed { " dashed" } else { "" };
        put(
            svg,
            format_args!(
                r#"<line class="s{}{dashed}" x1="{at:.1}" y1="8" x2="{:.1}" y2="8"/>"#,
                series.colour,
                at + 18.0
            ),
        );
        put(svg, format_args!(r#"<text class="tick" x="{:.1}" y="12">{}</text>"#, at + 22.0, escape(&series.name)));
        at += width(&series.name);
    }
}

/// A tick's text: `0`, `0.5`, `200`, `10k`, `2.5M`.
fn short(value: f64) -> String {
    let (number, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Ticks are 1, 2 or 5 times a power of ten, or sums of such: few digits behind the point, and no zeros at their end.
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}{unit}", if text == "-0" { "0" } else { text })
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    svg.write_fmt(element).expect("a string takes every text");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        Plot {
            title: "a <b>".into(),
            x: Axis { label: "s", spacing: Spacing::Linear },
            y: Axis { label: "ms", spacing: Spacing::Log },
            series: vec![Series { name: "p99 & more".into(), colour: 1, points, dashed: false, marked: true }],
            shaded: vec![(-5.0, 0.0, "warm-up")],
            span: None,
            height: 200.0,
            level: Some((200.0, "bound".into())),
        }
    }

    #[test]
    fn a_plot_is_well_formed_and_escaped() {
        let svg = plot(vec![(-5.0, 3.0), (0.0, 30.0), (1.0, f64::NAN), (2.0, 0.0)]).svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("p99 &amp; more"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }

    #[test]
    fn nothing_to_draw_is_no_plot() {
        assert!(plot(vec![]).svg().is_none());
        assert!(plot(vec![(1.0, f64::NAN)]).svg().is_none());
        assert!(plot(vec![(1.0, 1.0)]).svg().is_some());
        assert!(bars("none", &[]).is_none());
        assert_eq!(
            bars("two", &[("a".into(), 0.0, "0".into()), ("b".into(), 0.0, "0".into())])
                .unwrap()
                .matches("<rect")
                .count(),
            2
        );
    }

    #[test]
    fn long_lines_are_thinned() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 7.0)).collect();
        let thin = thin(&points);
        assert!(thin.len() <= POINTS_MAX && thin.len() > POINTS_MAX / 2);
        assert!(thin.iter().all(|point| point.1 == 7.0));
    }

    #[test]
    fn ticks_are_short() {
        let cases = [
            (0.0, "0"),
            (0.5, "0.5"),
            (200.0, "200"),
            (1_500.0, "1500"),
            (10_000.0, "10k"),
            (2.5e6, "2.5M"),
            (-20.0, "-20"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}

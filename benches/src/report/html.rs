//! One page of a run: nothing is fetched, nothing runs, so that it can be kept with the results and opened in ten years.

use super::bounds;
use super::plot::{Axis, Plot, Series, Spacing, bars, escape};
use super::summary;
use super::text::{Table, figure, or_dash, percent};
use crate::result::{Outcome, Second};
use std::fmt::Write;

/// The page.
#[must_use]
pub fn page(run: &Outcome) -> String {
    let title = escape(&summary::title(run));
    let mut page = Page(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
        <style>\n{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        include_str!("page.css")
    ));
    page.paragraph("", &format!("{}.", summary::headline(run)));
    for warning in summary::warnings(run) {
        page.paragraph("warning", &warning);
    }
    page.tiles(&tiles(run));
    page.paragraph("soft", &run.not_shown);
    if run.complete {
        page.section("Bounds", "");
        page.table(&summary::bound_lines(run));
    }
    page.section("Throughput over time", "");
    page.figures(over_time(run));
    page.section("Latency", "From the intended send time to when another replica than the gateway told of it.");
    page.figures(vec![distributions(run)]);
    page.table(&summary::latencies(run));
    if !run.sweep.is_empty() {
        page.section(
            "Latency against load",
            "Each mark is one rate that was tried; between marks nothing was measured.",
        );
        page.figures(vec![load_curve(run)]);
        page.table(&summary::sweep(run));
    }
    page.section("CPU by stage", "All replicas, threads grouped by name.");
    let parts: Vec<(String, f64, String)> =
        run.stages.iter().map(|stage| (stage.name.clone(), stage.share, stage_text(run, stage.share))).collect();
    page.figures(vec![bars("share of the replicas' CPU by stage", &parts)]);
    page.table(&summary::stage_cpu(run));
    page.table(&summary::processes(run));
    page.section("Cost of a payment", "");
    page.table(&summary::costs(run));
    page.section("The machine", "");
    if let Some(calibration) = summary::calibration(run) {
        page.table(&calibration);
    }
    if let Some(sentence) = summary::limit(run) {
        page.paragraph("", &sentence);
    }
    page.table(&summary::circumstances(run));
    page.section("Payments and checks", "");
    page.table(&summary::counts(run));
    for sentence in summary::special(run) {
        page.paragraph("", &sentence);
    }
    page.table(&summary::checks(run));
    page.section("Parameters", "All of them, defaults included.");
    let mut parameters = Table::new(&["parameter", "value"]).of_words();
    for (name, value) in &run.parameters {
        parameters.row([name, value]);
    }
    page.table(&parameters);
    page.0 + "</body>\n</html>\n"
}

struct Page(String);

impl Page {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes every text");
    }

    fn section(&mut self, title: &str, text: &str) {
        self.put(format_args!("<h2>{}</h2>\n", escape(title)));
        if !text.is_empty() {
            self.paragraph("soft", text);
        }
    }

    fn paragraph(&mut self, class: &str, text: &str) {
        self.put(format_args!("<p class=\"{class}\">{}</p>\n", escape(text)));
    }

    fn tiles(&mut self, tiles: &[(&str, String)]) {
        self.put(format_args!("<div class=\"tiles\">"));
        for (name, value) in tiles {
            self.put(format_args!("<div class=\"tile\"><b>{}</b>{}</div>", escape(value), escape(name)));
        }
        self.put(format_args!("</div>\n"));
    }

    fn figures(&mut self, figures: Vec<Option<String>>) {
        for svg in figures.into_iter().flatten() {
            self.put(format_args!("<figure>{svg}</figure>\n"));
        }
    }

    /// Left out if it has no rows: a head alone says nothing.
    fn table(&mut self, table: &Table) {
        let (head, rows) = match table.rows() {
            [head, rows @ ..] if table.has_head() => (Some(head), rows),
            rows => (None, rows),
        };
        if rows.is_empty() {
            return;
        }
        self.put(format_args!(
            "<div class=\"scroll\"><table{}>\n",
            if table.is_words() { " class=\"words\"" } else { "" }
        ));
        if let Some(head) = head {
            let cells: String = head.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
            self.put(format_args!("<tr>{cells}</tr>\n"));
        }
        for row in rows {
            let cell = |(place, cell): (usize, &String)| format!("<td{}>{}</td>", class(place, cell), escape(cell));
            let cells: String = row.iter().enumerate().map(cell).collect();
            self.put(format_args!("<tr>{cells}</tr>\n"));
        }
        self.put(format_args!("</table></div>\n"));
    }
}

/// Verdicts have a colour beside their word.
fn class(place: usize, cell: &str) -> &'static str {
    match cell {
        "pass" => r#" class="good""#,
        "not made" | "not measured" => r#" class="open""#,
        cell if cell.starts_with("held") => r#" class="good""#,
        cell if cell.starts_with("MISSED") || cell == "FAILED" => r#" class="bad""#,
        _ if place == 0 => r#" class="first""#,
        _ => "",
    }
}

fn tiles(run: &Outcome) -> Vec<(&'static str, String)> {
    let rate = if bounds::shards(run) == 1 { "certified a second" } else { "certified a second and shard" };
    let ms = |of: fn(&crate::result::Percentiles) -> f64| {
        or_dash(run.latency_ms.certified.as_ref(), |latency| format!("{} ms", figure(of(latency))))
    };
    let reached = run.calibration.as_ref().and_then(|calibration| calibration.ratio_to_signature_limit);
    vec![
        (rate, figure(run.certified_per_second)),
        ("certified, p50", ms(|latency| latency.p50)),
        ("certified, p99", ms(|latency| latency.p99)),
        ("CPU per payment, all replicas", or_dash(run.replica_cpu_us_per_payment, |cpu| format!("{} µs", figure(cpu)))),
        ("of the signature limit", or_dash(reached, percent)),
        ("syncs per payment and replica", or_dash(run.fsyncs_per_payment, figure)),
    ]
}

fn stage_text(run: &Outcome, share: f64) -> String {
    let each = run.replica_cpu_us_per_payment.map(|cpu| format!(", {} µs a payment", figure(cpu * share)));
    percent(share) + &each.unwrap_or_default()
}

/// Rates, latency, and what fills up, second by second. With several shards, means per shard.
fn over_time(run: &Outcome) -> Vec<Option<String>> {
    let shards = bounds::shards(run) as f64;
    let line = |name: &str, colour: usize, dashed: bool, of: &dyn Fn(&Second) -> Option<f64>| Series {
        name: name.to_owned(),
        colour,
        points: run.seconds.iter().filter_map(|second| Some((second.at_s as f64 + 0.5, of(second)?))).collect(),
        dashed,
        marked: false,
    };
    // A second's point lies in its middle.
    let from = run.seconds.first().map_or(0.0, |second| second.at_s as f64 + 0.5);
    let to = run.seconds.last().map_or(0.0, |second| second.at_s as f64 + 0.5);
    let shaded = [(from, 0.0, "warm-up"), (run.window_s, to, "after")];
    let plot = |title: &str, height: f64, label: &'static str, spacing: Spacing, series: Vec<Series>| {
        let plot = Plot {
            title: title.to_owned(),
            x: Axis { label: "seconds of the measured window", spacing: Spacing::Linear },
            y: Axis { label, spacing },
            series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
            shaded: shaded.iter().copied().filter(|(from, to, _)| from < to).collect(),
            span: Some((from, to)),
            height,
            level: None,
        };
        plot.svg()
    };
    let rate = if shards > 1.0 { "payments/s, mean of one shard" } else { "payments/s" };
    let refused = run.seconds.iter().any(|second| second.refused > 0);
    let mut rates = vec![
        line("offered", 3, true, &|second| Some(second.offered as f64 / shards)),
        line("certified", 0, false, &|second| Some(second.certified as f64 / shards)),
        line("final", 1, false, &|second| Some(second.r#final as f64 / shards)),
    ];
    if refused {
        rates.push(line("refused for now", 2, true, &|second| Some(second.refused as f64 / shards)));
    }
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    vec![
        plot("throughput over time", 290.0, rate, Spacing::Linear, rates),
        plot(
            "latency over time",
            200.0,
            "certified p99, ms",
            Spacing::Log,
            vec![line("p99 of the second", 0, false, &|second| second.certified_p99_ms)],
        ),
        plot(
            "payments in flight",
            200.0,
            "payments in flight",
            Spacing::Linear,
            vec![line("in flight", 1, false, &|second| Some(second.in_flight as f64))],
        ),
        plot(
            "CPU of the replicas",
            200.0,
            "cores, all replicas",
            Spacing::Linear,
            vec![line("cores in use", 2, false, &|second| second.replica_cores)],
        ),
        plot(
            "memory of the replicas",
            200.0,
            "MiB, all replicas",
            Spacing::Linear,
            vec![line("resident", 3, false, &|second| second.replica_rss_bytes.map(mebibytes))],
        ),
    ]
}

/// The share of payments that a stage took at most so long for.
fn distributions(run: &Outcome) -> Option<String> {
    let series = run.distributions.iter().enumerate().map(|(colour, distribution)| Series {
        name: distribution.stage.clone(),
        colour: colour % 4,
        points: distribution.points.iter().map(|point| (point.latency_ms, point.share * 100.0)).collect(),
        dashed: false,
        marked: false,
    });
    let plot = Plot {
        title: "latency distributions".into(),
        x: Axis { label: "latency, ms (logarithmic)", spacing: Spacing::Log },
        y: Axis { label: "% of payments", spacing: Spacing::Linear },
        series: series.collect(),
        shaded: Vec::new(),
        span: None,
        height: 290.0,
        level: None,
    };
    plot.svg()
}

/// Latency of the rates tried, against what was certified at each: a line that turns up, and back where a network collapses.
fn load_curve(run: &Outcome) -> Option<String> {
    let mut sweep = run.sweep.clone();
    sweep.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let line = |name: &str, colour: usize, of: fn(&crate::result::SweepPoint) -> f64| Series {
        name: name.to_owned(),
        colour,
        points: sweep.iter().map(|point| (point.rate, of(point))).collect(),
        dashed: false,
        marked: true,
    };
    let bound = run.parameters.get("p99_bound").and_then(|text| text.parse().ok());
    let plot = Plot {
        title: "latency against load".into(),
        x: Axis { label: "offered, payments a second and shard", spacing: Spacing::Linear },
        y: Axis { label: "certified, ms (logarithmic)", spacing: Spacing::Log },
        series: vec![line("p50", 0, |point| point.p50_ms), line("p99", 1, |point| point.p99_ms)],
        shaded: Vec::new(),
        span: None,
        height: 290.0,
        level: bound.map(|bound: f64| (bound, format!("p99 bound, {} ms", figure(bound)))),
    };
    plot.svg()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_page_is_whole_and_fetches_nothing() {
        let page = page(&sample::three_shards());
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        for foreign in ["http:", "https:", "<script", "<link", "url(", "@import", "src="] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        for element in ["table", "svg", "figure", "p", "h2", "td", "div"] {
            let (opened, closed) = (format!("<{element}"), format!("</{element}>"));
            let opened = page.matches(&format!("{opened}>")).count() + page.matches(&format!("{opened} ")).count();
            assert_eq!(opened, page.matches(&closed).count(), "{element}");
        }
        assert_eq!(page.matches("<svg").count(), 8);
        assert!(!page.contains("NaN") && !page.contains(">inf"));
    }

    #[test]
    fn the_kind_of_run_is_in_the_title_and_shards_are_not_added_up() {
        let run = sample::three_shards();
        let page = page(&run);
        assert!(page.contains("<title>smt-bench tps: separate processes on loopback, open loop</title>"));
        assert!(page.contains("the mean of 3 shards that share this machine"));
        let sum: f64 = run.certified_per_second_by_shard.iter().sum();
        assert!(!page.contains(&figure(sum)));
    }

    #[test]
    fn foreign_text_is_text() {
        let mut run = sample::one_shard();
        run.not_shown = "<img src=x onerror=alert(1)>".into();
        run.stages[0].name = "<b>".into();
        run.parameters.insert("<i>".into(), "\"&".into());
        let page = page(&run);
        assert!(!page.contains("<img") && !page.contains("<b>&lt;") && !page.contains("<i>"));
        assert!(page.contains("&lt;img src=x") && page.contains("&quot;&amp;"));
    }

    #[test]
    fn an_empty_outcome_makes_a_page() {
        let page = page(&Outcome::default());
        assert!(page.contains("not complete") && !page.contains("<svg"));
    }
}

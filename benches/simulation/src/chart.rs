//! The picture: how late the latest hundredth of the answers is.

use std::fmt::Write;

use crate::report::{Case, Figures};

const LABELS: f64 = 185.0;
const PLOT: f64 = 430.0;
const BAR: f64 = 9.0;
const GROUP: f64 = 38.0;
const TOP: f64 = 48.0;
/// The axis is logarithmic, from here to ten thousand milliseconds.
const LEAST_MS: f64 = 30.0;
const MOST_MS: f64 = 6_000.0;
/// The number of balancers, and the colour of it.
const SERIES: [(usize, &str); 3] = [(1, "#9ecae1"), (20, "#4292c6"), (100, "#084594")];

/// A bar for each strategy and number of balancers, at 90 % load. No line is blank, so that it can
/// stand in Markdown.
pub(crate) fn draw(results: &[(Case, Figures)]) -> String {
    let plain = |case: &Case| {
        let workload = case.workload;
        workload.load_percent == 90 && !workload.failing && workload.joining == 0
    };
    let shown: Vec<_> = results.iter().filter(|(case, _)| plain(case)).collect();
    let mut names: Vec<&str> = shown.iter().map(|(case, _)| case.strategy.name).collect();
    names.dedup();
    let height = TOP + GROUP * names.len() as f64 + 30.0;
    let width = LABELS + PLOT + 60.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n\
         <title>99th percentile of latency at 90 % load, by strategy and number of balancers</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"16\" font-size=\"13\">p99 in ms at 90 % load (logarithmic)</text>\n"
    );
    for (place, (balancers, colour)) in SERIES.into_iter().enumerate() {
        let x = 10.0 + 110.0 * place as f64;
        let plural = if balancers == 1 { "" } else { "s" };
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"24\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"33\">{balancers} balancer{plural}</text>",
            x + 14.0
        );
    }
    for tick in [50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0] {
        let x = LABELS + length(tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            height - 22.0,
            height - 8.0
        );
    }
    for (place, name) in names.into_iter().enumerate() {
        let y = TOP + GROUP * place as f64 + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>",
            LABELS - 8.0,
            y + 18.0
        );
        for (row, (balancers, colour)) in SERIES.into_iter().enumerate() {
            let found = shown.iter().find(|(case, _)| {
                case.strategy.name == name && case.workload.balancers == balancers
            });
            let Some((_, figures)) = found else { continue };
            let (length, y) = (length(figures.p99_ms), y + BAR * row as f64);
            let _ = writeln!(
                svg,
                "<rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\">{:.0}</text>",
                BAR - 1.0,
                LABELS + length + 3.0,
                y + 7.5,
                figures.p99_ms
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn length(ms: f64) -> f64 {
    let of = |ms: f64| (ms / LEAST_MS).ln();
    (of(ms.clamp(LEAST_MS, MOST_MS)) / of(MOST_MS)) * PLOT
}

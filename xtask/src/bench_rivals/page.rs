//! docs/performance.md and the cost model of docs/scaling.md: what was measured, between their markers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::results::{Measured, Results};
use super::rows::{Aim, Figure, ROWS, Row};
use super::scaling;

const BEGIN: &str = "<!-- begin: written by `cargo xtask bench-rivals` -->";
const END: &str = "<!-- end: written by `cargo xtask bench-rivals` -->";

/// Writes the parts between the markers anew.
///
/// # Errors
/// A page is not there, or has no markers.
pub fn write(root: &Path, cache: &Path) -> Result<(), String> {
    let results: Vec<(&Row, Results)> =
        ROWS.iter().filter_map(|row| Some((row, Results::load(cache, row.name)?))).collect();
    replace(&root.join("docs").join("performance.md"), &body(&results))?;
    let results: Vec<Results> = results.into_iter().map(|(_, results)| results).collect();
    match scaling::tables(&results) {
        Some(tables) => replace(&root.join("docs").join("scaling.md"), &tables),
        None => Ok(()),
    }
}

fn replace(path: &Path, body: &str) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{} has lost its markers", path.display()))?;
    fs::write(path, format!("{before}{BEGIN}\n\n{body}\n{END}{after}")).map_err(|error| error.to_string())?;
    println!("wrote {}", path.display());
    Ok(())
}

fn body(results: &[(&Row, Results)]) -> String {
    let mut text = String::new();
    if results.is_empty() {
        text += "Not measured yet.\n";
    }
    if let Some((_, newest)) =
        results.iter().max_by_key(|(_, results)| results.about["unix_seconds"].as_u64())
    {
        text += &about(&newest.about);
    }
    for (row, results) in results {
        text.push('\n');
        text += &section(row, results);
    }
    text
}

fn about(about: &Value) -> String {
    let versions: Vec<String> = about["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some(format!("{} {}", pair[0].as_str()?, pair[1].as_str()?)))
        .collect();
    format!(
        "Machine: {}. Versions: {}.\n",
        about["machine"].as_str().unwrap_or("unknown"),
        versions.join(", ")
    )
}

fn section(row: &Row, results: &Results) -> String {
    let base = results.entries.first().and_then(|base| figure(row, base));
    let extra = extra_column(row.figure, row);
    let mut text = format!("### {}\n\n{}\n\n", row.title, row.text);
    let base_name = results.entries.first().map_or("the base", |base| base.name.as_str());
    let _ = writeln!(
        text,
        "| | {} | of {base_name} | least-most |{} aim |",
        row.figure.title(),
        extra.map_or(String::new(), |(title, _)| format!(" {title} |"))
    );
    let _ = writeln!(text, "|---|---|---|---|---|{}", if extra.is_some() { "---|" } else { "" });
    for entry in &results.entries {
        let Some((median, least, most)) = figure(row, entry) else {
            let reason = entry.missing.as_deref().unwrap_or("nothing was measured");
            let _ = writeln!(
                text,
                "| {} | not run: {reason} | | |{} |",
                entry.name,
                if extra.is_some() { " |" } else { "" }
            );
            continue;
        };
        let ratio = base.map_or(String::new(), |(base, ..)| format!("{:.2}", median / base));
        let extra = extra.map_or(String::new(), |(_, cell)| format!(" {} |", cell(entry)));
        let aims = aims(row, results, &entry.name, median);
        let _ = writeln!(
            text,
            "| {} | {} | {ratio} | {}-{} |{extra} {aims} |",
            entry.name,
            number(median),
            number(least),
            number(most)
        );
    }
    let _ = write!(text, "\n{}", notes(row, results));
    text
}

fn notes(row: &Row, results: &Results) -> String {
    let faulty: Vec<String> = results.entries.iter().filter_map(faults).collect();
    let rounds = results.about["rounds"].as_u64().unwrap_or(0);
    let mut text =
        format!("{rounds} rounds, `{}`", results.entries.get(1).map_or("", |entry| entry.command.as_str()));
    let load = results.about["load_before"].as_f64().unwrap_or(0.0);
    if load > 0.7 {
        let _ = write!(text, "; the machine was not idle (load {load:.1} before the row)");
    }
    text.push('.');
    if !faulty.is_empty() {
        let _ = write!(text, " {}.", faulty.join("; "));
    } else if row.figure != Figure::Memory && row.figure != Figure::Accepted {
        text += " Every reader got everything once and in order.";
    }
    text.push('\n');
    text
}

fn figure(row: &Row, entry: &Measured) -> Option<(f64, f64, f64)> {
    let (place, unit) = row.figure.place();
    let (median, least, most) = entry.figure(place)?;
    Some((median / unit, least / unit, most / unit))
}

type Cell = fn(&Measured) -> String;

/// What a row tells besides its figure.
fn extra_column(figure: Figure, row: &Row) -> Option<(&'static str, Cell)> {
    match figure {
        Figure::Cpu => Some(("p99 ms", |entry| {
            entry.figure("/latency/p99_ms").map_or(String::new(), |(p99, ..)| number(p99))
        })),
        Figure::Memory => Some(("left", |entry| {
            let at = |place| entry.figure(place).map(|(value, ..)| value);
            let (start, idle, after) = (at("/memory/start"), at("/memory/idle"), at("/memory/after"));
            match (start, idle, after) {
                (Some(start), Some(idle), Some(after)) if idle > start => {
                    format!("{:.0} %", (after - start) / (idle - start) * 100.0)
                }
                _ => String::new(),
            }
        })),
        Figure::Deliveries => {
            Some(("us of CPU a delivery · cores 0.5 s after · ms to a new connection", |entry| {
                let at = |place| entry.figure(place).map_or("-".to_owned(), |(value, ..)| number(value));
                format!(
                    "{} · {} · {}",
                    at("/cpu/us_per_delivery"),
                    at("/cpu/cores_after"),
                    at("/ready_after_ms")
                )
            }))
        }
        Figure::P99 if row.name == "latency" => Some(("p50 ms", |entry| {
            entry.figure("/latency/p50_ms").map_or(String::new(), |(p50, ..)| number(p50))
        })),
        Figure::P99 | Figure::Accepted => None,
    }
}

fn aims(row: &Row, results: &Results, name: &str, median: f64) -> String {
    let other = |name: &str| {
        let entry = results.entries.iter().find(|entry| entry.name == name)?;
        figure(row, entry).map(|(median, ..)| median)
    };
    let told = row.aims.iter().filter(|(entry, _)| *entry == name).map(|(_, aim)| {
        let (text, met) = match *aim {
            Aim::UpTo(limit) => (format!("<= {limit}"), Some(median <= limit)),
            Aim::Over(limit) => (format!(">= {limit}"), Some(median >= limit)),
            Aim::UpToTimes(factor, than) => {
                (format!("<= {factor} x {than}"), other(than).map(|other| median <= factor * other))
            }
            Aim::TimesOver(factor, than) => {
                (format!(">= {factor} x {than}"), other(than).map(|other| median >= factor * other))
            }
            Aim::UpToMore(more, than) => {
                (format!("<= {than} + {more}"), other(than).map(|other| median <= other + more))
            }
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not comparable",
        };
        format!("{text}: {verdict}")
    });
    told.collect::<Vec<_>>().join("; ")
}

/// What readers of an entry missed, in words; none if nothing.
fn faults(entry: &Measured) -> Option<String> {
    let words = [
        ("/checks/lost", "deliveries lost"),
        ("/checks/repeated", "repeated"),
        ("/checks/disordered", "out of order"),
        ("/checks/misdelivered", "to the wrong reader"),
        ("/checks/closed", "readers cut off"),
        ("/stalls", "stalls"),
        ("/unsent", "publications held back"),
    ];
    let found: Vec<String> = words
        .iter()
        .map(|(place, word)| (entry.sum(place), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    (!found.is_empty()).then(|| format!("{}: {}", entry.name, found.join(", ")))
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.3}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::measured;
    use super::*;

    fn results(entries: Vec<Measured>) -> Results {
        let about =
            serde_json::json!({"rounds": 5, "load_before": 0.0, "machine": "m", "versions": [["a", "1"]]});
        Results { row: "eight_in_flight".into(), about, entries }
    }

    fn row() -> &'static Row {
        ROWS.iter().find(|row| row.name == "eight_in_flight").unwrap()
    }

    #[test]
    fn ratios_are_of_the_base_and_aims_say_whether_they_are_met() {
        let text = section(
            row(),
            &results(vec![
                measured("rawlimit", &[2.0]),
                measured("Fanfare", &[0.28]),
                measured("Bun", &[0.2]),
            ]),
        );
        assert!(text.contains("| Fanfare | 0.280 | 0.14 |"), "{text}");
        assert!(text.contains("<= 0.15 x rawlimit: met; <= 1 x Bun: **missed**"), "{text}");
        assert!(text.contains("once and in order"), "{text}");
    }

    #[test]
    fn who_did_not_run_is_named_with_the_reason_and_faults_are_told() {
        let mut gone = measured("Bun", &[]);
        gone.missing = Some("npm is not installed".into());
        let mut faulty = measured("ws", &[1.0]);
        faulty.reports[0]["checks"]["lost"] = 7.into();
        let text = section(row(), &results(vec![measured("rawlimit", &[2.0]), gone, faulty]));
        assert!(text.contains("| Bun | not run: npm is not installed |"), "{text}");
        assert!(text.contains("ws: 7 deliveries lost") && !text.contains("once and in order"), "{text}");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0.1234, 12.34, 1234567.0].map(number), ["0.123", "12.3", "1,234,567"]);
    }
}

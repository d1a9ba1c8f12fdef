//! What was measured, kept in `target/bench-rivals/results` so that rows can be measured one at a time.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// One row's measurements.
#[derive(Debug)]
pub struct Results {
    /// The row's name.
    pub row: String,
    /// Date, machine, versions, rounds.
    pub about: Value,
    /// By entry, in the row's order.
    pub entries: Vec<Measured>,
}

/// One entry's measurements.
#[derive(Debug)]
pub struct Measured {
    /// The entry's name.
    pub name: String,
    /// The load generator's command line.
    pub command: String,
    /// Its reports, one for each round.
    pub reports: Vec<Value>,
    /// Why there are none.
    pub missing: Option<String>,
}

impl Measured {
    /// The median of a figure over the rounds, and the least and the most.
    pub fn figure(&self, pointer: &str) -> Option<(f64, f64, f64)> {
        let mut values: Vec<f64> =
            self.reports.iter().filter_map(|report| report.pointer(pointer)?.as_f64()).collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some((median, least, most))
    }

    /// The sum of a count over the rounds.
    pub fn sum(&self, pointer: &str) -> u64 {
        self.reports.iter().filter_map(|report| report.pointer(pointer)?.as_u64()).sum()
    }
}

impl Results {
    /// Writes them.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&self, cache: &Path) -> Result<(), String> {
        let directory = cache.join("results");
        let entries: Vec<Value> = self
            .entries
            .iter()
            .map(|entry| {
                json!({"name": entry.name, "command": entry.command, "reports": entry.reports, "missing": entry.missing})
            })
            .collect();
        let value = json!({"row": self.row, "about": self.about, "entries": entries});
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(directory.join(format!("{}.json", self.row)), value.to_string()))
            .map_err(|error| format!("{}: {error}", directory.display()))
    }

    /// Reads those of a row; none if it was not measured.
    pub fn load(cache: &Path, row: &str) -> Option<Self> {
        let text = fs::read_to_string(cache.join("results").join(format!("{row}.json"))).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let entries = value.get("entries")?.as_array()?.iter().map(|entry| Measured {
            name: text(entry, "name").unwrap_or_default(),
            command: text(entry, "command").unwrap_or_default(),
            reports: entry.get("reports").and_then(Value::as_array).cloned().unwrap_or_default(),
            missing: text(entry, "missing"),
        });
        Some(Self { row: row.to_owned(), about: value.get("about")?.clone(), entries: entries.collect() })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An entry with one report for each value at `/cpu/us_per_delivery`.
    pub fn measured(name: &str, values: &[f64]) -> Measured {
        let reports = values
            .iter()
            .map(|value| json!({"cpu": {"us_per_delivery": value}, "checks": {"lost": 0, "repeated": 0, "disordered": 0}}))
            .collect();
        Measured { name: name.into(), command: "fanfare bench".into(), reports, missing: None }
    }

    #[test]
    fn the_median_counts_and_the_spread_is_known() {
        let place = "/cpu/us_per_delivery";
        assert_eq!(measured("a", &[3.0, 1.0, 9.0]).figure(place), Some((3.0, 1.0, 9.0)));
        assert_eq!(measured("a", &[4.0, 2.0]).figure(place), Some((3.0, 2.0, 4.0)));
        assert_eq!(measured("a", &[]).figure(place), None);
        assert_eq!(measured("a", &[1.0]).figure("/nothing"), None);
    }
}

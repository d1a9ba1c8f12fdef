//! Latencies: an HDR histogram of nanoseconds, its figures, and the files that plot it.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

/// One hour: longer latencies count as this.
const HIGHEST: u64 = 3_600_000_000_000;

/// Latencies of deliveries.
#[derive(Debug)]
pub struct Latencies {
    histogram: Option<Histogram<u64>>,
}

/// What a report says of them, in milliseconds.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// Deliveries whose latency is known.
    pub count: u64,
    /// Half are faster.
    pub p50_ms: f64,
    /// 99 % are faster.
    pub p99_ms: f64,
    /// 99.9 % are faster.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Arithmetic mean.
    pub mean_ms: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        // Three digits: a value is known to a thousandth of itself. The bounds are constants that the crate accepts.
        Self { histogram: Histogram::new_with_bounds(1000, HIGHEST, 3).ok() }
    }
}

impl Latencies {
    /// Takes one, in nanoseconds.
    #[inline]
    pub fn record(&mut self, nanoseconds: u64) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(nanoseconds);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        if let Some(histogram) = &mut self.histogram {
            histogram.reset();
        }
    }

    /// The figures.
    pub fn summary(&self) -> Summary {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Summary::default();
        };
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Summary {
            count: histogram.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(histogram.max()),
            mean_ms: histogram.mean() / 1e6,
        }
    }

    fn rows(&self) -> Vec<(f64, f64, u64)> {
        let Some(histogram) = &self.histogram else { return Vec::new() };
        let mut total = 0;
        let steps = histogram.iter_quantiles(5);
        steps
            .map(|step| {
                total += step.count_since_last_iteration();
                (ms(step.value_iterated_to()), step.quantile_iterated_to(), total)
            })
            .collect()
    }

    /// The percentile distribution as HdrHistogram's plotter reads it (`.hgrm`), in milliseconds.
    pub fn hgrm(&self) -> String {
        let mut text = format!(
            "{:>12} {:>14} {:>10} {:>14}\n\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        );
        for (value, quantile, total) in self.rows() {
            let _ = write!(text, "{value:>12.3} {quantile:>14.12} {total:>10}");
            if quantile < 1.0 {
                let _ = write!(text, " {:>14.2}", 1.0 / (1.0 - quantile));
            }
            text.push('\n');
        }
        if let Some(histogram) = &self.histogram {
            let _ = writeln!(
                text,
                "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n#[Max     = {:>12.3}, Total count    = {:>12}]\n\
                 #[Buckets = {:>12}, SubBuckets     = {:>12}]",
                histogram.mean() / 1e6,
                histogram.stdev() / 1e6,
                ms(histogram.max()),
                histogram.len(),
                histogram.buckets(),
                2048,
            );
        }
        text
    }

    /// The same as comma-separated values with a header.
    pub fn csv(&self) -> String {
        let mut text = String::from("latency_ms,quantile,total_count\n");
        for (value, quantile, total) in self.rows() {
            let _ = writeln!(text, "{value:.6},{quantile:.9},{total}");
        }
        text
    }
}

fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut latencies = Latencies::default();
        for n in 1..=1000_u64 {
            latencies.record(n * 1_000_000);
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 1000);
        for (found, expected) in [
            (summary.p50_ms, 500.0),
            (summary.p99_ms, 990.0),
            (summary.p999_ms, 999.0),
            (summary.max_ms, 1000.0),
        ] {
            assert!((found / expected - 1.0).abs() < 0.002, "{found} for {expected}");
        }
    }

    #[test]
    fn a_value_beyond_the_range_is_kept_at_its_end() {
        let mut latencies = Latencies::default();
        latencies.record(u64::MAX);
        assert!(latencies.summary().max_ms > 3_500_000.0);
    }

    #[test]
    fn plots_rise_and_end_with_everything() {
        let mut latencies = Latencies::default();
        for n in 0..10_000_u64 {
            latencies.record(1_000 + n * n);
        }
        let csv = latencies.csv();
        let rows: Vec<Vec<f64>> = csv
            .lines()
            .skip(1)
            .map(|line| line.split(',').map(|field| field.parse().unwrap()).collect())
            .collect();
        assert!(
            rows.len() > 20
                && rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][2] <= pair[1][2])
        );
        assert_eq!(rows.last().unwrap()[2], 10_000.0);
        let hgrm = latencies.hgrm();
        assert!(hgrm.contains("1.000000000000") && hgrm.contains("Total count    =        10000"), "{hgrm}");
    }
}

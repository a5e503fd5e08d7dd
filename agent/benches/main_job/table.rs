//! The one table that is printed.

use std::fmt;

/// What was measured, in one unit.
#[derive(Debug)]
pub(crate) struct Samples {
    unit: &'static str,
    values: Vec<f64>,
}

impl Samples {
    pub(crate) const fn new(unit: &'static str) -> Self {
        Self { unit, values: Vec::new() }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The smallest value that so many percent of all are not above.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values[(values.len() * percent).div_ceil(100).max(1) - 1]
    }

    fn shown(&self, value: f64) -> String {
        format!("{value:.2} {}", self.unit)
    }
}

/// Rows of: what, its median, its 99th percentile, and whether that was to be reached.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 5]>,
}

impl Table {
    /// A row of what was measured.
    pub(crate) fn row(&mut self, what: &str, samples: &Samples) {
        let p99 = samples.shown(samples.percentile(99));
        let runs = samples.values.len().to_string();
        self.rows.push([what.into(), runs, samples.shown(samples.median()), p99, String::new()]);
    }

    /// A row of what was to be reached, and was or was not.
    pub(crate) fn reach(&mut self, what: &str, value: &str, reached: bool) {
        let reached = if reached { "reached" } else { "NOT REACHED" };
        self.rows.push([what.into(), String::new(), value.into(), String::new(), reached.into()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {:<50} | {:>4} | {:>9} | {:>9} | {:<11} |", "", "runs", "median", "p99", "")?;
        writeln!(f, "|-{:-<50}-|-{:->4}:|-{:->9}:|-{:->9}:|-{:-<11}-|", "", "", "", "", "")?;
        for [what, runs, median, p99, reached] in &self.rows {
            writeln!(f, "| {what:<50} | {runs:>4} | {median:>9} | {p99:>9} | {reached:<11} |")?;
        }
        Ok(())
    }
}

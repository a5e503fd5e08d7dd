//! The log: lines for a person, or JSON for a machine, on the standard error.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use clap::ValueEnum;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text, in colour on a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

/// Which lines are logged: a level, or a list of `module=level`.
#[derive(Clone, Debug)]
pub struct LogLevels(Targets);

impl FromStr for LogLevels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Else a slip of the pen would be the name of a module, and nothing would be logged.
        let is_slip = |part: &&str| !part.contains('=') && part.parse::<LevelFilter>().is_err();
        if let Some(word) = text.split(',').map(str::trim).find(is_slip) {
            return Err(format!(
                "{word:?} is no level: write error, warn, info, debug, trace or off, or module=level"
            ));
        }
        text.parse().map(Self).map_err(|error: ParseError| error.to_string())
    }
}

/// Starts logging. Later calls do nothing: the first one decides.
pub fn init(levels: &LogLevels, format: LogFormat) {
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = match format {
        LogFormat::Human => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    let started = tracing_subscriber::registry().with(layer.with_filter(levels.0.clone())).try_init();
    if started.is_err() {
        tracing::debug!("Logging was started before.");
    }
}

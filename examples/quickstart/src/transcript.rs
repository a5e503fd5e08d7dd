//! The transcript: what a person reads.
//!
//! Boundary: knows only how lines look. Colour and the moving line of progress are for terminals alone.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::sighting::Plugin;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const RESET: &str = "\x1b[0m";
/// Back to the line's begin, and clear it.
const CLEAR_LINE: &str = "\r\x1b[2K";
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];
/// Longer details are cut, so that a line stays a line.
const DETAIL_MAX: usize = 96;

/// The transcript so far; writing to it fails when its reader is gone.
pub(crate) struct Transcript<W> {
    out: W,
    start: Instant,
    terminal: bool,
    color: bool,
    turn: usize,
}

impl Transcript<io::Stdout> {
    /// Writes to standard output; the clock starts now. `NO_COLOR` is respected.
    pub(crate) fn to_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out: io::stdout(), start: Instant::now(), terminal, color, turn: 0 }
    }
}

impl<W: Write> Transcript<W> {
    /// A headline.
    pub(crate) fn title(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint(BOLD, text);
        self.line(&format!("\n{text}\n"))
    }

    /// Something that happened now.
    pub(crate) fn event(&mut self, text: &str) -> io::Result<()> {
        let time = self.time();
        self.line(&format!("{time}  {text}"))
    }

    /// The check's new state, as Consul tells it.
    pub(crate) fn state(&mut self, status: &str, detail: &str) -> io::Result<()> {
        let status = self.paint(if status == "passing" { GREEN } else { RED }, status);
        let (time, detail) = (self.time(), self.paint(DIM, &cut(detail)));
        self.line(&format!("{time}  Consul: web is {status}  {detail}"))
    }

    /// What a plugin did now.
    pub(crate) fn deed(&mut self, plugin: Plugin, detail: &str) -> io::Result<()> {
        let time = self.time();
        self.line(&format!("{time}      {plugin:<9}{}", cut(detail)))
    }

    /// A line without a time.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        self.line(text)
    }

    /// On a terminal: what is being waited for, in a line that the next one replaces.
    pub(crate) fn waiting(&mut self, what: &str) -> io::Result<()> {
        if !self.terminal {
            return Ok(());
        }
        self.turn = (self.turn + 1) % SPINNER.len();
        let text = format!("{}  {} {what}", self.time(), SPINNER[self.turn]);
        let text = self.paint(DIM, &text);
        write!(self.out, "{CLEAR_LINE}{text}")?;
        self.out.flush()
    }

    /// How long it all took so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn time(&self) -> String {
        format!("{:6.2} s", self.start.elapsed().as_secs_f64())
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.color { format!("{style}{text}{RESET}") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let clear = if self.terminal { CLEAR_LINE } else { "" };
        writeln!(self.out, "{clear}{text}")?;
        self.out.flush()
    }
}

/// One line of bounded length, without control characters: some of it was written by others.
fn cut(text: &str) -> String {
    let mut clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = clean.by_ref().take(DETAIL_MAX).collect();
    if clean.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(terminal: bool, color: bool) -> String {
        let (out, start) = (Vec::new(), Instant::now());
        let mut transcript = Transcript { out, start, terminal, color, turn: 0 };
        transcript.event("The web server stops").unwrap();
        tokio::time::advance(Duration::from_millis(1500)).await;
        transcript.waiting("waiting for Consul").unwrap();
        transcript.state("critical", "connection\nrefused").unwrap();
        transcript.deed(Plugin::Email, "to ops@example.com").unwrap();
        String::from_utf8(transcript.out).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_sees_plain_lines() {
        let want = "  0.00 s  The web server stops\n\
                    \x20 1.50 s  Consul: web is critical  connection refused\n\
                    \x20 1.50 s      email    to ops@example.com\n";
        assert_eq!(written(false, false).await, want);
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_sees_colour_and_progress() {
        let text = written(true, true).await;
        assert!(text.contains(&format!("Consul: web is {RED}critical{RESET}")), "{text:?}");
        assert!(text.contains("waiting for Consul"), "{text:?}");
    }

    #[test]
    fn a_long_detail_is_cut() {
        assert_eq!(cut(&"x".repeat(DETAIL_MAX)).chars().count(), DETAIL_MAX);
        assert!(cut(&"x".repeat(DETAIL_MAX + 1)).ends_with('…'));
    }
}

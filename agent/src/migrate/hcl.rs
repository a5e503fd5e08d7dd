//! HCL as Consul reads it: the first version of the language, of which the libraries of today read another one.
//!
//! In it commas and line breaks between settings may be missing, any key may be in quotes, a key that comes again makes
//! a list, and `%{` and `${` in a text are letters like others.
//! Source: the specification in the README of github.com/hashicorp/hcl, branch `hcl1`, and its scanner.
//!
//! Boundary: text to a tree of JSON. Invariant: no text makes this panic or recurse deeper than `DEPTH_MAX`.

use serde_json::{Map, Value};

/// Objects and lists in each other, at most.
const DEPTH_MAX: usize = 32;

/// Reads the settings of a file. The error says in which line what is wrong.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, String> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.settings(None)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        self.peek() == Some(wanted) && self.take().is_some()
    }

    fn wrong<T>(&self, right: &str) -> Result<T, String> {
        let line = self.text[..self.at].split('\n').count();
        let found = self.peek().map_or("the end".to_owned(), |found| format!("{found:?}"));
        Err(format!("line {line}: found {found}; right is {right}"))
    }

    /// Skips spaces, line breaks, comments, and where they only part settings, commas.
    fn skip(&mut self, commas: bool) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let next = rest.trim_start_matches(|c: char| c.is_whitespace() || commas && c == ',');
            self.at += rest.len() - next.len();
            if next.starts_with('#') || next.starts_with("//") {
                self.at += next.find('\n').unwrap_or(next.len());
            } else if let Some(comment) = next.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else { return self.wrong("a comment that ends with */") };
                self.at += end + 4;
            } else {
                return Ok(());
            }
        }
    }

    /// Settings up to `end`, or up to the end of the file.
    fn settings(&mut self, end: Option<char>) -> Result<Map<String, Value>, String> {
        let mut settings = Map::new();
        loop {
            self.skip(true)?;
            if self.peek() == end {
                self.take();
                return Ok(settings);
            }
            let key = self.key()?;
            let value = self.after_key()?;
            add(&mut settings, key, value);
        }
    }

    fn key(&mut self) -> Result<String, String> {
        if self.peek() == Some('"') {
            return self.string();
        }
        let fits = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let length = self.rest().find(|c| !fits(c)).unwrap_or(self.rest().len());
        if length == 0 {
            return self.wrong("a name");
        }
        let key = self.rest()[..length].to_owned();
        self.at += length;
        Ok(key)
    }

    /// What a key stands for: `= value`, `{ settings }`, or more keys before one of them.
    fn after_key(&mut self) -> Result<Value, String> {
        let mut labels = Vec::new();
        let mut value = loop {
            self.skip(false)?;
            if self.take_if('=') {
                self.skip(false)?;
                break self.value()?;
            }
            if self.take_if('{') {
                break Value::Object(self.inside(|reader| reader.settings(Some('}')))?);
            }
            match self.peek() {
                Some(c) if c == '"' || c.is_alphanumeric() => labels.push(self.key()?),
                _ => return self.wrong("`=` or `{`"),
            }
        };
        for label in labels.into_iter().rev() {
            value = Value::Object(Map::from_iter([(label, value)]));
        }
        Ok(value)
    }

    fn inside<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.wrong("less in each other");
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.peek() {
            Some('"') => self.string().map(Value::String),
            Some('<') => self.heredoc().map(Value::String),
            Some('[') => self.inside(Self::list),
            Some('{') => {
                self.take();
                self.inside(|reader| reader.settings(Some('}'))).map(Value::Object)
            }
            _ => self.word(),
        }
    }

    fn list(&mut self) -> Result<Value, String> {
        self.take();
        let mut all = Vec::new();
        loop {
            self.skip(false)?;
            if self.take_if(']') {
                return Ok(Value::Array(all));
            }
            all.push(self.value()?);
            self.skip(false)?;
            if !self.take_if(',') && self.peek() != Some(']') {
                return self.wrong("`,` or `]`");
            }
        }
    }

    /// `true`, `false` or a number.
    fn word(&mut self) -> Result<Value, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
        let length = self.rest().find(|c| !fits(c)).unwrap_or(self.rest().len());
        let word = &self.rest()[..length];
        let whole = word.parse::<i64>().ok().map(Value::from);
        let value = match word {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            number => whole.or_else(|| number.parse::<f64>().ok().map(Value::from)),
        };
        let Some(value) = value.filter(|_| length > 0) else {
            return self.wrong("a text in quotes, a number, true, false, a list or an object");
        };
        self.at += length;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, String> {
        self.take();
        let mut text = String::new();
        loop {
            if self.rest().starts_with("${") {
                self.interpolation(&mut text)?;
                continue;
            }
            match self.peek() {
                None | Some('\n') => return self.wrong("a text that ends with quotes on the same line"),
                Some('"') => {
                    self.take();
                    return Ok(text);
                }
                Some('\\') => text.push(self.escape()?),
                Some(other) => {
                    self.take();
                    text.push(other);
                }
            }
        }
    }

    /// `${…}` is kept as it stands, with the quotes that are in it.
    fn interpolation(&mut self, text: &mut String) -> Result<(), String> {
        let mut open = 0_usize;
        while let Some(next) = self.take() {
            text.push(next);
            match next {
                '{' => open += 1,
                '}' if open == 1 => return Ok(()),
                '}' => open -= 1,
                _ => {}
            }
        }
        self.wrong("`}` for each `${`")
    }

    /// Go's escapes.
    fn escape(&mut self) -> Result<char, String> {
        self.take();
        let letter = self.peek();
        let (digits, base) = match letter {
            Some('x') => (2, 16),
            Some('u') => (4, 16),
            Some('U') => (8, 16),
            Some('0'..='7') => (3, 8),
            _ => {
                let known = [
                    ('a', '\u{7}'),
                    ('b', '\u{8}'),
                    ('f', '\u{c}'),
                    ('n', '\n'),
                    ('r', '\r'),
                    ('t', '\t'),
                    ('v', '\u{b}'),
                ];
                let named = known.iter().find(|(name, _)| Some(*name) == letter).map(|(_, meant)| *meant);
                let itself = letter.filter(|letter| ['\\', '"', '\''].contains(letter));
                let Some(meant) = named.or(itself) else {
                    return self.wrong("an escape, such as \\n or \\\"");
                };
                self.take();
                return Ok(meant);
            }
        };
        if base == 16 {
            self.take();
        }
        let code = self.rest().get(..digits).and_then(|code| u32::from_str_radix(code, base).ok());
        let Some(meant) = code.and_then(char::from_u32) else {
            return self.wrong("the digits of a character");
        };
        self.at += digits;
        Ok(meant)
    }

    /// Lines up to one that is the mark; after `<<-`, without the spaces that are before the mark.
    fn heredoc(&mut self) -> Result<String, String> {
        let Some((first, lines)) = self.rest().split_once('\n') else {
            return self.wrong("<<MARK and lines");
        };
        let Some(mark) = first.trim_end().strip_prefix("<<") else { return self.wrong("<<MARK and lines") };
        let (indented, mark) = mark.strip_prefix('-').map_or((false, mark), |mark| (true, mark));
        let is_end = |line: &str| if indented { line.trim() == mark } else { line.trim_end() == mark };
        let mut length = 0;
        for line in lines.split_inclusive('\n') {
            if !mark.is_empty() && is_end(line) {
                let text = &lines[..length];
                let indent = &line[..line.len() - line.trim_start().len()];
                let strip = indented && text.split_inclusive('\n').all(|line| line.starts_with(indent));
                let skipped = if strip { indent.len() } else { 0 };
                let text = text.split_inclusive('\n').map(|line| &line[skipped..]).collect();
                self.at += first.len() + 1 + length + line.trim_end().len();
                return Ok(text);
            }
            length += line.len();
        }
        self.wrong("a line that is the mark after <<")
    }
}

/// A key that comes again makes a list.
fn add(settings: &mut Map<String, Value>, key: String, value: Value) {
    match settings.get_mut(&key) {
        None => drop(settings.insert(key, value)),
        Some(Value::Array(all)) => all.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Value) {
        assert_eq!(read(text).map(Value::Object), Ok(want), "{text}");
    }

    #[test]
    fn what_consul_reads_is_read() {
        check(
            "a = 1\nb = \"x\" // why\nc = true # so\n/* d = 2\n */",
            json!({ "a": 1, "b": "x", "c": true }),
        );
        check(
            "\"watches\" = [{ type = \"a\" key = \"b\" }, { x = -1.5 },]",
            json!({ "watches": [
            { "type": "a", "key": "b" }, { "x": -1.5 } ] }),
        );
        check(
            "watches { type = \"a\" }\nwatches { type = \"b\" }",
            json!({ "watches": [
            { "type": "a" }, { "type": "b" } ] }),
        );
        check("service \"web\" { port = 80 }", json!({ "service": { "web": { "port": 80 } } }));
        check(
            r#"a = "curl -w '%{http_code}' ${HOME} \"q\" \u00fc\x41\101\n""#,
            json!({
            "a": "curl -w '%{http_code}' ${HOME} \"q\" üAA\n" }),
        );
        check(r#"a = "${file("x")}""#, json!({ "a": "${file(\"x\")}" }));
        check("a = <<EOF\n one\n  two\nEOF\nb = 1", json!({ "a": " one\n  two\n", "b": 1 }));
        check("a = <<-EOF\n  one\n    two\n  EOF\n", json!({ "a": "one\n  two\n" }));
        check("", json!({}));
    }

    #[track_caller]
    fn check_wrong(text: &str, want: &str) {
        assert_eq!(read(text).unwrap_err(), want, "{text}");
    }

    #[test]
    fn what_consul_refuses_is_told_with_its_line() {
        check_wrong(
            "a = 1\nb = = 2",
            "line 2: found '='; right is a text in quotes, a number, true, false, a list or an object",
        );
        check_wrong(
            "a = \"x\n\"",
            "line 1: found '\\n'; right is a text that ends with quotes on the same line",
        );
        check_wrong("a { b = 1", "line 1: found the end; right is a name");
        check_wrong("a = [1 2]", "line 1: found '2'; right is `,` or `]`");
        check_wrong("a", "line 1: found the end; right is `=` or `{`");
        check_wrong("a = \"\\q\"", "line 1: found 'q'; right is an escape, such as \\n or \\\"");
        check_wrong("a = <<EOF\nx", "line 1: found '<'; right is a line that is the mark after <<");
        assert!(read(&"a = [".repeat(3)).is_err());
        assert!(read(&format!("a = {}", "[".repeat(100_000))).unwrap_err().ends_with("less in each other"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"([a-z]|[ \n"\\={}\[\],<#/*$%0-9ü]|<<-?EOF\n|EOF|\$\{|\\u00){0,40}"#) {
            drop(read(&text));
        }
    }
}

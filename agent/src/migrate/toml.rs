//! TOML as a person would write it.

/// A text in quotes. JSON's escapes are TOML's too, but for one character that JSON leaves alone.
pub(crate) fn quote(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.replace('\u{7f}', "\\u007F")
}

/// A list of texts.
pub(super) fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// A table on one line.
pub(crate) fn inline<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let written: Vec<_> =
        pairs.into_iter().map(|(key, value)| format!("{} = {value}", self::key(key))).collect();
    format!("{{ {} }}", written.join(", "))
}

/// A table with a heading.
pub(super) fn table<'a>(heading: &str, pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let lines = pairs.into_iter().map(|(name, value)| format!("{} = {value}\n", key(name)));
    format!("{heading}\n{}", lines.collect::<String>())
}

/// The name of a key, in quotes where it needs them.
pub(crate) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quote(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["", "a\"b\\c", "tab\t, line\n, bell\u{7}, delete\u{7f}, \u{fc}"] {
            let table = table(
                "[t]",
                [("a b", quote(text)), ("list", list([text])), ("in", inline([("x", quote(text))]))],
            );
            let read: ::toml::Table = ::toml::from_str(&table).unwrap();
            let value = ::toml::Value::from(text);
            assert_eq!(read["t"]["a b"], value);
            assert_eq!(read["t"]["list"][0], value);
            assert_eq!(read["t"]["in"]["x"], value);
        }
    }
}

//! The options of a watch of Consul.

use serde_json::{Map, Value};

/// What a watch says, as far as it was not read yet.
pub(super) struct Options {
    pub(super) all: Map<String, Value>,
    /// What is other than it was.
    pub(super) notes: Vec<String>,
}

impl Options {
    pub(super) fn new(all: Map<String, Value>) -> Self {
        Self { all, notes: Vec::new() }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.all.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{name}` is {other}, and not a text")),
        }
    }

    pub(super) fn required(&mut self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("it has no `{name}`"))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.all.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(format!("`{name}` is {other}, and neither true nor false")),
        }
    }

    /// A list of texts, or one.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        let texts = match self.all.remove(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(texts)) => texts,
            Some(one) => vec![one],
        };
        let text = |text| match text {
            Value::String(text) => Ok(text),
            other => Err(format!("`{name}` has {other} in it, and takes texts")),
        };
        texts.into_iter().map(text).collect()
    }

    pub(super) fn table(&mut self, name: &str) -> Result<Option<Self>, String> {
        let found = match self.all.remove(name) {
            None => return Ok(None),
            Some(Value::Array(mut one)) if one.len() == 1 => one.remove(0),
            Some(other) => other,
        };
        match found {
            Value::Object(all) => Ok(Some(Self::new(all))),
            other => Err(format!("`{name}` is {other}, and not a table")),
        }
    }
}

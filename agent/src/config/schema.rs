//! The configuration as JSON Schema, for editors: what `keys` say, in their words.
//!
//! Draft 7, which the TOML language servers understand. Each table is written out where it is; only the patterns of the
//! many attributes are not.

use serde_json::{Map, Value, json};

use super::keys::{KEYS, Key, Kind, NAME, PATTERN, Tagged, Unwritten};
use super::receivers::BUNDLED;
use crate::rules::Attribute;

/// The attributes that are no fixed names.
const METADATA: &str = "^((node|service)_meta|(old_)?value)\\..";

/// The schema of one configuration file.
pub fn schema() -> Value {
    let mut schema = table(KEYS);
    // A file may hold a part of the configuration.
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    let fields = json!({ "type": "object", "additionalProperties": { "$ref": "#/definitions/fields" } });
    let fields = json!({ "anyOf": [{ "$ref": "#/definitions/pattern" }, fields] });
    schema["definitions"] = json!({ "pattern": kind(&PATTERN), "fields": fields });
    schema["title"] = "Lictor's configuration".into();
    schema
}

fn table(keys: &[Key]) -> Value {
    let required = keys.iter().filter(|key| matches!(key.unwritten, Unwritten::Required));
    let required: Vec<_> = required.map(|key| key.name).collect();
    let mut schema =
        json!({ "type": "object", "additionalProperties": false, "properties": properties(keys) });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn properties<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Map<String, Value> {
    keys.into_iter().map(|key| (key.name.to_owned(), property(key))).collect()
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    let by_default = match key.unwritten {
        Unwritten::Nothing(then) => format!(" Default: {then}."),
        _ => String::new(),
    };
    schema["description"] = format!("{}{by_default}", key.doc).into();
    match key.unwritten {
        Unwritten::Text(text) => schema["default"] = text.into(),
        Unwritten::Flag(flag) => schema["default"] = flag.into(),
        Unwritten::Number(number) => schema["default"] = number.into(),
        Unwritten::Texts(texts) => schema["default"] = texts.into(),
        _ => {}
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    let formed = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match kind {
        Kind::Text | Kind::Secret | Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::AnyText => json!({ "type": "string" }),
        Kind::Formed(pattern) => formed(pattern),
        Kind::Words(words) => json!({ "type": "string", "enum": words() }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number(range) => json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() }),
        Kind::Float => json!({ "type": "number" }),
        Kind::Duration => formed("^[0-9]+(ms|s|m|h|d)$"),
        Kind::Size => formed("^[0-9]+(B|KiB|MiB|GiB)$"),
        Kind::Plugin => {
            json!({ "type": "string", "anyOf": [{ "enum": BUNDLED }, { "pattern": "/|\\.wasm$" }] })
        }
        Kind::List(item) => json!({ "type": "array", "items": self::kind(item) }),
        Kind::Some(item) => json!({ "type": "array", "items": self::kind(item), "minItems": 1 }),
        Kind::Any(kinds) => json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>() }),
        Kind::Table(keys) => table(keys),
        Kind::Defaults(keys) => {
            let mut properties = properties(*keys);
            for key in keys.iter().filter(|key| matches!(key.unwritten, Unwritten::Required)) {
                properties[key.name] = Value::Bool(false);
            }
            json!({ "type": "object", "additionalProperties": false, "properties": properties })
        }
        Kind::Choice(keys) => json!({
            "type": "object", "additionalProperties": false, "properties": properties(*keys),
            "minProperties": 1, "maxProperties": 1,
        }),
        Kind::Tagged(tagged) => self::tagged(tagged),
        Kind::Map(value) => json!({ "type": "object", "additionalProperties": self::kind(value) }),
        Kind::Named(value) => json!({
            "type": "object", "additionalProperties": self::kind(value), "propertyNames": self::kind(&NAME),
        }),
        Kind::Attribute => {
            json!({ "anyOf": [{ "enum": Attribute::NAMES.as_slice() }, { "pattern": METADATA }] })
        }
        Kind::Attributes => attributes(),
        Kind::Free => json!({ "type": "object" }),
    }
}

/// All keys of all words, and for each word which of them it has not.
fn tagged(tagged: &Tagged) -> Value {
    let words: Vec<_> = tagged.words.iter().map(|(word, _)| *word).collect();
    let own = || tagged.words.iter().flat_map(|(_, keys)| *keys);
    let mut properties = properties(own().chain(tagged.common));
    properties.insert(tagged.tag.to_owned(), json!({ "enum": words, "description": tagged.doc }));
    let each = tagged.words.iter().map(|(word, keys)| {
        let has = |name: &str| keys.iter().any(|key| key.name == name);
        let foreign: Map<_, _> =
            own().filter(|key| !has(key.name)).map(|key| (key.name.to_owned(), Value::Bool(false))).collect();
        let required = keys.iter().filter(|key| matches!(key.unwritten, Unwritten::Required));
        let required: Vec<_> = required.map(|key| key.name).collect();
        json!({
            "if": { "required": [tagged.tag], "properties": { tagged.tag: { "const": word } } },
            "then": { "properties": foreign, "required": required },
        })
    });
    json!({
        "type": "object", "additionalProperties": false, "properties": properties, "required": [tagged.tag],
        "allOf": each.collect::<Vec<_>>(),
    })
}

fn attributes() -> Value {
    let pattern = || json!({ "$ref": "#/definitions/pattern" });
    let table = || json!({ "type": "object", "additionalProperties": pattern() });
    let named = Attribute::NAMES.iter().map(|name| ((*name).to_owned(), pattern()));
    let fields = || json!({ "$ref": "#/definitions/fields" });
    let tables = ["node_meta", "service_meta"].map(|name| (name.to_owned(), table()));
    let values = ["value", "old_value"].map(|name| (name.to_owned(), fields()));
    let properties: Map<_, _> = named.chain(tables).chain(values).collect();
    json!({
        "type": "object", "additionalProperties": false, "properties": properties,
        "patternProperties": { METADATA: pattern() },
    })
}

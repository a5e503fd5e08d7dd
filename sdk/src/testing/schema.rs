//! Is the schema in a plugin's description true?
//!
//! Boundary: the part of JSON Schema that configurations are described with. What it does not know, such as `pattern`, it
//! does not hold anything against.

use serde_json::{Map, Value};

use crate::{Plugin, plugin};

/// The types that JSON Schema knows.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Whether the plugin takes a configuration, and else why not.
type Parses<'a> = &'a dyn Fn(&Value) -> Result<(), String>;

/// Compares the schema in a plugin's description with the configuration that it parses: `config` sets every field, each
/// field is in the schema, has a type there that fits, is there required exactly if the plugin cannot do without it, and no
/// other field is taken. What the schema has for defaults and for the words of an `enum` the plugin takes, too. Says what
/// differs.
pub fn check_schema<P: Plugin>(config: &Value) -> Result<(), String> {
    let schema = P::describe().config_schema;
    let schema = serde_json::from_str(&schema).map_err(|error| format!("the schema is no JSON: {error}"))?;
    check(&schema, config, &|config| plugin::parse::<P::Config>(&config.to_string()).map(drop))
}

fn check(schema: &Value, config: &Value, parses: Parses<'_>) -> Result<(), String> {
    let fields = config.as_object().ok_or("the configuration is no object")?;
    parses(config).map_err(|error| format!("the configuration does not parse: {error}"))?;
    if schema["type"] != "object" {
        return Err(format!("the schema's type is {}, and must be \"object\"", schema["type"]));
    }
    let properties = schema["properties"].as_object().ok_or("the schema has no properties")?;
    if !properties.keys().eq(fields.keys()) {
        let (named, set): (Vec<_>, Vec<_>) = (properties.keys().collect(), fields.keys().collect());
        return Err(format!("the schema names {named:?}, the configuration sets {set:?}"));
    }
    let is_named = |name: &&Value| name.as_str().is_some_and(|name| properties.contains_key(name));
    if let Some(name) = schema["required"].as_array().into_iter().flatten().find(|name| !is_named(name)) {
        return Err(format!("the schema requires {name}, and does not name it"));
    }
    is_sound("the schema", schema)?;
    fits("the configuration", schema, config)?;
    for (field, property) in properties {
        check_field(schema, fields, (field, property), parses)?;
    }
    let mut more = fields.clone();
    more.insert("no-such-field".into(), Value::Null);
    if parses(&Value::Object(more)).is_ok() || schema["additionalProperties"] != Value::Bool(false) {
        return Err("an unknown field must be refused by schema and plugin".into());
    }
    Ok(())
}

/// Whether the plugin needs it just if the schema says so, and takes what the schema offers for it.
fn check_field(
    schema: &Value,
    fields: &Map<String, Value>,
    (field, property): (&str, &Value),
    parses: Parses<'_>,
) -> Result<(), String> {
    let mut without = fields.clone();
    without.remove(field);
    let needed = parses(&Value::Object(without)).is_err();
    let required = schema["required"].as_array().is_some_and(|names| names.contains(&field.into()));
    if needed != required {
        return Err(format!("{field}: required is {required} in the schema, {needed} in truth"));
    }
    for offered in property["enum"].as_array().into_iter().flatten().chain(property.get("default")) {
        let mut with = fields.clone();
        with.insert(field.into(), offered.clone());
        parses(&Value::Object(with))
            .map_err(|error| format!("{field}: the schema offers {offered}, and the plugin says: {error}"))?;
    }
    Ok(())
}

/// Whether it is a schema, with all that is below it.
fn is_sound(at: &str, schema: &Value) -> Result<(), String> {
    let members = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(members) => members,
        other => return Err(format!("{at}: {other} is no schema")),
    };
    if let Some(unknown) = types(schema).find(|name| !TYPES.iter().any(|known| *name == known)) {
        return Err(format!("{at}: the type {unknown} is none of {}", TYPES.join(", ")));
    }
    if let Some(default) = members.get("default") {
        fits(&format!("{at}: the default"), schema, default)?;
    }
    for (name, property) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
        is_sound(name, property)?;
    }
    for word in ["items", "additionalProperties"] {
        members.get(word).map_or(Ok(()), |below| is_sound(&format!("{at}: {word}"), below))?;
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        let below = members.get(word).and_then(Value::as_array);
        below.into_iter().flatten().try_for_each(|below| is_sound(&format!("{at}: {word}"), below))?;
    }
    Ok(())
}

/// The names of its types; none where it takes all.
fn types(schema: &Value) -> impl Iterator<Item = &Value> {
    let named = &schema["type"];
    let several = named.as_array().into_iter().flatten();
    several.chain(Some(named).filter(|named| !named.is_array() && !named.is_null()))
}

/// Whether a schema takes a value.
fn fits(at: &str, schema: &Value, value: &Value) -> Result<(), String> {
    let wrong = |why: String| Err(format!("{at}: the schema {why}, and this is {value}"));
    if types(schema).next().is_some() && !types(schema).any(|name| is_of(name, value)) {
        return wrong(format!("says {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return wrong(format!("says one of {}", schema["enum"]));
    }
    let ways = |word: &str| schema[word].as_array().map(Vec::as_slice).unwrap_or_default();
    ways("allOf").iter().try_for_each(|way| fits(at, way, value))?;
    let takes = |way: &&Value| fits(at, way, value).is_ok();
    let (any, one) = (ways("anyOf"), ways("oneOf"));
    if (!any.is_empty() && !any.iter().any(|way| takes(&way)))
        || (!one.is_empty() && one.iter().filter(takes).count() != 1)
    {
        return wrong("has no way that fits".into());
    }
    match value {
        Value::Array(items) => items.iter().enumerate().try_for_each(|(number, item)| {
            schema.get("items").map_or(Ok(()), |items| fits(&format!("{at}: item {number}"), items, item))
        }),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            let own = schema["properties"].get(name).or(schema.get("additionalProperties"));
            own.map_or(Ok(()), |own| match own {
                Value::Bool(false) => Err(format!("{at}: the schema takes no {name}")),
                own => fits(name, own, member),
            })
        }),
        _ => Ok(()),
    }
}

fn is_of(name: &Value, value: &Value) -> bool {
    match name.as_str() {
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it parses counts")]
    struct Config {
        url: String,
        #[serde(default)]
        tries: u8,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        mode: Option<Mode>,
        #[serde(default)]
        to: Vec<String>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        One,
        All,
    }

    fn truth() -> Value {
        json!({
            "type": "object",
            "properties": {
                "url": { "type": "string" },
                "tries": { "type": "integer", "default": 3 },
                "headers": { "type": "object", "additionalProperties": { "type": "string" }, "default": {} },
                "mode": { "enum": ["one", "all"] },
                "to": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "type": "null" }] } },
            },
            "required": ["url"],
            "additionalProperties": false,
        })
    }

    fn told(schema: &Value) -> Result<(), String> {
        let config =
            json!({ "url": "https://h/", "tries": 1, "headers": { "A": "b" }, "mode": "one", "to": ["x"] });
        check(schema, &config, &|config| plugin::parse::<Config>(&config.to_string()).map(drop))
    }

    /// With another value at this place the schema is true no more.
    #[track_caller]
    fn check_false(place: &str, value: Value, want: &str) {
        let mut schema = truth();
        *schema.pointer_mut(place).unwrap() = value;
        assert_eq!(told(&schema), Err(want.to_owned()));
    }

    #[test]
    fn a_true_schema_is_true() {
        assert_eq!(told(&truth()), Ok(()));
    }

    #[test]
    fn a_type_that_does_not_fit_is_told() {
        check_false("/type", "array".into(), "the schema's type is \"array\", and must be \"object\"");
        check_false(
            "/properties/url/type",
            "integer".into(),
            "url: the schema says \"integer\", and this is \"https://h/\"",
        );
        check_false(
            "/properties/url/type",
            json!(["null", "boolean"]),
            "url: the schema says [\"null\",\"boolean\"], and this is \"https://h/\"",
        );
        let types = "array, boolean, integer, null, number, object, string";
        let strange = format!("url: the type \"strnig\" is none of {types}");
        check_false("/properties/url/type", "strnig".into(), &strange);
        check_false("/properties/url/type", 7.into(), &format!("url: the type 7 is none of {types}"));
        check_false("/properties/url", "string".into(), "url: \"string\" is no schema");
        check_false(
            "/properties/headers/additionalProperties/type",
            "number".into(),
            "A: the schema says \"number\", and this is \"b\"",
        );
        check_false(
            "/properties/headers/additionalProperties",
            false.into(),
            "headers: the schema takes no A",
        );
        check_false(
            "/properties/to/items/anyOf/0/type",
            "object".into(),
            "to: item 0: the schema has no way that fits, and this is \"x\"",
        );
    }

    #[test]
    fn what_the_schema_offers_is_taken() {
        check_false(
            "/properties/tries/default",
            "3".into(),
            "tries: the default: the schema says \"integer\", and this is \"3\"",
        );
        let error = "tries: invalid value: integer `300`, expected u8";
        let want = format!("tries: the schema offers 300, and the plugin says: {error}");
        check_false("/properties/tries/default", 300.into(), &want);
        let error = "mode: unknown variant `none`, expected `one` or `all`";
        let want = format!("mode: the schema offers \"none\", and the plugin says: {error}");
        check_false("/properties/mode/enum", json!(["one", "none"]), &want);
        check_false(
            "/properties/mode/enum",
            json!(["all"]),
            "mode: the schema says one of [\"all\"], and this is \"one\"",
        );
    }

    #[test]
    fn what_is_required_and_what_is_unknown_is_told() {
        check_false("/required", json!([]), "url: required is false in the schema, true in truth");
        check_false("/required", json!(["url", "ulr"]), "the schema requires \"ulr\", and does not name it");
        check_false("/required", json!(["url", "to"]), "to: required is true in the schema, false in truth");
        check_false(
            "/additionalProperties",
            true.into(),
            "an unknown field must be refused by schema and plugin",
        );
    }
}

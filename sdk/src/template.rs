//! Texts that the operator writes, rendered for an event. The language is Jinja's (the crate `minijinja`).
//!
//! A template knows the event's `id`, `source`, `type`, `subject`, `time` and `data`, the delivery's `rule`,
//! `receiver`, `environment` and `node`, and `events`, the list of all events with the same attributes. Nothing
//! is escaped. A name that has no value is an error, also inside a condition: ask `is defined` first. A `null` in
//! `data` counts as absent.
//!
//! Filters: `default`, `first`, `indent`, `items`, `join`, `last`, `length`, `lower`, `replace`, `title`, `tojson`,
//! `trim`, `upper`. Tests: `defined`, `undefined`, `startingwith`, `endingwith`.
//!
//! A configuration's field can be a [`Template`]: then a template that cannot be parsed, or that names what no
//! event has, is refused together with the configuration.

use std::{borrow::Cow, error::Error, fmt};

use minijinja::{Environment, UndefinedBehavior, Value, context, filters, tests as is};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{Delivery, Event, Failure};

/// The names at the top of a template.
const NAMES: [&str; 11] =
    ["id", "source", "type", "subject", "time", "data", "rule", "receiver", "environment", "node", "events"];

/// A template. What comes from a configuration has had its syntax and names checked.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Template(Cow<'static, str>);

/// The text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TemplateError {}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(source: String) -> Result<Self, TemplateError> {
        let environment = environment();
        let parsed =
            environment.template_from_str(&source).map_err(|error| TemplateError(explain(&error)))?;
        let unknown = parsed
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| !NAMES.contains(&name.as_str()))
            .min();
        match unknown {
            None => Ok(Self(source.into())),
            Some(name) => {
                Err(TemplateError(format!("unknown name `{name}`, expected one of {}", NAMES.join(", "))))
            }
        }
    }
}

impl Template {
    /// A plugin's own default. It is not checked here, so render it in a test.
    pub const fn from_static(source: &'static str) -> Self {
        Self(Cow::Borrowed(source))
    }

    /// Renders it for one event of the delivery. What it names must be there: else the failure is permanent.
    pub fn render(&self, delivery: &Delivery, event: &Event) -> Result<String, Failure> {
        let values = attributes(event)?;
        let events = delivery.events.iter().map(attributes).collect::<Result<Vec<_>, _>>()?;
        let context = context! {
            rule => delivery.rule.as_str(),
            receiver => delivery.receiver.as_str(),
            environment => delivery.environment.as_str(),
            node => delivery.node.as_str(),
            events,
            ..values
        };
        environment()
            .render_str(&self.0, context)
            .map_err(|error| Failure::permanent(format!("template: {}", explain(&error))))
    }
}

/// Only the filters and tests that texts of events call for: all of minijinja's add a third to the component.
fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);

    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("indent", filters::indent);
    environment.add_filter("items", filters::items);
    environment.add_filter("join", filters::join);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("title", filters::title);
    environment.add_filter("tojson", filters::tojson);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);

    environment.add_test("defined", is::is_defined);
    environment.add_test("endingwith", is::is_endingwith);
    environment.add_test("startingwith", is::is_startingwith);
    environment.add_test("undefined", is::is_undefined);
    environment
}

/// What is wrong and where, without the name that the engine gives to a template from a string.
fn explain(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    error.line().map_or(detail.clone(), |line| format!("line {line}: {detail}"))
}

fn attributes(event: &Event) -> Result<Value, Failure> {
    Ok(context! {
        id => event.id.as_str(),
        source => event.source.as_str(),
        type => event.type_.as_str(),
        subject => event.subject.as_str(),
        time => event.time.as_str(),
        data => value(event.json()?),
    })
}

/// JSON as a template sees it. Members that are null are left out, so that they are as strictly undefined as
/// absent ones.
fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => flag.into(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().into(),
        },
        Json::String(text) => text.into(),
        Json::Array(items) => items.into_iter().map(value).collect(),
        Json::Object(members) => Value::from_pairs(
            members
                .into_iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(name, member)| (name, value(member))),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[track_caller]
    fn check(template: &str, want: Result<&str, &str>) {
        let template = Template::try_from(template.to_owned()).unwrap();
        let delivery = testing::delivery([
            json!({ "service": "<web>", "to": "critical", "output": null, "tags": ["a"] }),
            json!({ "service": "db" }),
        ]);
        let want = want.map(str::to_owned).map_err(Failure::permanent);
        assert_eq!(template.render(&delivery, &delivery.events[0]), want);
    }

    #[track_caller]
    fn check_refused(template: &str, want: &str) {
        assert_eq!(Template::try_from(template.to_owned()).unwrap_err().to_string(), want);
    }

    #[test]
    fn a_template_knows_the_event_and_its_delivery() {
        check("{{ data.service }} is {{ data.to }}", Ok("<web> is critical"));
        check("{{ id }} {{ type }} {{ subject }}", Ok("e1 lictor.check.status n1/service:web"));
        check("{{ source }} {{ time }}", Ok("consul://dc1 2026-01-01T00:00:00Z"));
        check("{{ rule }} {{ receiver }} {{ environment }} {{ node }}", Ok("web-down ops production n1"));
        check("{% for e in events %}{{ e.id }}={{ e.data.service }};{% endfor %}", Ok("e1=<web>;e2=db;"));
        check("{{ data.tags | tojson }} {{ events | length }}", Ok(r#"["a"] 2"#));
    }

    #[test]
    fn what_is_absent_or_null_is_an_error_that_names_it() {
        check("{{ data.sevice }}", Err("template: line 1: `data.sevice` is undefined"));
        check("{{ data.output }}", Err("template: line 1: `data.output` is undefined"));
        check("{% if data.output is defined %}a{% else %}b{% endif %}", Ok("b"));
        check("{{ data.output | default('none') }}", Ok("none"));
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_before_it_is_used() {
        check_refused("\n{{ data.service", "line 2: unexpected end of input, expected end of variable block");
        check_refused(
            "{{ service }}",
            "unknown name `service`, expected one of id, source, type, subject, time, data, rule, receiver, environment, node, events",
        );
    }
}

//! Texts that the operator writes, rendered for an event. The language is Jinja's (the crate `minijinja`).
//!
//! A template knows the event's `id`, `source`, `type`, `subject`, `time` and `data`, the delivery's `rule`,
//! `receiver`, `environment` and `node`, and `events`, the list of all events with the same attributes. Nothing
//! is escaped. A name that does not exist is an error. What has no value for an event (the `from` of a check's
//! first result) is none: it is shown as `none`, is false in a condition, and `{{ data.from or "new" }}` works.
//!
//! Filters: `default`, `first`, `indent`, `items`, `join`, `last`, `length`, `lower`, `replace`, `title`, `tojson`,
//! `trim`, `upper`. Tests: `defined`, `undefined`, `none`, `startingwith`, `endingwith`.
//!
//! A configuration's field can be a [`Template`]: then a template that cannot be parsed, or that names what no
//! event has, is refused together with the configuration.

use std::{borrow::Cow, error::Error, fmt};

use minijinja::value::ValueKind;
use minijinja::{Environment, UndefinedBehavior, Value, context, escape_formatter, filters, tests as is};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{Delivery, Event, Failure};

/// The names at the top of a template.
const NAMES: [&str; 11] =
    ["id", "source", "type", "subject", "time", "data", "rule", "receiver", "environment", "node", "events"];

/// The names in `data`, as this version of the contract's events have them.
///
/// A template that names another one is refused with its configuration: it would be found out only when the
/// mail that it was written for is not sent.
pub const DATA: [&str; 61] = [
    "datacenter",
    "environment",
    "catch_up",
    "delivery",
    "node",
    "node_meta",
    "check_id",
    "check_name",
    "service_id",
    "service",
    "service_tags",
    "from",
    "to",
    "since",
    "output",
    "notes",
    "initial",
    "coalesced",
    "flapping",
    "node_failed",
    "passing_left",
    "passing_left_share",
    "node_role",
    "create_index",
    "modify_index",
    "service_meta",
    "address",
    "port",
    "changed",
    "before",
    "tags_before",
    "node_id",
    "node_address",
    "key",
    "value",
    "value_base64",
    "old_value",
    "old_value_base64",
    "flags",
    "session",
    "user_event_id",
    "name",
    "payload",
    "payload_base64",
    "node_filter",
    "service_filter",
    "tag_filter",
    "ltime",
    "lost",
    "root_id",
    "active",
    "trust_domain",
    "not_before",
    "not_after",
    "certificate",
    "serial_number",
    "service_uri",
    "valid_after",
    "valid_before",
    "watch",
    "reason",
];

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
        let mut names: Vec<_> = parsed.undeclared_variables(true).into_iter().collect();
        names.sort_unstable();
        match names.iter().find_map(|name| unknown(name)) {
            None => Ok(Self(source.into())),
            Some(why) => Err(TemplateError(why)),
        }
    }
}

/// What is wrong with a name such as `data.node_meta.rack`, if anything.
fn unknown(name: &str) -> Option<String> {
    let mut parts = name.split('.');
    let (first, second) = (parts.next()?, parts.next());
    if !NAMES.contains(&first) {
        return Some(format!("unknown name `{first}`, expected one of {}", NAMES.join(", ")));
    }
    let member = second.filter(|member| first == "data" && !DATA.contains(member))?;
    Some(format!("unknown name `data.{member}`, expected one of {}", DATA.join(", ")))
}

impl Template {
    /// A plugin's own default. It is not checked here, so render it in a test.
    pub const fn from_static(source: &'static str) -> Self {
        Self(Cow::Borrowed(source))
    }

    /// Renders it for one event of the delivery. What it names must be there: else the failure is permanent.
    pub fn render(&self, delivery: &Delivery, event: &Event) -> Result<String, Failure> {
        let event = attributes(event)?;
        self.render_some(delivery, &all(delivery)?, &[event]).map(|texts| texts.concat())
    }

    /// Renders it for each event of the delivery, in their order. A group may hold a thousand of them, so what they have in
    /// common is made once.
    pub fn render_each(&self, delivery: &Delivery) -> Result<Vec<String>, Failure> {
        let events = all(delivery)?;
        self.render_some(delivery, &events, &events)
    }

    fn render_some(
        &self,
        delivery: &Delivery,
        all: &[Value],
        events: &[Value],
    ) -> Result<Vec<String>, Failure> {
        let wrong = |error| Failure::permanent(format!("template: {}", explain(&error)));
        let environment = environment();
        let template = environment.template_from_str(&self.0).map_err(wrong)?;
        let common = context! {
            rule => delivery.rule.as_str(),
            receiver => delivery.receiver.as_str(),
            environment => delivery.environment.as_str(),
            node => delivery.node.as_str(),
            events => Value::from(all.to_vec()),
        };
        let render =
            |event: &Value| template.render(context! { ..common.clone(), ..event.clone() }).map_err(wrong);
        events.iter().map(render).collect()
    }
}

/// The attributes of all events.
fn all(delivery: &Delivery) -> Result<Vec<Value>, Failure> {
    delivery.events.iter().map(attributes).collect()
}

/// Only the filters and tests that texts of events call for: all of minijinja's add a third to the component.
fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    // JSON's words, not Python's.
    environment.set_formatter(|output, state, value| match value.kind() {
        ValueKind::None => Ok(output.write_str("none")?),
        ValueKind::Bool => Ok(output.write_str(if value.is_true() { "true" } else { "false" })?),
        _ => escape_formatter(output, state, value),
    });

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
    environment.add_test("none", is::is_none);
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

/// JSON as a template sees it.
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
        Json::Object(members) => {
            Value::from_pairs(members.into_iter().map(|(name, member)| (name, value(member))))
        }
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
            json!({ "service": "<web>", "to": "critical", "output": null, "service_tags": ["a"] }),
            json!({ "service": "db" }),
        ]);
        let want = want.map(str::to_owned).map_err(Failure::permanent);
        assert_eq!(template.render(&delivery, &delivery.events[0]), want);
        let one_by_one: Result<Vec<_>, _> =
            delivery.events.iter().map(|event| template.render(&delivery, event)).collect();
        assert_eq!(template.render_each(&delivery), one_by_one);
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
        check("{{ data.service_tags | tojson }} {{ events | length }}", Ok(r#"["a"] 2"#));
    }

    #[test]
    fn what_an_event_does_not_have_is_an_error_that_names_it() {
        check("{{ data.notes }}", Err("template: line 1: `data.notes` is undefined"));
        check("{% if data.notes is defined %}a{% else %}b{% endif %}", Ok("b"));
        check("{{ data.notes | default('nothing') }}", Ok("nothing"));
    }

    #[test]
    fn what_has_no_value_is_none() {
        check("{{ data.output }}", Ok("none"));
        check("{{ data.output or 'new' }}", Ok("new"));
        check("{% if data.output %}a{% else %}b{% endif %}", Ok("b"));
        check("{{ data.output is none }}", Ok("true"));
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_before_it_is_used() {
        check_refused("\n{{ data.service", "line 2: unexpected end of input, expected end of variable block");
        for template in ["{{ data.sevice }}", "{% if data.sevice %}x{% endif %}", "{{ data.sevice | upper }}"]
        {
            let refusal = Template::try_from(template.to_owned()).unwrap_err().to_string();
            assert!(
                refusal.starts_with("unknown name `data.sevice`, expected one of datacenter,"),
                "{refusal}"
            );
        }
        assert!(Template::try_from("{{ data.node_meta.rack }} {{ data['service'] }}".to_owned()).is_ok());
        check_refused(
            "{{ service }}",
            "unknown name `service`, expected one of id, source, type, subject, time, data, rule, receiver, environment, node, events",
        );
    }
}

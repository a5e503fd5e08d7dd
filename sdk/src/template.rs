//! Texts that the operator writes, rendered for an event. The language is Jinja's (the crate `minijinja`).
//!
//! A template knows the event's `id`, `source`, `type`, `subject`, `time` and `data`, the delivery's `rule`,
//! `receiver`, `environment` and `node`, and `events`, the list of all events with the same attributes. Nothing
//! is escaped. What has no value for an event (the `from` of a check's first result) is none, and is shown as `none`.
//! What only events of another type have is undefined, and to show it is an error. Both are false in a condition, so
//! `{{ data.value or "-" }}` and `{% if data.output %}` work for each event of any type.
//!
//! Filters: `default`, `first`, `indent`, `items`, `join`, `last`, `length`, `lines`, `lower`, `replace`, `title`, `tojson`,
//! `trim`, `upper`. Tests: `defined`, `endingwith`, `none`, `startingwith`, `undefined`. Brackets cut:
//! `{{ data.output[:200] }}`.
//!
//! A configuration's field can be a [`Template`]: then a template that cannot be parsed, that names what no event has, or
//! that asks for another filter or test, is refused together with the configuration.

use std::{borrow::Cow, error::Error, fmt, ptr};

use minijinja::machinery::{Instruction, Instructions, get_compiled_template};
use minijinja::value::ValueKind;
use minijinja::{Environment, UndefinedBehavior, Value, context, escape_formatter, filters, tests as is};
use serde::Deserialize;

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
        let instructions = &get_compiled_template(&parsed).instructions;
        match names.iter().find_map(|name| unknown(name)).or_else(|| impossible(instructions)) {
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
    second.filter(|_| first == "data").and_then(unknown_data)
}

/// What is wrong with `data.member`, if anything.
fn unknown_data(member: &str) -> Option<String> {
    let is_unknown = !DATA.contains(&member);
    is_unknown.then(|| format!("unknown name `data.{member}`, expected one of {}", DATA.join(", ")))
}

/// What would fail whatever it is rendered for, and where. The engine itself finds that out only then.
fn impossible(instructions: &Instructions<'_>) -> Option<String> {
    let all: Vec<_> = (0..).map_while(|at| instructions.get(at)).collect();
    let is_shadowed = all.iter().any(|instruction| matches!(instruction, Instruction::StoreLocal("data")));
    (0..).zip(&all).find_map(|(at, instruction)| {
        let why = match instruction {
            Instruction::ApplyFilter(name, ..) if !FILTERS.contains(name) => {
                format!("unknown filter `{name}`, expected one of {}", FILTERS.join(", "))
            }
            Instruction::PerformTest(name, ..) if !TESTS.contains(name) => {
                format!("unknown test `{name}`, expected one of {}", TESTS.join(", "))
            }
            Instruction::CallMethod(name, _) if !LOOP_METHODS.contains(name) => {
                format!("unknown method `{name}`, use a filter: one of {}", FILTERS.join(", "))
            }
            Instruction::GetItem if !is_shadowed => {
                let [.., Instruction::Lookup("data"), Instruction::LoadConst(member)] = &all[..at] else {
                    return None;
                };
                unknown_data(member.as_str()?)?
            }
            _ => return None,
        };
        let line = u32::try_from(at).ok().and_then(|at| instructions.get_line(at));
        Some(on_line(line, why))
    })
}

impl Template {
    /// A plugin's own default. It is not checked here, so render it in a test.
    pub const fn from_static(source: &'static str) -> Self {
        Self(Cow::Borrowed(source))
    }

    /// Renders it for one event of the delivery. What it names must be there: else the failure is permanent.
    pub fn render(&self, delivery: &Delivery, event: &Event) -> Result<String, Failure> {
        render([self], delivery, event).map(|[text]| text)
    }

    /// Renders it for each event of the delivery, in their order. A group may hold a thousand of them, so what they have in
    /// common is made once.
    pub fn render_each(&self, delivery: &Delivery) -> Result<Vec<String>, Failure> {
        let events = all(delivery)?;
        let (environment, common) = (environment(), common(delivery, &events));
        let template = environment.template_from_str(&self.0).map_err(wrong)?;
        let render = |event| template.render(context! { ..common.clone(), ..event }).map_err(wrong);
        events.into_iter().map(render).collect()
    }
}

/// Renders several templates for one event of the delivery, as [`Template::render`] does each: what they have in common is
/// made once.
pub fn render<const N: usize>(
    templates: [&Template; N],
    delivery: &Delivery,
    event: &Event,
) -> Result<[String; N], Failure> {
    let events = all(delivery)?;
    // Most often it is one of them, and its data need not be read again.
    let at = delivery.events.iter().position(|one| ptr::eq(one, event));
    let known = at.and_then(|at| events.get(at)).cloned();
    let event = known.map_or_else(|| attributes(event), Ok)?;
    let (environment, common) = (environment(), common(delivery, &events));
    let mut texts = [const { String::new() }; N];
    for (text, template) in texts.iter_mut().zip(templates) {
        let template = environment.template_from_str(&template.0).map_err(wrong)?;
        *text = template.render(context! { ..common.clone(), ..event.clone() }).map_err(wrong)?;
    }
    Ok(texts)
}

/// The attributes of all events.
fn all(delivery: &Delivery) -> Result<Vec<Value>, Failure> {
    delivery.events.iter().map(attributes).collect()
}

/// What a template knows whatever the event.
fn common(delivery: &Delivery, events: &[Value]) -> Value {
    context! {
        rule => delivery.rule.as_str(),
        receiver => delivery.receiver.as_str(),
        environment => delivery.environment.as_str(),
        node => delivery.node.as_str(),
        events => Value::from(events.to_vec()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn wrong(error: minijinja::Error) -> Failure {
    Failure::permanent(format!("template: {}", explain(&error)))
}

/// A list of names, and the function that makes each of them known.
macro_rules! known {
    ($names:ident by $all:ident with $add:ident: $($name:literal = $function:path),* $(,)?) => {
        const $names: &[&str] = &[$($name),*];

        fn $all(environment: &mut Environment<'_>) {
            $(environment.$add($name, $function);)*
        }
    };
}

// Only what texts of events call for: all of minijinja's add a third to the component.
known! { FILTERS by add_filters with add_filter:
    "default" = filters::default,
    "first" = filters::first,
    "indent" = filters::indent,
    "items" = filters::items,
    "join" = filters::join,
    "last" = filters::last,
    "length" = filters::length,
    "lines" = filters::lines,
    "lower" = filters::lower,
    "replace" = filters::replace,
    "title" = filters::title,
    "tojson" = filters::tojson,
    "trim" = filters::trim,
    "upper" = filters::upper,
}

known! { TESTS by add_tests with add_test:
    "defined" = is::is_defined,
    "endingwith" = is::is_endingwith,
    "none" = is::is_none,
    "startingwith" = is::is_startingwith,
    "undefined" = is::is_undefined,
}

/// What alone can be called: on `loop`.
const LOOP_METHODS: [&str; 2] = ["changed", "cycle"];

fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::empty();
    // To show what is undefined is an error, to ask whether it is there is none.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_debug(true);
    // JSON's words, not Python's.
    environment.set_formatter(|output, state, value| match value.kind() {
        ValueKind::None => Ok(output.write_str("none")?),
        ValueKind::Bool => Ok(output.write_str(if value.is_true() { "true" } else { "false" })?),
        _ => escape_formatter(output, state, value),
    });

    add_filters(&mut environment);
    add_tests(&mut environment);
    environment
}

/// What is wrong and where, without the name that the engine gives to a template from a string.
fn explain(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    on_line(error.line(), detail)
}

fn on_line(line: Option<usize>, what: String) -> String {
    match line {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

fn attributes(event: &Event) -> Result<Value, Failure> {
    Ok(context! {
        id => event.id.as_str(),
        source => event.source.as_str(),
        type => event.type_.as_str(),
        subject => event.subject.as_str(),
        time => event.time.as_str(),
        data => event.json::<Value>()?,
    })
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
        check("{{ data.notes | upper }}", Err("template: line 1: `data.notes` is undefined"));
        check("{% if data.notes is defined %}a{% else %}b{% endif %}", Ok("b"));
        check("{{ data.notes | default('nothing') }}", Ok("nothing"));
    }

    #[test]
    fn what_only_other_events_have_is_false_in_a_condition() {
        check("{{ data.value or '-' }}", Ok("-"));
        check("{{ data['value'] or '-' }}", Ok("-"));
        check("{% if data.value %}a{% elif not data.notes and data.to %}b{% endif %}", Ok("b"));
        check("{{ 'a' if data.node_meta else 'b' }}", Ok("b"));
    }

    #[test]
    fn a_text_can_be_cut() {
        check("{{ data.service[:3] }}", Ok("<we"));
        check("{{ \"a\nb\" | lines | first }}", Ok("a"));
    }

    #[test]
    fn what_has_no_value_is_none() {
        check("{{ data.output }}", Ok("none"));
        check("{{ data.output or 'new' }}", Ok("new"));
        check("{% if data.output %}a{% else %}b{% endif %}", Ok("b"));
        check("{{ data.output is none }}", Ok("true"));
    }

    #[test]
    fn what_no_rendering_could_do_is_refused_with_its_line() {
        let filters = "default, first, indent, items, join, last, length, lines, lower, replace, title, tojson, trim, upper";
        let tests = "defined, endingwith, none, startingwith, undefined";
        for (template, want) in [
            (
                "\n{{ data.output | truncate(20) }}",
                format!("line 2: unknown filter `truncate`, expected one of {filters}"),
            ),
            (
                "{% if data.to %}\n\n{{ id | upper | e }}{% endif %}",
                format!("line 3: unknown filter `e`, expected one of {filters}"),
            ),
            (
                "{% filter escape %}x{% endfilter %}",
                format!("line 1: unknown filter `escape`, expected one of {filters}"),
            ),
            ("{{ data.port is even }}", format!("line 1: unknown test `even`, expected one of {tests}")),
            ("{{ data.port is not even }}", format!("line 1: unknown test `even`, expected one of {tests}")),
            (
                "{{ data.output.strip() }}",
                format!("line 1: unknown method `strip`, use a filter: one of {filters}"),
            ),
        ] {
            check_refused(template, &want);
        }
        let refused = |template: &str| Template::try_from(template.to_owned()).unwrap_err().to_string();
        let text = refused("{{ id }}\n{{ data[\"servce\"] }}");
        assert!(
            text.starts_with("line 2: unknown name `data.servce`, expected one of datacenter,"),
            "{text}"
        );
        check("{% for data in events %}{{ data['id'] }}{% endfor %}", Ok("e1e2"));
        check("{% for e in events %}{{ loop.cycle('a', 'b') }}{% endfor %}", Ok("ab"));
        check("{{ data[('serv' ~ 'ice')] }}{{ data['service_tags'][0] }}", Ok("<web>a"));
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

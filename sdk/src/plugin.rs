//! What a plugin is, and how it becomes a component's exports.
//!
//! Invariant: a plugin never sees a configuration that did not parse.

use std::{marker::PhantomData, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Delivery, Description, Failure, Request,
    bindings::{
        exports::lictor::plugin::handler::{
            AppendRequest, ExecRequest, Guest, HttpRequest, KvRequest, KvStoreRequest, SmtpRequest,
        },
        lictor::plugin::types,
    },
    duration,
};

/// A plugin: a type without a value, since each call runs in a fresh instance.
pub trait Plugin {
    /// The receiver's `config`. Use `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error.
    type Config: DeserializeOwned;

    /// What this plugin is.
    fn describe() -> Description;

    /// The grants that this configuration needs; the host asks when the configuration is loaded.
    ///
    /// Refuse here what `handle` could not work with. The error is for the operator: name the field.
    fn requests(config: &Self::Config) -> Result<Vec<Request>, String>;

    /// Makes one attempt. An attempt may repeat, so act by `delivery.id`. Answers with a short receipt.
    fn handle(delivery: &Delivery, config: &Self::Config) -> Result<String, Failure>;
}

impl Request {
    /// To run this command (the program's absolute path, then its arguments) for at most `timeout`.
    pub fn exec<S: Into<String>>(command: impl IntoIterator<Item = S>, timeout: Duration) -> Self {
        let command = command.into_iter().map(Into::into).collect();
        Self::Exec(ExecRequest { command, timeout_ms: duration::as_millis(timeout) })
    }

    /// To append to the file at this absolute path.
    pub fn append(path: impl Into<String>) -> Self {
        Self::Append(AppendRequest { path: path.into() })
    }

    /// To send requests of this method to this URL.
    pub fn http(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self::Http(HttpRequest { method: method.into(), url: url.into() })
    }

    /// To read the keys of Consul that begin with `prefix`.
    pub fn kv(prefix: impl Into<String>) -> Self {
        Self::Kv(KvRequest { prefix: prefix.into() })
    }

    /// To keep up to `size` bytes of keys and values between calls.
    pub fn kv_store(size: u32) -> Self {
        Self::KvStore(KvStoreRequest { size })
    }

    /// To send mail from this address to these.
    pub fn smtp<S: Into<String>>(from: impl Into<String>, to: impl IntoIterator<Item = S>) -> Self {
        Self::Smtp(SmtpRequest { from: from.into(), to: to.into_iter().map(Into::into).collect() })
    }
}

/// Makes a component of a type that implements [`Plugin`]. Call it once, in the crate's root.
///
/// It expands to nothing on other targets than wasm, whose linkers refuse the exports' names.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::Adapter<$plugin>;
            $crate::bindings::__export_handler!(Exported);
        };
    };
}

/// A plugin as the exports of a component: what [`export!`] exports.
#[doc(hidden)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: Plugin> Guest for Adapter<P> {
    fn describe() -> Description {
        P::describe()
    }

    fn requests(config: String) -> Result<Vec<Request>, String> {
        P::requests(&parse(&config)?)
    }

    fn handle(delivery: Delivery, config: String) -> Result<String, types::Failure> {
        handle::<P>(&delivery, &config).map_err(Into::into)
    }
}

/// One attempt, from the configuration's text.
pub(crate) fn handle<P: Plugin>(delivery: &Delivery, config: &str) -> Result<String, Failure> {
    P::handle(delivery, &parse(config).map_err(Failure::permanent)?)
}

/// Reads a configuration. It goes by way of a [`Value`], because positions in a text that the operator
/// never saw would only mislead; the path of the field takes their place.
pub(crate) fn parse<C: DeserializeOwned>(config: &str) -> Result<C, String> {
    let value: Value = serde_json::from_str(config).map_err(|error| format!("config: {error}"))?;
    if !value.is_object() {
        return Err("config: expected an object".into());
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let message = error.inner();
        match error.path().to_string().as_str() {
            "." => message.to_string(),
            path => format!("{path}: {message}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Config {
        path: String,
        #[serde(default)]
        tags: Vec<String>,
    }

    #[track_caller]
    fn check(config: &str, want: Result<Config, &str>) {
        assert_eq!(parse::<Config>(config), want.map_err(str::to_owned));
    }

    #[test]
    fn a_configuration_is_parsed_or_refused_with_the_name_of_the_field() {
        check(r#"{ "path": "/a" }"#, Ok(Config { path: "/a".into(), tags: vec![] }));
        check("{}", Err("missing field `path`"));
        check(r#"{ "path": 7 }"#, Err("path: invalid type: integer `7`, expected a string"));
        check(
            r#"{ "path": "/a", "tags": ["x", null] }"#,
            Err("tags[1]: invalid type: null, expected a string"),
        );
        check(r#"{ "path": "/a", "tag": [] }"#, Err("tag: unknown field `tag`, expected `path` or `tags`"));
        check(r#"["/a", []]"#, Err("config: expected an object"));
        check("{", Err("config: EOF while parsing an object at line 1 column 1"));
    }

    #[test]
    fn a_request_says_what_it_was_made_of() {
        assert_eq!(
            Request::exec(["/bin/true", "x"], Duration::from_millis(1500)),
            Request::Exec(ExecRequest { command: vec!["/bin/true".into(), "x".into()], timeout_ms: 1500 })
        );
        assert_eq!(
            Request::smtp("a@example.com", ["b@example.com"]),
            Request::Smtp(SmtpRequest { from: "a@example.com".into(), to: vec!["b@example.com".into()] })
        );
    }
}

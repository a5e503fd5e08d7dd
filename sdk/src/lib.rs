//! Write plugins for Lictor.
//!
//! Lictor runs beside a Consul agent, turns Consul's state into events and delivers them to plugins. A
//! plugin is a WebAssembly component: it reads a delivery, asks the host for the few things that its
//! receiver may do, and says whether the delivery was made. It has no files, no sockets and no
//! environment of its own. Its clocks have whole milliseconds, and what is random to it follows from the
//! delivery's id: the same on each attempt, and no secret, so make no keys of it.
//!
//! This page is the whole way of one plugin, which posts events to a chat: written, tested, looked at,
//! granted and run. Begin your own with
//!
//! ```text
//! lictor plugin new chat
//! ```
//!
//! which makes a small plugin that works, and beside it a copy of this SDK. It needs Rust 1.95 or a newer one.
//!
//! # Write it
//!
//! A plugin is a type that implements [`Plugin`], and one line that exports it. Put this, and the tests of the next part below
//! it, into `src/lib.rs` in the place of what is there. Delete `config.schema.json`, which only the other one reads. The
//! crate's feature `template` gives it [`template`](#what-to-find-where).
//!
#![cfg_attr(feature = "template", doc = "```")]
#![cfg_attr(not(feature = "template"), doc = "```text")]
//! use std::time::Duration;
//!
//! use lictor_sdk::template::Template;
//! use lictor_sdk::{Change, Delivery, Description, Failure, Plugin, Request, Status, http};
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! /// The plugin: a type without a value, since each call runs in a fresh instance.
//! pub struct Chat;
//!
//! /// The receiver's `config`. Whatever does not fit is refused, with the name of the field.
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {
//!     /// The webhook.
//!     url: String,
//!     /// The text of an event.
//!     #[serde(default = "default_text")]
//!     text: Template,
//!     /// Who is called when something is critical.
//!     mention: Option<String>,
//! }
//!
//! /// Such as `[production] web1/service:web: critical (connection refused)`.
//! const TEXT: &str = "{% if environment %}[{{ environment }}] {% endif %}{{ subject }}: {{ data.to or type }}\
//!     {% if data.output %} ({{ data.output | lines | first }}){% endif %}";
//!
//! fn default_text() -> Template {
//!     Template::from_static(TEXT)
//! }
//!
//! /// For the operator, and for whoever makes a form of it.
//! const SCHEMA: &str = r#"{
//!     "type": "object",
//!     "properties": {
//!         "url": { "type": "string", "description": "The incoming webhook." },
//!         "text": { "type": "string", "description": "The text of an event (Jinja)." },
//!         "mention": { "type": "string", "description": "Who is called when something is critical." }
//!     },
//!     "required": ["url"],
//!     "additionalProperties": false
//! }"#;
//!
//! impl Plugin for Chat {
//!     type Config = Config;
//!
//!     fn describe() -> Description {
//!         Description {
//!             name: "chat".into(),
//!             version: "0.1.0".into(),
//!             summary: "Posts events to a chat's incoming webhook".into(),
//!             config_schema: SCHEMA.into(),
//!         }
//!     }
//!
//!     /// What it needs. The host asks when the configuration is loaded, and holds it against the grants.
//!     fn requests(config: &Config) -> Result<Vec<Request>, String> {
//!         if !config.url.starts_with("https://") && !config.url.starts_with("http://") {
//!             return Err(format!("url: {:?} begins with neither https:// nor http://", config.url));
//!         }
//!         Ok(vec![Request::http("POST", &config.url)])
//!     }
//!
//!     /// One attempt. What fails in passing is tried again, with the same `delivery.id`.
//!     fn handle(delivery: &Delivery, config: &Config) -> Result<String, Failure> {
//!         let mut lines = Vec::new();
//!         for event in &delivery.events {
//!             let text = config.text.render(delivery, event)?;
//!             let call = match event.change()? {
//!                 Change::CheckStatus(check) if check.to == Some(Status::Critical) => config.mention.as_ref(),
//!                 _ => None,
//!             };
//!             lines.push(call.map_or(text.clone(), |who| format!("{who} {text}")));
//!         }
//!         let response = http::Request::new("POST", &config.url)
//!             .header("Content-Type", "application/json")
//!             .header("Idempotency-Key", &delivery.id)
//!             .body(json!({ "text": lines.join("\n") }).to_string())
//!             .timeout(Duration::from_secs(10))
//!             .send()?;
//!         match response.status {
//!             200..=299 => Ok(format!("posted {} lines", lines.len())),
//!             429 => Err(Failure::retry_after("the chat wants to be left alone", Duration::from_secs(30))),
//!             500..=599 => Err(Failure::transient(format!("the chat answered {}", response.status))),
//!             status => Err(Failure::permanent(format!("the chat answered {status}: {}", response.text()))),
//!         }
//!     }
//! }
//!
//! lictor_sdk::export!(Chat);
//! # #[cfg(not(target_family = "wasm"))]
//! # fn main() {
//! # use lictor_sdk::testing::{self, Call, Host};
//! # let host = Host::start();
//! # let delivery = testing::delivery_of([testing::sample("check.status")]);
//! # let config = json!({ "url": "https://chat.example.com/x", "mention": "@ops" });
//! # assert_eq!(testing::handle::<Chat>(&delivery, &config), Ok("posted 1 lines".into()));
//! # let calls = host.calls();
//! # let [Call::Http(request)] = calls.as_slice() else { panic!("{calls:?}") };
//! # assert!(request.body.starts_with(br#"{"text":"@ops [production] web1/service:web: critical (Get "#));
//! # }
//! # #[cfg(target_family = "wasm")]
//! # fn main() {}
//! ```
//!
//! Five things are worth knowing:
//!
//! - **Events are types.** [`Event::change`] gives one [`Change`] for each kind of event, such as
//!   `Change::CheckStatus(Check { from, to, .. })`; [`Event::json`] reads the same data into a type of yours.
//! - **A failure says whether to try again.** [`Failure::transient`]: after Lictor's own backoff.
//!   [`Failure::retry_after`]: not before this time, of which Lictor takes an hour at most. [`Failure::permanent`]:
//!   never. With `?`, a call that was refused is permanent, and one that failed or timed out is transient. Any other
//!   error is made one: `serde_json::from_str(text).map_err(Failure::permanent)?`.
//! - **An attempt may repeat**, with the same [`Delivery`]`::id` and a higher `attempt`: hand the id on, so
//!   that whoever gets it can tell a second attempt from a second event.
//! - **Nothing is kept** from one call to the next: each one has an instance that nobody has used. What a plugin has to
//!   remember it gives to [`kv_store`].
//! - **What it prints is logged**, with the receiver and the delivery's id: `println!` at debug level, `eprintln!` at error
//!   level, the last 16 KiB of each in a call, and [`log`] at the level that you choose.
//!
//! # Test it
//!
//! Its tests are plain `cargo test`: on any other target than wasm, `testing` takes the host's place. It has a
//! [sample](testing::sample) of each type of event, remembers what the plugin asked for, answers as the test says, and
//! refuses what Lictor takes from nobody. [`check_schema`](testing::check_schema) holds the schema against a configuration
//! that sets every field. These are the end of `src/lib.rs`:
//!
//! ```no_run
//! #[cfg(test)]
//! mod tests {
//!     use lictor_sdk::testing::{self, Call, Host};
//!
//!     use super::*;
//!
//!     #[test]
//!     fn an_event_is_posted_as_the_operator_writes_it() {
//!         let host = Host::start();
//!         let delivery = testing::delivery_of([testing::sample("check.status"), testing::sample("kv.set")]);
//!         let text = "{{ subject }} is {{ data.to | default('set') }}";
//!         let config = json!({ "url": "https://chat.example.com/x", "text": text, "mention": "@ops" });
//!         assert_eq!(testing::handle::<Chat>(&delivery, &config), Ok("posted 2 lines".into()));
//!         let calls = host.calls();
//!         let [Call::Http(request)] = calls.as_slice() else { panic!("{calls:?}") };
//!         let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
//!         assert_eq!(body["text"], "@ops web1/service:web is critical\napp/web/workers is set");
//!     }
//!
//!     #[test]
//!     fn the_default_text_says_what_happened() {
//!         let text = |delivery: &Delivery| {
//!             let host = Host::start();
//!             testing::handle::<Chat>(delivery, &json!({ "url": "https://chat.example.com/x" })).unwrap();
//!             let calls = host.calls();
//!             let [Call::Http(request)] = calls.as_slice() else { panic!("{calls:?}") };
//!             String::from_utf8(request.body.clone()).unwrap()
//!         };
//!         let output = "refused\nfor the third time";
//!         let mut delivery = testing::delivery([json!({ "to": "critical", "output": output })]);
//!         assert_eq!(text(&delivery), r#"{"text":"[production] n1/service:web: critical (refused)"}"#);
//!         delivery.environment = String::new();
//!         delivery.events = vec![testing::sample("kv.set")];
//!         assert_eq!(text(&delivery), r#"{"text":"app/web/workers: lictor.kv.set"}"#);
//!     }
//!
//!     #[test]
//!     fn the_answer_decides_whether_it_is_tried_again() {
//!         let answer = |status| {
//!             let host = Host::start();
//!             host.answer_http(Ok(http::Response { status, headers: Vec::new(), body: b"no".to_vec() }));
//!             let delivery = testing::delivery_of([testing::sample("check.status")]);
//!             testing::handle::<Chat>(&delivery, &json!({ "url": "https://chat.example.com/x" })).unwrap_err()
//!         };
//!         assert!(matches!(answer(429), Failure::RetryAfter(_, wait) if wait == Duration::from_secs(30)));
//!         assert_eq!(answer(502), Failure::transient("the chat answered 502"));
//!         assert_eq!(answer(404), Failure::permanent("the chat answered 404: no"));
//!     }
//!
//!     #[test]
//!     fn the_schema_is_true() {
//!         let config = json!({ "url": "https://chat.example.com/x", "text": "{{ id }}", "mention": "@ops" });
//!         testing::check_schema::<Chat>(&config).unwrap();
//!         assert!(testing::requests::<Chat>(&json!({ "url": "chat.example.com" })).is_err());
//!     }
//! }
//! ```
//!
//! # Build it
//!
//! Cargo alone builds it, once `rustup target add wasm32-wasip2` was said:
//!
//! ```text
//! cargo build --release --target wasm32-wasip2
//! ```
//!
//! This is what its `Cargo.toml` needs; that of `lictor plugin new` has it:
//!
//! ```toml
//! # The component, and a library for its tests.
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! lictor-sdk = { path = "lictor-sdk", features = ["template"] }
//! serde = { version = "1", features = ["derive"] }
//! serde_json = "1"
//!
//! # A small component.
//! [profile.release]
//! opt-level = "s"
//! lto = true
//! codegen-units = 1
//! panic = "abort"
//! strip = "debuginfo"
//! ```
//!
//! # Try it
//!
//! `lictor plugin test .` runs the component in the real sandbox, where every call is answered and nothing is
//! done; `lictor plugin test --help` shows how answers of each kind are written. It runs the files of `tests/`. Make this
//! of `tests/critical.toml`, which was about the plugin that was there:
//!
//! ```toml
//! # A service fails: the people who look after it are called. Run by `lictor plugin test`.
//! event  = "check.status"
//! data   = { service = "shop", to = "critical" }
//! config = { url = "https://chat.example.com/hooks/ops", text = "{{ data.service }} is {{ data.to }}", mention = "@ops" }
//!
//! [expect]
//! text  = "posted 1 lines"
//! needs = ["may send POST to https://chat.example.com/hooks/ops"]
//!
//! [[expect.calls]]
//! http = { method = "POST", url = "https://chat.example.com/hooks/ops", json = { text = "@ops shop is critical" } }
//! ```
//!
//! ```text
//! $ lictor plugin test .
//! ok   critical: delivered, posted 1 lines (0.6 ms, 1152 KiB)
//!        http POST https://chat.example.com/hooks/ops <- {"text":"@ops shop is critical"}
//! 1 attempt, 0 failed
//! ```
//!
//! Without such files, or with `--event`, `--config` or `--responses`, it tries the events that you name: a
//! sample of each type, if you name none.
//!
//! # Look at it, grant it, run it
//!
//! `lictor plugin inspect` says what a component is and could ask for. With a configuration it also says what
//! that needs, and how its receiver grants it:
//!
//! ```text
//! $ lictor plugin inspect . --config-json '{"url": "https://chat.example.com/hooks/ops"}'
//! …
//! With this configuration it needs what these grants give
//!   may send POST to https://chat.example.com/hooks/ops
//!
//! In its receiver they are
//!   allow.http = [{ url = "https://chat.example.com/hooks/ops", methods = ["POST"] }]
//! ```
//!
//! What cargo built is copied to where Lictor runs:
//!
//! ```text
//! $ sudo install -D -m 644 target/wasm32-wasip2/release/chat.wasm /etc/lictor/plugins/chat.wasm
//! ```
//!
//! and its configuration, `/etc/lictor/lictor.toml` or any file that `-c` names, gets a rule and the receiver. Without more, the
//! Consul agent of this machine is followed, and `data_dir` is `/var/lib/lictor`:
//!
//! ```toml
//! [[rules]]
//! name      = "shop"
//! on        = ["check.status"]
//! match     = { service = "shop" }
//! receivers = ["chat"]
//!
//! [receivers.chat]
//! plugin     = "/etc/lictor/plugins/chat.wasm"
//! config     = { url = "https://chat.example.com/hooks/ops", mention = "@ops" }
//! allow.http = [{ url = "https://chat.example.com/hooks/ops", methods = ["POST"] }]
//! ```
//!
//! `lictor validate` asks the plugin what it needs and says what is not granted; `lictor run` follows Consul and delivers to
//! it. `lictor reload` takes over another configuration or another file of the plugin.
//!
//! ```text
//! $ lictor validate -c /etc/lictor/lictor.toml
//! $ lictor run -c /etc/lictor/lictor.toml
//! ```
//!
//! # What to find where
//!
//! - [`Plugin`] is what you implement, [`export!`] makes a component of it.
//! - [`Delivery`], [`Event`] and [`Change`] are what arrives; [`Failure`] says whether to try again.
//! - [`exec`], [`append`], [`http`], [`smtp`], [`watch`], [`kv`], [`kv_store`] and [`log`] are what a plugin can ask for. An
//!   error of these turns into a [`Failure`] with `?`, so that the usual case needs no code.
//! - [`duration`] reads durations such as `"30s"` in a configuration.
//! - `template` (cargo feature `template`) renders texts that the operator writes.
//! - `testing` is the host that a plugin's own tests run against.

pub mod append;
#[doc(hidden)]
#[rustfmt::skip]
#[expect(
    unreachable_pub, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::pedantic, clippy::unwrap_used,
    reason = "generated"
)]
pub mod bindings;
pub mod change;
mod delivery;
pub mod duration;
pub mod exec;
mod failure;
#[cfg(target_family = "wasm")]
mod host;
pub mod http;
pub mod kv;
pub mod kv_store;
pub mod log;
mod plugin;
pub mod smtp;
#[cfg(feature = "template")]
pub mod template;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod watch;

#[cfg(not(target_family = "wasm"))]
use testing as host;

pub use bindings::exports::lictor::plugin::handler::{Description, Request};
pub use bindings::lictor::plugin::types::{Delivery, Event};
pub use change::{Change, Status};
pub use failure::{CallError, Failure};
pub use plugin::{Adapter, Plugin};

//! Wants a table with more elements than a plugin may have, and does nothing else.

use lictor_sdk::{Delivery, Description, Failure, Plugin, Request};
use serde::Deserialize;

/// The plugin.
pub struct Tables;

/// Nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Plugin for Tables {
    type Config = Config;

    fn describe() -> Description {
        Description {
            name: "tables".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            config_schema: r#"{ "type": "object" }"#.into(),
        }
    }

    fn requests(_: &Config) -> Result<Vec<Request>, String> {
        Ok(vec![])
    }

    fn handle(_: &Delivery, _: &Config) -> Result<String, Failure> {
        Ok("ok".into())
    }
}

lictor_sdk::export!(Tables);

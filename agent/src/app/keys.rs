//! Keys of Consul, for receivers whose plugins may read them.

use lictor_capability::{CallError, Keys, KvAnswer, KvCall, KvReading, longer_than};
use tracing::warn;

use crate::chain::chain;
use crate::consul::{Client, ClientError, Garbage};

/// More keys than this nobody reads one by one.
const KEYS_MAX: usize = 10_000;

/// Those of the Consul that Lictor follows, with its token.
pub(super) struct ConsulKeys(pub(super) Client);

impl Keys for ConsulKeys {
    fn read<'a>(&'a self, call: &'a KvCall, limit: usize) -> KvReading<'a> {
        Box::pin(async move {
            match call {
                KvCall::Get(key) => {
                    let value = self.0.value(key, limit).await.map_err(|error| failed(&error))?;
                    Ok(KvAnswer { value, ..KvAnswer::default() })
                }
                KvCall::Keys(prefix) => {
                    let keys = self.0.keys(prefix, limit).await.map_err(|error| failed(&error))?;
                    bounded(prefix, keys).map(|keys| KvAnswer { keys, ..KvAnswer::default() })
                }
            }
        })
    }
}

fn bounded(prefix: &str, keys: Vec<String>) -> Result<Vec<String>, CallError> {
    if keys.len() <= KEYS_MAX {
        return Ok(keys);
    }
    let found = keys.len();
    Err(CallError::Failed(format!(
        "{found} keys begin with {prefix:?}, more than {KEYS_MAX}; ask for a longer beginning"
    )))
}

/// What a plugin is told of it. It need not know where Consul is, or what stands before it; the log has all.
pub(super) fn failed(error: &ClientError) -> CallError {
    warn!(error = chain(error), "Consul does not answer a plugin's question.");
    match error {
        ClientError::Timeout { after, .. } => {
            CallError::TimedOut(format!("Consul does not answer within {} s", after.as_secs_f32()))
        }
        ClientError::Garbage { source: Garbage::TooLong { limit }, .. } => longer_than(*limit),
        ClientError::Status { code, .. } => CallError::Failed(format!("Consul answers with status {code}")),
        ClientError::Garbage { .. } => CallError::Failed("Consul's answer makes no sense".to_owned()),
        ClientError::Token(_) | ClientError::Unreachable { .. } | ClientError::Missing { .. } => {
            CallError::Failed("Consul cannot be asked".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_went_wrong_is_told_by_what_can_be_done() {
        let url = || "http://c/v1/kv/a".to_owned();
        let late = failed(&ClientError::Timeout { url: url(), after: Duration::from_secs(10) });
        assert!(
            matches!(&late, CallError::TimedOut(text) if text.contains("not answer within 10 s") && !text.contains("http")),
            "{late}"
        );
        let long = failed(&ClientError::Garbage { url: url(), source: Garbage::TooLong { limit: 7 } });
        assert!(
            matches!(&long, CallError::Failed(text) if text.ends_with("the most that is read")),
            "{long}"
        );
    }

    #[test]
    fn of_keys_there_is_a_most() {
        let keys = |count| vec!["a".to_owned(); count];
        assert_eq!(bounded("a", keys(KEYS_MAX)).unwrap().len(), KEYS_MAX);
        let told = bounded("a", keys(KEYS_MAX + 1)).unwrap_err().to_string();
        assert_eq!(told, "10001 keys begin with \"a\", more than 10000; ask for a longer beginning");
    }
}

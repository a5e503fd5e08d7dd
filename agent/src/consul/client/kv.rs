//! Single keys, read for a plugin.
//!
//! Boundary: whoever asks has decided that these keys may be read.
//!
//! Invariant: what is asked for is the very key. So one that a URL's path could not hold as it is must not come here: with
//! a control character, or with a part `.` or `..`.

use url::Url;

use super::{Ask, Client, SLACK};
use crate::consul::ClientError;

impl Client {
    /// The value of a key, if there is one; longer than `limit` bytes is an error.
    pub async fn value(&self, key: &str, limit: usize) -> Result<Option<Vec<u8>>, ClientError> {
        match self.read_keys(key, "raw", limit).await {
            Ok((_, value)) => Ok(Some(value)),
            Err(ClientError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The keys with this beginning; an answer that is longer than `limit` bytes is an error.
    pub async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, ClientError> {
        match self.read_keys(prefix, "keys", limit).await {
            Ok((url, body)) => {
                serde_json::from_slice(&body).map_err(|error| self.garbage(&url, error.into()))
            }
            Err(ClientError::Missing { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn read_keys(&self, key: &str, form: &str, limit: usize) -> Result<(Url, Vec<u8>), ClientError> {
        let mut url = self.key_url(key);
        url.query_pairs_mut().append_key_only(form);
        for (name, value) in &self.0.scope {
            url.query_pairs_mut().append_pair(name, value);
        }
        let (_, body) = self.send(Ask { limit, ..Ask::get(&url, SLACK) }).await?;
        Ok((url, body))
    }

    /// A key's slashes part it, as the path's do.
    fn key_url(&self, key: &str) -> Url {
        let path: Vec<_> = ["kv"].into_iter().chain(key.split('/')).collect();
        self.url(&path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::consul::Settings;

    /// The key that Consul reads in the path.
    fn read_back(url: &Url) -> Vec<u8> {
        let mut rest = url.path().strip_prefix("/v1/kv/").unwrap().bytes();
        let mut bytes = Vec::new();
        while let Some(byte) = rest.next() {
            bytes.push(if byte == b'%' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            } else {
                byte
            });
        }
        bytes
    }

    proptest! {
        #[test]
        fn the_path_holds_the_very_key(
            key in "([a-c]|/|\\.|\\.\\.\\.|%2e|%2F|\\?|#|\\\\| |\"|ü|;|&){1,9}"
        ) {
            prop_assume!(!key.split('/').any(|part| matches!(part, "." | "..")));
            let client = Client::new(&Settings::default()).unwrap();
            let url = client.key_url(&key);
            prop_assert_eq!(String::from_utf8(read_back(&url)).unwrap(), key);
            prop_assert_eq!((url.query(), url.fragment()), (None, None));
        }
    }
}

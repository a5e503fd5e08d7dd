//! The `CONSUL_*` variables of Consul's own client.
//!
//! Boundary: the environment is an argument, so a test passes its own. As in Consul's client, an
//! empty variable is as good as none, and a token file wins over a token.

use std::path::PathBuf;

use super::{Address, AddressError, BasicAuth, Secret, Settings, Token};

/// A variable that cannot be used as it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// `CONSUL_HTTP_ADDR` is no address.
    #[error("use CONSUL_HTTP_ADDR")]
    Address(#[source] AddressError),
    /// A switch is neither on nor off.
    #[error("use {variable}={value:?}: right are true, false, 1 and 0")]
    Switch {
        /// Its name.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
}

impl Settings {
    /// The defaults, overlaid with what the environment says.
    ///
    /// A configuration file that has the last word overwrites fields of the result. All faults are
    /// reported at once; the default stands in the place of what is faulty.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> (Self, Vec<EnvError>) {
        let text = |name: &'static str| lookup(name).filter(|value| !value.is_empty());
        let path = |name| text(name).map(PathBuf::from);
        let mut faults = Vec::new();
        let mut switch = |variable, default| {
            text(variable).map_or(default, |value| {
                parse_switch(&value).unwrap_or_else(|| {
                    faults.push(EnvError::Switch { variable, value });
                    default
                })
            })
        };
        let https = switch("CONSUL_HTTP_SSL", false);
        let verify = switch("CONSUL_HTTP_SSL_VERIFY", true);
        let address = text("CONSUL_HTTP_ADDR").map_or(Ok(Address::default()), |value| value.parse());
        let settings = Self {
            address: address.unwrap_or_else(|source| {
                faults.push(EnvError::Address(source));
                Address::default()
            }),
            https,
            token: path("CONSUL_HTTP_TOKEN_FILE")
                .map(Token::File)
                .or_else(|| text("CONSUL_HTTP_TOKEN").map(|token| Token::Value(Secret::new(token)))),
            http_auth: text("CONSUL_HTTP_AUTH").map(|value| BasicAuth::parse(&value)),
            ca_file: path("CONSUL_CACERT"),
            ca_path: path("CONSUL_CAPATH"),
            client_cert: path("CONSUL_CLIENT_CERT"),
            client_key: path("CONSUL_CLIENT_KEY"),
            tls_server_name: text("CONSUL_TLS_SERVER_NAME"),
            verify,
            namespace: text("CONSUL_NAMESPACE"),
            partition: text("CONSUL_PARTITION"),
            ..Self::default()
        };
        (settings.secured_if_asked(), faults)
    }

    /// Consul's client never goes back to http where `CONSUL_HTTP_SSL` asked for https.
    fn secured_if_asked(self) -> Self {
        if self.https { Self { address: self.address.secured(), ..self } } else { self }
    }
}

/// The words that Go's `strconv.ParseBool` takes, since Consul's client uses it.
fn parse_switch(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<Settings, Vec<EnvError>> {
        let lookup = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
        let (settings, faults) = Settings::from_env(lookup);
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    #[track_caller]
    fn check(env: &[(&str, &str)], want: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::default();
        want(&mut settings);
        assert_eq!(read(env).unwrap(), settings);
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        check(&[], |_| {});
        check(&[("CONSUL_HTTP_ADDR", ""), ("CONSUL_HTTP_SSL", ""), ("CONSUL_HTTP_TOKEN", "")], |_| {});
    }

    #[test]
    fn every_variable_of_consuls_own_client_counts() {
        check(&[("CONSUL_HTTP_ADDR", "10.0.0.1:8500")], |s| s.address = "10.0.0.1:8500".parse().unwrap());
        check(&[("CONSUL_HTTP_TOKEN", "t")], |s| s.token = Some(Token::Value(Secret::new("t"))));
        check(&[("CONSUL_HTTP_TOKEN_FILE", "/t")], |s| s.token = Some(Token::File("/t".into())));
        check(&[("CONSUL_HTTP_AUTH", "me:pass:word")], |s| {
            let password = Some(Secret::new("pass:word"));
            s.http_auth = Some(BasicAuth { username: "me".into(), password });
        });
        check(&[("CONSUL_HTTP_AUTH", "me")], |s| {
            s.http_auth = Some(BasicAuth { username: "me".into(), password: None });
        });
        check(&[("CONSUL_HTTP_SSL", "true")], |s| {
            s.https = true;
            s.address = "https://127.0.0.1:8500".parse().unwrap();
        });
        check(&[("CONSUL_HTTP_SSL_VERIFY", "0")], |s| s.verify = false);
        check(&[("CONSUL_CACERT", "/ca.pem")], |s| s.ca_file = Some("/ca.pem".into()));
        check(&[("CONSUL_CAPATH", "/ca")], |s| s.ca_path = Some("/ca".into()));
        check(&[("CONSUL_CLIENT_CERT", "/c.pem")], |s| s.client_cert = Some("/c.pem".into()));
        check(&[("CONSUL_CLIENT_KEY", "/k.pem")], |s| s.client_key = Some("/k.pem".into()));
        check(&[("CONSUL_TLS_SERVER_NAME", "s")], |s| s.tls_server_name = Some("s".into()));
        check(&[("CONSUL_NAMESPACE", "n")], |s| s.namespace = Some("n".into()));
        check(&[("CONSUL_PARTITION", "p")], |s| s.partition = Some("p".into()));
    }

    #[test]
    fn a_token_file_wins_over_a_token() {
        let settings = read(&[("CONSUL_HTTP_TOKEN", "t"), ("CONSUL_HTTP_TOKEN_FILE", "/t")]).unwrap();
        assert_eq!(settings.token, Some(Token::File("/t".into())));
    }

    #[test]
    fn the_switch_for_https_wins_over_an_http_address() {
        let settings = read(&[("CONSUL_HTTP_ADDR", "http://c:80"), ("CONSUL_HTTP_SSL", "1")]).unwrap();
        assert_eq!(settings.address.url(false).unwrap().as_str(), "https://c:80/");
    }

    #[test]
    fn a_file_that_overwrites_a_field_wins_over_the_environment() {
        let mut settings = read(&[("CONSUL_HTTP_ADDR", "a:1"), ("CONSUL_HTTP_SSL", "1")]).unwrap();
        settings.address = "http://b:2".parse().unwrap();
        assert_eq!(settings.address.url(settings.https).unwrap().as_str(), "http://b:2/");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let env = [
            ("CONSUL_HTTP_ADDR", "ftp://x"),
            ("CONSUL_HTTP_SSL", "maybe"),
            ("CONSUL_HTTP_SSL_VERIFY", "off"),
        ];
        let faults: Vec<_> = read(&env).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                r#"use CONSUL_HTTP_SSL="maybe": right are true, false, 1 and 0"#,
                r#"use CONSUL_HTTP_SSL_VERIFY="off": right are true, false, 1 and 0"#,
                "use CONSUL_HTTP_ADDR",
            ]
        );
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let settings = read(&[("CONSUL_HTTP_TOKEN", "hunter2"), ("CONSUL_HTTP_AUTH", "me:hunter2")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}

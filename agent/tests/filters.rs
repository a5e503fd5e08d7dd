//! What a filter may be, held against a real Consul.

#![expect(clippy::unwrap_used, reason = "a test whose Consul does not answer has failed")]

mod support;

use lictor::consul::{What, check_filter};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use support::consul::ConsulAgent;
use support::http_client;

/// Expressions that a Consul takes, and those that none takes.
#[derive(Deserialize)]
struct Table {
    good: Vec<String>,
    bad: Vec<[String; 2]>,
}

/// Asks a Consul with a filter: the status and the text of its answer.
async fn ask(
    client: &reqwest::Client,
    consul: &ConsulAgent,
    path: &str,
    filter: &str,
) -> (StatusCode, String) {
    let url =
        Url::parse_with_params(&format!("{}/v1/{path}", consul.address()), [("filter", filter)]).unwrap();
    let answer = client.get(url).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_real_consul_takes_what_is_taken_and_refuses_what_is_refused() {
    let Table { good, bad } = toml::from_str(include_str!("filters.toml")).unwrap();
    let (consul, client) = (ConsulAgent::start().await, http_client(reqwest::Client::builder()));
    let checks = format!("health/node/{}", consul.node().await);
    for filter in good {
        let (status, text) = ask(&client, &consul, &checks, &filter).await;
        assert_eq!(status, StatusCode::OK, "{filter}: {text}");
    }
    for [filter, _] in bad {
        let (status, text) = ask(&client, &consul, &checks, &filter).await;
        assert!(status.is_client_error() || status.is_server_error(), "{filter}: {text}");
    }
}

#[tokio::test]
async fn a_real_consul_knows_no_name_that_is_refused() {
    let (consul, client) = (ConsulAgent::start().await, http_client(reqwest::Client::builder()));
    let node = consul.node().await;
    consul.register_ttl_check("web", "alive").await;
    let service = What::Service { service: "web".into(), tags: vec![], passing_only: false };
    let watched = [
        (What::NodeChecks, format!("health/node/{node}")),
        (What::ServiceChecks("web".into()), "health/checks/web".into()),
        (What::StateChecks("any".into()), "health/state/any".into()),
        (service, "health/service/web".into()),
        (What::Node(None), format!("catalog/node/{node}")),
        (What::Nodes, "catalog/nodes".into()),
    ];
    let mut all: Vec<&str> =
        watched.iter().flat_map(|(what, _)| what.filter_names().unwrap()).copied().collect();
    all.sort_unstable();
    all.dedup();
    for (what, path) in &watched {
        let names = what.filter_names().unwrap();
        let mut known = 0;
        for name in &all {
            let filter = format!("{name} == 1");
            let (_, text) = ask(&client, &consul, path, &filter).await;
            let is_known = !text.contains("is not valid");
            known += usize::from(is_known);
            assert!(!is_known || check_filter(&filter, names).is_ok(), "{path}: {filter}: {text}");
        }
        assert!(known >= 3, "{path}: Consul knows {known} of the names");
    }
}

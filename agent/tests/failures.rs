//! Receivers that fail: what is tried again, when, and in which order.

mod support;

use std::fmt::Write;

use support::fake_consul::FakeConsul;
use support::home::{Delivery, Home};
use support::inbox::Inbox;
use support::mail::MailServer;
use support::nginx::{Nginx, RETRY_AFTER};
use tokio::net::TcpListener;

/// Where Consul is, and one rule that sends every change to all of `receivers`.
fn rule(consul: &FakeConsul, receivers: &[&str]) -> String {
    format!(
        "consul.address = '{}'\nrules = [{{ name = 'all', on = ['check.status'], receivers = {receivers:?} }}]\n",
        consul.address(),
    )
}

/// What became of the deliveries of one receiver, in their order.
fn of<'a>(deliveries: &'a [Delivery], receiver: &str) -> Vec<&'a Delivery> {
    deliveries.iter().filter(|one| one.receiver == receiver).collect()
}

/// Each receiver, what became of its delivery, and a part of the reason.
const FATES: [(&str, &str, &str, u32, &str); 7] = [
    ("busy", "dead", "retry-after", 2, "503: busy"),
    ("bad", "dead", "permanent", 1, "400: bad"),
    ("moved", "dead", "permanent", 1, "302: /ok"),
    ("mail-busy", "dead", "transient", 3, "451"),
    ("mail-unknown", "dead", "permanent", 1, "550"),
    ("exit-75", "dead", "transient", 3, "later"),
    ("exit-1", "dead", "permanent", 1, "never"),
];

#[tokio::test]
async fn what_may_work_later_is_tried_again_and_what_never_will_is_not() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let (nginx, mail) = tokio::join!(Nginx::start(), MailServer::start());
    let script = home.script("exit.sh", "echo \"$2\" >&2; exit \"$1\"");
    let relay = format!("smtp://127.0.0.1:{}", mail.ports().plain);
    let retry = |attempts| format!("retry = {{ attempts = {attempts}, backoff = '20ms' }}");
    let mut config = rule(&consul, &FATES.map(|(name, ..)| name));
    for (name, attempts) in [("busy", 2), ("bad", 3), ("moved", 3)] {
        write!(
            config,
            "[receivers.{name}]\nplugin = 'webhook'\n{}\nconfig.url = '{}'\n",
            retry(attempts),
            nginx.http(&format!("/{name}"))
        )
        .unwrap();
    }
    for name in ["busy", "unknown"] {
        write!(
            config,
            "[receivers.mail-{name}]\nplugin = 'email'\n{}\nallow.smtp = {{ relay = '{relay}' }}
            config = {{ from = 'lictor@example.com', to = ['{name}@example.com'] }}\n",
            retry(3)
        )
        .unwrap();
    }
    for (code, word) in [(75, "later"), (1, "never")] {
        write!(config, "[receivers.exit-{code}]\nplugin = 'shell'\n{}\nconfig.command = ['{script}', '{code}', '{word}']\n",
            retry(3)).unwrap();
    }
    let mut lictor = home.follow(&config).await;
    consul.set("critical");
    let deliveries = home.settled(&mut lictor, FATES.len()).await;
    for (name, state, outcome, attempts, reason) in FATES {
        let delivery = of(&deliveries, name)[0];
        let fate = (delivery.state.as_str(), delivery.outcome.as_str(), delivery.attempts);
        assert_eq!(fate, (state, outcome, attempts), "{name}: {}", delivery.detail);
        assert!(delivery.detail.contains(reason), "{name}: {}", delivery.detail);
    }
    let wait = 1000 * i64::try_from(RETRY_AFTER).unwrap();
    let busy = of(&deliveries, "busy")[0];
    assert!(busy.took >= Some(wait), "a Retry-After is kept: {:?}", busy.took);
    let keys: Vec<_> = nginx.requests().into_iter().filter(|seen| seen.uri == "/busy").collect();
    assert_eq!([&keys[0].idempotency_key, &keys[1].idempotency_key], [&busy.id, &busy.id]);
    assert_eq!(keys.len(), 2);
    assert!(nginx.requests().iter().all(|seen| seen.uri != "/ok"), "a redirect is not followed");
}

#[tokio::test]
async fn a_receiver_that_is_down_gets_its_deliveries_in_their_order_once_it_is_up() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let path = home.path("steady");
    let config = rule(&consul, &["hook", "steady"])
        + &format!(
            "[receivers.hook]\nplugin = 'webhook'\nconfig.url = 'http://{address}/'
            retry = {{ attempts = 0, backoff = '50ms', max_backoff = '200ms' }}
            [receivers.steady]\nplugin = 'file'\nconfig = {{ path = '{}', template = '{{{{ data.to }}}}' }}\n",
            path.display()
        );
    let mut lictor = home.follow(&config).await;
    let changes = ["critical", "warning", "passing"];
    for (at, status) in changes.into_iter().enumerate() {
        consul.set(status);
        home.wait_for_lines("steady", at + 1).await;
    }
    let tried = async || {
        let deliveries = home.deliveries();
        of(&deliveries, "hook").first().filter(|one| one.attempts >= 3).map(|_| ())
    };
    lictor.until("try it three times", tried).await;
    let waiting: Vec<_> = of(&home.deliveries(), "hook").iter().map(|one| one.attempts.min(1)).collect();
    assert_eq!(waiting, [1, 0, 0], "the later ones wait for the first");

    let mut inbox = Inbox::at(address).await;
    let deliveries = home.settled(&mut lictor, 6).await;
    assert!(deliveries.iter().all(|one| one.state == "delivered"));
    let told: Vec<_> = inbox.rest().iter().map(|post| post.json()["data"]["to"].clone()).collect();
    assert_eq!(told, changes);
}

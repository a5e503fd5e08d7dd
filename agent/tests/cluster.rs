//! One Lictor beside each of three agents, through what happens to a cluster: each event once, and no false one.
//!
//! ACLs deny by default, and the Lictors have the policy that the README prints. What is printed here is what
//! `make cluster-demo` shows.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot look has to fail, and a demonstration has to show what it saw"
)]

mod support;

use std::cell::Cell;
use std::fs;
use std::net::TcpListener as Listener;
use std::time::Duration;

use axum::Router;
use support::cluster::{Agent, agents};
use support::home::{Delivery, Home};
use support::lictor::Lictor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Longer than three intervals of the check.
const A_WHILE: Duration = Duration::from_millis(3500);

/// A web server that can be stopped and started again.
struct Web {
    address: String,
    serving: Option<JoinHandle<()>>,
}

impl Web {
    /// One that is not started.
    fn new() -> Self {
        let address = Listener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        Self { address, serving: None }
    }

    async fn start(&mut self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        // Each request has a connection of its own, so that none outlives the server.
        let app = Router::new().fallback(async || ([("connection", "close")], "ok"));
        self.serving = Some(tokio::spawn(async { axum::serve(listener, app).await.unwrap() }));
    }

    fn stop(&mut self) {
        self.serving.take().unwrap().abort();
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// A Lictor, and what it was told.
struct Beside {
    node: &'static str,
    home: Home,
    config: String,
    lictor: Lictor,
    /// How many of its deliveries were printed.
    printed: Cell<usize>,
}

impl Beside {
    /// Starts one with a configuration of `examples/cluster`, and waits for its first answers.
    async fn start(agent: &Agent, token: &str, example: &str) -> Self {
        let home = Home::warm();
        home.write("consul-token", token);
        let text = fs::read_to_string(format!("../examples/cluster/{example}.toml")).unwrap();
        // The folder and the environment of a test are set for each.
        let (_, text) = text.split_once("\n[consul]\n").unwrap();
        let here = home.path("").display().to_string();
        let config = format!("[consul]\n{text}")
            .replace("http://127.0.0.1:8500", &agent.address())
            .replace("/run/credentials/lictor", here.trim_end_matches('/'))
            .replace("/srv/lictor", here.trim_end_matches('/'));
        let lictor = home.follow(&config).await;
        Self { node: agent.name, home, config, lictor, printed: Cell::new(0) }
    }

    /// Prints what it was told since the last time.
    fn print(&self) {
        let told = self.home.deliveries();
        for one in &told[self.printed.replace(told.len()).min(told.len())..] {
            let states = match (one.data["from"].as_str(), one.data["to"].as_str()) {
                (from, Some(to)) if one.kind == "check.status" => {
                    format!("  {} → {to}", from.unwrap_or("nothing"))
                }
                _ => String::new(),
            };
            println!("      beside {}: {:<18} {}{states}", self.node, one.kind, one.subject);
        }
    }

    /// The results that it was told of a check, in their order: `passing>critical`.
    fn results(&self, subject: &str) -> Vec<String> {
        let is_result = |one: &Delivery| one.kind == "check.status" && one.subject == subject;
        let results = self.home.deliveries().into_iter().filter(is_result);
        let word = |one: &Delivery, name: &str| one.data[name].as_str().unwrap_or_default().to_owned();
        results.map(|one| format!("{}>{}", word(&one, "from"), word(&one, "to"))).collect()
    }

    /// Waits for the last of these results, which are all that there are.
    async fn told(&self, subject: &str, want: &[&str]) {
        let reached = support::eventually(async || (self.results(subject) == want).then_some(())).await;
        assert!(reached.is_some(), "{subject}: {:?}, and not {want:?}", self.results(subject));
        self.print();
    }

    /// Waits for an event of this type and subject.
    async fn saw(&self, kind: &str, subject: &str) {
        let count = async || (self.count(kind, subject) > 0).then_some(());
        assert!(support::eventually(count).await.is_some(), "{kind} {subject}: {:?}", self.all());
        self.print();
    }

    fn count(&self, kind: &str, subject: &str) -> usize {
        self.home.deliveries().iter().filter(|one| one.kind == kind && one.subject == subject).count()
    }

    fn all(&self) -> Vec<(String, String)> {
        self.home.deliveries().into_iter().map(|one| (one.kind, one.subject)).collect()
    }

    /// Only Lictor restarts: nothing is told again.
    async fn restart(&mut self) {
        assert_eq!(self.lictor.terminate().await, 0);
        let before = self.all();
        self.lictor = self.home.start(&self.config);
        self.lictor.told("Lictor runs.", 1).await;
        sleep(Duration::from_millis(1500)).await;
        assert_eq!(self.all(), before, "a restart of Lictor is no event");
        println!("      beside {}: Lictor restarts, and tells nothing again", self.node);
    }
}

/// What Lictor needs, which the README says too.
fn policy() -> String {
    let policy = fs::read_to_string("../examples/cluster/policy.hcl").unwrap();
    let (_, rules) = policy.split_once('\n').unwrap();
    let readme = fs::read_to_string("../README.md").unwrap();
    assert!(readme.contains(rules), "the README prints another policy");
    rules.to_owned()
}

fn step(number: &str, what: &str) {
    println!("\n{number:>3}  {what}");
}

#[expect(clippy::too_many_lines, reason = "one story, whose steps build on each other")]
#[tokio::test]
async fn each_thing_that_happens_to_a_cluster_is_told_once_and_nothing_else() {
    let [mut n1, mut n2, mut n3] = agents();
    n1.start().await;
    let token = n1.token(&policy()).await;
    step("1", "The agents n2 and n3 join the server n1.");
    let mut beside1 = Beside::start(&n1, &token, "server").await;
    n2.start().await;
    n3.start().await;
    for node in ["n2", "n3"] {
        beside1.saw("node.joined", node).await;
        beside1.told(&format!("{node}/serfHealth"), &[">passing"]).await;
    }
    let mut beside2 = Beside::start(&n2, &token, "client").await;
    let mut beside3 = Beside::start(&n3, &token, "client").await;

    step("2", "The service web is registered on n1 and n2, where its process runs.");
    let mut webs = [Web::new(), Web::new(), Web::new()];
    webs[0].start().await;
    webs[1].start().await;
    n1.register_web(&webs[0].url()).await;
    n2.register_web(&webs[1].url()).await;
    beside1.told("n1/web", &[">passing"]).await;
    beside2.told("n2/web", &[">passing"]).await;

    step("3", "Its process on n1 stops: one failure, beside n1 alone.");
    webs[0].stop();
    beside1.told("n1/web", &[">passing", "passing>critical"]).await;
    step("4", "It stays down, and its check runs three times more: nothing is told again.");
    beside1.restart().await;
    sleep(A_WHILE).await;
    beside1.told("n1/web", &[">passing", "passing>critical"]).await;
    assert_eq!(beside2.results("n1/web"), [""; 0], "another node's failure is not its business");

    step("5", "It is back.");
    webs[0].start().await;
    let n1_web = [">passing", "passing>critical", "critical>passing"];
    beside1.told("n1/web", &n1_web).await;

    step("6", "The service web is registered on n3, before its process is there.");
    n3.register_web(&webs[2].url()).await;
    beside3.told("n3/web", &[">critical"]).await;
    let failed = beside3.home.deliveries().into_iter().find(|one| one.kind == "check.status").unwrap();
    assert!(
        failed.word("output").contains("refused"),
        "only a run of the check is a result: {}",
        failed.data
    );
    beside3.restart().await;
    step("7", "Its process on n3 starts.");
    webs[2].start().await;
    beside3.told("n3/web", &[">critical", "critical>passing"]).await;

    step("8", "The agent of n2 restarts: it leaves with its service, and brings it back.");
    n2.stop().await;
    beside1.saw("node.left", "n2").await;
    n2.start().await;
    beside2.saw("source.recovered", "checks/node").await;
    beside1.told("n2/web", &[">passing", ">passing"]).await;
    assert_eq!(beside2.count("source.lost", "checks/node"), 1);
    assert!(beside2.results("n2/web").iter().all(|result| !result.ends_with("critical")));

    step("9", "The agent of n3 is killed: its check still passes, and its node has failed.");
    n3.kill();
    beside1.saw("node.failed", "n3").await;
    beside1.told("n3/serfHealth", &[">passing", "passing>critical"]).await;
    assert_eq!(beside1.results("n3/web").last().unwrap(), "critical>passing");
    beside1.restart().await;

    step("10", "The server n1 restarts with its data: nothing is told again.");
    let before = beside1.results("n1/web");
    n1.stop().await;
    beside1.saw("source.lost", "nodes").await;
    n1.start().await;
    beside1.saw("source.recovered", "nodes").await;
    beside1.saw("source.recovered", "checks/state/any").await;
    sleep(A_WHILE).await;
    assert_eq!(beside1.results("n1/web"), before, "nothing is told again");
    assert_eq!((before.len(), beside1.count("node.failed", "n3")), (3, 1));

    step("11", "Only Lictor restarts, once more.");
    for beside in [&mut beside1, &mut beside2] {
        beside.restart().await;
        assert_eq!(beside.lictor.terminate().await, 0);
    }
    println!(
        "\nEach event came once, and no false one. Next: lictor validate -c examples/cluster/server.toml"
    );
}

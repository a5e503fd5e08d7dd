//! Nothing is lost and nothing is out of order: not by SIGKILL, not on a full disk, not behind a receiver that is
//! slow or an event that is poison.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and says what it drew"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use serde_json::Value;
use support::consul::ConsulAgent;
use support::home::{Delivery, Home};
use support::lictor::Lictor;
use tokio::time::{Instant, sleep};

const CHECKS: [&str; 4] = ["c0", "c1", "c2", "c3"];
const STATES: [&str; 3] = ["pass", "warn", "fail"];

/// Kills of a run, unless `LICTOR_KILLS` says otherwise.
const KILLS: usize = 200;

/// The longest that a Lictor lives before it is killed: some starts, some events.
const LIFE_MS: u64 = 500;

/// Numbers that look random, the same for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    /// With the seed of `LICTOR_SEED`, else of the clock; it is printed.
    fn new() -> Self {
        let clock =
            || u64::from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos());
        let seed = number("LICTOR_SEED").unwrap_or_else(clock) | 1;
        println!("LICTOR_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[usize::try_from(self.below(words.len() as u64)).unwrap()]
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Every change of a status goes to a file and to a command that takes a moment and notes when it begins.
fn two_receivers(home: &Home, address: &str) -> String {
    let script = home.script(
        "act.sh",
        r#"echo "$LICTOR_DELIVERY_ID $LICTOR_CHECK_ID $LICTOR_FROM $LICTOR_TO" >>"$home/acts"; sleep 0.02"#,
    );
    let log = home.path("log");
    format!(
        "consul.address = '{address}'
        rules = [{{ name = 'all', on = ['check.status'], receivers = ['file', 'act'] }}]
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        [receivers.act]\nplugin = 'shell'\nconfig = {{ command = ['{script}'] }}
        retry = {{ attempts = 0 }}",
        log.display()
    )
}

/// One line of a receiver: which delivery (or event) it is of, and what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    id: String,
    check: String,
    from: String,
    to: String,
}

fn of_act(line: &str) -> Line {
    let mut words = line.split(' ').map(String::from);
    let mut next = || words.next().unwrap();
    Line { id: next(), check: next(), from: next(), to: next() }
}

fn of_file(line: &str) -> Line {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let data = &event["data"];
    Line {
        id: word(&event["id"]),
        check: word(&data["check_id"]),
        from: word(&data["from"]),
        to: word(&data["to"]),
    }
}

/// Checks that for each check the lines tell a chain of changes from passing to passing, and that one is repeated
/// only before the next one of its check. Gives how many lines are repeats.
fn chained(lines: &[Line]) -> usize {
    let mut repeats = 0;
    for check in CHECKS {
        let mut last: Option<&Line> = None;
        let mut seen = BTreeSet::new();
        for line in lines.iter().filter(|line| line.check == check) {
            if last.is_some_and(|last| last.id == line.id) {
                repeats += 1;
                continue;
            }
            assert!(seen.insert(&line.id), "{line:?} comes again after others");
            let before = last.map_or("passing", |last| &last.to);
            assert_eq!(line.from, before, "{check}: a change is missing before {line:?}");
            last = Some(line);
        }
        assert_eq!(last.map_or("passing", |last| &last.to), "passing", "{check}: the last change is missing");
    }
    repeats
}

/// Waits until Consul's last states are known, all of them passing, and everything is delivered.
async fn all_delivered(home: &Home, lictor: &mut Lictor) -> Vec<Delivery> {
    let what = "deliver everything";
    lictor
        .until(what, async || {
            let passing = |state: &Value| state["result"] == "passing";
            let known = home.snapshot().iter().all(passing);
            let deliveries = home.deliveries();
            (known && deliveries.iter().all(|one| one.state == "delivered")).then_some(deliveries)
        })
        .await
}

/// Moves the checks at random until `stop`, then all of them to passing.
async fn flip(consul: &ConsulAgent, mut dice: Dice, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        consul.ttl(dice.one_of(&CHECKS), dice.one_of(&STATES), "by chance").await;
        sleep(Duration::from_millis(dice.below(40))).await;
    }
    for check in CHECKS {
        consul.ttl(check, "pass", "at the end").await;
    }
}

#[tokio::test]
async fn no_kill_loses_a_change_or_its_order() {
    let consul = ConsulAgent::start().await;
    for check in CHECKS {
        consul.register_ttl_check(check, check).await;
    }
    let home = Home::warm();
    let config = two_receivers(&home, &consul.address());
    assert_eq!(home.follow(&config).await.terminate().await, 0);
    let kills = number("LICTOR_KILLS").map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    let mut dice = Dice::new();
    let stop = AtomicBool::new(false);
    let kill = async {
        for _ in 0..kills {
            let mut lictor = home.start(&config);
            sleep(Duration::from_millis(dice.below(LIFE_MS))).await;
            lictor.kill();
        }
        stop.store(true, Ordering::Relaxed);
    };
    let flips = Dice(0x5eed);
    tokio::join!(kill, flip(&consul, flips, &stop));

    let mut lictor = home.start(&config);
    let deliveries = all_delivered(&home, &mut lictor).await;
    assert_eq!(lictor.terminate().await, 0);
    let interrupted = home.interrupted();
    let acts: Vec<_> = home.lines("acts").iter().map(|line| of_act(line)).collect();
    let file: Vec<_> = home.lines("log").iter().map(|line| of_file(line)).collect();
    let repeats = [chained(&acts), chained(&file)];
    println!("{} deliveries, {interrupted} calls cut off, {repeats:?} lines repeated", deliveries.len());
    assert!(interrupted > kills / 20, "too few kills hit a call to prove something: {interrupted}");
    assert!(repeats.iter().sum::<usize>() <= interrupted, "only calls that a kill cut off are repeated");
    let told: BTreeSet<_> = acts.iter().map(|line| &line.id).collect();
    let committed: BTreeSet<_> =
        deliveries.iter().filter(|one| one.receiver == "act").map(|one| &one.id).collect();
    assert_eq!(told, committed, "each delivery keeps its id");
}

/// Said when the store is full.
const FULL: &str = "The store cannot write; nothing new is taken in.";

/// Moves a check until Lictor says that its disk is full; its last state is `fail`.
async fn flip_until_full(consul: &ConsulAgent, lictor: &mut Lictor) {
    let start = Instant::now();
    while lictor.count(FULL) == 0 {
        assert!(start.elapsed() < Duration::from_mins(1), "it is never full: {:?}", lictor.log());
        for state in ["warn", "fail"] {
            consul.ttl("c0", state, "until it is full").await;
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_it_goes_on_when_there_is_room() {
    let consul = ConsulAgent::start().await;
    for check in CHECKS {
        consul.register_ttl_check(check, check).await;
    }
    let (home, disk) = Home::warm_on_small_disk();
    let config = two_receivers(&home, &consul.address());
    let mut lictor = home.follow(&config).await;
    disk.fill();
    flip_until_full(&consul, &mut lictor).await;
    let taken_in = home.deliveries().len();
    consul.ttl("c1", "fail", "while it is full").await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(home.deliveries().len(), taken_in, "nothing new is taken in");

    // An end while it is full, and a start while it is full.
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&config);
    lictor.wait_for("that it is full", |line| line.contains("no room is left on its disk")).await;
    disk.make_room();
    // A Lictor that could not even start is started anew by its supervisor.
    if lictor.count("Lictor runs.") == 0 {
        assert_eq!(lictor.ended().await.0, 69);
        lictor = home.start(&config);
    }
    for check in CHECKS {
        consul.ttl(check, "pass", "there is room").await;
    }
    all_delivered(&home, &mut lictor).await;
    assert_eq!(lictor.terminate().await, 0);
    let acts: Vec<_> = home.lines("acts").iter().map(|line| of_act(line)).collect();
    let file: Vec<_> = home.lines("log").iter().map(|line| of_file(line)).collect();
    chained(&acts);
    chained(&file);
}

#[tokio::test]
async fn one_that_hangs_and_one_that_is_poison_hold_up_nobody_else() {
    let consul = ConsulAgent::start().await;
    for check in CHECKS {
        consul.register_ttl_check(check, check).await;
    }
    let home = Home::warm();
    let hangs = home.script(
        "hangs.sh",
        r#"[ "$LICTOR_CHECK_ID" = c0 ] && sleep 30; echo "$LICTOR_CHECK_ID" >>"$home/hangs""#,
    );
    let poison = home.script(
        "poison.sh",
        r#"[ "$LICTOR_TO" = critical ] && exit 75; echo "$LICTOR_CHECK_ID $LICTOR_TO" >>"$home/poison""#,
    );
    let config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'all', on = ['check.status'], receivers = ['hangs', 'poison', 'file'] }}]
        [receivers.hangs]\nplugin = 'shell'\nconfig = {{ command = ['{hangs}'] }}\nmax_in_flight = 2
        [receivers.poison]\nplugin = 'shell'\nconfig = {{ command = ['{poison}'] }}
        retry = {{ attempts = 3, backoff = '10ms' }}
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}",
        consul.address(),
        home.path("log").display()
    );
    let mut lictor = home.follow(&config).await;
    for (check, state) in [("c0", "fail"), ("c1", "fail"), ("c0", "pass"), ("c2", "warn")] {
        let before = home.deliveries().len();
        consul.ttl(check, state, "by hand").await;
        lictor.until("commit it", async || (home.deliveries().len() > before).then_some(())).await;
    }
    // c0 hangs for longer than this test waits for anything.
    assert_eq!(home.wait_for_lines("hangs", 2).await, ["c1", "c2"], "other subjects pass by");
    home.wait_for_lines("log", 4).await;
    let poison = home.wait_for_lines("poison", 2).await;
    assert_eq!(poison.iter().collect::<BTreeSet<_>>().len(), 2, "{poison:?}");
    assert!(poison.contains(&"c0 passing".into()), "what comes after the poison is made: {poison:?}");
    let is_poison = |one: &Delivery| one.receiver == "poison" && one.word("to") == "critical";
    let dead = lictor
        .until("give both poisons up", async || {
            let dead: Vec<_> =
                home.deliveries().into_iter().filter(|one| is_poison(one) && one.state == "dead").collect();
            (dead.len() == 2).then_some(dead)
        })
        .await;
    assert_eq!(dead.iter().map(|one| one.word("check_id")).collect::<BTreeSet<_>>(), ["c0", "c1"].into());
    assert!(dead.iter().all(|one| one.attempts == 3), "the bound on attempts");
    lictor.signal();
    lictor.kill();
}

#[tokio::test]
async fn an_end_with_ten_thousand_that_wait_loses_none() {
    let consul = ConsulAgent::start().await;
    let home = Home::warm();
    let config = two_receivers(&home, &consul.address())
        + "\n[receivers.down]\nplugin = 'webhook'\nconfig = { url = 'http://127.0.0.1:9/' }\nretry = { attempts = 0 }\n";
    assert_eq!(home.follow(&config).await.terminate().await, 0);
    let connection = Connection::open(home.path("data/lictor.db")).unwrap();
    connection
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
             INSERT INTO event (id, generation, watch, kind, source, subject, time, data, node, environment)
             SELECT 'e' || i, 0, 'checks/node', 'lictor.check.status', 'consul://dc1', 's' || i, 0, '{}', 'n', '' FROM n;
             INSERT INTO delivery (id, event, rule, receiver, subject, state, head, due_at, attempts, created_at)
             SELECT id, seq, 'all', 'down', subject, 'pending', 1, 0, 0, 0 FROM event;",
        )
        .unwrap();
    let open = || {
        let sql = "SELECT count(*) FROM delivery WHERE receiver = 'down' AND settled_at IS NULL";
        connection.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap()
    };
    let mut lictor = home.start(&config);
    lictor
        .until("try some of them", async || {
            (home.deliveries().iter().any(|one| one.attempts > 0)).then_some(())
        })
        .await;
    assert_eq!(lictor.terminate().await, 0);
    assert_eq!(open(), 10_000);
    assert_eq!(home.interrupted(), 0, "calls came to their end");
}

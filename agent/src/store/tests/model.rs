//! The store against a model in memory: random commits, claims and verdicts, restarts, crashes and
//! power cuts.
//!
//! A crash is a copy of the files as they are between two commands. A power cut is such a copy whose
//! log ends at any byte: what is left must be a state that once was, and the model goes back to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::catalog::CheckStatus;
use crate::event::Change;
use crate::store::fixture::{at, delivery, event, nothing, nothing_follows, state};
use crate::store::*;

#[derive(Clone, Debug)]
enum Action {
    /// Watch, reset, key and its status (none: it is gone), events (id and subject), deliveries, how many of
    /// them each receiver can begin at once.
    Commit(u8, bool, u8, Option<CheckStatus>, Vec<(u8, u8)>, Vec<(usize, u8, u8, i64)>, [usize; 2]),
    Claim(u8, usize),
    /// Which of the running ones, and what becomes of it: a retry after so many milliseconds, or the end.
    /// Whether it claims the next one of its receiver.
    Settle(prop::sample::Index, Ending, bool),
    Pass(i64),
    Restart,
    Crash,
    PowerCut(f64),
}

#[derive(Clone, Debug)]
enum Ending {
    Delivered,
    Retry(i64),
    Dead,
}

fn action() -> impl Strategy<Value = Action> {
    let events = || prop::collection::vec((0_u8..20, 0_u8..3), 0..4);
    let deliveries = || prop::collection::vec((0_usize..4, 0_u8..2, 0_u8..2, 0_i64..3), 0..5);
    let status = || prop::option::of(prop::sample::select(&CheckStatus::ALL[..]));
    let ending = prop_oneof![Just(Ending::Delivered), (0_i64..4).prop_map(Ending::Retry), Just(Ending::Dead)];
    prop_oneof![
        8 => (0_u8..2, prop::bool::weighted(0.1), 0_u8..3, status(), events(), deliveries(), [0_usize..3, 0..3])
            .prop_map(|(watch, reset, key, status, events, deliveries, free)| {
                Action::Commit(watch, reset, key, status, events, deliveries, free)
            }),
        8 => (0_u8..2, 1_usize..4).prop_map(|(receiver, limit)| Action::Claim(receiver, limit)),
        8 => (any::<prop::sample::Index>(), ending, any::<bool>())
            .prop_map(|(which, ending, claims)| Action::Settle(which, ending, claims)),
        4 => (1_i64..4).prop_map(Action::Pass),
        1 => Just(Action::Restart),
        1 => Just(Action::Crash),
        1 => (0.0..1.0).prop_map(Action::PowerCut),
    ]
}

/// What makes a delivery itself: event, generation, rule, receiver.
type Identity = (String, u64, String, String);

#[derive(Clone, Debug, PartialEq)]
struct Row {
    identity: Identity,
    subject: String,
    state: &'static str,
    due_at: i64,
    attempts: u32,
    /// One word for each attempt that is over.
    history: Vec<&'static str>,
}

/// What the store should hold. Rows are in the order of their `seq`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    watches: BTreeMap<String, (u64, BTreeMap<String, CheckStatus>)>,
    events: Vec<(String, u64)>,
    rows: Vec<Row>,
}

impl Model {
    /// Gives the rows that it claims.
    fn commit(&mut self, commit: &Commit) -> Vec<Row> {
        let highest = self.watches.values().map(|(generation, _)| *generation).max().unwrap_or(0);
        let (generation, states) =
            self.watches.entry(commit.watch.clone()).or_insert((highest, BTreeMap::new()));
        // Who comes to a reset that another one has seen before joins it.
        *generation = highest + u64::from(commit.reset && *generation == highest);
        for change in &commit.changes {
            match change {
                Change::Removed(key, _) => drop(states.remove(key)),
                Change::Added(key, new) | Change::Modified { key, new, .. } => {
                    states.insert(key.clone(), new.check().unwrap().check.status);
                }
            }
        }
        let generation = *generation;
        for event in &commit.events {
            let event = (event.id.clone(), generation);
            if !self.events.contains(&event) {
                self.events.push(event);
            }
        }
        let mut free = commit.claim.clone();
        let mut claimed = Vec::new();
        for delivery in &commit.deliveries {
            let event = &commit.events[delivery.event];
            let identity = (event.id.clone(), generation, delivery.rule.clone(), delivery.receiver.clone());
            if self.rows.iter().any(|row| row.identity == identity) {
                continue;
            }
            let receiver = delivery.receiver.clone();
            self.rows.push(Row {
                identity,
                subject: event.subject.clone(),
                state: "pending",
                due_at: delivery.due_at.as_millisecond(),
                attempts: 0,
                history: Vec::new(),
            });
            let seq = self.rows.len() - 1;
            let free = free.entry(receiver.clone()).or_default();
            if *free > 0 && delivery.due_at <= commit.now && self.claimable(&receiver).contains(&seq) {
                *free -= 1;
                claimed.push(self.begin(seq));
            }
        }
        claimed
    }

    /// Gives the row as it is then.
    fn begin(&mut self, seq: usize) -> Row {
        let row = &mut self.rows[seq];
        row.state = "running";
        row.attempts += 1;
        row.clone()
    }

    /// The rows that may be claimed, in order.
    fn claimable(&self, receiver: &str) -> Vec<usize> {
        let open = |row: &Row| matches!(row.state, "pending" | "running");
        let mut claimable: Vec<_> = (0..self.rows.len())
            .filter(|&seq| {
                let row = &self.rows[seq];
                let earlier = &self.rows[..seq];
                row.identity.3 == receiver
                    && row.state == "pending"
                    && !earlier.iter().any(|other| {
                        other.identity.3 == receiver && other.subject == row.subject && open(other)
                    })
            })
            .collect();
        claimable.sort_by_key(|&seq| (self.rows[seq].due_at, seq));
        claimable
    }

    fn running(&self) -> Vec<usize> {
        (0..self.rows.len()).filter(|&seq| self.rows[seq].state == "running").collect()
    }

    fn recover(&mut self, now: Timestamp) -> usize {
        let running = self.running();
        for &seq in &running {
            let row = &mut self.rows[seq];
            row.state = "pending";
            row.due_at = now.as_millisecond();
            row.history.push("interrupted");
        }
        running.len()
    }
}

/// The store, the model, and how it came to this.
struct World {
    folder: TempDir,
    store: Store,
    now: i64,
    model: Model,
    /// The model before each write that may still be in the log alone.
    past: Vec<Model>,
    ids: BTreeMap<Identity, String>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Self::open(&folder).await;
        Self { folder, store, now: 0, model: Model::default(), past: Vec::new(), ids: BTreeMap::new() }
    }

    async fn open(folder: &TempDir) -> Store {
        let store = Store::open(&folder.path().join("lictor.db")).unwrap();
        // A log that is not written back holds all that was done since it was opened.
        let keep_log = |connection: &mut Connection| {
            connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))
        };
        store.run(keep_log).await.unwrap();
        store
    }

    async fn act(&mut self, action: Action) {
        self.past.push(self.model.clone());
        match action {
            Action::Commit(watch, reset, key, status, events, deliveries, free) => {
                let commit = self.draw((watch, reset), (key, status), &events, &deliveries);
                let claim = ["r0", "r1"].map(str::to_owned).into_iter().zip(free).collect();
                let commit = Commit { claim, ..commit };
                let want = self.model.commit(&commit);
                let claimed = self.store.commit(&commit, |committed| committed.claimed).await.unwrap();
                self.check_claimed(claimed, want);
            }
            Action::Claim(receiver, limit) => self.claim(&format!("r{receiver}"), limit).await,
            Action::Settle(which, ending, claims) => self.settle(which, &ending, claims).await,
            Action::Pass(milliseconds) => self.now += milliseconds,
            Action::Restart => {
                self.store.clone().close().await.unwrap();
                self.past.clear();
                self.reopen().await;
            }
            Action::Crash => {
                self.copy();
                self.reopen().await;
            }
            Action::PowerCut(kept) => {
                let log = self.copy().with_extension("db-wal");
                if let Ok(bytes) = fs::read(&log) {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        clippy::cast_precision_loss,
                        reason = "any byte will do"
                    )]
                    let end = (bytes.len() as f64 * kept) as usize;
                    fs::write(&log, &bytes[..end]).unwrap();
                }
                self.store = Self::open(&self.folder).await;
                self.go_back().await;
                self.recover().await;
            }
        }
        assert_eq!(self.dump().await, self.model);
    }

    fn draw(
        &self,
        (watch, reset): (u8, bool),
        (key, status): (u8, Option<CheckStatus>),
        events: &[(u8, u8)],
        deliveries: &[(usize, u8, u8, i64)],
    ) -> Commit {
        let key = format!("k{key}");
        let change = match status {
            Some(status) => Change::Added(key.clone(), state(&key, status)),
            None => Change::Removed(key.clone(), state(&key, CheckStatus::Passing)),
        };
        let deliveries = deliveries.iter().filter(|(event, ..)| *event < events.len());
        Commit {
            watch: format!("w{watch}"),
            reset,
            changes: vec![change],
            // An id is derived from its subject among other things, so it never comes with another.
            events: events
                .iter()
                .map(|(id, subject)| event(&format!("e{id}-{subject}"), &format!("s{subject}")))
                .collect(),
            deliveries: deliveries
                .map(|&(event, rule, receiver, delay)| NewDelivery {
                    event,
                    rule: format!("rule{rule}"),
                    receiver: format!("r{receiver}"),
                    due_at: at(self.now + delay),
                    ..delivery("")
                })
                .collect(),
            now: at(self.now),
            ..nothing()
        }
    }

    async fn claim(&mut self, receiver: &str, limit: usize) {
        let claimable = self.model.claimable(receiver);
        let next_due = claimable.first().map(|&seq| self.model.rows[seq].due_at);
        let told = self.store.claim(receiver, 0, at(self.now)).await.unwrap().next_due;
        assert_eq!(told.map(Timestamp::as_millisecond), next_due);
        let now = at(self.now);
        let due = claimable.into_iter().filter(|&seq| self.model.rows[seq].due_at <= now.as_millisecond());
        let due: Vec<_> = due.take(limit).collect();
        let want = due.into_iter().map(|seq| self.model.begin(seq)).collect();
        let claimed = self.store.claim(receiver, limit, now).await.unwrap().claimed;
        self.check_claimed(claimed, want);
    }

    fn check_claimed(&mut self, claimed: Vec<Claimed>, want: Vec<Row>) {
        assert_eq!(claimed.len(), want.len());
        for (claimed, Row { identity, subject, attempts, .. }) in claimed.into_iter().zip(want) {
            let (event, _, rule, receiver) = identity.clone();
            assert_eq!((claimed.event.id, claimed.rule, claimed.receiver), (event, rule, receiver));
            assert_eq!((claimed.event.subject, claimed.attempt), (subject, attempts));
            let id = self.ids.entry(identity).or_insert_with(|| claimed.id.clone());
            assert_eq!(*id, claimed.id, "an id is the same on every attempt");
        }
    }

    async fn settle(&mut self, which: prop::sample::Index, ending: &Ending, claims: bool) {
        let running = self.model.running();
        if running.is_empty() {
            return;
        }
        let row = &mut self.model.rows[running[which.index(running.len())]];
        let (state, verdict) = match ending {
            Ending::Delivered => ("delivered", Verdict::Delivered { receipt: "ok".into() }),
            Ending::Retry(delay) => {
                row.due_at = at(self.now + delay).as_millisecond();
                (
                    "pending",
                    Verdict::RetryAt { at: at(self.now + delay), outcome: "transient", detail: "no".into() },
                )
            }
            Ending::Dead => ("dead", Verdict::Dead { outcome: "permanent", detail: "no".into() }),
        };
        row.state = state;
        row.history.push(match ending {
            Ending::Delivered => "delivered",
            Ending::Retry(_) => "transient",
            Ending::Dead => "permanent",
        });
        let id = self.ids[&row.identity].clone();
        let now = at(self.now);
        let settlement = Settlement {
            id,
            attempt: row.attempts,
            started_at: now,
            now,
            verdict,
            aftermath: Aftermath::default(),
        };
        for wrong in [settlement.attempt - 1, settlement.attempt + 1] {
            self.store.settle(Settlement { attempt: wrong, ..settlement.clone() }).await.unwrap();
        }
        if claims {
            let receiver = row.identity.3.clone();
            let next = self.model.claimable(&receiver).into_iter().next();
            let due = next.filter(|&seq| self.model.rows[seq].due_at <= now.as_millisecond());
            let want = due.into_iter().map(|seq| self.model.begin(seq)).collect();
            let got = self.store.settle_and_claim(settlement.clone(), &receiver).await.unwrap().claimed;
            self.check_claimed(got, want);
        } else {
            self.store.settle(settlement.clone()).await.unwrap();
        }
        self.store.settle(settlement).await.unwrap();
    }

    /// Moves to a copy of the files, and gives the path of its database.
    fn copy(&mut self) -> PathBuf {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lictor.db", "lictor.db-wal"] {
            fs::copy(self.folder.path().join(name), folder.path().join(name)).unwrap();
        }
        self.folder = folder;
        self.folder.path().join("lictor.db")
    }

    async fn reopen(&mut self) {
        self.store = Self::open(&self.folder).await;
        self.recover().await;
    }

    async fn recover(&mut self) {
        self.past.push(self.model.clone());
        let want = self.model.recover(at(self.now));
        let recovered = self.store.recover(BTreeMap::new(), nothing_follows(), at(self.now)).await.unwrap();
        assert_eq!(recovered, Recovered { repeated: want as u64, dead: 0 });
    }

    /// Puts the model back to the state that the store has.
    async fn go_back(&mut self) {
        let left = self.dump().await;
        while self.model != left {
            self.model = self.past.pop().expect("what is left is a state that once was");
        }
    }

    /// What the store holds. Checks on the way that each lane has the head that it should.
    async fn dump(&self) -> Model {
        let mut model = self.store.run(|connection| dump(connection)).await.unwrap();
        let watches: Vec<_> = model.watches.keys().cloned().collect();
        for watch in watches {
            let saved = self.store.load(&watch).await.unwrap().unwrap();
            let states = saved
                .states
                .into_iter()
                .map(|(key, state)| (key, state.check().unwrap().check.status))
                .collect();
            model.watches.insert(watch, (saved.generation, states));
        }
        model
    }
}

fn dump(connection: &Connection) -> rusqlite::Result<Model> {
    let mut model = Model::default();
    let mut watches = connection.prepare("SELECT name FROM watch")?;
    for name in watches.query_map((), |row| row.get::<_, String>(0))? {
        model.watches.insert(name?, (0, BTreeMap::new()));
    }
    let mut events = connection.prepare("SELECT id, generation FROM event ORDER BY seq")?;
    for event in events.query_map((), |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))? {
        model.events.push(event?);
    }
    let mut rows = connection.prepare(
        "SELECT event.id, event.generation, rule, receiver, delivery.subject, state, due_at, attempts,
           (SELECT coalesce(group_concat(outcome), '') FROM attempt WHERE delivery = delivery.seq ORDER BY number)
         FROM delivery JOIN event ON event.seq = delivery.event ORDER BY delivery.seq",
    )?;
    let word = |word: &str| {
        let words = ["pending", "running", "delivered", "dead", "interrupted", "transient", "permanent"];
        words.into_iter().find(|known| *known == word).unwrap()
    };
    let rows = rows.query_map((), |row| {
        Ok(Row {
            identity: (row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), row.get(2)?, row.get(3)?),
            subject: row.get(4)?,
            state: word(&row.get::<_, String>(5)?),
            due_at: row.get(6)?,
            attempts: row.get(7)?,
            history: row.get::<_, String>(8)?.split_terminator(',').map(word).collect(),
        })
    })?;
    model.rows = rows.collect::<Result<_, _>>()?;
    let heads = "SELECT count(*) FROM delivery AS d WHERE head <> (settled_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM delivery AS e WHERE e.receiver = d.receiver AND e.subject = d.subject
          AND e.settled_at IS NULL AND e.seq < d.seq))";
    let wrong: i64 = connection.query_row(heads, (), |row| row.get(0))?;
    assert_eq!(wrong, 0, "each lane has its first open delivery as its head");
    Ok(model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(actions in prop::collection::vec(action(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for action in actions {
                world.act(action).await;
            }
        });
    }
}

//! The durable line: what was seen, what it means, and what became of each delivery.
//!
//! Boundary: `SQLite` and its tables are known here alone. Rules, retries and plugins are not.
//!
//! # Files
//!
//! ```text
//! <data_dir>/lictor.db       the database: application_id 0x6c696374 ("lict"), user_version 3
//! <data_dir>/lictor.db-wal   its newest transactions; belongs to it, never to be moved alone
//! <data_dir>/lictor.db-shm   an index of the former, made anew when it is gone
//! <data_dir>/lictor.suspect  damage was met: the next start looks for it
//! <data_dir>/lictor.db.damaged-<time>  a database that was set aside, with its log
//! <data_dir>/lictor.lock     locked (flock) by the one Lictor that writes; holds its process id
//! ```
//!
//! A file of another program or another version is refused and not written to. Other processes may
//! read the database while Lictor runs; the lock is advisory and keeps out only a second Lictor.
//!
//! # Tables
//!
//! Times are milliseconds since 1970 in UTC. Consul's indexes and our generations are unsigned 64-bit
//! numbers and `SQLite`'s integers are signed: the same 64 bits are stored, so one above 2^63 - 1
//! shows as negative. They are never compared or ordered in SQL, but for the small generations.
//!
//! ```text
//! watch      one row per query; written by commit, deleted where the query is not asked any more
//!   name         that of its watch, with the service where it is one of several
//!   wait_index   Consul's index of the last committed answer that is not the highest one of its states
//!   generation   how often Consul's indexes had started over at its last commit; the highest one is that of all
//!   committed_at when this row was written
//!
//! snapshot   the last committed answer; written and deleted by commit
//!   watch, key   the thing, and the watch that follows it
//!   state        JSON
//!
//! event      what changed; written by commit, never altered
//!   seq          the order in which it happened
//!   id           derived from the change, unique within its generation
//!   generation   that of all watches at the time: an id that comes again after a reset is a new event
//!   watch, kind, source, subject, time, data (JSON)
//!   node, environment   of the Lictor that saw it: a plugin is told the same after a restart
//!
//! delivery   an event on its way to a receiver; written by commit, altered by claim, settle, recover,
//!            and by a person (`Records`)
//!   seq          the order within a lane: the deliveries of one receiver and one subject
//!   id           derived from event id, rule, receiver and generation
//!   event        its row; of a group that is sent as one, the first
//!   events       how many are sent as one
//!   nth          how often its group was sent before
//!   rule, receiver
//!   subject      that of its event, or the name of its group; `*` where all of a receiver are one lane
//!   state        pending │ running │ delivered │ dead │ suppressed
//!   head         1 for the first delivery of its lane that is not settled, else 0
//!   due_at       not before this time
//!   attempts     how many were begun, the running one included
//!   redriven     how many of them were before a person had it sent again, at redriven_at; they do not count
//!                against the bound of its receiver
//!   created_at, claimed_at (last), settled_at (null while it is open)
//!   outcome      of the last attempt: a word, as is `delivered` or `transient`
//!   detail       of the last attempt: the receipt, or why it failed
//!
//! delivery_more   the events of a group that is sent as one, but for the first
//!   delivery, position, event
//!
//! rule_state what a rule remembers of events: what waits for its time, and what was sent and goes on; written by
//!            commit
//!   rule, key    `alert <condition> <thing>`, `group <name>`
//!   state        JSON
//!   due_at       when time makes something of it; for a person, since it follows from the state and the rule
//!
//! silence    what is not sent for a while; written by a person (`Records`), ended early by commit
//!   id, matchers (JSON), starts_at, ends_at, created_by, comment, expire_on_resolve
//!
//! attempt    one try; written by settle, and by recover for those that were cut off (`interrupted`)
//!   delivery, number, started_at, ended_at, outcome, detail
//! ```
//!
//! `prune` deletes the oldest events with all that became of them (`retention`).
//!
//! # Order
//!
//! `claim` takes heads only. A commit makes a delivery the head of its lane when the lane is empty, a
//! verdict that settles a head makes the next one the head, in the same transaction. So a lane is in
//! order whatever its retries, lanes never wait for each other, and a claim reads just the index of
//! the heads that are pending: a backlog costs it nothing.
//!
//! # Twice
//!
//! An event whose id is there already in its generation was seen before, by another watch for example:
//! it is ignored together with its deliveries, because those of the first were decided by the same
//! rules. So a commit that is made twice by mistake delivers once.
//!
//! # Crashes
//!
//! Each method is one transaction, or a part of one that those share who wait at the same time (each part is
//! told when all of it is stored; where one fails, each is done by itself). It is written to the log without waiting for the disk (`synchronous =
//! NORMAL`). When the process ends, at any point, all finished transactions are there. When the
//! machine loses power the last ones may be missing, but only the last ones, so what is left is a
//! state that once was:
//!
//! * before `commit`: the next answer differs from the old snapshot, and the change is found again;
//! * after `commit`: the deliveries are there and are claimed, or were by that commit;
//! * after `claim`: `recover` makes the delivery claimable, as long as attempts are left; its call repeats
//!   with the same id;
//! * after the call, before `settle`: the same, and the receiver can drop what it knows by its id;
//! * after `settle`: nothing is left to do.
//!
//! With `durability = "full"` each transaction waits for the disk, and a power cut takes none. What it prevents is
//! only that the events of the last moment are seen as one net change, and that calls of the last moment repeat.
//!
//! The log is written back into the database, and the disk waited for, by a thread of its own: when it has grown and
//! nothing has been asked for a moment, and beside the work when it has grown much, so that no event waits for it.
//!
//! # Errors
//!
//! A method that fails has changed nothing, whatever the error; the caller waits and makes the same
//! call again. On a full disk nothing is taken in (Consul keeps the state, the next difference is the
//! net one), what is stored stays, and all goes on when there is room.

mod aftermath;
mod calls;
mod commit;
mod damage;
mod error;
mod health;
mod made;
mod open;
mod outbox;
mod record;
mod records;
mod retention;
mod rules;
mod schema;
mod standing;
mod thread;
mod types;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::identity;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::event::{self, Snapshot};
use thread::{Command, Open, Waiting, serve};

pub use error::StoreError;
pub use health::{Health, Repaired, repair};
pub use open::Durability;
pub use record::{Attempt, EventFilter, Filter, Record, RecordsError, State};
pub use records::{Records, Seen};
pub use retention::{Pruned, Retention};
pub use rules::{RuleState, SilenceRecord};
pub use standing::{Alerts, Answered, Deliveries, Standing};
pub use types::{
    AfterDeath, Aftermath, Claimed, Claims, Commit, Committed, DETAIL_MAX, Fallback, Lane, NewDelivery,
    Overlap, Recovered, Replaced, Saved, Settlement, StoredEvent, Verdict,
};

/// Commands that wait for the store's thread. Each caller waits for its answer, so there are never
/// more than callers; the bound only says that a disk that hangs must not let memory grow.
const QUEUE: usize = 64;

/// A handle to the open store; clones share it.
///
/// A method whose future is dropped may still be carried out: its command is on its way.
#[derive(Clone, Debug)]
pub struct Store {
    /// Without a bound of its own: whoever sends holds one of `slots` until it is answered.
    commands: mpsc::Sender<Command>,
    slots: Arc<Semaphore>,
    open: Arc<Mutex<Option<Open>>>,
    path: Arc<Path>,
    damaged: Option<Arc<Path>>,
    /// Damage was met.
    broken: CancellationToken,
}

impl Store {
    /// Opens the database at `path`, or makes it there; the folder must exist. One that is damaged is renamed and
    /// begun anew. Takes the lock beside
    /// it, which is given back when the store is closed or the process ends.
    ///
    /// Call [`Store::recover`] next.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_durable(path, Durability::default())
    }

    /// Like [`open`](Self::open), with a choice of what a power cut may take.
    pub fn open_durable(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let open::Database { lock, connection, beside, damaged } = open::open(path, durability)?;
        let (write_back, asked) = mpsc::channel();
        let open = Arc::new(Mutex::new(Some(Open { connection, written_back: 0, write_back })));
        let (commands, queue) = mpsc::channel();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).map_err(StoreError::Thread)
        };
        let shared = Arc::clone(&open);
        let work = move || thread::write_back(&beside, &shared, &asked);
        let other = spawn("lictor-log", Box::new(work))?;
        let shared = Arc::clone(&open);
        spawn("lictor-store", Box::new(move || serve(lock, other, &shared, &queue)))?;
        Ok(Self {
            commands,
            slots: Arc::new(Semaphore::new(QUEUE)),
            open,
            path: path.into(),
            damaged: damaged.map(Into::into),
            broken: CancellationToken::new(),
        })
    }

    /// Where the database is that was there before and was damaged, if so.
    pub fn damaged(&self) -> Option<&Path> {
        self.damaged.as_deref()
    }

    /// Waits until damage is met. The next start sets the database aside.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// What is known of `watch`; none when it was never committed.
    pub async fn load(&self, watch: &str) -> Result<Option<Saved>, StoreError> {
        let name = watch.to_owned();
        let Some(rows) = self.run(move |connection| commit::load(connection, &name)).await? else {
            return Ok(None);
        };
        let states = rows.states.into_iter().map(|(key, json)| match serde_json::from_str(&json) {
            Ok(state) => Ok((key, state)),
            Err(error) => Err(StoreError::Corrupt { path: self.path.to_path_buf(), source: error.into() }),
        });
        let states = states.collect::<Result<Snapshot<event::State>, _>>()?;
        let written = states.values().filter_map(event::State::modify_index).max().unwrap_or(0);
        Ok(Some(Saved { index: rows.index.max(written), generation: rows.generation, states }))
    }

    /// Stores an answer of a watch with its events and deliveries: whole, or, on an error, not at all.
    /// Once it is stored, `then` gets the deliveries that were claimed, as [`claim`](Self::claim) gives them, and those that
    /// run and are to be ended.
    ///
    /// It is also called when the caller has gone. It must not block.
    ///
    /// Where nobody else uses the database the caller's own thread writes, since to wake another one and to be
    /// woken again takes a quarter as long as the transaction. It waits for a disk that hangs, or for up to 5 s
    /// for a person's `sqlite3` that writes: nothing that it would do meanwhile could go on without the commit.
    ///
    /// Events that are known already are left out with their deliveries. A rule and a receiver that
    /// are named twice for one event make one delivery.
    pub async fn commit<T: Send + 'static>(
        &self,
        commit: &Commit,
        then: impl FnOnce(Committed) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let encoded = commit::Encoded::new(commit)?;
        let work = move |transaction: &Connection| commit::commit(transaction, &encoded);
        match self.write_here(work) {
            Ok(result) => result.map(then).map_err(|source| self.sort(source)),
            Err(work) => self.write(work, then).await,
        }
    }

    /// Takes up to `limit` deliveries of `receiver` that are due at `now` and that no earlier open
    /// delivery of the same subject precedes, and says when there is more. They run until they are settled or
    /// recovered.
    pub async fn claim(&self, receiver: &str, limit: usize, now: Timestamp) -> Result<Claims, StoreError> {
        let receiver = receiver.to_owned();
        self.write(move |transaction| outbox::claim(transaction, &receiver, limit, now), identity).await
    }

    /// Says how an attempt ended. It may be said again: once settled, it changes nothing.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        let news = aftermath::encode(&settlement)?;
        self.write(move |transaction| outbox::settle(transaction, &settlement, &news), identity).await
    }

    /// [`settle`](Self::settle), and in the same transaction [`claim`](Self::claim) one delivery of `receiver`,
    /// which halves the transactions of a receiver that is busy.
    pub async fn settle_and_claim(
        &self,
        settlement: Settlement,
        receiver: &str,
    ) -> Result<Claims, StoreError> {
        let news = aftermath::encode(&settlement)?;
        let receiver = receiver.to_owned();
        let work = move |transaction: &Connection| {
            outbox::settle(transaction, &settlement, &news)?;
            outbox::claim(transaction, &receiver, 1, settlement.now)
        };
        self.write(work, identity).await
    }

    /// Ends the attempts that ran when Lictor ended. A delivery is claimable again, or dead if its receiver
    /// has an entry in `attempts_max` and this was as many attempts: one that brings Lictor down each time
    /// must not do so for ever. What follows from that is committed with it. Only for the start, before anything is claimed.
    pub async fn recover(
        &self,
        attempts_max: BTreeMap<String, u32>,
        after_death: AfterDeath,
        now: Timestamp,
    ) -> Result<Recovered, StoreError> {
        self.run(move |connection| outbox::recover(connection, &attempts_max, &after_death, now)).await
    }

    /// The receivers that have deliveries which are not settled, and how many.
    pub async fn open_by_receiver(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.run(|connection| outbox::open_by_receiver(connection)).await
    }

    /// Writes the log back into the database and gives the lock back. Other handles get
    /// [`StoreError::Closed`] from then on. On an error nothing is lost: the next start does it.
    pub async fn close(self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Close(reply)).map_err(|_| StoreError::Closed)?;
        self.receive(answer).await
    }

    /// Has `work` done by the store's thread.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let work = move |connection: &mut Connection| {
            // A caller that has gone needs no answer.
            drop(reply.send(work(connection)));
        };
        self.commands.send(Command::Run(Box::new(work), slot)).map_err(|_| StoreError::Closed)?;
        self.receive(answer).await
    }

    /// Has `work` done by the store's thread, in a transaction that it may share with the work of others who wait.
    /// Once that is stored, `then` is called there with what came of it. The work of another one may fail: then all
    /// is taken back and each is done again by itself.
    async fn write<T: Send + 'static, U: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U, StoreError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let part = Box::new(Waiting::new(work, then, reply));
        self.commands.send(Command::Write(part, slot)).map_err(|_| StoreError::Closed)?;
        self.receive(answer).await
    }

    /// Has `work` done at once by the caller's thread in a transaction, if nobody else uses the database; else gives
    /// it back.
    fn write_here<T, W: FnOnce(&Connection) -> rusqlite::Result<T>>(
        &self,
        work: W,
    ) -> Result<rusqlite::Result<T>, W> {
        let Ok(mut open) = self.open.try_lock() else { return Err(work) };
        let Some(open) = open.as_mut() else { return Err(work) };
        let result = open.write(work);
        if open.has_grown() {
            // Whoever closes the store writes the log back.
            drop(self.commands.send(Command::Grown));
        }
        Ok(result)
    }

    async fn receive<T: Send + 'static>(
        &self,
        answer: oneshot::Receiver<rusqlite::Result<T>>,
    ) -> Result<T, StoreError> {
        // Paused time runs ahead while a test's runtime waits for a thread that it does not know.
        #[cfg(test)]
        let answer = async { tokio::task::spawn_blocking(|| answer.blocking_recv()).await.unwrap() };
        answer.await.map_err(|_| StoreError::Closed)?.map_err(|source| self.sort(source))
    }

    fn sort(&self, source: rusqlite::Error) -> StoreError {
        let error = StoreError::sort(&self.path, source);
        if matches!(error, StoreError::Corrupt { .. }) {
            damage::suspect(&self.path);
            self.broken.cancel();
        }
        error
    }
}

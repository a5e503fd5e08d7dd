//! Looks names up, each once at a time.
//!
//! The system's lookup keeps a thread until it ends, for ten seconds where its servers do not answer, and whoever gives up
//! leaves it there; without threads nobody could append or keep anything either. So calls that ask for one name share one
//! lookup. The names are those of grants, which hold no pattern.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// A name that is being looked up.
pub(crate) type LookingUp = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// What came of a lookup; `None` until something did.
type Found = Option<Result<Vec<SocketAddr>, String>>;

/// The lookups that have not ended, by name.
static PENDING: Mutex<BTreeMap<String, watch::Receiver<Found>>> = Mutex::new(BTreeMap::new());

/// The addresses of a name, with port 0, as the system has them. Dropping the future leaves the lookup to others.
pub(crate) fn system(name: String) -> LookingUp {
    let look_up = |name| -> LookingUp {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    };
    Box::pin(shared(name, look_up))
}

async fn shared(name: String, look_up: fn(String) -> LookingUp) -> io::Result<Vec<SocketAddr>> {
    let mut ended = pending(name, look_up);
    let ended = ended.wait_for(Option::is_some).await.map_err(io::Error::other)?;
    ended.clone().unwrap_or(Ok(Vec::new())).map_err(io::Error::other)
}

/// The lookup of a name that has not ended, or a new one.
fn pending(name: String, look_up: fn(String) -> LookingUp) -> watch::Receiver<Found> {
    let mut pending = lock();
    // One whose runtime is gone never ends.
    if let Some(known) = pending.get(&name).filter(|known| known.has_changed().is_ok()) {
        return known.clone();
    }
    let (done, found) = watch::channel(None);
    pending.insert(name.clone(), found.clone());
    tokio::spawn(async move {
        let found = look_up(name.clone()).await.map_err(|error| error.to_string());
        lock().remove(&name);
        done.send_replace(Some(found));
    });
    found
}

fn lock() -> MutexGuard<'static, BTreeMap<String, watch::Receiver<Found>>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::time::Duration;

    use super::*;

    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

    fn slow(name: String) -> LookingUp {
        Box::pin(async move {
            LOOKUPS.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_secs(10)).await;
            if name == "missing.test" { Err(io::Error::other("no such name")) } else { Ok(Vec::new()) }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_ask_for_one_name_share_a_lookup_also_those_that_gave_up() {
        for _ in 0..100 {
            let given_up =
                tokio::time::timeout(Duration::from_millis(1), shared("missing.test".into(), slow));
            given_up.await.unwrap_err();
        }
        let ended = tokio::join!(shared("missing.test".into(), slow), shared("missing.test".into(), slow));
        assert_eq!([ended.0, ended.1].map(|ended| ended.unwrap_err().to_string()), ["no such name"; 2]);
        assert_eq!(LOOKUPS.load(Relaxed), 1);
        shared("there.test".into(), slow).await.unwrap();
        shared("there.test".into(), slow).await.unwrap();
        assert_eq!(LOOKUPS.load(Relaxed), 3, "what has ended is asked anew");
    }
}

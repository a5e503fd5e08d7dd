//! What of WASI a guest finds: what the runtimes of languages ask for, with nothing behind it.
//!
//! Invariants: only what `LINKED` names is linked, and nothing else can be imported. There are no files, sockets,
//! arguments or variables. No clock is finer than a millisecond. What is random follows from the delivery's id, so two
//! nodes with the same delivery draw the same, and nothing that is drawn tells them apart.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2::bindings::random;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::guest::Guest;

/// The version of WASI, and the part of it that must be equal.
pub(crate) const VERSION: &str = "0.2";

/// Each interface that a guest may import, and what it finds there.
pub(crate) const LINKED: [(&str, &str); 27] = [
    ("wasi:cli/environment", "every runtime reads it when it starts: no variable, no argument, no folder"),
    ("wasi:cli/exit", "ends the call, as a trap does"),
    ("wasi:cli/stdin", "is at its end"),
    ("wasi:cli/stdout", "its last 16 KiB become lines of Lictor's log"),
    ("wasi:cli/stderr", "the same, and the last words of a crash"),
    ("wasi:cli/terminal-input", "a type, of which there is nothing"),
    ("wasi:cli/terminal-output", "a type, of which there is nothing"),
    ("wasi:cli/terminal-stdin", "is no terminal"),
    ("wasi:cli/terminal-stdout", "is no terminal"),
    ("wasi:cli/terminal-stderr", "is no terminal"),
    ("wasi:clocks/monotonic-clock", "whole milliseconds since the guest looked first, and waiting"),
    ("wasi:clocks/wall-clock", "whole milliseconds"),
    ("wasi:filesystem/preopens", "no folder, and so no way to any file"),
    ("wasi:filesystem/types", "works on folders that are open, of which there are none"),
    ("wasi:io/error", "what went wrong with a stream"),
    ("wasi:io/poll", "waits for a stream or for a time"),
    ("wasi:io/streams", "the standard streams"),
    ("wasi:random/random", "follows from the delivery's id"),
    ("wasi:random/insecure", "follows from the delivery's id"),
    ("wasi:random/insecure-seed", "follows from the delivery's id"),
    (
        "wasi:sockets/instance-network",
        "Python's runtime imports it; it names a network in which nothing is allowed",
    ),
    ("wasi:sockets/ip-name-lookup", "no name is looked up"),
    ("wasi:sockets/network", "types, and what went wrong"),
    ("wasi:sockets/tcp", "works on sockets, of which there are none"),
    ("wasi:sockets/tcp-create-socket", "no socket is made"),
    ("wasi:sockets/udp", "works on sockets, of which there are none"),
    ("wasi:sockets/udp-create-socket", "no socket is made"),
];

/// Random bytes that a guest may ask for at once.
const RANDOM: u64 = 64 << 10;

/// Milliseconds, as far as a guest's clocks go.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Links what `LINKED` names.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // What is random is ours, in place of what the operating system has.
    linker.allow_shadowing(true);
    random::random::add_to_linker::<_, HasSelf<Randomness>>(linker, |guest| &mut guest.randomness)?;
    random::insecure::add_to_linker::<_, HasSelf<Randomness>>(linker, |guest| &mut guest.randomness)?;
    random::insecure_seed::add_to_linker::<_, HasSelf<Randomness>>(linker, |guest| &mut guest.randomness)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Both clocks of a guest. Clones are one. The monotonic one begins when the guest looks first, so that it does not tell when
/// the instance was made.
#[derive(Clone, Default)]
pub(crate) struct Clock {
    first: Arc<OnceLock<Instant>>,
}

impl Clock {
    /// Whether the guest looked.
    pub(crate) fn is_used(&self) -> bool {
        self.first.get().is_some()
    }

    fn look(&self) -> Duration {
        self.first.get_or_init(Instant::now).elapsed()
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        MILLISECOND
    }

    fn now(&self) -> Duration {
        self.look();
        // A machine that believes that it is before 1970 has other troubles.
        whole(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        nanoseconds(MILLISECOND)
    }

    fn now(&self) -> u64 {
        nanoseconds(whole(self.look()))
    }
}

/// The whole milliseconds of a time.
fn whole(time: Duration) -> Duration {
    Duration::new(time.as_secs(), time.subsec_millis() * 1_000_000)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What a guest takes for random: a stream that follows from a text that it knows anyway.
///
/// Not from the operating system: what a guest draws there it could keep, and know the node again by it. It has no
/// secrets, so nothing has to be kept from whoever knows the text.
#[derive(Clone, Debug)]
pub(crate) struct Randomness {
    seed: [u8; 32],
    blocks: u64,
}

impl Randomness {
    /// The stream of a delivery, the same on each attempt.
    pub(crate) fn of(delivery: &str) -> Self {
        Self { seed: Sha256::digest(delivery).into(), blocks: 0 }
    }

    /// Whether something was drawn.
    pub(crate) fn is_used(&self) -> bool {
        self.blocks > 0
    }

    fn bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        if count > RANDOM {
            return Err(wasmtime::Error::msg(format!("{count} random bytes at once are more than {RANDOM}")));
        }
        let count = usize::try_from(count)?;
        let mut bytes = Vec::with_capacity(count + 32);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.block());
        }
        bytes.truncate(count);
        Ok(bytes)
    }

    fn block(&mut self) -> [u8; 32] {
        self.blocks += 1;
        Sha256::new().chain_update(self.seed).chain_update(self.blocks.to_le_bytes()).finalize().into()
    }

    fn number(&mut self) -> u64 {
        let mut number = [0; 8];
        number.copy_from_slice(&self.block()[..8]);
        u64::from_le_bytes(number)
    }
}

impl random::random::Host for Randomness {
    fn get_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(count)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.number())
    }
}

impl random::insecure::Host for Randomness {
    fn get_insecure_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(count)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.number())
    }
}

impl random::insecure_seed::Host for Randomness {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.number(), self.number()))
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine};

    use super::*;

    /// The release of WASI that wasmtime has.
    const RELEASE: &str = "0.2.12";

    /// What else WASI has, or had.
    const OTHERS: [&str; 17] = [
        "wasi:cli/run",
        "wasi:cli/command",
        "wasi:clocks/timezone",
        "wasi:config/runtime",
        "wasi:config/store",
        "wasi:filesystem/watch",
        "wasi:http/incoming-handler",
        "wasi:http/outgoing-handler",
        "wasi:http/types",
        "wasi:io/files",
        "wasi:keyvalue/store",
        "wasi:logging/logging",
        "wasi:messaging/producer",
        "wasi:nn/graph",
        "wasi:sockets/tls",
        "wasi:threads/thread-spawn",
        "wasi:tls/types",
    ];

    #[test]
    fn what_is_linked_is_what_the_list_names() {
        let engine = Engine::new(&Config::new()).unwrap();
        let mut linker = Linker::new(&engine);
        link(&mut linker).unwrap();
        // A linker does not say what it has, but it takes no name twice.
        let mut is_linked = |name: &str| {
            let name = format!("{name}@{RELEASE}");
            linker.root().func_wrap(&name, |_, (): ()| Ok(())).is_err()
        };
        for (name, why) in LINKED {
            assert!(is_linked(name), "{name} is not linked: {why}");
        }
        for name in OTHERS {
            assert!(!is_linked(name), "{name} is linked and not in the list");
        }
    }

    #[test]
    fn clocks_know_whole_milliseconds() {
        let clock = Clock::default();
        assert!(!clock.is_used());
        std::thread::sleep(Duration::from_micros(1500));
        assert_eq!(HostMonotonicClock::now(&clock), 0, "it tells nothing of the time before");
        assert!(clock.is_used());
        std::thread::sleep(Duration::from_micros(1500));
        let (wall, since) = (HostWallClock::now(&clock), HostMonotonicClock::now(&clock));
        assert_eq!((wall.subsec_nanos() % 1_000_000, since % 1_000_000), (0, 0));
        assert!(since >= 1_000_000 && wall.as_secs() > 1_700_000_000);
        assert_eq!(whole(Duration::from_nanos(7_999_999_999)), Duration::from_millis(7999));
    }

    #[test]
    fn what_is_random_follows_from_the_delivery_and_from_nothing_else() {
        let draw = |delivery: &str| {
            let mut stream = Randomness::of(delivery);
            (stream.bytes(100).unwrap(), stream.number(), stream.number())
        };
        assert_eq!(draw("d1"), draw("d1"));
        let ((one, a, b), (other, ..)) = (draw("d1"), draw("d2"));
        assert_ne!(one, other);
        assert_ne!(a, b);
        assert_eq!(one.len(), 100);
        let mut counts = [0_usize; 256];
        for byte in Randomness::of("").bytes(RANDOM).unwrap() {
            counts[usize::from(byte)] += 1;
        }
        assert!(counts.iter().all(|count| (128..512).contains(count)), "{counts:?}");
        assert!(Randomness::of("").bytes(RANDOM + 1).is_err());
        assert_eq!(Randomness::of("").bytes(0).unwrap(), []);
    }
}

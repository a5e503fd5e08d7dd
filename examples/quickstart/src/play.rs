//! The play: `web` falls, `web` rises, and after each the plugins act.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep, timeout};

use crate::consul::{Api, Consul};
use crate::http::WebServer;
use crate::process::Process;
use crate::sighting::{Act, Place, Sighting};
use crate::stage::{Paths, Receivers, shown};
use crate::transcript::Transcript;

/// How long a start may take: Lictor's first one compiles four plugins, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long an act may take: Consul checks each second, and a failed delivery is tried again.
const ACT_PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// Lictor's word that it knows its node; the first snapshot follows within milliseconds.
const READY: &str = "Following the checks of this node";
/// Time for that snapshot, which is the state that the first change is told against.
const SETTLE: Duration = Duration::from_secs(1);
/// After the last plugin acted: time for one that acts twice to show it.
const AFTERMATH: Duration = Duration::from_millis(200);

/// Everything that is on the stage.
struct Cast {
    consul: Consul,
    lictor: Process,
    web: WebServer,
    receivers: Receivers,
}

/// Plays it all. What did not happen in time is given back in words: none is success.
pub(crate) async fn play<W: Write>(paths: &Paths, told: &mut Transcript<W>) -> anyhow::Result<Vec<String>> {
    told.title("A check fails and recovers on a real Consul; Lictor tells it to four sandboxed plugins.")?;
    let mut cast = open(paths, told).await?;

    let port = cast.web.address().port();
    told.title("The service falls")?;
    told.event("The web server stops.")?;
    cast.web.stop().await;
    let mut missing = watch(Act::new("critical"), (&mut cast.receivers, &mut cast.lictor), told).await?;

    told.title("The service rises")?;
    told.event("The web server starts again.")?;
    let _web = WebServer::start(port).await?;
    missing.extend(watch(Act::new("passing"), (&mut cast.receivers, &mut cast.lictor), told).await?);

    told.title("The end")?;
    let status = cast.lictor.terminate().await?;
    told.event(&format!("Lictor was asked to end (SIGTERM): {status}"))?;
    if !status.success() {
        missing.push("Lictor did not end with exit code 0".into());
    }
    cast.consul.process.terminate().await?;
    told.event("Consul has ended.")?;
    Ok(missing)
}

/// Starts everyone and waits until they are ready.
async fn open<W: Write>(paths: &Paths, told: &mut Transcript<W>) -> anyhow::Result<Cast> {
    let mut receivers = Receivers::start(paths).await?;
    let web = WebServer::start(0).await?;
    let url = format!("http://{}/health", web.address());

    let mut consul = paths.start_consul()?;
    let version = wait(&mut consul, told, "Consul elects itself", async |api| api.version().await).await?;
    told.event(&format!("Consul {version} runs on http://{}", consul.api().address()))?;
    consul.api().register_web(web.address().port(), &url).await?;
    told.event(&format!("The service web is registered; Consul asks {url} each second"))?;
    receivers.follow_consul(consul.api());
    let well = watch_consul(&mut receivers, "passing", told);
    if timeout(PATIENCE, well).await.is_err() {
        bail!("Consul never said that web is passing");
    }

    receivers.configure(paths, consul.api())?;
    let mut lictor = paths.start_lictor()?;
    told.event(&format!("Lictor starts: lictor run -c {}", shown(&paths.demo("lictor.toml"))))?;
    let deadline = Instant::now() + PATIENCE;
    while !lictor.wrote(READY) {
        lictor.check_running()?;
        if Instant::now() > deadline {
            bail!("Lictor did not say {READY:?} within {} s", PATIENCE.as_secs());
        }
        told.waiting("Lictor loads its plugins")?;
        sleep(POLL).await;
    }
    told.event("Lictor follows the checks of this node")?;
    sleep(SETTLE).await;
    Ok(Cast { consul, lictor, web, receivers })
}

/// Asks Consul until it answers.
async fn wait<W: Write, T>(
    consul: &mut Consul,
    told: &mut Transcript<W>,
    what: &str,
    ask: impl AsyncFn(&Api) -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask(consul.api()).await {
            return Ok(answer);
        }
        consul.process.check_running()?;
        if Instant::now() > deadline {
            bail!("Consul was not ready within {} s", PATIENCE.as_secs());
        }
        told.waiting(what)?;
        sleep(POLL).await;
    }
}

/// Waits until Consul tells this state, and prints what it tells on the way.
async fn watch_consul<W: Write>(
    receivers: &mut Receivers,
    status: &str,
    told: &mut Transcript<W>,
) -> anyhow::Result<()> {
    loop {
        match timeout(POLL, receivers.seen.recv()).await {
            Ok(Some(seen)) if seen.place == Place::Consul && seen.status == status => {
                told.state(&seen.status, &seen.detail)?;
                return Ok(());
            }
            Ok(Some(_)) => {}
            Ok(None) => bail!("nobody is left to tell anything"),
            Err(_) => told.waiting("Consul's first check of web")?,
        }
    }
}

/// Prints what is seen of an act until it is complete or time is over, and gives back what is missing.
async fn watch<W: Write>(
    mut act: Act,
    (receivers, lictor): (&mut Receivers, &mut Process),
    told: &mut Transcript<W>,
) -> anyhow::Result<Vec<String>> {
    // A plugin may be faster than our own question to Consul; the reader sees the cause first.
    let mut early: Vec<Sighting> = Vec::new();
    let mut deadline = Instant::now() + ACT_PATIENCE;
    let mut complete = false;
    while Instant::now() < deadline {
        match timeout(POLL, receivers.seen.recv()).await {
            Ok(Some(seen)) => {
                act.see(&seen);
                early.push(seen);
            }
            Ok(None) => bail!("nobody is left to tell anything"),
            Err(_) => {
                lictor.check_running()?;
                if !complete {
                    told.waiting(if act.seen_by_consul() { "the plugins" } else { "Consul's next check" })?;
                }
            }
        }
        if act.seen_by_consul() {
            early.sort_by_key(|seen| seen.place != Place::Consul);
            for seen in early.drain(..) {
                print(&seen, told)?;
            }
        }
        if !complete && act.missing().is_empty() {
            complete = true;
            deadline = Instant::now() + AFTERMATH;
        }
    }
    for seen in early {
        print(&seen, told)?;
    }
    Ok(act.missing())
}

fn print<W: Write>(seen: &Sighting, told: &mut Transcript<W>) -> std::io::Result<()> {
    match seen.place {
        Place::Consul => told.state(&seen.status, &seen.detail),
        Place::Plugin(plugin) => told.deed(plugin, &seen.detail),
    }
}

//! Where a granted name leads: nowhere on this machine or its link, unless that is granted.
//!
//! Boundary: looks names up. A URL with an address in place of a name says itself where it leads, and never comes here.
//!
//! Invariant: what was looked at is what is connected to, so a name that is bound anew in between changes nothing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name that is being looked up.
pub(super) type LookingUp = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How a name is looked up.
pub(super) type LookUp = fn(String) -> LookingUp;

/// A granted name that leads where nobody granted to go.
#[derive(Debug, thiserror::Error)]
#[error("{name} leads to {address}, which is an address of this machine or of its link")]
pub(super) struct Inward {
    pub(super) name: String,
    pub(super) address: IpAddr,
}

/// Looks up the names of URLs.
pub(super) struct Resolver {
    pub(super) look_up: LookUp,
    /// A name may lead anywhere.
    pub(super) local: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (look_up, local, name) = (self.look_up, self.local, name.as_str().to_owned());
        Box::pin(async move {
            let found = look_up(name.clone()).await?;
            let found = if local || is_loopback(&name) { found } else { outward(&name, found)? };
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// As the system does.
pub(super) fn system(name: String) -> LookingUp {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
}

/// The one name that says itself that it means this machine.
pub(super) fn is_loopback(name: &str) -> bool {
    name == "localhost"
}

/// The addresses that may be connected to; with none of them, what is wrong with the first.
fn outward(name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Inward> {
    let first = found.first().map(SocketAddr::ip);
    let outward: Vec<_> = found.into_iter().filter(|address| !is_inward(address.ip())).collect();
    match first {
        Some(address) if outward.is_empty() => Err(Inward { name: name.to_owned(), address }),
        _ => Ok(outward),
    }
}

/// Does it mean this machine, or whoever is on the same link? There a cloud's machine finds its own secrets.
fn is_inward(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_inward_v4(address),
        IpAddr::V6(address) => {
            // `::a.b.c.d`, an old way to write an address of IPv4.
            let old = address.segments()[..6] == [0; 6];
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || address.is_multicast()
                || old && address.to_ipv4().is_some_and(is_inward_v4)
        }
    }
}

fn is_inward_v4(address: Ipv4Addr) -> bool {
    // All of 0.0.0.0/8 means this machine.
    address.octets()[0] == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &[&str], want: Result<&[&str], &str>) {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
        };
        let got = outward("h", addresses(found)).map_err(|inward| inward.address.to_string());
        assert_eq!(got, want.map(addresses).map_err(str::to_owned), "{found:?}");
    }

    #[test]
    fn a_name_leads_outward_or_nowhere() {
        check(
            &["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"],
            Ok(&["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"]),
        );
        check(&["127.0.0.1", "192.0.2.1", "fe80::1"], Ok(&["192.0.2.1"]));
        check(&[], Ok(&[]));
        for inward in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
        ] {
            let shown = inward.parse::<IpAddr>().unwrap().to_string();
            check(&[inward], Err(&shown));
        }
    }
}

//! Where a granted name leads: to no loopback or link-local address, unless that is granted.
//!
//! Boundary: looks names up. A URL with an address in place of a name says itself where it leads, and never comes here.
//!
//! Invariant: what was looked at is what is connected to, so a name that is bound anew in between changes nothing.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::lookup::LookingUp;

/// How a name is looked up.
pub(super) type LookUp = fn(String) -> LookingUp;

/// A granted name that leads where nobody granted to go.
#[derive(Debug, thiserror::Error)]
#[error("{name} leads to {address}, which is a loopback or link-local address")]
pub(super) struct Inward {
    pub(super) name: String,
    pub(super) address: IpAddr,
}

/// Looks up the names of URLs.
#[derive(Clone, Copy)]
pub(super) struct Resolver {
    pub(super) look_up: LookUp,
    /// A name may lead anywhere.
    pub(super) local: bool,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (Self { look_up, local }, name) = (*self, name.as_str().to_owned());
        Box::pin(async move {
            let found = look_up(name.clone()).await?;
            let found = if local || is_loopback(&name) { found } else { outward(&name, found)? };
            Ok(found.into_iter())
        })
    }
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
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || address.is_multicast()
                // NAT64 of one's own network (RFC 8215), in any of its forms.
                || address.segments()[..3] == [0x64, 0xff9b, 1]
                || embedded(address).is_some_and(is_inward_v4)
        }
    }
}

/// The address of IPv4 that a gateway would make of it: `::a.b.c.d`, an old way to write one, SIIT (RFC 2765), NAT64 (RFC 6052),
/// 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = |[high, low]: [u16; 2]| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(last([high, low])),
        _ => None,
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
            &["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1", "64:ff9b::192.0.2.1"],
            Ok(&["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1", "64:ff9b::192.0.2.1"]),
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
            "::ffff:0:127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::127.0.0.1",
            "64:ff9b:1:0:7f:0:100:0",
            "2002:7f00:1::1",
        ] {
            let shown = inward.parse::<IpAddr>().unwrap().to_string();
            check(&[inward], Err(&shown));
        }
    }
}

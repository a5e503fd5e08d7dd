//! Who stands in for whom: a receiver's `fallback` must not lead back to it.

use super::fault::Fault;
use super::receivers::Receiver;

/// A fault for each receiver whose `fallback`s come back to it.
pub(super) fn circles(receivers: &[Receiver]) -> Vec<Fault> {
    let next = |name: &str| {
        let receiver = receivers.iter().find(|receiver| receiver.name == name);
        receiver.and_then(|receiver| receiver.wishes.fallback.as_deref())
    };
    let circle = |receiver: &Receiver| {
        let mut way = vec![receiver.name.as_str()];
        // A circle that this receiver only leads into is told at those that are in it.
        while let Some(name) = next(way.last()?).filter(|_| way.len() <= receivers.len()) {
            way.push(name);
            if name == receiver.name {
                let place = receiver.places.fallback.clone()?;
                let fault = Fault::at(place, format!("a `fallback` leads back: {}", way.join(" → ")));
                return Some(fault.help("let the last of them have none"));
            }
        }
        None
    };
    receivers.iter().filter_map(circle).collect()
}

//! Consul's JSON of services, nodes, keys and user events.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Garbage;
use crate::catalog;

/// A node, as `/v1/catalog/nodes` and others have it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(rename = "Node")]
    name: Option<String>,
    #[serde(rename = "ID")]
    id: Option<String>,
    address: Option<String>,
    /// `null` for no metadata.
    meta: Option<BTreeMap<String, String>>,
    create_index: Option<u64>,
    modify_index: Option<u64>,
}

/// An instance, as `/v1/health/service/<service>` and `/v1/catalog/node/<node>` have it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    #[serde(rename = "ID")]
    id: Option<String>,
    service: Option<String>,
    /// `null` for no tags.
    tags: Option<Vec<String>>,
    /// Empty for that of its node.
    address: Option<String>,
    /// `null` for no metadata.
    meta: Option<BTreeMap<String, String>>,
    port: Option<u16>,
    create_index: Option<u64>,
    modify_index: Option<u64>,
}

/// One element of `/v1/health/service/<service>`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Healthy {
    node: Option<Node>,
    service: Option<Instance>,
}

/// `/v1/catalog/node/<node>`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfNode {
    node: Option<Node>,
    services: Option<BTreeMap<String, Instance>>,
}

/// One element of `/v1/kv/<key>`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    #[serde(rename = "Key")]
    name: Option<String>,
    /// `null` for an empty one.
    value: Option<String>,
    flags: Option<u64>,
    /// Only where a session holds it.
    session: Option<String>,
    create_index: Option<u64>,
    modify_index: Option<u64>,
}

/// One element of `/v1/event/list`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UserEvent {
    #[serde(rename = "ID")]
    id: Option<String>,
    name: Option<String>,
    /// `null` for none.
    payload: Option<String>,
    node_filter: Option<String>,
    service_filter: Option<String>,
    tag_filter: Option<String>,
    #[serde(rename = "LTime")]
    ltime: Option<u64>,
}

pub(super) fn missing(thing: impl Into<String>, field: &'static str) -> Garbage {
    Garbage::MissingField { thing: thing.into(), field }
}

/// Reads the instances of a service.
pub(in crate::consul) fn instances(body: &[u8]) -> Result<Vec<catalog::Instance>, Garbage> {
    let list: Option<Vec<Healthy>> = serde_json::from_slice(body)?;
    let read = |Healthy { node, service }| {
        let node = Node::read(node.ok_or_else(|| missing("an instance", "Node"))?)?;
        service.ok_or_else(|| missing("an instance", "Service"))?.read(&node)
    };
    list.unwrap_or_default().into_iter().map(read).collect()
}

/// Reads the instances on a node; `null` for a node that is not known has none.
pub(in crate::consul) fn of_node(body: &[u8]) -> Result<Vec<catalog::Instance>, Garbage> {
    let found: Option<OfNode> = serde_json::from_slice(body)?;
    let Some(OfNode { node, services }) = found else { return Ok(Vec::new()) };
    let node = Node::read(node.ok_or_else(|| missing("a node's services", "Node"))?)?;
    services.unwrap_or_default().into_values().map(|instance| instance.read(&node)).collect()
}

/// Reads the names of all services with their tags.
pub(in crate::consul) fn services(body: &[u8]) -> Result<Vec<catalog::Service>, Garbage> {
    let found: Option<BTreeMap<String, Option<Vec<String>>>> = serde_json::from_slice(body)?;
    let read = |(service_name, tags): (String, Option<Vec<String>>)| {
        let mut service_tags = tags.unwrap_or_default();
        // Consul gives them in no order.
        service_tags.sort_unstable();
        catalog::Service { service_name, service_tags }
    };
    Ok(found.unwrap_or_default().into_iter().map(read).collect())
}

/// Reads a list of nodes.
pub(in crate::consul) fn nodes(body: &[u8]) -> Result<Vec<catalog::Node>, Garbage> {
    let list: Option<Vec<Node>> = serde_json::from_slice(body)?;
    list.unwrap_or_default().into_iter().map(Node::read).collect()
}

/// Reads entries of the key/value store.
pub(in crate::consul) fn keys(body: &[u8]) -> Result<Vec<catalog::KeyValue>, Garbage> {
    let list: Option<Vec<Key>> = serde_json::from_slice(body)?;
    list.unwrap_or_default().into_iter().map(Key::read).collect()
}

/// Reads user events.
pub(in crate::consul) fn user_events(body: &[u8]) -> Result<Vec<catalog::UserEvent>, Garbage> {
    let list: Option<Vec<UserEvent>> = serde_json::from_slice(body)?;
    list.unwrap_or_default().into_iter().map(UserEvent::read).collect()
}

impl Node {
    fn read(self) -> Result<catalog::Node, Garbage> {
        let node = self.name.ok_or_else(|| missing("a node", "Node"))?;
        let lacks = |field| missing(format!("node {node:?}"), field);
        Ok(catalog::Node {
            node_id: self.id.unwrap_or_default(),
            node_address: self.address.ok_or_else(|| lacks("Address"))?,
            node_meta: self.meta.unwrap_or_default(),
            create_index: self.create_index.ok_or_else(|| lacks("CreateIndex"))?,
            modify_index: self.modify_index.ok_or_else(|| lacks("ModifyIndex"))?,
            node,
        })
    }
}

impl Instance {
    fn read(self, node: &catalog::Node) -> Result<catalog::Instance, Garbage> {
        let service_id = self.id.ok_or_else(|| missing("an instance", "ID"))?;
        let lacks = |field| missing(format!("instance {service_id:?}"), field);
        let own = self.address.filter(|address| !address.is_empty());
        Ok(catalog::Instance {
            node: node.node.clone(),
            node_meta: node.node_meta.clone(),
            service: self.service.ok_or_else(|| lacks("Service"))?,
            service_tags: self.tags.unwrap_or_default(),
            service_meta: self.meta.unwrap_or_default(),
            address: own.unwrap_or_else(|| node.node_address.clone()),
            port: self.port.unwrap_or(0),
            create_index: self.create_index.ok_or_else(|| lacks("CreateIndex"))?,
            modify_index: self.modify_index.ok_or_else(|| lacks("ModifyIndex"))?,
            service_id,
        })
    }
}

impl Key {
    fn read(self) -> Result<catalog::KeyValue, Garbage> {
        let key = self.name.ok_or_else(|| missing("a key", "Key"))?;
        let lacks = |field| missing(format!("key {key:?}"), field);
        Ok(catalog::KeyValue {
            value: self.value.unwrap_or_default(),
            flags: self.flags.unwrap_or(0),
            session: self.session.unwrap_or_default(),
            create_index: self.create_index.ok_or_else(|| lacks("CreateIndex"))?,
            modify_index: self.modify_index.ok_or_else(|| lacks("ModifyIndex"))?,
            key,
        })
    }
}

impl UserEvent {
    fn read(self) -> Result<catalog::UserEvent, Garbage> {
        let user_event_id = self.id.ok_or_else(|| missing("a user event", "ID"))?;
        let lacks = |field| missing(format!("user event {user_event_id:?}"), field);
        Ok(catalog::UserEvent {
            name: self.name.ok_or_else(|| lacks("Name"))?,
            payload: self.payload.unwrap_or_default(),
            node_filter: self.node_filter.unwrap_or_default(),
            service_filter: self.service_filter.unwrap_or_default(),
            tag_filter: self.tag_filter.unwrap_or_default(),
            ltime: self.ltime.ok_or_else(|| lacks("LTime"))?,
            user_event_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a real Consul said.
    macro_rules! recorded {
        ($name:literal) => {
            include_bytes!(concat!("../../../tests/answers/consul-1.8.7/", $name, ".json"))
        };
    }

    #[test]
    fn an_instance_is_reached_where_it_says_or_at_its_node() {
        let found = of_node(recorded!("catalog-node")).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|one| {
                format!("{}/{} {} {}:{}", one.node, one.service_id, one.service, one.address, one.port)
            })
            .collect();
        assert_eq!(
            told,
            ["n1/consul consul 127.0.0.1:18300", "n1/db db 10.9.8.7:5432", "n1/web-1 web 127.0.0.1:8080"]
        );
        let web = instances(recorded!("health-service")).unwrap();
        assert_eq!(web, [found[2].clone()], "the same by both ways");
        assert_eq!(web[0].service_tags, ["prod", "v1"]);
        assert_eq!((&web[0].service_meta["team"][..], &web[0].node_meta["rack"][..]), ("shop", "r7"));
        assert_eq!((web[0].create_index, web[0].modify_index), (13, 13));
    }

    #[test]
    fn services_nodes_keys_and_user_events_are_read() {
        let names: Vec<_> = services(recorded!("catalog-services"))
            .unwrap()
            .into_iter()
            .map(|service| format!("{} {:?}", service.service_name, service.service_tags))
            .collect();
        assert_eq!(names, ["consul []", "db []", r#"web ["prod", "v1"]"#]);
        let nodes = nodes(recorded!("catalog-nodes")).unwrap();
        assert_eq!((nodes.len(), &nodes[0].node[..], &nodes[0].node_address[..]), (1, "n1", "127.0.0.1"));
        let keys: Vec<_> = keys(recorded!("kv"))
            .unwrap()
            .into_iter()
            .map(|key| (key.key, key.value, key.flags, key.modify_index))
            .collect();
        let want = [("app/bin", "/w==", 7, 16), ("app/color", "Ymx1ZQ==", 0, 15), ("app/empty", "", 0, 17)];
        assert_eq!(keys, want.map(|(key, value, flags, index)| (key.into(), value.into(), flags, index)));
        let fired: Vec<_> = user_events(recorded!("event-list"))
            .unwrap()
            .into_iter()
            .map(|event| (event.name, event.payload, event.ltime))
            .collect();
        assert_eq!(fired, [("deploy".into(), "djQy".into(), 2), ("quiet".into(), String::new(), 3)]);
    }

    #[test]
    fn what_is_not_there_is_null_and_what_makes_no_sense_is_named() {
        assert_eq!(of_node(b"null").unwrap(), []);
        assert_eq!(keys(b"null").unwrap(), []);
        assert_eq!(services(b"{}").unwrap(), []);
        let error = keys(br#"[{"Key": "a", "CreateIndex": 1}]"#).unwrap_err();
        assert_eq!(error.to_string(), r#"read key "a": the field ModifyIndex is missing"#);
        let error = of_node(br#"{"Services": {}}"#).unwrap_err();
        assert_eq!(error.to_string(), "read a node's services: the field Node is missing");
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0_usize..2000, byte in any::<u8>(), length in 0_usize..3000) {
            for whole in [&recorded!("catalog-node")[..], recorded!("health-service"), recorded!("event-list"), recorded!("kv")] {
                let mut body = whole.to_vec();
                let place = at % body.len();
                body[place] = byte;
                body.truncate(length);
                drop((instances(&body), of_node(&body), services(&body), nodes(&body), keys(&body), user_events(&body)));
            }
        }
    }
}

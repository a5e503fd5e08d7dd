//! Consul's JSON of what an agent itself knows: its services, and the certificates that it has.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Garbage;
use super::entries::missing;
use crate::catalog;

/// `/v1/agent/service/<id>`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: Option<String>,
    #[serde(rename = "Service")]
    name: Option<String>,
    /// `null` for no tags.
    tags: Option<Vec<String>>,
    /// Empty for that of its node.
    address: Option<String>,
    /// `null` for no metadata.
    meta: Option<BTreeMap<String, String>>,
    port: Option<u16>,
}

/// `/v1/agent/connect/ca/roots`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Roots {
    trust_domain: Option<String>,
    roots: Option<Vec<Root>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Root {
    #[serde(rename = "ID")]
    id: Option<String>,
    name: Option<String>,
    active: Option<bool>,
    not_before: Option<String>,
    not_after: Option<String>,
    #[serde(rename = "RootCert")]
    certificate: Option<String>,
    create_index: Option<u64>,
    modify_index: Option<u64>,
}

/// `/v1/agent/connect/ca/leaf/<service>`, without the private key.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Leaf {
    service: Option<String>,
    serial_number: Option<String>,
    #[serde(rename = "ServiceURI")]
    service_uri: Option<String>,
    valid_after: Option<String>,
    valid_before: Option<String>,
    #[serde(rename = "CertPEM")]
    certificate: Option<String>,
    create_index: Option<u64>,
    modify_index: Option<u64>,
}

/// Reads one of the services of the agent of the node `here`; `null` is none.
pub(in crate::consul) fn own_service(body: &[u8], here: &str) -> Result<Option<catalog::Instance>, Garbage> {
    let found: Option<Service> = serde_json::from_slice(body)?;
    let read = |found: Service| {
        let service_id = found.id.ok_or_else(|| missing("a service", "ID"))?;
        Ok(catalog::Instance {
            node: here.to_owned(),
            node_meta: BTreeMap::new(),
            service: found.name.ok_or_else(|| missing(format!("service {service_id:?}"), "Service"))?,
            service_tags: found.tags.unwrap_or_default(),
            service_meta: found.meta.unwrap_or_default(),
            address: found.address.unwrap_or_default(),
            port: found.port.unwrap_or(0),
            create_index: 0,
            modify_index: 0,
            service_id,
        })
    };
    found.map(read).transpose()
}

/// Reads the root certificates.
pub(in crate::consul) fn roots(body: &[u8]) -> Result<Vec<catalog::Root>, Garbage> {
    let Roots { trust_domain, roots } = serde_json::from_slice(body)?;
    let trust_domain = trust_domain.ok_or_else(|| missing("the roots", "TrustDomain"))?;
    roots.unwrap_or_default().into_iter().map(|root| root.read(&trust_domain)).collect()
}

/// Reads the certificate of a service.
pub(in crate::consul) fn leaf(body: &[u8]) -> Result<catalog::Leaf, Garbage> {
    let leaf: Leaf = serde_json::from_slice(body)?;
    let lacks = |field| missing("a certificate", field);
    Ok(catalog::Leaf {
        service: leaf.service.ok_or_else(|| lacks("Service"))?,
        serial_number: leaf.serial_number.ok_or_else(|| lacks("SerialNumber"))?,
        service_uri: leaf.service_uri.ok_or_else(|| lacks("ServiceURI"))?,
        valid_after: leaf.valid_after.ok_or_else(|| lacks("ValidAfter"))?,
        valid_before: leaf.valid_before.ok_or_else(|| lacks("ValidBefore"))?,
        certificate: leaf.certificate.ok_or_else(|| lacks("CertPEM"))?,
        create_index: leaf.create_index.ok_or_else(|| lacks("CreateIndex"))?,
        modify_index: leaf.modify_index.ok_or_else(|| lacks("ModifyIndex"))?,
    })
}

impl Root {
    fn read(self, trust_domain: &str) -> Result<catalog::Root, Garbage> {
        let root_id = self.id.ok_or_else(|| missing("a root", "ID"))?;
        let lacks = |field| missing(format!("root {root_id:?}"), field);
        Ok(catalog::Root {
            name: self.name.ok_or_else(|| lacks("Name"))?,
            active: self.active.ok_or_else(|| lacks("Active"))?,
            trust_domain: trust_domain.to_owned(),
            not_before: self.not_before.ok_or_else(|| lacks("NotBefore"))?,
            not_after: self.not_after.ok_or_else(|| lacks("NotAfter"))?,
            certificate: self.certificate.ok_or_else(|| lacks("RootCert"))?,
            create_index: self.create_index.ok_or_else(|| lacks("CreateIndex"))?,
            modify_index: self.modify_index.ok_or_else(|| lacks("ModifyIndex"))?,
            root_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVICE: &[u8] = include_bytes!("../../../tests/answers/consul-1.8.7/agent-service.json");
    const ROOTS: &[u8] = include_bytes!("../../../tests/answers/consul-1.8.7/connect-roots.json");
    const LEAF: &[u8] = include_bytes!("../../../tests/answers/consul-1.8.7/connect-leaf.json");

    #[test]
    fn what_a_real_agent_said_is_read() {
        let service = own_service(SERVICE, "n1").unwrap().unwrap();
        assert_eq!(
            (&service.node[..], &service.service_id[..], &service.service[..]),
            ("n1", "web-1", "web")
        );
        assert_eq!((service.service_tags, service.port), (vec!["prod".to_owned(), "v1".to_owned()], 8080));
        let roots = roots(ROOTS).unwrap();
        assert_eq!(roots.len(), 1);
        assert!(roots[0].active && roots[0].trust_domain.ends_with(".consul"));
        assert_eq!((&roots[0].not_after[..], roots[0].modify_index), ("2036-11-25T11:08:12Z", 9));
        let leaf = leaf(LEAF).unwrap();
        assert_eq!((&leaf.service[..], &leaf.serial_number[..], leaf.create_index), ("web", "08", 15));
        assert!(leaf.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn what_is_not_there_is_none_and_what_makes_no_sense_is_named() {
        assert_eq!(own_service(b"null", "n1").unwrap(), None);
        let fault = own_service(br#"{"ID": "web-1"}"#, "n1").unwrap_err();
        assert_eq!(fault.to_string(), r#"read service "web-1": the field Service is missing"#);
        assert_eq!(roots(b"{}").unwrap_err().to_string(), "read the roots: the field TrustDomain is missing");
        assert_eq!(leaf(b"{}").unwrap_err().to_string(), "read a certificate: the field Service is missing");
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0_usize..2000, byte in any::<u8>(), length in 0_usize..3000) {
            for whole in [SERVICE, ROOTS, LEAF] {
                let mut body = whole.to_vec();
                let place = at % body.len();
                body[place] = byte;
                body.truncate(length);
                drop((own_service(&body, "n1"), roots(&body), leaf(&body)));
            }
        }
    }
}

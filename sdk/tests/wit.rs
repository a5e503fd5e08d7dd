//! The contract is written down item by item: what has a name in the WIT has a word about it.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the contract has failed")]

use std::fs;
use std::path::Path;

use wit_bindgen_core::wit_parser::{Docs, Resolve, TypeDefKind};

/// Every item's path and documentation.
fn items(resolve: &Resolve) -> Vec<(String, &Docs)> {
    let mut items = Vec::new();
    for (_, world) in &resolve.worlds {
        items.push((format!("world {}", world.name), &world.docs));
    }
    for (_, interface) in &resolve.interfaces {
        let interface_name = interface.name.as_deref().unwrap();
        items.push((interface_name.to_owned(), &interface.docs));
        for (name, function) in &interface.functions {
            items.push((format!("{interface_name}.{name}"), &function.docs));
        }
        for (name, id) in &interface.types {
            let ty = &resolve.types[*id];
            let name = format!("{interface_name}.{name}");
            match &ty.kind {
                // Documented where it is from.
                TypeDefKind::Type(_) => continue,
                TypeDefKind::Record(record) => {
                    let fields = record.fields.iter();
                    items.extend(fields.map(|field| (format!("{name}.{}", field.name), &field.docs)));
                }
                TypeDefKind::Variant(variant) => {
                    let cases = variant.cases.iter();
                    items.extend(cases.map(|case| (format!("{name}.{}", case.name), &case.docs)));
                }
                TypeDefKind::Enum(cases) => {
                    let cases = cases.cases.iter();
                    items.extend(cases.map(|case| (format!("{name}.{}", case.name), &case.docs)));
                }
                other => panic!("{name} is a {}: say here what has to be documented of it", other.as_str()),
            }
            items.push((name, &ty.docs));
        }
    }
    items
}

#[test]
fn each_item_of_the_contract_is_documented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
    let mut resolve = Resolve::default();
    for file in fs::read_dir(folder).unwrap() {
        resolve.push_file(file.unwrap().path()).unwrap();
    }
    let items = items(&resolve);
    assert!(items.len() > 50, "the contract was not found: {items:?}");
    let bare: Vec<_> =
        items.iter().filter(|(_, docs)| docs.contents.is_none()).map(|(name, _)| name).collect();
    assert!(bare.is_empty(), "no word about {bare:?}");
}

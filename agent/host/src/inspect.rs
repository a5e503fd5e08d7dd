//! Reads what a component imports and exports, before any of it is compiled.
//!
//! Compiling costs a tenth of a second to many seconds, and its errors speak of wasm. Most wrong files can
//! be told from their outermost names alone, in the words of the person who has to repair them.
//!
//! Boundary: names only, of interfaces and of their functions. Whether the types behind them are right is found when the
//! plugin is linked.

use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmparser::{Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::wasi;

/// The contract that this host serves: its package, and the part of its version that must be equal.
const PACKAGE: &str = "lictor:plugin";
const VERSION: &str = "0.1";

/// The interface that makes a component a plugin.
const HANDLER: &str = "handler";

/// What a plugin may import of the contract. `types` holds only types, so importing it means nothing.
const TYPES: &str = "types";
const CAPABILITIES: [&str; 8] = ["exec", "append", "http", "smtp", "watch", "kv", "kv-store", "log"];

/// The functions of each of these, in their order: a later contract of the same number may have more.
const FUNCTIONS: [&[&str]; 8] = [
    &["run"],
    &["append"],
    &["send"],
    &["send"],
    &["current"],
    &["get", "keys"],
    &["get", "set", "delete"],
    &["log"],
];

/// Modules and components within a component, at most; those of a Python interpreter are some thirty. What it takes to read
/// them grows with the square of their number.
const NESTED_MAX: usize = 1000;

/// How a component begins, and a module.
const MAGIC: &[u8] = b"\0asm";

/// Why a file cannot be a plugin here. The message fits after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It has more bytes than any plugin needs.
    #[error("load a plugin of {size} bytes: the limit is {limit}; was it built without `strip`?")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The most bytes that are allowed.
        limit: usize,
    },
    /// It is wasm, but of the older kind.
    #[error("load a core WebAssembly module: a plugin is a component, so build it for wasm32-wasip2")]
    CoreModule,
    /// It is no wasm, or not all of it.
    #[error("read it as a WebAssembly component: it is damaged, cut off or something else ({0})")]
    Damaged(String),
    /// It does not export the contract's `handler`.
    #[error(
        "find lictor:plugin/handler among its exports: it is a component, but not a plugin of Lictor; it exports {}",
        if .0.is_empty() { "nothing".to_owned() } else { .0.join(", ") }
    )]
    NoHandler(Vec<String>),
    /// It speaks another version of the contract.
    #[error(
        "load a plugin built for contract {found} (lictor:plugin): this Lictor knows {known}, so {}",
        way_out(found)
    )]
    Version {
        /// The version that it was built for.
        found: String,
        /// The version that this host serves.
        known: &'static str,
    },
    /// It wants what no plugin can have, or only in a newer Lictor.
    #[error(
        "give it what it imports: this Lictor, whose contract is {VERSION}, has no {}{}",
        .0.join(", "),
        if .0.iter().any(|name| name.starts_with(PACKAGE)) { "; run it in a newer Lictor" } else { "" }
    )]
    Imports(Vec<String>),
    /// Its names are right, but its types or its code are not.
    #[error("link it: {0}")]
    Link(String),
    /// It could not be started once.
    #[error("start it for a trial: {0}")]
    Trial(String),
}

/// What a component's outermost names say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The version of the contract that it was built for, for example `0.1.0`.
    pub contract: String,
    /// What it could ask for at most: the capabilities that it imports, in the contract's order.
    pub imports: Vec<&'static str>,
    /// Bytes of it that are for a debugger, which there is none for here.
    pub debug_info: usize,
}

/// Reads a component without compiling it. What comes back may be a plugin of this Lictor; only
/// [`Host::load`](crate::Host::load) knows.
pub fn inspect(wasm: &[u8]) -> Result<Inspected, LoadError> {
    let names = Names::read(wasm)?;
    let imports = names.capabilities()?;
    let strangers = strangers(wasm, &names.imports);
    if !strangers.is_empty() {
        return Err(LoadError::Imports(strangers));
    }
    let handler = names.exports.iter().find(|name| contract_interface(name) == Some(HANDLER));
    let contract = handler.and_then(|name| name.split_once('@')).map_or(VERSION, |(_, version)| version);
    Ok(Inspected { contract: contract.to_owned(), imports, debug_info: names.debug_info })
}

/// The functions that a component imports of interfaces of the contract, and that these do not have. None where it cannot
/// be told: then the compiler has something to say.
fn strangers(wasm: &[u8], imports: &[String]) -> Vec<String> {
    let Some(types) = types_of(wasm) else { return Vec::new() };
    let types = types.as_ref();
    let mut strangers = Vec::new();
    for import in imports {
        let known =
            CAPABILITIES.iter().zip(FUNCTIONS).find(|(name, _)| contract_interface(import) == Some(name));
        let Some((_, known)) = known else { continue };
        let item = types.component_item_for_import(import).map(|item| &item.ty);
        let Some(ComponentEntityType::Instance(instance)) = item else { continue };
        let functions = types[*instance]
            .exports
            .iter()
            .filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)));
        let strange = functions.filter(|(name, _)| !known.contains(&name.as_str()));
        strangers.extend(strange.map(|(name, _)| format!("{import}#{name}")));
    }
    strangers
}

/// The types of a component. Its functions' bodies, which are most of it, are left to the compiler: it looks at them, too.
fn types_of(wasm: &[u8]) -> Option<Types> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut outermost = None;
    for payload in Parser::new(0).parse_all(wasm) {
        if let ValidPayload::End(types) = validator.payload(&payload.ok()?).ok()? {
            outermost = Some(types);
        }
    }
    outermost
}

/// The same of a compiled component, whose wasm need not be at hand.
pub(crate) fn capabilities_of(
    engine: &Engine,
    component: &Component,
) -> Result<Vec<&'static str>, LoadError> {
    let component = component.component_type();
    let names = Names {
        imports: component.imports(engine).map(|(name, _)| name.to_owned()).collect(),
        exports: component.exports(engine).map(|(name, _)| name.to_owned()).collect(),
        debug_info: 0,
    };
    names.capabilities()
}

/// A component's outermost names.
#[derive(Debug, Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
    debug_info: usize,
}

impl Names {
    fn read(wasm: &[u8]) -> Result<Self, LoadError> {
        if !wasm.starts_with(MAGIC) {
            return Err(LoadError::Damaged("it does not begin as WebAssembly does".into()));
        }
        let mut names = Self::default();
        let (mut depth, mut nested) = (0_usize, 0_usize);
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(|error| damaged(&error))? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(LoadError::CoreModule);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                    (depth, nested) = (depth + 1, nested + 1);
                    if nested > NESTED_MAX {
                        let why = format!("more than {NESTED_MAX} modules and components are within it");
                        return Err(LoadError::Damaged(why));
                    }
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        names.imports.push(import.map_err(|error| damaged(&error))?.name.name.into());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        names.exports.push(export.map_err(|error| damaged(&error))?.name.name.into());
                    }
                }
                Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                    names.debug_info += section.data().len();
                }
                _ => {}
            }
        }
        Ok(names)
    }

    fn capabilities(&self) -> Result<Vec<&'static str>, LoadError> {
        self.check_version()?;
        if !self.exports.iter().any(|name| contract_interface(name) == Some(HANDLER)) {
            return Err(LoadError::NoHandler(self.exports.clone()));
        }
        let unknown: Vec<_> = self.imports.iter().filter(|name| !is_known(name)).cloned().collect();
        if !unknown.is_empty() {
            return Err(LoadError::Imports(unknown));
        }
        let imported =
            |capability: &&str| self.imports.iter().any(|name| contract_interface(name) == Some(capability));
        Ok(CAPABILITIES.into_iter().filter(imported).collect())
    }

    /// Comes first, because next to another version the rest of the names mean nothing.
    fn check_version(&self) -> Result<(), LoadError> {
        let all = self.exports.iter().chain(&self.imports);
        let ours = all.filter_map(|name| split(name)).filter(|(package, ..)| *package == PACKAGE);
        match ours.map(|(_, _, version)| version).find(|version| *version != VERSION) {
            Some(found) => Err(LoadError::Version { found: found.into(), known: VERSION }),
            None => Ok(()),
        }
    }
}

/// What helps against another version.
fn way_out(found: &str) -> &'static str {
    let number = |version: &str| -> Vec<u64> { version.split('.').flat_map(str::parse).collect() };
    if number(found) > number(VERSION) {
        "run it in a newer Lictor, or build it with the SDK of this one"
    } else {
        "build it anew with the SDK of this one"
    }
}

fn damaged(error: &wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Damaged(error.to_string())
}

fn is_known(import: &str) -> bool {
    match split(import) {
        Some((PACKAGE, interface, VERSION)) => interface == TYPES || CAPABILITIES.contains(&interface),
        Some((_, _, wasi::VERSION)) => {
            let name = import.split_once('@').map_or(import, |(name, _)| name);
            wasi::LINKED.iter().any(|(linked, _)| *linked == name)
        }
        _ => false,
    }
}

/// The interface's name, if it is one of our contract in our version.
fn contract_interface(name: &str) -> Option<&str> {
    match split(name)? {
        (PACKAGE, interface, VERSION) => Some(interface),
        _ => None,
    }
}

/// Splits `ns:package/interface@1.2.3` into package, interface and `1.2`: below 1.0, a change of the second
/// number breaks. A name without a version gives an empty one.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (package, rest) = name.split_once('/')?;
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    let minor = version.match_indices('.').nth(1).map_or(version, |(end, _)| &version[..end]);
    Some((package, interface, minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::EMPTY;

    #[track_caller]
    fn check(imports: &[&str], exports: &[&str], want: Result<&[&str], &str>) {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let names = Names { imports: owned(imports), exports: owned(exports), debug_info: 0 };
        let got = names.capabilities();
        let got = got.map_err(|error| error.to_string());
        assert_eq!(got.as_deref(), want.map_err(str::to_owned).as_deref());
    }

    #[test]
    fn names_are_known_by_package_interface_and_minor_version() {
        let handler = ["lictor:plugin/handler@0.1.0"];
        let ours = ["lictor:plugin/log@0.1.0", "lictor:plugin/exec@0.1.7", "lictor:plugin/types@0.1.0"];
        check(&ours, &handler, Ok(&["exec", "log"]));
        check(&["wasi:io/streams@0.2.6", "wasi:cli/exit@0.2.12"], &handler, Ok(&[]));
        check(
            &[
                "wasi:http/types@0.2.0",
                "wasi:clocks/timezone@0.2.0",
                "lictor:plugin/dns@0.1.0",
                "env",
                "wasi:io/poll@0.3.0",
            ],
            &handler,
            Err(
                "give it what it imports: this Lictor, whose contract is 0.1, has no wasi:http/types@0.2.0, \
                 wasi:clocks/timezone@0.2.0, lictor:plugin/dns@0.1.0, env, wasi:io/poll@0.3.0; run it in a newer Lictor",
            ),
        );
        let newer = Err(
            "load a plugin built for contract 0.3 (lictor:plugin): this Lictor knows 0.1, so run it in a \
             newer Lictor, or build it with the SDK of this one",
        );
        check(&["lictor:plugin/dns@0.3.0"], &["lictor:plugin/handler@0.3.1"], newer);
        check(&["lictor:plugin/log@0.3.0"], &handler, newer);
        let older =
            Err("load a plugin built for contract 0.0 (lictor:plugin): this Lictor knows 0.1, so build it \
             anew with the SDK of this one");
        check(&[], &["lictor:plugin/handler@0.0.9"], older);
        let none = "find lictor:plugin/handler among its exports: it is a component, but not a plugin of Lictor; it \
             exports wasi:cli/run@0.2.6";
        check(&ours, &["wasi:cli/run@0.2.6"], Err(none));
    }

    #[test]
    fn the_functions_are_those_of_the_contract() {
        let mut found = std::collections::BTreeMap::<&str, Vec<&str>>::new();
        let mut interface = "";
        for line in include_str!("../../../sdk/wit/plugin.wit").lines() {
            if let Some(name) = line.strip_prefix("interface ") {
                interface = name.trim_end_matches(" {");
            } else if let Some((name, _)) = line.trim_start().split_once(": func(") {
                found.entry(interface).or_default().push(name);
            }
        }
        found.remove(HANDLER);
        assert_eq!(found, CAPABILITIES.into_iter().zip(FUNCTIONS.map(<[_]>::to_vec)).collect());
    }

    #[test]
    fn what_is_within_it_has_a_number() {
        let within = |inner: &[u8]| {
            let mut length = inner.len();
            let mut bytes = [&b"\0asm\x0d\0\x01\0"[..], &[4]].concat();
            while length > 0x7f {
                bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            bytes.push(u8::try_from(length).unwrap());
            [&bytes[..], inner].concat()
        };
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..NESTED_MAX {
            component = within(&component);
        }
        assert!(Names::read(&component).is_ok());
        let error = Names::read(&within(&component)).unwrap_err().to_string();
        assert!(error.contains("more than 1000 modules and components"), "{error}");
    }

    #[test]
    fn what_is_for_a_debugger_is_counted_wherever_it_is() {
        let section = b"\0\x0e\x0b.debug_infoab";
        let module = [&b"\0asm\x01\0\0\0"[..], section].concat();
        let nested = [&[1, u8::try_from(module.len()).unwrap()][..], &module].concat();
        let component = [EMPTY, &nested, b"\0\x05\x04name"].concat();
        assert_eq!(Names::read(&component).unwrap().debug_info, 2);
    }

    #[test]
    fn a_file_that_is_no_component_is_said_to_be_what_it_is() {
        let core = b"\0asm\x01\0\0\0";
        assert!(matches!(inspect(core), Err(LoadError::CoreModule)));
        assert!(matches!(inspect(EMPTY), Err(LoadError::NoHandler(exports)) if exports.is_empty()));
        assert!(matches!(inspect(&EMPTY[..6]), Err(LoadError::Damaged(_))));
        assert!(matches!(inspect(b"#!/bin/sh"), Err(LoadError::Damaged(_))));
        assert!(matches!(inspect(b""), Err(LoadError::Damaged(_))));
    }
}

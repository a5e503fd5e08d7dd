//! From a receiver's configuration to something that can be called: its plugin is loaded, and what that
//! says it needs is held against what it is granted.
//!
//! Invariant: every receiver is looked at, so that all faults are told at once; one with a fault is not
//! among the built ones.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lictor_capability::{
    AppendGrant, Capabilities, ExecGrant, GrantError, Grants, HttpGrant, HttpGrantSpec, OutputLimits, Request,
    SmtpGrant, SmtpGrantSpec,
};
use lictor_host::{Host, Plugin, RequestsError};

use crate::bundled;
use crate::config::{self, Fault, PluginRef};

/// A receiver that can be called.
pub(crate) struct Built<'a> {
    pub(crate) config: &'a config::Receiver,
    pub(crate) plugin: Plugin,
    pub(crate) capabilities: Arc<Capabilities>,
    /// The plugin's configuration as it gets it.
    pub(crate) json: Arc<str>,
}

/// Loads each component once, however many receivers use it.
pub(crate) struct Loader<'a> {
    host: &'a Host,
    loaded: BTreeMap<PluginRef, Result<Plugin, String>>,
}

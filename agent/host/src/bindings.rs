//! What `bindgen!` makes of the contract in `sdk/wit`.
//!
//! Boundary: only this crate sees these types, so that a second contract version can be served beside this
//! one without a change for our callers.

wasmtime::component::bindgen!({
    path: "../../sdk/wit",
    world: "plugin",
    imports: {
        "lictor:plugin/log.log": async,
        "lictor:plugin/exec.run": async,
        "lictor:plugin/append.append": async,
        "lictor:plugin/http.send": async,
        "lictor:plugin/smtp.send": async,
        "lictor:plugin/watch.current": async,
        "lictor:plugin/kv.get": async,
        "lictor:plugin/kv.keys": async,
        "lictor:plugin/kv-store.get": async,
        "lictor:plugin/kv-store.set": async,
        "lictor:plugin/kv-store.delete": async,
    },
    exports: { default: async },
});

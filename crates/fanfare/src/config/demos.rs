//! `[demos]`: the demos at `/demos/`, outside of dev mode, where they are always served.
use super::{
    kind::Flag,
    schema::{Table, Visitor, When::Restart},
};

/// Whether there are demos.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DemoSettings {
    /// Serve `/demos/` and what feeds it.
    pub enabled: bool,
}

impl Table for DemoSettings {
    #[rustfmt::skip]
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.field::<Flag>("enabled", &mut self.enabled, Restart, "Serve the demos at `/demos/`, as dev mode does, and publish what they show on `demo:*`; `[namespaces.demo]` says who may use those channels, and needs `keyed` and `presence`.");
    }
}

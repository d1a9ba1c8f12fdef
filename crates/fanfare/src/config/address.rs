//! The address to listen on.
use std::net::{Ipv4Addr, SocketAddr};

use super::{
    kind::{Fault, Kind, unexpected},
    node::{Node, Value},
};

/// An IP address and a port; `localhost` is 127.0.0.1. Names are not looked up: what they resolve to may change.
pub struct Address;

impl Kind for Address {
    type Value = SocketAddr;
    fn expected() -> String {
        "an address and a port, such as \"127.0.0.1:8000\" or \"[::]:8000\"".into()
    }
    fn short() -> String {
        "address:port".into()
    }
    fn read(node: &Node) -> Result<SocketAddr, Fault> {
        let Value::Text(text) = &node.value else { return Err(unexpected::<Self>(node)) };
        let local =
            |port: &str| port.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let parsed = text.parse().ok().or_else(|| text.strip_prefix("localhost:").and_then(local));
        parsed.ok_or_else(|| {
            let mut fault = unexpected::<Self>(node);
            let port = text.trim_start_matches(':');
            if port.parse::<u16>().is_ok() {
                fault.remedy =
                    Some(format!("write \"127.0.0.1:{port}\" for this machine, \"0.0.0.0:{port}\" for all"));
            } else if text.parse::<std::net::IpAddr>().is_ok() {
                fault.remedy = Some("add a port: 8000 is usual".into());
            }
            fault
        })
    }
    fn show(value: &SocketAddr) -> String {
        format!("\"{value}\"")
    }
}

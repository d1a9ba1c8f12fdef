//! A long-poll that waits. Like every open connection it has a place among them: it is counted against the limits, listed, and ended by
//! whoever ends connections.
use std::{
    future::{Future, poll_fn},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use fanfare_hub::{Connection, Listed, Notice, Pulled, unix_ms};
use fanfare_protocol::{Code, Problem};
use tokio::time::{Instant, sleep_until};

use crate::{access::Caller, forms, node::Node, plan::check_room};

/// A poll while it waits; its place is given back when this is dropped.
pub(crate) struct Parked<'a> {
    node: &'a Node,
    caller: &'a Caller,
    connection: Arc<Connection>,
}

impl<'a> Parked<'a> {
    /// Takes a place.
    ///
    /// # Errors
    /// `limit_exceeded`, as for any other connection.
    pub fn new(node: &'a Node, caller: &'a Caller) -> Result<Self, Problem> {
        check_room(node, &caller.identity)?;
        // Nothing is ever written to it.
        let connection = node.hub.connect(forms::STREAM, caller.client, Box::new(Pulled));
        let listed = Listed {
            id: connection.id,
            client: caller.client,
            identity: caller.identity.clone(),
            transport: "poll",
            connected_at: unix_ms(),
        };
        node.hub.directory().put(&connection, listed);
        node.parked.fetch_add(1, Ordering::Relaxed);
        Ok(Self { node, caller, connection })
    }

    /// Waits for a delivery; false when the time is over or the server stops.
    ///
    /// # Errors
    /// `token_expired`, `unauthorized` when the user's tokens were revoked, or why an operator ended it.
    pub async fn wait(
        &self,
        deadline: Instant,
        mut delivered: impl Future<Output = ()> + Unpin,
    ) -> Result<bool, Problem> {
        loop {
            self.check()?;
            if self.node.is_draining() || Instant::now() >= deadline {
                return Ok(false);
            }
            let expires = self.caller.identity.expires_at.map(|at| at.saturating_sub(unix_ms()).max(1));
            let expiry = expires.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
            let until = expiry.map_or(deadline, |expiry| expiry.min(deadline));
            tokio::select! {
                () = &mut delivered => {
                    self.check()?;
                    return Ok(true);
                }
                problem = self.ended() => {
                    self.check()?;
                    return if self.node.is_draining() { Ok(false) } else { Err(problem) };
                }
                () = sleep_until(until) => {}
            }
        }
    }

    /// Ready when somebody ends this connection.
    async fn ended(&self) -> Problem {
        poll_fn(|cx| {
            self.connection.register_in(cx);
            let mut notices = self.connection.take_notices().into_iter();
            let problem = notices.find_map(|notice| match notice {
                Notice::Disconnect(problem) => Some(problem),
                Notice::Ended(..) => None,
            });
            problem.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Whether the credentials are still good.
    fn check(&self) -> Result<(), Problem> {
        if self.caller.identity.expires_at.is_some_and(|at| at <= unix_ms()) {
            return Err(Problem::new(Code::TokenExpired, "the token has expired"));
        }
        if self.node.auth.revocations().is_revoked(&self.caller.identity) {
            return Err(Problem::new(Code::Unauthorized, "the user's tokens were revoked"));
        }
        Ok(())
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.node.parked.fetch_sub(1, Ordering::Relaxed);
        self.node.hub.disconnect(&self.connection);
    }
}

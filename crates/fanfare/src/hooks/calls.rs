//! Calls that no handler of the program's own has go to the application at `hooks.url`.
use std::sync::Arc;

use fanfare_protocol::{Args, Problem};

use super::{Hooks, actions, question::Question};
use crate::{
    config::{Config, HookEvent},
    events::{Context, Registry},
};

/// Serves the namespaces of the configuration: `/` for those without a table, and `/x` for `[namespaces.x]`. Events that a program
/// registers handlers for stay its own.
pub(crate) fn serve_calls(hooks: &Arc<Hooks>, registry: &Arc<Registry>, config: &Config) {
    hooks.set_registry(registry);
    for name in config.namespaces.keys() {
        if !hooks.client.asks_in(HookEvent::Call, name) {
            continue;
        }
        let space = if name == "default" { "/".to_owned() } else { format!("/{name}") };
        let hooks = hooks.clone();
        registry.space(&space).on_any(move |context, args| {
            let hooks = hooks.clone();
            async move { hooks.called(context, args).await }
        });
    }
}

impl Hooks {
    async fn called(&self, context: Context, args: Args) -> Result<Args, Problem> {
        let handshake = context.handshake();
        let mut question = Question::call(&handshake.asker, &handshake.namespace, context.event(), &args);
        question.user = context.user().as_deref().map(str::to_owned);
        question.sid = Some(context.sid()).filter(|sid| !sid.is_empty());
        question.transport = Some(handshake.transport);
        question.rooms = Some(context.rooms());
        let Some(answer) = self.client.ask(HookEvent::Call, &question).await? else {
            return Ok(Args::default());
        };
        actions::after_call(&context, &self.hub, &answer.actions).await?;
        answer.replied()
    }
}

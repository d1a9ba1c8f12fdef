//! The application's own logic: handlers of clients' events, by namespace, for every kind of client.
//!
//! A Socket.IO client emits to them, a native WebSocket client calls them (`{"type":"call","event":...}`), and anybody else does so over
//! `POST /v1/call`. What they emit to rooms is published on channels, so that every reader gets it, however it reads.
mod admission;
mod answer;
mod handlers;
mod queue;
mod registry;
mod socket;
mod space;
mod target;
mod visit;
mod who;

pub use admission::Admission;
pub use answer::Answer;
pub use socket::{Context, Socket};
pub use space::Events;
pub use target::{Acks, Target};

pub(crate) use registry::Registry;

use crate::Fanfare;

impl Fanfare {
    /// The handlers of a namespace: `/`, `/chat`. Called again, the same ones, to which more are added.
    ///
    /// # Panics
    /// When the name is no namespace: it begins with `/`, has at most 128 bytes, and no spaces, commas or question marks.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use fanfare::{Admission, Code, Fanfare, Problem};
    ///
    /// struct Name(String);
    ///
    /// let fanfare = Fanfare::builder().open().build()?;
    /// fanfare
    ///     .events("/chat")
    ///     .authorise(|handshake| async move {
    ///         let name: Option<String> = handshake.auth_field("name");
    ///         let name = name.ok_or_else(|| Problem::new(Code::Unauthorized, "say your name"))?;
    ///         Ok(Admission::new().data(Name(name)))
    ///     })
    ///     .on("JOIN", |ctx, (room,): (String,)| async move {
    ///         ctx.join(&room).await?;
    ///         let name = ctx.data::<Name>().map(|name| name.0.clone());
    ///         ctx.to(&room).emit("JOINED", name).await?;
    ///         Ok(ctx.members(&room).len())
    ///     })
    ///     .on_disconnecting(|ctx, _why| async move {
    ///         for room in ctx.rooms() {
    ///             ctx.to(&room).emit("LEFT", ctx.sid()).await.ok();
    ///         }
    ///     });
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self, namespace: &str) -> Events {
        self.registry().space(namespace)
    }
}

//! What a program does with the hub inside it: publish, subscribe, read the past and the members, end connections.

mod publish;
mod read;
mod subscribe;
mod subscription;

pub use publish::Publishing;
pub use subscribe::Subscribing;
pub use subscription::{Delivery, Subscription};

use fanfare_protocol::Message;
use serde::de::DeserializeOwned;

/// Reads what a message says.
///
/// # Examples
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use fanfare::{Fanfare, MessageData, Page};
///
/// let fanfare = Fanfare::builder().build()?;
/// fanfare.publish("numbers", [1, 2, 3]).await?;
/// let page = fanfare.history("numbers", Page::default()).await?;
/// let numbers: Vec<u32> = page.messages[0].json()?;
/// assert_eq!(numbers, [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
pub trait MessageData {
    /// The payload as a type of the program's own; binary payloads as the base64 text that JSON clients get.
    ///
    /// # Errors
    /// The payload is not of this type.
    fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T>;
}

impl MessageData for Message {
    fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        let mut text = Vec::with_capacity(self.data.len());
        fanfare_protocol::Format::Json.data(&self.data, &mut text);
        serde_json::from_slice(&text)
    }
}

//! Reading and acting from inside the program: history, members, who is online, disconnecting.
use fanfare_hub::{Listed, unix_ms};
use fanfare_protocol::{
    ChannelName, ClientId, Code, Problem,
    command::Page,
    event::{HistoryPage, MembersPage},
    options::LIMIT_MOST,
};
use fanfare_session::checks::check_presence;

use crate::Fanfare;

impl Fanfare {
    /// A page of a channel's past.
    ///
    /// # Errors
    /// `bad_request` for a name that cannot be.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fanfare = fanfare::Fanfare::builder().build()?;
    /// use fanfare::Page;
    ///
    /// fanfare.publish("log", "one").await?;
    /// fanfare.publish("log", "two").await?;
    /// let newest = fanfare.history("log", Page { reverse: true, limit: 1, ..Page::default() }).await?;
    /// assert_eq!(newest.messages[0].offset, 2);
    /// assert!(newest.more);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn history(&self, channel: &str, mut page: Page) -> Result<HistoryPage, Problem> {
        let channel = ChannelName::parse(channel)?;
        page.limit = page.limit.clamp(1, LIMIT_MOST);
        self.node().hub.history(&channel, &page).await
    }

    /// A page of a channel's members, ordered by client; `limit` 0 for the counts alone.
    ///
    /// # Errors
    /// `bad_request` for a name that cannot be, or where the namespace has no presence.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fanfare = fanfare::Fanfare::builder().default_namespace(|n| n.presence = true).build()?;
    /// assert_eq!(fanfare.members("chat", 100, None).await?.count, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn members(
        &self,
        channel: &str,
        limit: usize,
        after: Option<ClientId>,
    ) -> Result<MembersPage, Problem> {
        let channel = ChannelName::parse(channel)?;
        check_presence(&*self.node().rules, &channel)?;
        self.node().hub.members(&channel, limit.min(LIMIT_MOST), after).await
    }

    /// Whether a user has a connection to this hub.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fanfare = fanfare::Fanfare::builder().build()?;
    /// assert!(!fanfare.is_online("ada"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_online(&self, user: &str) -> bool {
        self.node().hub.directory().is_online(user)
    }

    /// Ends every connection of a user and refuses the tokens issued to it before now. Returns how many connections were told.
    ///
    /// An [`Authorizer`](crate::Authorizer) that names users itself has its own sessions to end.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fanfare = fanfare::Fanfare::builder().build()?;
    /// assert_eq!(fanfare.disconnect_user("mallory"), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn disconnect_user(&self, user: &str) -> usize {
        // First the list, then the connections: one that comes in between is refused.
        self.node().auth.revocations().revoke_user(user, unix_ms());
        let problem = Problem::new(Code::Revoked, "the user's tokens were revoked");
        let of_user = |listed: &Listed| listed.identity.user.as_deref() == Some(user);
        self.node().hub.directory().disconnect(of_user, &problem)
    }

    /// Ends every connection of a client, which may come back. Returns how many were told.
    pub fn disconnect_client(&self, client: ClientId) -> usize {
        let problem = Problem::new(Code::Revoked, "disconnected by the application");
        self.node().hub.directory().disconnect(|listed| listed.client == client, &problem)
    }
}

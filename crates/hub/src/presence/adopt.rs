//! Members of before this node's start, where the broker outlived it.
use fanfare_broker::Keyed;
use fanfare_protocol::{ChannelName, ClientId, Problem};

use super::member;
use crate::hub::Hub;

const PREFIX: &str = "$presence:";
/// Channels and members read at once.
const PAGE: usize = 1000;
const PAGE_BYTES: usize = 1 << 20;

impl Hub {
    /// Takes over the memberships that the broker has, so that streams and polls of their clients hold them again; those for whom nobody comes
    /// end with their leases. For a broker that no other node uses. Returns how many there are.
    ///
    /// # Errors
    /// What the broker answers.
    pub async fn adopt_members(&self) -> Result<usize, Problem> {
        let (mut after, mut count): (Option<ChannelName>, usize) = (None, 0);
        loop {
            let page = self.broker.channels(PREFIX, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some(last.channel.clone());
            for listed in &page {
                count += self.adopt_channel(&listed.channel, listed.bounds.head).await?;
            }
        }
    }

    async fn adopt_channel(&self, hidden: &ChannelName, until: u64) -> Result<usize, Problem> {
        let Some(of) = hidden.strip_prefix(PREFIX).and_then(|name| ChannelName::parse(name).ok()) else {
            return Ok(0);
        };
        let lease_ms = self.rules.presence_lease_ms();
        let (mut after, mut count) = (0, 0);
        while after < until {
            let read = Keyed { after, until, tombstones_after: until, limit: PAGE, bytes: PAGE_BYTES };
            let slice = self.broker.read_keyed(hidden, read).await?;
            for message in &slice.messages {
                let client = message.key.as_deref().and_then(|key| ClientId::parse(key).ok());
                let member = client.and_then(|client| member::decode(client, &message.data));
                if let Some(member) = member {
                    self.memberships.adopt(of.clone(), member, lease_ms);
                    count += 1;
                }
            }
            if slice.next <= after {
                break;
            }
            after = slice.next;
        }
        Ok(count)
    }
}

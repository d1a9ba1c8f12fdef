//! A packet whose attachments are still coming: binary frames that must follow at once.
use crate::{attachments, packet::Packet};

/// Why a frame ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// Bytes that no packet announced.
    #[error("bytes came that no packet announced")]
    Unannounced,
    /// Text between a packet and its attachments.
    #[error("text came between a packet and its attachments")]
    Interrupted,
    /// Placeholders do not fit.
    #[error(transparent)]
    Misfit(#[from] attachments::Misfit),
    /// More bytes than a packet may hold.
    #[error("a packet with its attachments is larger than it may be")]
    TooLarge,
}

/// The packet that is being put together, if one is.
#[derive(Default, Debug)]
pub struct Assembly {
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    packet: Packet,
    attachments: Vec<Vec<u8>>,
    bytes: usize,
}

impl Assembly {
    /// A packet came. None while its attachments are awaited.
    ///
    /// # Errors
    /// Those of another were awaited.
    pub fn packet(&mut self, packet: Packet) -> Result<Option<Packet>, Broken> {
        if self.waiting.is_some() {
            return Err(Broken::Interrupted);
        }
        if packet.attachments == 0 {
            return Ok(Some(packet));
        }
        let bytes = packet.data.as_ref().map_or(0, |data| data.len());
        self.waiting = Some(Waiting { packet, attachments: Vec::new(), bytes });
        Ok(None)
    }

    /// An attachment came. The packet with its bytes filled in, when that was the last.
    ///
    /// # Errors
    /// None was awaited, or the packet does not fit together or is above `most` bytes.
    pub fn attachment(&mut self, bytes: Vec<u8>, most: usize) -> Result<Option<Packet>, Broken> {
        let mut waiting = self.waiting.take().ok_or(Broken::Unannounced)?;
        waiting.bytes = waiting.bytes.saturating_add(bytes.len());
        if waiting.bytes > most {
            return Err(Broken::TooLarge);
        }
        waiting.attachments.push(bytes);
        if waiting.attachments.len() < waiting.packet.attachments {
            self.waiting = Some(waiting);
            return Ok(None);
        }
        let Waiting { mut packet, attachments, .. } = waiting;
        let filled = attachments::fill(packet.data.as_deref().unwrap_or_default(), &attachments)?;
        packet.data = Some(filled.into());
        packet.attachments = 0;
        Ok(Some(packet))
    }

    /// Bytes held while attachments are awaited.
    pub fn held(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.bytes)
    }

    /// Whether the next frame must be binary.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::decode;

    #[test]
    fn a_packet_is_whole_with_its_last_attachment() {
        let mut assembly = Assembly::default();
        let text = r#"52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        assert_eq!(assembly.packet(decode(text, 10).unwrap()), Ok(None));
        assert_eq!(assembly.attachment(vec![1], 1000), Ok(None));
        let whole = assembly.attachment(vec![2], 1000).unwrap().unwrap();
        assert_eq!(whole.data.as_deref(), Some(r#"["e",{"$bytes":"AQ=="},{"$bytes":"Ag=="}]"#));
        assert!(!assembly.is_waiting());
    }

    #[test]
    fn frames_out_of_place_break_it() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.attachment(vec![], 10), Err(Broken::Unannounced));
        let text = r#"51-["e",{"_placeholder":true,"num":0}]"#;
        assembly.packet(decode(text, 10).unwrap()).unwrap();
        assert_eq!(assembly.packet(decode("2[\"e\"]", 10).unwrap()), Err(Broken::Interrupted));
        assert_eq!(assembly.attachment(vec![0; 100], 100), Err(Broken::TooLarge));
        let out_of_range = r#"51-["e",{"_placeholder":true,"num":1}]"#;
        let mut assembly = Assembly::default();
        assembly.packet(decode(out_of_range, 10).unwrap()).unwrap();
        assert!(matches!(assembly.attachment(vec![], 100), Err(Broken::Misfit(_))));
    }
}

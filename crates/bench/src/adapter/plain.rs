//! Bare WebSockets: what a server without a protocol of its own does, and the base of every ratio.

use super::{Adapter, Heard, Names, Opening, Place};
use crate::settings::Settings;

/// `/?channel=NAME` reads one channel, `/?channel=*` all, `/echo` what it sends itself, `/publish` sends.
pub struct Plain {
    names: Names,
    all: bool,
    own: bool,
}

impl Plain {
    pub fn new(settings: &Settings, names: Names) -> Self {
        Self { names, all: settings.channels_per_subscriber > 1, own: settings.own }
    }
}

impl Adapter for Plain {
    fn open(&self, place: &Place) -> Opening {
        let target = if place.channels.is_empty() {
            "/publish".into()
        } else if self.own {
            "/echo".into()
        } else if self.all {
            "/?channel=*".into()
        } else {
            format!("/?channel={}", self.names.of(place.channels.start))
        };
        Opening { target, ..Opening::default() }
    }

    fn hear(&self, _: &Place, _: &[u8]) -> Heard {
        Heard::Nothing
    }

    fn publish(&self, channel: u32, payload: &str, out: &mut String) {
        out.push_str(&self.names.of(channel));
        out.push(' ');
        out.push_str(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_what_a_connection_is_for() {
        let mut settings = Settings::new(([127, 0, 0, 1], 1).into());
        let target = |settings: &Settings, channels| {
            Plain::new(settings, Names::new("r")).open(&Place { channels, resume: None }).target
        };
        assert_eq!(target(&settings, 4..5), "/?channel=bench.r.4");
        assert_eq!(target(&settings, 0..0), "/publish");
        settings.own = true;
        assert_eq!(target(&settings, 4..5), "/echo");
        let mut text = String::new();
        Plain::new(&settings, Names::new("r")).publish(4, "data", &mut text);
        assert_eq!(text, "bench.r.4 data");
    }
}

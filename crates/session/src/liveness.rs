//! Whether the other side is there: pings, silence and stalls.
use crate::{Limits, Sign, timeline::NEVER};

/// Streams and SSE get a keep-alive this often, in milliseconds.
pub const KEEP_ALIVE_MS: u64 = 15_000;

/// So long after a ping, in milliseconds, what the socket accepts counts as the ping itself.
const OWN_MS: u64 = 1000;

/// What a timeout asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Fine,
    Ping,
    NoPong,
    Stalled,
}

/// Times are microseconds on the session's scale.
#[derive(Clone, Debug)]
pub(crate) struct Liveness {
    /// The next ping.
    next: u64,
    /// Silence until then ends the connection, or the moment of the ping when `own`; [`NEVER`] while no ping is unanswered.
    silent_until: u64,
    /// No byte accepted until then ends the connection; [`NEVER`] while nothing waits to be written.
    stalled_at: u64,
    /// For the jitter, so that connections opened together do not ping together.
    random: u32,
    /// Whether the other side answers pings at all.
    answers: bool,
    /// What the socket accepts now may be the ping itself, which only shows that it had room: no sign of life. This ends with a
    /// timeout, so that a driver which tells only then whether anything was accepted tells the ping and what followed apart.
    own: bool,
}

impl Liveness {
    pub(crate) fn new(now: u64, answers: bool, seed: u64, limits: &Limits) -> Self {
        let mut new = Self {
            next: NEVER,
            silent_until: NEVER,
            stalled_at: NEVER,
            random: seed as u32,
            answers,
            own: false,
        };
        new.schedule(now, limits);
        new
    }

    /// When [`Self::timeout`] wants to be called.
    pub(crate) fn due(&self) -> u64 {
        if self.stalled_at == NEVER { self.next.min(self.silent_until) } else { self.stalled_at }
    }

    /// Bytes came in.
    pub(crate) fn received(&mut self) {
        self.silent_until = NEVER;
    }

    pub(crate) fn sign(&mut self, now: u64, sign: Sign, limits: &Limits) {
        let blocked = self.stalled_at != NEVER;
        match sign {
            Sign::Received => self.received(),
            Sign::Accepted if blocked => {
                self.stalled_at = after(now, limits.stall_ms);
                self.silent_until = NEVER;
            }
            Sign::Accepted if self.own => {}
            Sign::Accepted => self.silent_until = NEVER,
            Sign::Blocked if blocked => {}
            Sign::Blocked => self.stalled_at = after(now, limits.stall_ms),
            Sign::Drained => {
                self.stalled_at = NEVER;
                if self.silent_until != NEVER {
                    self.await_answer(now, limits);
                }
            }
        }
    }

    /// `listening` is false while the driver was told not to read: then silence means nothing.
    pub(crate) fn timeout(&mut self, now: u64, listening: bool, limits: &Limits) -> Verdict {
        if self.stalled_at != NEVER {
            return if self.stalled_at <= now { Verdict::Stalled } else { Verdict::Fine };
        }
        if self.silent_until <= now && self.own {
            self.own = false;
            self.silent_until = after(self.silent_until, limits.pong_ms - own_ms(limits));
        }
        if self.silent_until <= now {
            if listening {
                return Verdict::NoPong;
            }
            self.silent_until = after(now, limits.pong_ms);
        }
        if self.next > now {
            return Verdict::Fine;
        }
        self.schedule(now, limits);
        if self.answers && self.silent_until == NEVER {
            self.await_answer(now, limits);
        }
        Verdict::Ping
    }

    fn await_answer(&mut self, now: u64, limits: &Limits) {
        self.silent_until = after(now, own_ms(limits));
        self.own = true;
    }

    fn schedule(&mut self, now: u64, limits: &Limits) {
        self.next = match (self.answers, limits.ping_ms) {
            (false, _) => after(now, KEEP_ALIVE_MS),
            (true, 0) => NEVER,
            (true, ping_ms) => {
                let us = ping_ms.saturating_mul(1000);
                let spread = us / 5;
                let jitter = self.random().checked_rem(spread).unwrap_or(0);
                now.saturating_add(us - us / 10).saturating_add(jitter)
            }
        };
    }

    /// SplitMix64, of a small state.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9);
        let mut z = u64::from(self.random).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn own_ms(limits: &Limits) -> u64 {
    OWN_MS.min(limits.pong_ms / 2)
}

fn after(now: u64, ms: u64) -> u64 {
    now.saturating_add(ms.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::{Liveness, Verdict};
    use crate::{Limits, Sign, timeline::NEVER};

    const S: u64 = 1_000_000;

    fn pinged() -> (Liveness, u64, Limits) {
        let limits = Limits::default();
        let mut live = Liveness::new(0, true, 7, &limits);
        let at = live.due();
        assert_eq!(live.timeout(at, true, &limits), Verdict::Ping);
        (live, at, limits)
    }

    #[test]
    fn pings_come_within_a_tenth_of_the_interval_and_vary() {
        let limits = Limits::default();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let due = Liveness::new(0, true, seed, &limits).due();
            assert!((22_500_000..=27_500_000).contains(&due), "seed {seed}: {due}");
            seen.insert(due);
        }
        assert!(seen.len() > 90);
    }

    #[test]
    fn silence_after_a_ping_ends_it_and_the_pings_own_acceptance_is_silence() {
        let (mut live, at, limits) = pinged();
        live.sign(at, Sign::Accepted, &limits);
        assert_eq!(live.due(), at + S, "when the ping itself has long been accepted");
        live.sign(live.due(), Sign::Accepted, &limits);
        assert_eq!(live.timeout(live.due(), true, &limits), Verdict::Fine);
        assert_eq!(live.due(), at + 10 * S);
        assert_eq!(live.timeout(at + 10 * S - 1, true, &limits), Verdict::Fine);
        assert_eq!(live.timeout(at + 10 * S, true, &limits), Verdict::NoPong);
    }

    #[test]
    fn any_byte_is_life() {
        let (mut live, at, limits) = pinged();
        live.sign(at + S / 2, Sign::Received, &limits);
        assert_eq!(live.timeout(at + 10 * S, true, &limits), Verdict::Fine);
        let (mut live, at, limits) = pinged();
        assert_eq!(live.timeout(at + S, true, &limits), Verdict::Fine);
        live.sign(at + 10 * S, Sign::Accepted, &limits);
        assert_eq!(live.timeout(at + 10 * S, true, &limits), Verdict::Fine);
        assert!(live.due() > at + 10 * S);
    }

    #[test]
    fn a_late_timer_ends_silence_all_the_same() {
        let (mut live, at, limits) = pinged();
        assert_eq!(live.timeout(at + 12 * S, true, &limits), Verdict::NoPong);
    }

    #[test]
    fn silence_does_not_count_while_blocked_and_a_stall_does() {
        let (mut live, at, limits) = pinged();
        live.sign(at + S, Sign::Blocked, &limits);
        assert_eq!(live.timeout(at + 60 * S, true, &limits), Verdict::Fine);
        live.sign(at + 60 * S, Sign::Blocked, &limits);
        assert_eq!(live.due(), at + 121 * S, "saying so again does not put it off");
        live.sign(at + 100 * S, Sign::Accepted, &limits);
        assert_eq!(live.timeout(at + 219 * S, true, &limits), Verdict::Fine);
        assert_eq!(live.timeout(at + 220 * S, true, &limits), Verdict::Stalled);
    }

    #[test]
    fn silence_starts_anew_when_the_output_has_drained() {
        let (mut live, at, limits) = pinged();
        live.sign(at + S, Sign::Blocked, &limits);
        live.sign(at + 50 * S, Sign::Drained, &limits);
        assert_eq!(live.timeout(at + 50 * S, true, &limits), Verdict::Ping, "the one that was put off");
        assert_eq!(live.timeout(at + 60 * S, true, &limits), Verdict::NoPong);
    }

    #[test]
    fn a_client_that_is_not_read_is_not_silent() {
        let (mut live, at, limits) = pinged();
        assert_eq!(live.timeout(at + 10 * S, false, &limits), Verdict::Fine);
        assert_eq!(live.timeout(at + 20 * S, true, &limits), Verdict::NoPong);
    }

    #[test]
    fn streams_get_keep_alives_and_owe_no_answer() {
        let limits = Limits::default();
        let mut live = Liveness::new(0, false, 7, &limits);
        for n in 1..10 {
            assert_eq!(live.due(), n * 15 * S);
            assert_eq!(live.timeout(live.due(), true, &limits), Verdict::Ping);
        }
        live.sign(200 * S, Sign::Blocked, &limits);
        assert_eq!(live.timeout(320 * S, true, &limits), Verdict::Stalled);
    }

    #[test]
    fn zero_turns_pings_off() {
        let limits = Limits { ping_ms: 0, ..Limits::default() };
        assert_eq!(Liveness::new(0, true, 7, &limits).due(), NEVER);
    }
}

//! The heartbeat: the server pings, the client answers in time or is gone. Times are milliseconds on any scale that only rises.

/// What a timeout asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beat {
    /// Nothing yet.
    Wait,
    /// Send a ping.
    Ping,
    /// The client is gone.
    Dead,
}

/// One session's heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    interval: u64,
    timeout: u64,
    due: u64,
    waiting: bool,
}

impl Heartbeat {
    /// Begins; the first ping is due after `interval`.
    pub fn new(now: u64, interval: u64, timeout: u64) -> Self {
        Self { interval, timeout, due: now.saturating_add(interval), waiting: false }
    }

    /// When [`Heartbeat::handle_timeout`] wants to be called.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Time has passed. `blocked`: output waits for the client, so that a ping has not reached it and silence means nothing.
    pub fn handle_timeout(&mut self, now: u64, blocked: bool) -> Beat {
        if now < self.due {
            return Beat::Wait;
        }
        if !self.waiting {
            self.waiting = true;
            self.due = now.saturating_add(self.timeout);
            return Beat::Ping;
        }
        if blocked {
            self.due = now.saturating_add(self.timeout);
            return Beat::Wait;
        }
        Beat::Dead
    }

    /// The server wants to know now how far the client has come: whether to ping. Not while an answer is awaited.
    pub fn ask(&mut self, now: u64) -> bool {
        if self.waiting {
            return false;
        }
        self.waiting = true;
        self.due = now.saturating_add(self.timeout);
        true
    }

    /// The client answered.
    pub fn handle_pong(&mut self, now: u64) {
        self.waiting = false;
        self.due = now.saturating_add(self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_answers_lives_and_one_that_does_not_is_dead_in_time() {
        let mut heart = Heartbeat::new(0, 300, 200);
        assert_eq!(heart.handle_timeout(299, false), Beat::Wait);
        assert_eq!(heart.handle_timeout(300, false), Beat::Ping);
        heart.handle_pong(350);
        assert_eq!(heart.due(), 650);
        assert_eq!(heart.handle_timeout(650, false), Beat::Ping);
        assert_eq!(heart.handle_timeout(849, false), Beat::Wait);
        assert_eq!(heart.handle_timeout(850, false), Beat::Dead);
    }

    #[test]
    fn a_ping_out_of_turn_is_answered_in_the_same_time() {
        let mut heart = Heartbeat::new(0, 300, 200);
        assert!(heart.ask(100));
        assert!(!heart.ask(150), "it has been asked");
        assert_eq!(heart.handle_timeout(299, false), Beat::Wait);
        heart.handle_pong(299);
        assert_eq!(heart.due(), 599);
        assert!(heart.ask(400));
        assert_eq!(heart.handle_timeout(600, false), Beat::Dead);
    }

    #[test]
    fn silence_means_nothing_while_output_waits_for_the_client() {
        let mut heart = Heartbeat::new(0, 300, 200);
        assert_eq!(heart.handle_timeout(300, true), Beat::Ping);
        assert_eq!(heart.handle_timeout(500, true), Beat::Wait);
        assert_eq!(heart.handle_timeout(700, false), Beat::Dead);
    }
}

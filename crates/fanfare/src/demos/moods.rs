//! Some robots who post their moods, change them and take them down, so that the board is not empty.
use std::{collections::VecDeque, time::Duration};

use serde_json::{Value, json};

use super::{
    chance::Chance,
    source::{Said, Source},
};

const CHANNEL: &str = "demo:moods";
const EVERY: Duration = Duration::from_secs(5);
/// Moods on the board when somebody comes to it.
const AT_FIRST: usize = 3;
const ROBOTS: [&str; 4] = ["Robot Ada", "Robot Karel", "Robot Grace", "Robot Alan"];
const MOODS: [(&str, &str); 8] = [
    ("😀", "All tests green"),
    ("☕", "Second cup"),
    ("🤔", "It worked yesterday"),
    ("😴", "Waiting for the build"),
    ("🔥", "Deployed on a Friday"),
    ("🥳", "Deleted a thousand lines"),
    ("🌱", "Watered the plants"),
    ("😤", "Who moved my semicolon"),
];

pub struct Moods {
    chance: Chance,
    /// Keys on the board and who posted them, oldest first.
    posted: VecDeque<(String, &'static str)>,
    count: u64,
}

impl Moods {
    pub fn new(chance: Chance) -> Self {
        Self { chance, posted: VecDeque::new(), count: 0 }
    }

    fn mood(&mut self, key: &str, by: &str) -> Option<Said> {
        let (face, words) = self.chance.pick(&MOODS)?;
        Some(Said::new(CHANNEL, "mood", json!({ "face": face, "words": words, "by": by })).key(key))
    }

    fn insert(&mut self) -> Option<Said> {
        let by = *self.chance.pick(&ROBOTS)?;
        // A few keys, used again and again: what a robot left before a restart is overwritten in time.
        let key = format!("robot-{}", self.count % 5);
        self.count += 1;
        self.posted.push_back((key.clone(), by));
        self.mood(&key, by)
    }
}

impl Source for Moods {
    fn channels(&self) -> Vec<String> {
        vec![CHANNEL.into()]
    }

    fn every(&self) -> Duration {
        EVERY
    }

    /// A board with something on it is seen at once.
    fn begin(&mut self) -> Vec<Said> {
        let missing = AT_FIRST.saturating_sub(self.posted.len());
        (0..missing).filter_map(|_| self.insert()).collect()
    }

    fn step(&mut self) -> Vec<Said> {
        let choice = self.chance.below(4);
        let said = if self.posted.len() < 2 || (choice < 2 && self.posted.len() < 5) {
            self.insert()
        } else if choice < 3
            && let Some((key, by)) = self.posted.get(self.chance.below(self.posted.len())).cloned()
        {
            self.mood(&key, by)
        } else {
            self.posted.pop_front().map(|(key, _)| Said::new(CHANNEL, "mood", Value::Null).key(key))
        };
        said.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn moods_are_inserted_changed_and_deleted_and_never_many() {
        let mut moods = Moods::new(Chance::seeded(9));
        let mut board = HashSet::new();
        let (mut changed, mut removed) = (0, 0);
        for said in moods.begin() {
            assert!(board.insert(said.key.unwrap()));
        }
        assert_eq!(board.len(), AT_FIRST);
        assert!(moods.begin().is_empty(), "what is there is not posted again");
        for _ in 0..500 {
            for said in moods.step() {
                let key = said.key.unwrap();
                if said.data.is_null() {
                    assert!(board.remove(&key), "{key} was not there");
                    removed += 1;
                } else if !board.insert(key) {
                    changed += 1;
                }
            }
            assert!((1..=5).contains(&board.len()));
        }
        assert!(changed > 20 && removed > 20, "{changed} {removed}");
    }
}

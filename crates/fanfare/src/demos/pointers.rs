//! Two robots that move their pointers, thirty times a second.
use std::time::Duration;

use serde_json::json;

use super::source::{Said, Source};

const CHANNEL: &str = "demo:cursors";
const EVERY: Duration = Duration::from_millis(33);
/// Names, and how often each goes around in x and in y.
const ROBOTS: [(&str, f64, f64); 2] = [("Robot Ada", 3.0, 2.0), ("Robot Karel", 2.0, 5.0)];

/// Along Lissajous curves.
#[derive(Default)]
pub struct Pointers {
    steps: u32,
}

impl Source for Pointers {
    fn channels(&self) -> Vec<String> {
        vec![CHANNEL.into()]
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn step(&mut self) -> Vec<Said> {
        self.steps = self.steps.wrapping_add(1);
        let at = f64::from(self.steps) * 0.008;
        let place = |times: f64, shift: f64| ((0.5 + 0.42 * (at * times + shift).sin()) * 1e4).round() / 1e4;
        let tell = |&(name, x, y): &(&str, f64, f64)| {
            let data = json!({ "robot": name, "x": place(x, 0.0), "y": place(y, 1.0) });
            Said::new(CHANNEL, "move", data).ephemeral()
        };
        ROBOTS.iter().map(tell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_stay_on_the_canvas_and_are_kept_nowhere() {
        let mut pointers = Pointers::default();
        for _ in 0..5000 {
            for said in pointers.step() {
                assert!(said.ephemeral);
                for axis in ["x", "y"] {
                    assert!((0.0..=1.0).contains(&said.data[axis].as_f64().unwrap()), "{said:?}");
                }
            }
        }
    }
}

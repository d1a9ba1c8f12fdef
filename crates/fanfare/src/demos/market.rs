//! A simulated market: 500 trades a second on one pair.
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    chance::Chance,
    source::{Said, Source},
};

const CHANNEL: &str = "demo:trades";
const EVERY: Duration = Duration::from_millis(10);
/// At each step.
const TRADES: usize = 5;
const START: f64 = 250.0;

/// A price that wanders, and is drawn back to where it began.
pub struct Market {
    chance: Chance,
    price: f64,
    /// Where buyers and sellers lean, for some seconds.
    trend: f64,
    count: u64,
}

impl Market {
    pub fn new(chance: Chance) -> Self {
        Self { chance, price: START, trend: 0.0, count: 0 }
    }

    fn trade(&mut self) -> Said {
        self.trend = self.trend * 0.999 + self.chance.swing() * 0.02;
        let home = (START - self.price) * 0.000_02;
        let moved = (self.chance.swing() * 0.03 + self.trend * 0.01 + home).clamp(-1.0, 1.0);
        self.price = (self.price + moved).max(1.0);
        self.count += 1;
        let side = if moved < 0.0 { "sell" } else { "buy" };
        let amount = (self.chance.unit().powi(3) * 2.0 + 0.001) * 1e4;
        let data = json!({
            "n": self.count,
            "price": (self.price * 100.0).round() / 100.0,
            "amount": amount.round() / 1e4,
            "side": side,
        });
        Said::new(CHANNEL, "trade", data)
    }
}

impl Source for Market {
    fn channels(&self) -> Vec<String> {
        vec![CHANNEL.into()]
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn resume(&mut self, newest: &Value) {
        self.count = newest["n"].as_u64().unwrap_or(0);
        self.price = newest["price"].as_f64().filter(|price| (1.0..1e6).contains(price)).unwrap_or(START);
    }

    fn step(&mut self) -> Vec<Said> {
        (0..TRADES).map(|_| self.trade()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundred_trades_a_second_are_numbered_without_holes() {
        let mut market = Market::new(Chance::seeded(3));
        market.resume(&json!({ "n": 41, "price": 90.0 }));
        let steps = Duration::from_secs(1).as_millis() / EVERY.as_millis();
        let said: Vec<Said> = (0..steps).flat_map(|_| market.step()).collect();
        let numbers: Vec<u64> = said.iter().map(|said| said.data["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (42..542).collect::<Vec<_>>());
        assert!(said.iter().all(|said| said.data["price"].as_f64().unwrap() >= 1.0));
        for side in ["buy", "sell"] {
            assert!(said.iter().any(|said| said.data["side"] == side), "{side}");
        }
    }
}

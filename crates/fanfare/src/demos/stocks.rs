//! Simulated stocks: quotes, halts and headlines, three events of one channel.
use std::time::Duration;

use serde_json::json;

use super::{
    chance::Chance,
    source::{Said, Source},
};

const CHANNEL: &str = "demo:stocks";
const EVERY: Duration = Duration::from_millis(300);
const LISTED: [(&str, &str, f64); 8] = [
    ("ALDR", "Alder Timber", 41.2),
    ("BRLY", "Barley & Sons", 18.75),
    ("CRNT", "Current Grid", 96.4),
    ("DUSK", "Dusk Optics", 210.9),
    ("FJRD", "Fjord Shipping", 63.1),
    ("HALO", "Halo Rail", 129.5),
    ("MICA", "Mica Minerals", 7.84),
    ("TERN", "Tern Airways", 33.3),
];
const HEADLINES: [&str; 6] = [
    "opens a second plant",
    "reports a quiet quarter",
    "names a new chair",
    "wins a ten-year contract",
    "recalls last year's model",
    "buys back shares",
];
/// Steps that a halt lasts.
const HALT: u32 = 20;

struct Stock {
    price: f64,
    open: f64,
    /// Steps until trading goes on.
    halted: u32,
}

pub struct Stocks {
    chance: Chance,
    stocks: Vec<Stock>,
}

impl Stocks {
    pub fn new(chance: Chance) -> Self {
        let stock = |&(_, _, open): &(&str, &str, f64)| Stock { price: open, open, halted: 0 };
        Self { chance, stocks: LISTED.iter().map(stock).collect() }
    }

    fn quote(&self, at: usize) -> Option<Said> {
        let ((symbol, name, _), stock) = (LISTED.get(at)?, self.stocks.get(at)?);
        let cents = |price: f64| (price * 100.0).round() / 100.0;
        let data =
            json!({ "symbol": symbol, "name": name, "price": cents(stock.price), "open": cents(stock.open) });
        Some(Said::new(CHANNEL, "quote", data).key(*symbol))
    }

    /// Counts halts down, and tells of those that are over.
    fn resumed(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        for (stock, (symbol, ..)) in self.stocks.iter_mut().zip(LISTED) {
            if stock.halted == 1 {
                said.push(Said::new(CHANNEL, "halt", json!({ "symbol": symbol, "halted": false })));
            }
            stock.halted = stock.halted.saturating_sub(1);
        }
        said
    }
}

impl Source for Stocks {
    fn channels(&self) -> Vec<String> {
        vec![CHANNEL.into()]
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn begin(&mut self) -> Vec<Said> {
        (0..LISTED.len()).filter_map(|at| self.quote(at)).collect()
    }

    fn step(&mut self) -> Vec<Said> {
        let mut said = self.resumed();
        let at = self.chance.below(LISTED.len());
        let Some((symbol, name, _)) = LISTED.get(at) else { return said };
        let luck = self.chance.unit();
        let swing = self.chance.swing();
        let Some(stock) = self.stocks.get_mut(at) else { return said };
        if stock.halted > 0 {
            return said;
        }
        if luck < 0.01 {
            stock.halted = HALT;
            said.push(Said::new(CHANNEL, "halt", json!({ "symbol": symbol, "halted": true })));
            return said;
        }
        let home = (stock.open - stock.price) / stock.open * 0.02;
        stock.price = (stock.price * (1.0 + swing * 0.008 + home)).max(0.5);
        said.extend(self.quote(at));
        if luck > 0.96
            && let Some(headline) = self.chance.pick(&HEADLINES)
        {
            let data = json!({ "symbol": symbol, "headline": format!("{name} {headline}") });
            said.push(Said::new(CHANNEL, "news", data));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halted_stock_is_not_quoted_until_it_resumes() {
        let mut stocks = Stocks::new(Chance::seeded(11));
        assert_eq!(stocks.begin().len(), LISTED.len());
        let (mut halts, mut resumed) = (0, 0);
        let mut halted = std::collections::HashSet::new();
        for _ in 0..5000 {
            for said in stocks.step() {
                let symbol = said.data["symbol"].as_str().unwrap().to_owned();
                match (said.event, said.data["halted"].as_bool()) {
                    ("halt", Some(true)) => {
                        assert!(halted.insert(symbol));
                        halts += 1;
                    }
                    ("halt", _) => {
                        assert!(halted.remove(&symbol));
                        resumed += 1;
                    }
                    _ => assert!(!halted.contains(&symbol), "{symbol} {}", said.event),
                }
            }
        }
        assert!(halts > 10 && halts - resumed <= 8, "{halts} {resumed}");
    }
}

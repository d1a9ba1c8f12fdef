//! Orders on their way: a table whose rows change.
use std::time::Duration;

use serde_json::json;

use super::{
    chance::Chance,
    source::{Said, Source},
};

const CHANNEL: &str = "demo:orders";
const EVERY: Duration = Duration::from_millis(900);
const ON_THE_WAY: usize = 8;
const STATES: [&str; 5] = ["placed", "paid", "packed", "shipped", "delivered"];
const GOODS: [&str; 6] = ["Lamp", "Kettle", "Atlas", "Raincoat", "Chess set", "Bicycle bell"];

struct Order {
    id: u64,
    what: &'static str,
    amount: u64,
    state: usize,
}

pub struct Orders {
    chance: Chance,
    orders: Vec<Order>,
    count: u64,
}

impl Orders {
    pub fn new(chance: Chance) -> Self {
        Self { chance, orders: Vec::new(), count: 100 }
    }

    fn place(&mut self) -> Order {
        self.count += 1;
        let what = self.chance.pick(&GOODS).copied().unwrap_or("Lamp");
        Order { id: self.count, what, amount: self.chance.below(90) as u64 + 10, state: 0 }
    }
}

fn tell(order: &Order) -> Said {
    let state = STATES.get(order.state).copied().unwrap_or("delivered");
    let data = json!({ "id": order.id, "what": order.what, "amount": order.amount, "state": state });
    Said::new(CHANNEL, "order", data).key(format!("order-{}", order.id % 100))
}

impl Source for Orders {
    fn channels(&self) -> Vec<String> {
        vec![CHANNEL.into()]
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn resume(&mut self, newest: &serde_json::Value) {
        self.count = newest["id"].as_u64().unwrap_or(self.count);
    }

    fn step(&mut self) -> Vec<Said> {
        if self.orders.len() < ON_THE_WAY {
            let order = self.place();
            let said = tell(&order);
            self.orders.push(order);
            return vec![said];
        }
        let at = self.chance.below(self.orders.len());
        let Some(order) = self.orders.get_mut(at) else { return Vec::new() };
        order.state += 1;
        let said = tell(order);
        if order.state + 1 >= STATES.len() {
            self.orders.swap_remove(at);
        }
        vec![said]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn an_order_passes_through_every_state_once() {
        let mut orders = Orders::new(Chance::seeded(13));
        let mut states: HashMap<u64, usize> = HashMap::new();
        let mut delivered = 0;
        for _ in 0..1000 {
            for said in orders.step() {
                let id = said.data["id"].as_u64().unwrap();
                let state = STATES.iter().position(|state| said.data["state"] == *state).unwrap();
                assert_eq!(states.insert(id, state).map_or(0, |before| before + 1), state, "order {id}");
                delivered += usize::from(state + 1 == STATES.len());
            }
        }
        assert!(delivered > 100, "{delivered}");
    }
}

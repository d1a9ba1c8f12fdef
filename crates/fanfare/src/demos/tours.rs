//! Tours that sell their seats, one by one or a few at a time, sell out, and start again with another departure.
use std::time::Duration;

use serde_json::json;

use super::{
    chance::Chance,
    source::{Said, Source},
};

const CATALOGUE: &str = "demo:tours";
const EVERY: Duration = Duration::from_millis(700);
/// Steps that a tour stays sold out.
const PAUSE: u32 = 10;
const TOURS: [(&str, &str, &str, u32); 8] = [
    ("lisbon", "Lisbon by tram", "Portugal, 3 days", 24),
    ("fjords", "Fjords by ferry", "Norway, 8 days", 18),
    ("kyoto", "Kyoto in autumn", "Japan, 10 days", 16),
    ("atlas", "Across the Atlas", "Morocco, 6 days", 12),
    ("dolomites", "Hut to hut", "Dolomites, 5 days", 14),
    ("patagonia", "End of the road", "Patagonia, 12 days", 20),
    ("orkney", "Seabirds of Orkney", "Scotland, 4 days", 10),
    ("danube", "Danube by bicycle", "Austria, 7 days", 30),
];

struct Tour {
    left: u32,
    /// Steps until a sold-out tour starts again.
    pause: u32,
}

pub struct Tours {
    chance: Chance,
    tours: Vec<Tour>,
}

impl Tours {
    pub fn new(mut chance: Chance) -> Self {
        let mut tour = |&(.., of): &(&str, &str, &str, u32)| {
            let sold = chance.below(of as usize) as u32;
            Tour { left: of - sold, pause: 0 }
        };
        let tours = TOURS.iter().map(&mut tour).collect();
        Self { chance, tours }
    }

    fn tell(&self, at: usize, event: &'static str) -> Option<Said> {
        let ((id, _, _, of), tour) = (TOURS.get(at)?, self.tours.get(at)?);
        Some(Said::new(format!("demo:tour:{id}"), event, json!({ "seats": tour.left, "of": of })))
    }

    /// Counts the sold-out ones down; says which start again.
    fn restarted(&mut self) -> Vec<usize> {
        let mut started = Vec::new();
        for (at, (tour, (.., of))) in self.tours.iter_mut().zip(TOURS).enumerate() {
            if tour.pause == 1 {
                tour.left = of;
                started.push(at);
            }
            tour.pause = tour.pause.saturating_sub(1);
        }
        started
    }
}

impl Source for Tours {
    fn channels(&self) -> Vec<String> {
        let tours = TOURS.iter().map(|(id, ..)| format!("demo:tour:{id}"));
        [CATALOGUE.to_owned()].into_iter().chain(tours).collect()
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn begin(&mut self) -> Vec<Said> {
        let entry = |&(id, name, place, of): &(&str, &str, &str, u32)| {
            Said::new(CATALOGUE, "tour", json!({ "name": name, "where": place, "of": of })).key(id)
        };
        let seats = (0..TOURS.len()).filter_map(|at| self.tell(at, "seats"));
        TOURS.iter().map(entry).chain(seats).collect()
    }

    fn step(&mut self) -> Vec<Said> {
        let started = self.restarted();
        let mut said: Vec<Said> = started.into_iter().filter_map(|at| self.tell(at, "opened")).collect();
        let (at, wanted) = (self.chance.below(TOURS.len()), self.chance.below(3) as u32 + 1);
        let Some(tour) = self.tours.get_mut(at).filter(|tour| tour.left > 0) else { return said };
        tour.left = tour.left.saturating_sub(wanted);
        let sold_out = tour.left == 0;
        if sold_out {
            tour.pause = PAUSE;
        }
        said.extend(self.tell(at, if sold_out { "sold-out" } else { "seats" }));
        said
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn seats_only_fall_until_a_tour_sells_out_and_starts_again_full() {
        let mut tours = Tours::new(Chance::seeded(5));
        let mut seats: HashMap<String, u64> = HashMap::new();
        for said in tours.begin().into_iter().filter(|said| said.channel != CATALOGUE) {
            seats.insert(said.channel, said.data["seats"].as_u64().unwrap());
        }
        assert_eq!(seats.len(), TOURS.len());
        let mut opened = 0;
        for _ in 0..3000 {
            for said in tours.step() {
                let now = said.data["seats"].as_u64().unwrap();
                let before = seats.insert(said.channel.clone(), now).unwrap();
                match said.event {
                    "opened" => {
                        assert_eq!((before, Some(now)), (0, said.data["of"].as_u64()));
                        opened += 1;
                    }
                    "sold-out" => assert_eq!(now, 0),
                    _ => assert!(0 < now && now < before, "{} {before} {now}", said.channel),
                }
            }
        }
        assert!(opened > TOURS.len(), "{opened}");
    }
}

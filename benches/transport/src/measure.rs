//! Measures a cell: all candidates on one server, in rounds whose order rotates.

use std::sync::Arc;
use std::time::Duration;

use etcd::model::Request;

use crate::Result;
use crate::cell::{Candidate, Cell, Load, Scene, Work};
use crate::delay::Delay;
use crate::etcd::{Certificate, Etcd, Place};
use crate::stats::{Round, Spread};
use crate::{c, ours, peers, raw};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    pub count: usize,
    pub time: Duration,
}

/// What was measured in a cell.
pub struct Measured {
    pub cell: Cell,
    /// Of each candidate, by its name.
    pub rounds: Vec<(&'static str, Vec<Round>)>,
}

impl Measured {
    fn of(&self, name: &str) -> &[Round] {
        let found = self.rounds.iter().find(|(candidate, _)| *candidate == name);
        found.map_or(&[], |(_, rounds)| rounds)
    }

    /// The median of something over a candidate's rounds.
    pub fn median(&self, name: &str, what: impl Fn(&Round) -> f64) -> f64 {
        Spread::of(self.of(name).iter().map(what)).median
    }

    /// How many times as fast as another one a candidate was, round by round.
    pub fn ratio(&self, name: &str, other: &str) -> Spread {
        Spread::of(self.of(name).iter().zip(self.of(other)).map(|(this, other)| this.rate / other.rate))
    }
}

/// From this size of value on, what was overwritten is thrown away between rounds, lest it fill the memory.
const LARGE: usize = 4096;

pub fn measure(cell: Cell, certificate: &Certificate, rounds: Rounds) -> Result<Measured> {
    let etcd = Etcd::start(certificate, cell.scene == Scene::Tls)?;
    let near = etcd.place();
    let delay = if cell.scene == Scene::Far { Some(Delay::start(near.port)?) } else { None };
    let place = delay.as_ref().map_or(near.clone(), |delay| near.at(delay.port()));
    let admin = ours::open(near, "json+http")?;
    let load = Arc::new(Load::new(&cell, admin.grant(3600)?.id));
    fill(near, &load)?;
    let mut candidates = candidates(&place, &load, cell.threads)?;
    let named = |error, name| format!("{name}, {}, {} threads: {error}", cell.title(), cell.threads);
    let mut all: Vec<_> = candidates.iter().map(|candidate| (candidate.name(), Vec::new())).collect();
    // The first round, a shorter one, is for warming up.
    for round in 0..=rounds.count {
        for turn in 0..candidates.len() {
            let at = (round + turn) % candidates.len();
            let time = if round == 0 { rounds.time / 2 } else { rounds.time };
            let done = candidates[at].round(time).map_err(|error| named(error, all[at].0))?;
            if round > 0 {
                all[at].1.push(done);
            }
            if cell.work == Work::Put && cell.size >= LARGE {
                forget(&admin)?;
            }
        }
    }
    Ok(Measured { cell, rounds: all })
}

fn fill(place: &Place, load: &Load) -> Result<()> {
    let (mut http2, methods) = (raw::connect(place)?, raw::Methods::new(place.secure()));
    for key in load.keys() {
        http2.call(&methods.put, raw::put(key.as_bytes(), load.value.as_bytes()).as_bytes())?;
    }
    Ok(())
}

fn candidates(place: &Place, load: &Arc<Load>, threads: usize) -> Result<Vec<Box<dyn Candidate>>> {
    let [called, queued] = c::candidates(place, load, threads)?;
    Ok(vec![
        Box::new(raw::conn(place, load, threads)?),
        Box::new(raw::pipe(place, load, threads)?),
        Box::new(ours::rust(place, load, threads)?),
        called,
        queued,
        Box::new(ours::json(place, load, threads)?),
        Box::new(peers::threads(peers::CURRENT_THREAD, place, load, threads)?),
        Box::new(peers::threads(peers::MULTI_THREAD, place, load, threads)?),
        Box::new(peers::Tasks::new(place, load, threads)?),
    ])
}

/// Throws away all values but the newest, and waits until that is done.
fn forget(admin: &etcd::Client) -> Result<()> {
    let revision = admin.put("bench/newest", "", 0)?;
    admin.call(&Request::Compact { revision, physical: true })?;
    Ok(())
}

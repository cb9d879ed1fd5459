//! One thread that has as many operations under way as others have threads.

use std::time::{Duration, Instant};

use crate::Result;
use crate::cell::Candidate;
use crate::stats::{Clock, Round};

/// What requests are sent by without waiting for their answers.
pub trait Pipe {
    /// How many answers an operation takes.
    fn steps(&self) -> usize;
    /// Sends what comes after so many of them, if anything does, for the operation of this number of a slot.
    fn send(&mut self, slot: usize, count: usize, step: usize) -> Result<()>;
    /// Takes an answer, and tells whose it was.
    fn receive(&mut self) -> Result<usize>;
}

/// The thread.
pub struct Slots<P> {
    name: &'static str,
    pipe: P,
    slots: Vec<Slot>,
}

/// What would be a thread elsewhere.
#[derive(Clone)]
struct Slot {
    step: usize,
    started: Instant,
    latencies: Vec<Duration>,
}

impl<P: Pipe> Slots<P> {
    pub fn new(name: &'static str, pipe: P, slots: usize) -> Self {
        let slot = Slot { step: 0, started: Instant::now(), latencies: Vec::new() };
        Slots { name, pipe, slots: vec![slot; slots] }
    }

    fn send(&mut self, number: usize) -> Result<()> {
        let slot = &self.slots[number];
        self.pipe.send(number, slot.latencies.len(), slot.step)
    }

    /// Takes an answer, and tells whose it was and whether that finished an operation.
    fn receive(&mut self) -> Result<(usize, bool)> {
        let number = self.pipe.receive()?;
        let slot = &mut self.slots[number];
        slot.step = (slot.step + 1) % self.pipe.steps();
        if slot.step > 0 {
            return Ok((number, false));
        }
        let now = Instant::now();
        slot.latencies.push(now - slot.started);
        slot.started = now;
        Ok((number, true))
    }
}

impl<P: Pipe> Candidate for Slots<P> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, time: Duration) -> Result<Round> {
        let (clock, start) = (Clock::start(), Instant::now());
        for number in 0..self.slots.len() {
            self.slots[number].started = Instant::now();
            self.send(number)?;
        }
        let mut busy = self.slots.len();
        while busy > 0 {
            let (number, finished) = self.receive()?;
            if finished && start.elapsed() >= time {
                busy -= 1;
            } else {
                self.send(number)?;
            }
        }
        Ok(clock.stop(self.slots.iter_mut().map(|slot| std::mem::take(&mut slot.latencies)).collect()))
    }
}

//! What a round is measured with, and what becomes of many rounds.

use std::time::{Duration, Instant};

/// What one candidate did in one round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Operations a second, all threads together.
    pub rate: f64,
    /// The time that half of them took at most, in microseconds.
    pub p50: f64,
    /// The client's CPU time for each, in microseconds.
    pub cpu: f64,
}

/// How events came in one round.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Events a second.
    pub rate: f64,
    /// The client's CPU time for each, in microseconds.
    pub cpu: f64,
}

/// Runs while a round does.
pub struct Clock {
    start: Instant,
    cpu: Duration,
}

impl Clock {
    /// Starts it.
    pub fn start() -> Self {
        Clock { start: Instant::now(), cpu: cpu() }
    }

    /// Stops it. What was under way when the time was over is counted, and so is the time until it was done: else
    /// slow operations in many threads would seem slower than they are.
    pub fn stop(self, latencies: Vec<Vec<Duration>>) -> Round {
        let (took, cpu) = (self.start.elapsed(), cpu() - self.cpu);
        let all: Vec<f64> = latencies.into_iter().flatten().map(microseconds).collect();
        let operations = all.len() as f64;
        Round { rate: operations / took.as_secs_f64(), p50: median(all), cpu: microseconds(cpu) / operations }
    }

    /// Stops it after so many events.
    pub fn stop_after(self, events: usize) -> Flow {
        let (took, cpu) = (self.start.elapsed(), cpu() - self.cpu);
        let events = events as f64;
        Flow { rate: events / took.as_secs_f64(), cpu: microseconds(cpu) / events }
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The CPU time that this process has used so far.
fn cpu() -> Duration {
    // SAFETY: all zeros is a value of it, and the call writes nothing else.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Median, smallest and largest of some numbers.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        Spread { median: numbers[numbers.len() / 2], min: numbers[0], max: numbers[numbers.len() - 1] }
    }
}

/// The number in the middle; NaN of none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    let middle = numbers.len() / 2;
    if numbers.is_empty() { f64::NAN } else { *numbers.select_nth_unstable_by(middle, f64::total_cmp).1 }
}

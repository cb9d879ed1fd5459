//! What can be asked for on the command line.

use std::time::Duration;

use crate::Result;
use crate::measure::Rounds;

pub const HELP: &str = "\
benches/transport/run [OPTION]...

  --quick            64 byte values, 1 and 16 threads, 3 rounds of 60 ms: under a minute
  --rounds N         rounds of each cell (9)
  --millis N         how long a round is (120)
  --threads N,...    numbers of threads (1,4,16,64)
  --only WORD,...    only the tables that all of these words are said of: get, put, lock, locks, watch; plain, tls,
                     far; 64, 4096, 262144";

pub struct Settings {
    pub quick: bool,
    pub rounds: Rounds,
    pub threads: Vec<usize>,
    only: Vec<String>,
}

impl Settings {
    pub fn parse(arguments: Vec<String>) -> Result<Self> {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let (count, time) = if quick { (3, 60) } else { (9, 120) };
        let threads = if quick { vec![1, 16] } else { vec![1, 4, 16, 64] };
        let rounds = Rounds { count, time: Duration::from_millis(time) };
        let mut settings = Settings { quick, rounds, threads, only: Vec::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value\n\n{HELP}"));
            match &*argument {
                "--quick" => {}
                "--rounds" => settings.rounds.count = positive(&value()?)?,
                "--millis" => settings.rounds.time = Duration::from_millis(positive(&value()?)? as u64),
                "--threads" => settings.threads = value()?.split(',').map(positive).collect::<Result<_>>()?,
                "--only" => settings.only = value()?.split(',').map(str::to_owned).collect(),
                _ => return Err(HELP.into()),
            }
        }
        Ok(settings)
    }

    /// Whether a table that these words are said of is to be made.
    pub fn wants(&self, words: &[&str]) -> bool {
        self.only.iter().all(|only| words.contains(&&**only))
    }
}

fn positive(text: &str) -> Result<usize> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("{text:?} is no number above 0\n\n{HELP}").into())
}

//! Random choices that a seed repeats.

/// Throws numbers: the same ones for the same seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// With the seed in `ETCD_API_SEED`, or another one each time; it is printed, so that a run can be repeated.
    pub fn of(test: &str) -> Self {
        let now = || std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos().into());
        let seed = std::env::var("ETCD_API_SEED").ok();
        let seed = seed.map_or_else(now, |text| text.parse().expect("ETCD_API_SEED is a number"));
        println!("{test}: ETCD_API_SEED={seed}");
        Dice(seed)
    }

    /// Others, for another thread.
    pub fn fork(&mut self) -> Self {
        Dice(self.number())
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to one less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// `from`, `to`, or something between.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

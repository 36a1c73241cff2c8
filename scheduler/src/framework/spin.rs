//! Chance, without a source of it: seeded by the caller.

/// The numbers that runs are varied by.
#[derive(Clone, Debug)]
pub struct Spin {
    state: u64,
    /// Where the search for feasible nodes goes on when it does not look at all of them.
    pub(super) start: usize,
}

impl Spin {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            start: 0,
        }
    }

    /// A number below `bound`, by xorshift64*.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let random = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((u128::from(random) * bound as u128) >> 64) as usize
    }
}

use crate::netlink::Writer;
use std::sync::Arc;

/// Where a packet goes next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    Drop,
    Return,
    Jump(Arc<str>),
    Goto(Arc<str>),
}

impl Verdict {
    pub fn jump(chain: &str) -> Self {
        Self::Jump(chain.into())
    }

    pub fn goto(chain: &str) -> Self {
        Self::Goto(chain.into())
    }

    /// Writes the verdict as `NFTA_DATA_VERDICT`.
    pub fn encode(&self, w: &mut Writer) {
        const DATA_VERDICT: u16 = 2;
        const CODE: u16 = 1;
        const CHAIN: u16 = 2;
        let (code, chain) = match self {
            Self::Drop => (0, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
            Self::Return => (-5, None),
        };
        w.nest(DATA_VERDICT, |w| {
            w.bytes(CODE, &i32::to_be_bytes(code));
            if let Some(chain) = chain {
                w.str(CHAIN, chain);
            }
        });
    }
}

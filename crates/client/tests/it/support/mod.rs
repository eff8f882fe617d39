//! What the tests share.

mod blender;
mod fake;
mod farm;
mod proxy;
mod tls;

pub use blender::{Scene, builds};
pub use fake::FakeProject;
pub use farm::TestFarm;
pub use proxy::Proxy;
pub use tls::{Authority, TlsServer, days};

/// Bytes that do not compress, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(len);
    out
}

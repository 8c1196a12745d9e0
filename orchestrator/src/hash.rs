//! A fast hash for keys and ids: millions of them are looked up, and none comes from a stranger.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are small and our own.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Multiply and rotate, word by word; the constant is 2^64 over the golden ratio, made odd (Knuth, TAOCP 3, 6.4).
#[derive(Debug, Clone, Copy, Default)]
pub struct Mix(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Mix {
    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(GOLDEN).rotate_left(29);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last) ^ ((rest.len() as u64) << 56));
    }

    fn write_u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.word(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }

    fn finish(&self) -> u64 {
        (self.0 ^ (self.0 >> 32)).wrapping_mul(GOLDEN)
    }
}

//! Plain files (neither gzipped nor tile-compressed) past cfitsio, which reads 4096 bytes at a time for the sums and all of
//! it once more for the pixels: here an image of floats is summed and its bytes are swapped while they are in the cache.

use super::checksum;
use super::handle::Damage;
use crate::Header;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

/// Where an HDU's header, data and padding start and end, and its cards, structural ones too.
pub(super) struct Hdu {
    pub extent: [u64; 3],
    pub cards: Header,
}

impl Hdu {
    /// Whether its data are floats as they are meant: an image of 32 bits, not scaled.
    pub fn is_floats(&self) -> bool {
        let scale = |key| self.cards.float(key);
        let is_image = self.cards.get("SIMPLE").is_some() || self.cards.str("XTENSION").map(str::trim) == Some("IMAGE");
        is_image
            && self.cards.int("BITPIX") == Some(-32)
            && scale("BSCALE").is_none_or(|s| s == 1.0)
            && scale("BZERO").is_none_or(|z| z == 0.0)
    }

    /// The first `n` floats of its data, and what of its sums does not match.
    pub fn floats(&self, file: &File, n: usize) -> Result<(Vec<f32>, Damage)> {
        let (mut values, mut sum) = (Vec::with_capacity(n), 0);
        let [_, data, end] = self.extent;
        checksum::for_chunks(file, data, end, |chunk| {
            sum = checksum::add(sum, chunk);
            let left = n - values.len();
            values.extend(chunk.chunks_exact(4).take(left).map(|w| f32::from_be_bytes([w[0], w[1], w[2], w[3]])));
        })?;
        Ok((values, self.compared(file, sum)?))
    }

    /// What of its sums does not match.
    pub fn damage(&self, file: &File) -> Result<Damage> {
        let [_, data, end] = self.extent;
        self.compared(file, checksum::sum_of(file, data, end)?)
    }

    fn compared(&self, file: &File, datasum: u32) -> Result<Damage> {
        let [start, data, _] = self.extent;
        let mut header = vec![0; (data - start) as usize];
        file.read_exact_at(&mut header, start)?;
        Ok(checksum::damage(&self.cards, &header, datasum))
    }
}

//! Plain files (neither gzipped nor tile-compressed) past cfitsio, which reads 4096 bytes at a time for the sums and all of
//! it once more for the pixels: here an image is summed and its bytes are swapped while they are in the cache.

use super::handle::Damage;
use super::{Pixel, checksum};
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
    /// Whether its data are an image of numbers of this type, not scaled.
    pub fn holds<T: Pixel>(&self) -> bool {
        let scale = |key| self.cards.float(key);
        let is_image = self.cards.get("SIMPLE").is_some() || self.cards.str("XTENSION").map(str::trim) == Some("IMAGE");
        let zero = T::ZERO.map_or(0.0, |(zero, _)| zero as f64);
        is_image
            && self.cards.int("BITPIX") == Some(T::BITPIX)
            && scale("BSCALE").is_none_or(|s| s == 1.0)
            && scale("BZERO").unwrap_or(0.0) == zero
            && self.cards.get("BLANK").is_none()
    }

    /// The first `n` numbers of its data, and what of its sums does not match.
    pub fn pixels<T: Pixel>(&self, file: &File, n: usize) -> Result<(Vec<T>, Damage)> {
        let (mut values, mut filled, mut sum) = (large(n), 0, 0);
        let [_, data, end] = self.extent;
        checksum::for_chunks(file, data, end, |chunk| {
            sum = checksum::add(sum, chunk);
            let count = (chunk.len() / T::SIZE).min(n - filled);
            T::decode(chunk, &mut values[filled..filled + count]);
            filled += count;
            Ok(())
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

/// Zeros, on large pages where the system has them: a fault for each of 4096 bytes costs more than what is done with them.
fn large<T: Pixel>(n: usize) -> Vec<T> {
    const PAGE: usize = 1 << 21;
    let values = vec![T::default(); n];
    let start = values.as_ptr().addr().next_multiple_of(PAGE);
    let end = (values.as_ptr().addr() + n * size_of::<T>()) / PAGE * PAGE;
    if end > start {
        // SAFETY: the range lies within the vector, and the advice changes no byte; a refusal does no harm.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
    values
}

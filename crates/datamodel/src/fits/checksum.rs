//! DATASUM and CHECKSUM (FITS Standard 4.0, appendix J; Seaman, Pence and Rots, "FITS Checksum Proposal", 2002).
//! Written by us rather than by cfitsio, whose cards carry the date: the same product is the same bytes.

use super::handle::Damage;
use crate::Header;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

const CARD: usize = 80;
/// FITS files are made of blocks of so many bytes.
pub(super) const BLOCK: usize = 2880;
/// Bytes read or written at a time: they stay in the cache while they are worked on.
pub(super) const CHUNK: usize = BLOCK * 128;

/// The two cards with empty sums, to be filled by [`seal`].
pub(super) fn placeholders() -> [String; 2] {
    [datasum_card(0), checksum_card("0000000000000000")]
}

fn datasum_card(sum: u32) -> String {
    format!("{:<80}", format!("DATASUM = {:<20} / data unit checksum", format!("'{sum}'")))
}

fn checksum_card(code: &str) -> String {
    format!("{:<80}", format!("CHECKSUM= '{code}'   / HDU checksum"))
}

/// Ones' complement sum of big-endian 32-bit words, added to `sum`; the length is a multiple of 4.
pub(super) fn add(sum: u32, bytes: &[u8]) -> u32 {
    let total = total(bytes) + u64::from(sum);
    let folded = (total & 0xffff_ffff) + (total >> 32);
    ((folded & 0xffff_ffff) + (folded >> 32)) as u32
}

numerics::dispatch! {
    /// Sum of big-endian 32-bit words.
    fn total(bytes: &[u8]) -> u64 = words | words
}

#[inline(always)]
fn words(bytes: &[u8]) -> u64 {
    let mut sum = 0;
    for word in bytes.as_chunks::<4>().0 {
        sum += u64::from(u32::from_be_bytes(*word));
    }
    sum
}

/// ASCII encoding of the complement of `sum`: an HDU that holds it sums to -0.
fn encode(sum: u32) -> String {
    let mut ascii = [0u8; 16];
    for (i, byte) in (!sum).to_be_bytes().into_iter().enumerate() {
        let quarter = byte / 4 + b'0';
        let mut c = [quarter + byte % 4, quarter, quarter, quarter];
        // Punctuation is avoided by moving pairs apart, which keeps their sum.
        while c.iter().any(|&x| !x.is_ascii_alphanumeric()) {
            for pair in c.chunks_exact_mut(2) {
                if pair.iter().any(|&x| !x.is_ascii_alphanumeric()) {
                    pair[0] += 1;
                    pair[1] -= 1;
                }
            }
        }
        for (j, &x) in c.iter().enumerate() {
            // Rotated by one, because the string starts one byte before a word of the card.
            ascii[(4 * j + i + 1) % 16] = x;
        }
    }
    ascii.iter().map(|&b| b as char).collect()
}

/// Fills the placeholder cards of a header, given the sum of its data and padding.
pub(super) fn seal(cards: &mut [u8], datasum: u32) {
    put(cards, &datasum_card(datasum));
    let checksum = encode(add(datasum, cards));
    put(cards, &checksum_card(&checksum));
}

/// Sum of the bytes from `start` to `end`.
pub(super) fn sum_of(file: &File, start: u64, end: u64) -> Result<u32> {
    let mut sum = 0;
    for_chunks(file, start, end, |chunk| {
        sum = add(sum, chunk);
        Ok(())
    })?;
    Ok(sum)
}

/// Visits the bytes from `start` to `end`, [`CHUNK`] at a time: they are still in the cache when they are visited.
pub(super) fn for_chunks(file: &File, start: u64, end: u64, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; CHUNK.min((end - start) as usize)];
    let mut at = start;
    while at < end {
        let chunk = &mut buffer[..CHUNK.min((end - at) as usize)];
        file.read_exact_at(chunk, at)?;
        visit(chunk)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

/// Which of the sums that an HDU's `cards` state, if they do, is not that of its `header` or of data that sum to `datasum`.
pub(super) fn damage(cards: &Header, header: &[u8], datasum: u32) -> Damage {
    let stated = |key| cards.str(key).map(str::trim).filter(|text| !text.is_empty());
    if stated("DATASUM").is_some_and(|text| text.parse() != Ok(datasum)) {
        return Some("DATASUM");
    }
    // ones' complement has two zeros
    let whole = add(datasum, header);
    (stated("CHECKSUM").is_some() && whole != 0 && whole != u32::MAX).then_some("CHECKSUM")
}

/// Replaces the card that has the keyword of `card`.
fn put(cards: &mut [u8], card: &str) {
    if let Some(old) = cards.chunks_exact_mut(CARD).find(|c| c[..9] == card.as_bytes()[..9]) {
        old.copy_from_slice(card.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_alphanumeric_and_sums_to_the_complement() {
        for sum in [0u32, 1, 0xffff_ffff, 868_229_149, 0x3a40_5b60, 0x1234_5678] {
            let code = encode(sum);
            assert!(code.bytes().all(|b| b.is_ascii_alphanumeric()), "{code}");
            // Undo the rotation and the offset of '0' in each byte: the four words add up to the complement.
            let turned: Vec<u8> = (0..16).map(|i| code.as_bytes()[(i + 1) % 16] - b'0').collect();
            let words = turned.chunks(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
            assert_eq!(words.fold(0, u32::wrapping_add), !sum);
        }
    }

    #[test]
    fn the_published_example_is_reproduced() {
        // Appendix J.3 of the FITS Standard 4.0.
        assert_eq!(encode(868_229_149), "hcHjjc9ghcEghc9g");
    }
}

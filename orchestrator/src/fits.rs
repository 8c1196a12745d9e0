//! Whether a FITS file is whole: every HDU complete, its DATASUM and CHECKSUM right where it has them.
//!
//! Standard: FITS 4.0, 4.4.2.7: the sum of an HDU's bytes as big-endian 32-bit words in ones' complement is -0.

use crate::fibermap::Hdus;
use crate::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// How a FITS file begins.
const MAGIC: &[u8] = b"SIMPLE  =";

/// What is wrong with a FITS file; None if it is whole, or is no FITS file at all.
///
/// # Errors
/// [`Error::Io`] if it cannot be read.
pub fn damage(path: &Path) -> Result<Option<String>> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let start = beginning(&mut file).map_err(Error::io("read", path))?;
    // a FITS file of which less than its first word is left counts
    if !MAGIC.starts_with(&start) {
        return Ok(None);
    }
    match check(path, file) {
        Ok(fault) => Ok(fault),
        Err(Error::Content { message, .. }) => Ok(Some(message)),
        Err(error) => Err(error),
    }
}

/// Whether the first HDU of a FITS file has a checksum.
pub fn has_checksums(path: &Path) -> bool {
    let header = Hdus::open(path).and_then(|mut hdus| hdus.next_header());
    header.ok().flatten().is_some_and(|header| header.contains_key("CHECKSUM"))
}

/// Whether a file that by its name is a FITS file lacks what a flipped bit can take and an editor does not: its first word, or one
/// of the two keywords of an HDU that would tell that it is damaged.
pub fn is_defaced(path: &Path) -> bool {
    let is_fits = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".fits"));
    is_fits && !is_in_order(path).unwrap_or(false)
}

fn is_in_order(path: &Path) -> Result<bool> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    if beginning(&mut file).map_err(Error::io("read", path))? != MAGIC {
        return Ok(false);
    }
    let mut hdus = Hdus::open(path)?;
    while let Some(header) = hdus.next_header()? {
        if header.contains_key("CHECKSUM") != header.contains_key("DATASUM") {
            return Ok(false);
        }
        hdus.skip_data(&header)?;
    }
    Ok(true)
}

/// As many bytes as [`MAGIC`] has, or all.
fn beginning(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn check(path: &Path, file: File) -> Result<Option<String>> {
    let mut file = BufReader::new(file);
    let mut hdus = Hdus::open(path)?;
    let mut number = 0;
    loop {
        let start = hdus.position();
        let Some(header) = hdus.next_header()? else { break };
        let data = hdus.position();
        hdus.skip_data(&header)?;
        let mut sum_to = |from, to| sum(&mut file, from, to).map_err(Error::io("read", path));
        let (of_header, of_data) = (sum_to(start, data)?, sum_to(data, hdus.position())?);
        let fault = |keyword| Some(format!("HDU {number}: {keyword} does not match"));
        if header.get("DATASUM").and_then(|text| text.parse().ok()).is_some_and(|wanted: u32| wanted != of_data) {
            return Ok(fault("DATASUM"));
        }
        if header.contains_key("CHECKSUM") && ![0, u32::MAX].contains(&add(of_header, of_data)) {
            return Ok(fault("CHECKSUM"));
        }
        number += 1;
    }
    Ok((number == 0).then(|| "it is empty".to_string()))
}

/// The ones' complement sum of a part of the file, whose ends are multiples of four.
fn sum(file: &mut BufReader<File>, from: u64, to: u64) -> std::io::Result<u32> {
    file.seek(SeekFrom::Start(from))?;
    let mut total = 0u64;
    let mut buffer = [0u8; 28800];
    let mut left = to - from;
    while left > 0 {
        let size = left.min(buffer.len() as u64) as usize;
        file.read_exact(&mut buffer[..size])?;
        let (words, _) = buffer[..size].as_chunks::<4>();
        total += words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum::<u64>();
        left -= size as u64;
    }
    Ok(folded(total))
}

fn add(a: u32, b: u32) -> u32 {
    folded(u64::from(a) + u64::from(b))
}

fn folded(mut total: u64) -> u32 {
    while total > u64::from(u32::MAX) {
        total = (total & u64::from(u32::MAX)) + (total >> 32);
    }
    total as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An HDU of 24 cards and a block of data, with sums made as the standard says.
    fn file(data: &[u8; 2880], checksum: &str, datasum: &str) -> Vec<u8> {
        let cards = [
            "SIMPLE  =                    T".to_string(),
            "BITPIX  =                    8".into(),
            "NAXIS   =                    1".into(),
            "NAXIS1  =                 2880".into(),
            format!("CHECKSUM= '{checksum}'"),
            format!("DATASUM = '{datasum}'"),
            "END".into(),
        ];
        let mut bytes: Vec<u8> = cards.iter().flat_map(|card| format!("{card:<80}").into_bytes()).collect();
        bytes.resize(2880, b' ');
        bytes.extend(data);
        bytes
    }

    #[test]
    fn flips_and_cuts_are_found() {
        // checked with astropy.io.fits.open(..., checksum=True)
        let whole = file(&[7; 2880], "8I7Z9I7Y8I7Y8I7Y", "3284386755");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.fits");
        let damage_of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            damage(&path).unwrap()
        };
        assert_eq!(damage_of(&whole), None);
        for at in [83, 400, 2000, 2880, 5759] {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            assert!(damage_of(&flipped).is_some(), "byte {at}");
        }
        for length in [0, 5, 100, 2880, 5000] {
            assert!(damage_of(&whole[..length]).is_some(), "{length} bytes");
        }
        assert_eq!(damage_of(b"text"), None);
        // a bit of the first word, of either keyword, and both keywords, which only an editor takes
        let defaced = |at: &[usize]| {
            let mut bytes = whole.clone();
            at.iter().for_each(|at| bytes[*at] ^= 1);
            std::fs::write(&path, bytes).unwrap();
            is_defaced(&path)
        };
        assert!(defaced(&[3]) && defaced(&[4 * 80]) && defaced(&[5 * 80]));
        assert!(!defaced(&[]) && !defaced(&[4 * 80, 5 * 80]));
    }
}

//! The little that planning needs of FITS: the flavour and bricks of a fibermap, the HDU names of a raw exposure.
//!
//! Standard: FITS 4.0 (Pence et al. 2010, A&A 524, A42; IAU FWG 2018): blocks of 2880 bytes, 80-byte cards, BINTABLE
//! columns of TFORM `rA`, `J`, `K` and `I`. Nothing is decompressed and no pixel is read.

use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

const BLOCK: u64 = 2880;
const CARD: usize = 80;

/// What the planner reads of a fibermap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fibermap {
    /// Flavour of the exposure in lower case: arc, flat, science ...
    pub flavor: String,
    /// For each spectrograph (`all` where the table does not tell them apart) the targets in each brick: rows with
    /// a brick name and a positive TARGETID, sky and broken fibres not counted.
    pub bricks: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Keywords and values; strings without their quotes.
pub(crate) type Header = HashMap<String, String>;

/// The HDUs of a file, one after the other.
pub(crate) struct Hdus<'a> {
    path: &'a Path,
    file: BufReader<File>,
    size: u64,
    next: u64,
}

struct Table<'a> {
    path: &'a Path,
    header: &'a Header,
    width: usize,
    data: Vec<u8>,
}

/// Reads a fibermap file.
///
/// # Errors
/// [`Error::Content`] names what is missing or truncated.
pub fn read_fibermap(path: &Path) -> Result<Fibermap> {
    let mut hdus = Hdus::open(path)?;
    let mut merged = Header::new();
    while let Some(header) = hdus.next_header()? {
        let is_table = text(&header, "XTENSION") == "BINTABLE" && text(&header, "EXTNAME") == "FIBERMAP";
        merged.extend(header);
        if is_table {
            let flavor = flavor(&merged).ok_or_else(|| {
                Error::content(path, "HDU FIBERMAP: neither keyword OBSTYPE nor FLAVOR says arc, flat or science")
            })?;
            let bricks = if flavor == "science" { bricks(&hdus.table(&merged)?)? } else { BTreeMap::new() };
            return Ok(Fibermap { flavor, bricks });
        }
        hdus.skip_data(&merged)?;
    }
    Err(Error::content(path, "no HDU FIBERMAP (a binary table) in it"))
}

/// The names of the HDUs of a file, in lower case.
///
/// # Errors
/// [`Error::Content`] if it is no FITS file or truncated.
pub fn read_hdu_names(path: &Path) -> Result<BTreeSet<String>> {
    let mut hdus = Hdus::open(path)?;
    let mut names = BTreeSet::new();
    while let Some(header) = hdus.next_header()? {
        names.insert(text(&header, "EXTNAME").to_lowercase());
        hdus.skip_data(&header)?;
    }
    Ok(names)
}

/// Today's OBSTYPE if it is there, else FLAVOR of 2016.
fn flavor(header: &Header) -> Option<String> {
    let names = ["OBSTYPE", "FLAVOR"];
    names.iter().map(|key| text(header, key).to_lowercase()).find(|value| !value.is_empty())
}

fn bricks(table: &Table) -> Result<BTreeMap<String, BTreeMap<String, u32>>> {
    let names = table.strings("BRICKNAME")?.ok_or_else(|| Error::content(table.path, "no column BRICKNAME"))?;
    let targets = table.integers("TARGETID")?;
    let kinds = table.strings("OBJTYPE")?;
    let petals = table.integers("PETAL_LOC")?.or(table.integers("SPECTROID")?);
    let mut bricks: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for (row, name) in names.iter().enumerate() {
        let unassigned = targets.as_ref().is_some_and(|ids| ids[row] <= 0);
        let no_target = kinds.as_ref().is_some_and(|kinds| ["SKY", "NON", "BAD"].contains(&kinds[row].as_str()));
        if !name.is_empty() && !unassigned && !no_target {
            let spectrograph = petals.as_ref().map_or("all".to_string(), |petals| petals[row].to_string());
            *bricks.entry(spectrograph).or_default().entry(name.clone()).or_default() += 1;
        }
    }
    Ok(bricks)
}

impl<'a> Hdus<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let size = file.metadata().map_err(Error::io("inspect", path))?.len();
        Ok(Self { path, file: BufReader::new(file), size, next: 0 })
    }

    /// Where the next header, or the data that belong to the last one, begin.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// The header of the next HDU; None at the end of the file.
    pub(crate) fn next_header(&mut self) -> Result<Option<Header>> {
        if self.next >= self.size {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(self.next)).map_err(Error::io("read", self.path))?;
        let mut header = Header::new();
        loop {
            let mut block = [0u8; BLOCK as usize];
            self.file.read_exact(&mut block).map_err(|_| self.truncated("a header"))?;
            let first = self.next == 0 && header.is_empty();
            if first && !block.starts_with(b"SIMPLE  =") {
                return Err(Error::content(self.path, "not a FITS file: it does not start with SIMPLE"));
            }
            for card in block.chunks(CARD) {
                if card.starts_with(b"END     ") {
                    self.next = self.file.stream_position().map_err(Error::io("read", self.path))?;
                    return Ok(Some(header));
                }
                if card[8..10] == *b"= " {
                    header.insert(trimmed(&card[..8]), value(&card[10..]));
                }
            }
        }
    }

    /// Moves past the data of the HDU whose header was read last.
    pub(crate) fn skip_data(&mut self, header: &Header) -> Result<()> {
        let length = data_length(header).ok_or_else(|| Error::content(self.path, "bad NAXIS keywords"))?;
        let end = length.div_ceil(BLOCK).checked_mul(BLOCK).and_then(|padded| self.next.checked_add(padded));
        self.next = end.ok_or_else(|| Error::content(self.path, "bad NAXIS keywords"))?;
        if self.next > self.size { Err(self.truncated("the data of an HDU")) } else { Ok(()) }
    }

    /// The rows of the table whose header was read last.
    fn table(&mut self, header: &'a Header) -> Result<Table<'a>> {
        let axis = |key| integer(header, key).and_then(|n| usize::try_from(n).ok());
        let (Some(width), Some(rows)) = (axis("NAXIS1"), axis("NAXIS2")) else {
            return Err(Error::content(self.path, "HDU FIBERMAP: bad NAXIS1 or NAXIS2"));
        };
        let length = width.checked_mul(rows).filter(|length| *length as u64 <= self.size - self.next);
        let mut data = vec![0; length.ok_or_else(|| self.truncated("HDU FIBERMAP"))?];
        self.file.read_exact(&mut data).map_err(|_| self.truncated("HDU FIBERMAP"))?;
        Ok(Table { path: self.path, header, width, data })
    }

    fn truncated(&self, what: &str) -> Error {
        Error::content(self.path, format!("truncated: the file of {} bytes ends inside {what}", self.size))
    }
}

impl Table<'_> {
    /// Byte range in a row, repeat count and type code of a column; None if it is not there.
    fn column(&self, name: &str) -> Result<Option<(usize, usize, char)>> {
        let mut offset = 0;
        for index in 1..=integer(self.header, "TFIELDS").unwrap_or(0) {
            let form = text(self.header, &format!("TFORM{index}"));
            let digits = form.chars().take_while(char::is_ascii_digit).count();
            let repeat = if digits == 0 { Ok(1) } else { form[..digits].parse::<usize>() };
            let code = form[digits..].chars().next();
            let (Ok(repeat), Some(code)) = (repeat, code) else {
                return Err(Error::content(
                    self.path,
                    format!("HDU FIBERMAP: TFORM{index} = '{form}' is not understood"),
                ));
            };
            if text(self.header, &format!("TTYPE{index}")).eq_ignore_ascii_case(name) {
                return Ok(Some((offset, repeat, code)));
            }
            offset += match code {
                'X' => repeat.div_ceil(8),
                _ => repeat * element_size(code),
            };
        }
        Ok(None)
    }

    fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some((offset, width, 'A')) = self.column(name)? else { return Ok(None) };
        self.check(name, offset + width)?;
        Ok(Some(self.rows().map(|row| trimmed(&row[offset..offset + width])).collect()))
    }

    fn integers(&self, name: &str) -> Result<Option<Vec<i64>>> {
        let Some((offset, 1, code @ ('B' | 'I' | 'J' | 'K'))) = self.column(name)? else { return Ok(None) };
        let width = element_size(code);
        self.check(name, offset + width)?;
        // big endian two's complement: start from the sign
        let read = |bytes: &[u8]| {
            let sign = if code != 'B' && bytes[0] & 0x80 != 0 { -1 } else { 0 };
            bytes.iter().fold(sign, |value: i64, byte| (value << 8) | i64::from(*byte))
        };
        Ok(Some(self.rows().map(|row| read(&row[offset..offset + width])).collect()))
    }

    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks_exact(self.width.max(1))
    }

    fn check(&self, name: &str, end: usize) -> Result<()> {
        let message = || format!("HDU FIBERMAP: column {name} ends at byte {end} of a row of {}", self.width);
        if end <= self.width { Ok(()) } else { Err(Error::content(self.path, message())) }
    }
}

fn element_size(code: char) -> usize {
    match code {
        'I' => 2,
        'J' | 'E' => 4,
        'K' | 'D' | 'C' | 'P' => 8,
        'M' | 'Q' => 16,
        _ => 1,
    }
}

/// Bytes of data after a header: |BITPIX| / 8 x GCOUNT x (PCOUNT + NAXIS1 x NAXIS2 ...).
fn data_length(header: &Header) -> Option<u64> {
    let unsigned = |key: &str, default: u64| integer(header, key).map_or(Some(default), |n| u64::try_from(n).ok());
    let axes = unsigned("NAXIS", 0)?;
    if axes == 0 {
        return Some(0);
    }
    let pixels = (1..=axes).try_fold(1u64, |product, i| product.checked_mul(unsigned(&format!("NAXIS{i}"), 0)?))?;
    let bytes = integer(header, "BITPIX")?.unsigned_abs() / 8;
    pixels.checked_add(unsigned("PCOUNT", 0)?)?.checked_mul(unsigned("GCOUNT", 1)?)?.checked_mul(bytes)
}

/// The value of a card: a string without quotes and trailing blanks, or the word before the comment.
fn value(field: &[u8]) -> String {
    let field = String::from_utf8_lossy(field);
    let field = field.trim();
    match field.strip_prefix('\'') {
        None => field.split('/').next().unwrap_or("").trim().to_string(),
        Some(quoted) => {
            // a doubled quote stands for one; a single one ends the string
            let joined = quoted.replace("''", "\0");
            joined.split('\'').next().unwrap_or("").replace('\0', "'").trim_end().to_string()
        }
    }
}

/// A fixed-width string ends at the first NUL; trailing blanks do not count.
fn trimmed(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_string()
}

fn text<'h>(header: &'h Header, key: &str) -> &'h str {
    header.get(key).map_or("", String::as_str)
}

fn integer(header: &Header, key: &str) -> Option<i64> {
    text(header, key).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn shared(path: &str) -> Option<PathBuf> {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").to_string();
        let file = Path::new(&std::env::var("SPECMILL_SHARED").unwrap_or(default)).join(path);
        if !file.exists() {
            eprintln!("skipped: {} is not there", file.display());
        }
        Some(file).filter(|file| file.exists())
    }

    #[test]
    fn a_file_of_the_real_survey_is_understood() {
        // tile 80613 of DESI's early data release; its values as astropy reads them
        let Some(path) = shared("data/spectra/desi/coadd-4-80613-thru20210324.fits") else { return };
        let names = read_hdu_names(&path).unwrap();
        assert!(names.contains("fibermap") && names.contains("z_resolution") && names.len() == 19, "{names:?}");
        let mut hdus = Hdus::open(&path).unwrap();
        let primary = hdus.next_header().unwrap().unwrap();
        hdus.skip_data(&primary).unwrap();
        let header = hdus.next_header().unwrap().unwrap();
        let table = hdus.table(&header).unwrap();
        assert_eq!(table.integers("TARGETID").unwrap(), Some(vec![39633345008634465]));
        assert_eq!(table.integers("PETAL_LOC").unwrap(), Some(vec![4]));
        let expected = BTreeMap::from([("4".to_string(), BTreeMap::from([("1054p567".to_string(), 1)]))]);
        assert_eq!(bricks(&table).unwrap(), expected);
        // a coadd is no exposure
        assert!(read_fibermap(&path).unwrap_err().to_string().contains("OBSTYPE"));
    }

    #[test]
    fn what_is_no_fits_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.fits");
        let refuse = |content: &[u8], sentence: &str| {
            std::fs::write(&path, content).unwrap();
            let message = read_fibermap(&path).unwrap_err().to_string();
            assert!(message.contains("x.fits") && message.contains(sentence), "{message}");
        };
        refuse(b"", "no HDU FIBERMAP");
        refuse(b"short", "truncated");
        refuse(&[b'x'; 2880], "not a FITS file");
    }

    #[test]
    fn values_of_cards() {
        assert_eq!(value(b"'it''s / here  ' / comment"), "it's / here");
        assert_eq!(value(b"                  12 / comment"), "12");
        assert_eq!(value(b"''"), "");
        let header = Header::from(
            [("BITPIX", "-32"), ("NAXIS", "2"), ("NAXIS1", "3"), ("NAXIS2", "5")].map(|(k, v)| (k.into(), v.into())),
        );
        assert_eq!(data_length(&header), Some(60));
    }
}

//! Emission lines of the calibration lamps: the built-in list and files of the same layout.

use datamodel::{Error, Result};
use std::path::Path;

/// One emission line.
#[derive(Debug, Clone, PartialEq)]
pub struct LampLine {
    /// Atom and ionisation, e.g. `HgI`.
    pub ion: String,
    /// Vacuum wavelength, Angstrom.
    pub wave: f64,
    /// 1 best to 4; lines of score 0 are in the lamps but are not fitted (unresolved blends).
    pub score: u8,
    /// Relative intensity; the scales of different ions differ.
    pub intensity: f64,
}

/// The built-in list (Hg, Cd, Ne, Ar, Kr, Xe), sorted by wavelength; its header gives the source.
pub fn builtin() -> Vec<LampLine> {
    // a line that does not parse fails the test below, so none is lost here
    let mut lines: Vec<LampLine> = rows(include_str!("lamplines.txt")).filter_map(|(_, row)| parse(row)).collect();
    sort(&mut lines);
    lines
}

/// Reads a list with rows `ion wave score intensity` (vacuum Angstrom), `#` starting a comment; sorted by
/// wavelength on return.
///
/// # Errors
/// [`Error::Missing`], [`Error::Io`], and [`Error::Invalid`] naming the first row that does not parse, or a list
/// without lines.
pub fn read(path: &Path) -> Result<Vec<LampLine>> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.to_path_buf() },
        _ => Error::Io { path: path.to_path_buf(), action: "read", source },
    })?;
    let invalid = |item: String, found: &str| Error::Invalid {
        path: path.to_path_buf(),
        hdu: "line list".to_string(),
        item,
        expected: "ion, vacuum wavelength in Angstrom, score, intensity".to_string(),
        found: found.to_string(),
    };
    let mut lines = rows(&text)
        .map(|(number, row)| parse(row).ok_or_else(|| invalid(format!("row {number}"), row)))
        .collect::<Result<Vec<_>>>()?;
    if lines.is_empty() {
        return Err(invalid("rows".to_string(), "none"));
    }
    sort(&mut lines);
    Ok(lines)
}

/// The rows that are neither empty nor a comment, with their numbers from 1, trailing comments cut off.
fn rows(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let stripped = text.lines().map(|row| row.split('#').next().unwrap_or("").trim());
    stripped.enumerate().map(|(i, row)| (i + 1, row)).filter(|(_, row)| !row.is_empty())
}

fn parse(row: &str) -> Option<LampLine> {
    let mut field = row.split_whitespace();
    let ion = field.next()?.to_string();
    let wave: f64 = field.next()?.parse().ok()?;
    let score = field.next()?.parse().ok()?;
    let intensity: f64 = field.next()?.parse().ok()?;
    (wave > 0.0 && intensity >= 0.0).then_some(LampLine { ion, wave, score, intensity })
}

fn sort(lines: &mut [LampLine]) {
    lines.sort_by(|a, b| a.wave.total_cmp(&b.wave));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_covers_the_three_cameras() {
        let lines = builtin();
        assert_eq!(lines.len(), rows(include_str!("lamplines.txt")).count());
        for (min, max, bright, gap) in
            [(3600.0, 5800.0, 17, 395.0), (5760.0, 7620.0, 35, 195.0), (7520.0, 9824.0, 35, 165.0)]
        {
            let here: Vec<_> = lines.iter().filter(|l| l.wave > min && l.wave < max && l.score > 0).collect();
            assert!(here.iter().filter(|l| l.score == 1).count() >= bright, "{min}");
            assert!(here.windows(2).all(|w| w[1].wave - w[0].wave < gap), "{min}");
        }
        for ion in ["HgI", "CdI", "NeI", "ArI", "KrI", "XeI"] {
            assert!(lines.iter().any(|l| l.ion == ion));
        }
    }

    #[test]
    fn vacuum_wavelengths_are_those_of_the_air_wavelengths_in_the_textbooks() {
        // air wavelengths of the CRC Handbook and the refraction of Ciddor (1996), fitted by Morton (2000)
        let lines = builtin();
        for air in [4046.563, 4358.328, 5460.735, 5852.488, 6402.248, 7032.413, 7503.869, 8115.311, 8377.608, 9657.786]
        {
            let s2 = (1e4_f64 / air).powi(2);
            let n = 1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - s2) + 1.5998e-4 / (38.9 - s2);
            assert!(lines.iter().any(|l| (l.wave - air * n).abs() < 0.02), "{air} -> {}", air * n);
        }
    }

    #[test]
    fn files_are_read_and_bad_rows_are_named() {
        let path = std::env::temp_dir().join(format!("specmill-lamps-{}.txt", std::process::id()));
        std::fs::write(&path, "# list\nNeI 6000.5 2 100 # strong\n\nHgI 5462.268 1 6000\n").unwrap();
        let lines = read(&path).unwrap();
        assert_eq!(lines[0], LampLine { ion: "HgI".into(), wave: 5462.268, score: 1, intensity: 6000.0 });
        std::fs::write(&path, "HgI 5462.268 1 6000\nHgI here 1 2\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("row 2") && error.contains("HgI here 1 2"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read(&path), Err(Error::Missing { .. })));
    }
}

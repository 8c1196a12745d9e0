//! Curves over wavelength: built in, or read from a file.

use datamodel::{Error, Result, fits::FitsReader};
use numerics::interp;
use std::path::Path;

/// A curve over ascending wavelength (vacuum Angstrom), interpolated linearly, constant outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Angstrom.
    pub wave: Vec<f64>,
    /// Values.
    pub value: Vec<f64>,
}

impl Curve {
    /// From pairs in ascending wavelength.
    pub fn from_pairs(pairs: &[(f64, f64)]) -> Self {
        let (wave, value) = pairs.iter().copied().unzip();
        Self { wave, value }
    }

    /// Value at a wavelength.
    pub fn at(&self, wave: f64) -> f64 {
        interp::linear(wave, &self.wave, &self.value)
    }

    /// Reads the columns `wavelength` and `column` of a FITS file's first table, or two columns of text.
    ///
    /// # Errors
    /// [`Error`] if the file is absent, is neither, or its wavelengths do not ascend.
    pub fn read(path: &Path, column: &str) -> Result<Self> {
        let curve = if is_fits(path) { Self::read_fits(path, column)? } else { Self::read_text(path)? };
        if curve.wave.len() < 2 || curve.wave.windows(2).any(|w| w[0] >= w[1]) {
            return Err(invalid(
                path,
                "wavelength",
                "at least two that ascend",
                &format!("{} values", curve.wave.len()),
            ));
        }
        if curve.value.iter().any(|v| !v.is_finite()) {
            return Err(invalid(path, column, "finite values", "NaN or infinity"));
        }
        Ok(curve)
    }

    fn read_fits(path: &Path, column: &str) -> Result<Self> {
        let mut file = FitsReader::open(path)?;
        let hdu = file.names().get(1).cloned().unwrap_or_else(|| "1".to_string());
        let table = file.table(&hdu)?;
        let find = |name: &str| table.floats(name).ok_or_else(|| invalid(path, name, "a numeric column", "none"));
        Ok(Self { wave: find("wavelength")?, value: find(column)? })
    }

    fn read_text(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Missing { path: path.to_path_buf() },
            _ => Error::Io { path: path.to_path_buf(), action: "read", source },
        })?;
        let rows = text
            .lines()
            .enumerate()
            .map(|(i, row)| (i + 1, row.split('#').next().unwrap_or("").trim()))
            .filter(|(_, row)| !row.is_empty());
        let mut curve = Self { wave: Vec::new(), value: Vec::new() };
        for (number, row) in rows {
            let numbers: Vec<f64> = row.split_whitespace().filter_map(|w| w.parse().ok()).collect();
            let [wave, value] = numbers[..] else {
                return Err(invalid(path, &format!("row {number}"), "wavelength and value", row));
            };
            curve.wave.push(wave);
            curve.value.push(value);
        }
        Ok(curve)
    }
}

/// Whether a file's name is that of a FITS file.
pub fn is_fits(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "fits" || e == "fit" || e == "gz")
}

fn invalid(path: &Path, item: &str, expected: &str, found: &str) -> Error {
    Error::Invalid {
        path: path.to_path_buf(),
        hdu: "table".into(),
        item: item.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

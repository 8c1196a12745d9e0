//! What most products are made of: values, inverse variance and mask `[nspec, nwave]` on one wavelength grid.

use crate::checks::{check_ivar, check_rows, check_shape, check_wave, is_finite, owned, tidied, tidy, tidy_resolution};
use crate::fits::{FitsReader, FitsWriter};
use crate::{Header, Result, mask::spec, units};
use ndarray::{Array2, Array3, ArrayView1};
use std::{borrow::Cow, path::Path};

/// Names of the HDUs that hold the planes.
pub(crate) struct Names {
    pub value: String,
    pub ivar: String,
    pub mask: String,
    pub wave: String,
}

impl Names {
    /// `value`, IVAR, MASK and WAVELENGTH.
    pub fn of(value: &str) -> Self {
        Self { value: value.into(), ivar: "IVAR".into(), mask: "MASK".into(), wave: "WAVELENGTH".into() }
    }

    /// X_FLUX, X_IVAR, X_MASK and X_WAVELENGTH.
    pub fn of_band(letter: char) -> Self {
        Self::with_prefix(&letter.to_uppercase().to_string())
    }

    /// The same for any name X.
    pub fn with_prefix(x: &str) -> Self {
        let name = |what| format!("{x}_{what}");
        Self { value: name("FLUX"), ivar: name("IVAR"), mask: name("MASK"), wave: name("WAVELENGTH") }
    }
}

/// The planes as read: finite, ivar >= 0, of one shape.
pub(crate) struct Planes {
    pub wave: Vec<f64>,
    pub values: Array2<f32>,
    pub ivar: Array2<f32>,
    pub mask: Array2<u32>,
}

impl Planes {
    /// The resolution `[nspec, ndiag, nwave]` that belongs to them: bins where it is no number lose their weight.
    pub fn with_resolution(&mut self, path: &Path, hdu: &str, resolution: Array3<f32>) -> Result<Array3<f32>> {
        if (resolution.dim().0, resolution.dim().2) == self.ivar.dim() && !is_finite(&resolution) {
            let mut masked = 0;
            for ((i, _, j), _) in resolution.indexed_iter().filter(|(_, x)| !x.is_finite()) {
                masked += self.mask_bin((i, j));
            }
            warn(path, hdu, masked);
        }
        let tidied = owned(tidy_resolution(path, hdu, &resolution, &self.ivar)?);
        Ok(tidied.unwrap_or(resolution))
    }

    /// A bin loses its weight; 1 if it had any.
    fn mask_bin(&mut self, at: (usize, usize)) -> usize {
        let weight = std::mem::take(&mut self.ivar[at]);
        if weight == 0.0 {
            return 0;
        }
        self.mask[at] |= spec::NODATA;
        1
    }
}

/// Says how many bins were masked, if any.
fn warn(path: &Path, hdu: &str, masked: usize) {
    if masked > 0 {
        log::warn!(
            "{}[{hdu}]: {masked} bins are no measurement (no number, or ivar < 0) and are masked",
            path.display()
        );
    }
}

/// Reads the planes; MASK may be absent (2016 bricks). Bins that are no measurement (value or ivar no number, or ivar
/// negative) lose their weight: value and ivar 0, mask NODATA.
pub(crate) fn read(fits: &mut FitsReader, names: &Names) -> Result<Planes> {
    let wave = fits.vector(&names.wave)?.to_vec();
    let values = fits.plane(&names.value)?;
    let ivar = fits.plane(&names.ivar)?;
    let mask = if fits.has(&names.mask) { fits.mask(&names.mask)? } else { Array2::zeros(values.dim()) };
    judged(fits.path(), names, Planes { wave, values, ivar, mask })
}

/// The header of the HDU of that name, or of the unnamed primary.
pub(crate) fn read_header(path: &Path, name: &str) -> Result<Header> {
    let mut fits = FitsReader::open(path)?;
    let name = or_primary(&fits, name);
    fits.header(&name)
}

/// Some rows of a product of `nspec`, with the sums of all rows verified.
pub(crate) fn read_verified_rows(fits: &mut FitsReader, names: &Names, nspec: usize, rows: &[usize]) -> Result<Planes> {
    let found = fits.nrows(&names.value)?;
    check_rows(fits.path(), &names.value, found, nspec)?;
    for hdu in [&names.value, &names.ivar, &names.mask] {
        if fits.has(hdu) {
            fits.verify(hdu)?;
        }
    }
    read_rows(fits, names, rows)
}

/// Some rows of the planes.
pub(crate) fn read_rows(fits: &mut FitsReader, names: &Names, rows: &[usize]) -> Result<Planes> {
    let wave = fits.vector(&names.wave)?.to_vec();
    let values: Array2<f32> = fits.rows(&names.value, rows)?;
    let ivar = fits.rows(&names.ivar, rows)?;
    let mask = if fits.has(&names.mask) { fits.mask_rows(&names.mask, rows)? } else { Array2::zeros(values.dim()) };
    judged(fits.path(), names, Planes { wave, values, ivar, mask })
}

fn judged(path: &Path, names: &Names, mut p: Planes) -> Result<Planes> {
    let shape = [p.values.nrows(), p.wave.len()];
    check_shape(path, &names.value, p.values.shape(), &shape)?;
    check_shape(path, &names.ivar, p.ivar.shape(), &shape)?;
    check_shape(path, &names.mask, p.mask.shape(), &shape)?;
    check_wave(path, &names.wave, &p.wave)?;
    if !is_finite(&p.values) || check_ivar(path, &names.ivar, &p.ivar).is_err() {
        let mut masked = 0;
        for i in 0..shape[0] {
            for j in 0..shape[1] {
                let weight = p.ivar[(i, j)];
                if !(p.values[(i, j)].is_finite() && weight.is_finite() && weight >= 0.0) {
                    p.values[(i, j)] = 0.0;
                    masked += p.mask_bin((i, j));
                }
            }
        }
        warn(path, &names.value, masked);
    }
    Ok(p)
}

/// A plane of the shape of `like`, finite where `like` carries information; `None` if the HDU is absent.
pub(crate) fn read_optional(fits: &mut FitsReader, hdu: &str, ivar: &Array2<f32>) -> Result<Option<Array2<f32>>> {
    if !fits.has(hdu) {
        return Ok(None);
    }
    let plane = fits.plane(hdu)?;
    tidied(fits.path(), hdu, plane, ivar).map(Some)
}

/// The planes of a product in memory.
pub(crate) struct Borrowed<'a> {
    pub path: &'a Path,
    pub names: &'a Names,
    pub wave: &'a [f64],
    pub values: &'a Array2<f32>,
    pub ivar: &'a Array2<f32>,
    pub mask: &'a Array2<u32>,
}

impl<'a> Borrowed<'a> {
    /// The tidied values, if all is as it must be.
    fn check(&self) -> Result<Cow<'a, Array2<f32>>> {
        let Self { path, names, wave, values, ivar, mask } = self;
        let shape = [values.nrows(), values.ncols()];
        check_shape(path, &names.wave, &[wave.len()], &[values.ncols()])?;
        check_shape(path, &names.ivar, ivar.shape(), &shape)?;
        check_shape(path, &names.mask, mask.shape(), &shape)?;
        check_wave(path, &names.wave, wave)?;
        check_ivar(path, &names.ivar, ivar)?;
        tidy(path, &names.value, values, ivar)
    }

    /// Writes values (with the product's header), inverse variance and mask.
    pub fn write(&self, fits: &mut FitsWriter, header: &Header, ivar_unit: &str) -> Result<()> {
        let values = self.check()?;
        fits.image(&self.names.value, values.view(), header)?;
        fits.image(&self.names.ivar, self.ivar.view(), &unit(ivar_unit))?;
        fits.image(&self.names.mask, self.mask.view(), &Header::new())
    }

    /// Writes the wavelengths.
    pub fn write_wave(&self, fits: &mut FitsWriter) -> Result<()> {
        fits.image(&self.names.wave, ArrayView1::from(self.wave), &unit(units::ANGSTROM))
    }
}

/// A header that holds BUNIT, if there is a unit.
pub(crate) fn unit(unit: &str) -> Header {
    let mut header = Header::new();
    if !unit.is_empty() {
        header.set("BUNIT", unit, "");
    }
    header
}

/// `header` with this BUNIT; without one for a dimensionless product.
pub(crate) fn with_unit(header: &Header, unit: &str) -> Header {
    let mut header = header.clone();
    header.remove("BUNIT");
    if !unit.is_empty() {
        header.set("BUNIT", unit, "");
    }
    header
}

/// `name`, or "0" for a primary HDU without a name; a primary of another name is another product.
pub(crate) fn or_primary(fits: &FitsReader, name: &str) -> String {
    let unnamed = fits.names().first().is_some_and(|n| n == "0");
    if unnamed && !fits.has(name) { "0".to_string() } else { name.to_string() }
}

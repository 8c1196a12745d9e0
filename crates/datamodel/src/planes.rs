//! What most products are made of: values, inverse variance and mask `[nspec, nwave]` on one wavelength grid.

use crate::checks::{check_ivar, check_shape, check_wave, owned, tidied, tidy};
use crate::fits::{FitsReader, FitsWriter};
use crate::{Header, Result, mask::spec, units};
use ndarray::{Array2, ArrayView1, Zip};
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

/// What becomes of bins that are no measurement: flux or ivar no number, or ivar negative.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Damaged {
    /// The file is refused.
    Refused,
    /// They lose their weight: value and ivar 0, mask NODATA.
    Masked,
}

/// Reads the planes; MASK may be absent (2016 bricks).
pub(crate) fn read(fits: &mut FitsReader, names: &Names) -> Result<Planes> {
    read_with(fits, names, Damaged::Refused)
}

/// [`read`], with a choice.
pub(crate) fn read_with(fits: &mut FitsReader, names: &Names, damaged: Damaged) -> Result<Planes> {
    let path = fits.path().to_path_buf();
    let wave = fits.vector(&names.wave)?.to_vec();
    let mut values = fits.plane(&names.value)?;
    let mut ivar = fits.plane(&names.ivar)?;
    let mut mask = if fits.has(&names.mask) { fits.mask(&names.mask)? } else { Array2::zeros(values.dim()) };
    check_shape(&path, &names.value, values.shape(), &[values.nrows(), wave.len()])?;
    if damaged == Damaged::Masked && ivar.dim() == values.dim() && mask.dim() == values.dim() {
        Zip::from(&mut values).and(&mut ivar).and(&mut mask).for_each(|f, w, m| {
            if !f.is_finite() || !w.is_finite() || *w < 0.0 {
                (*f, *w) = (0.0, 0.0);
                *m |= spec::NODATA;
            }
        });
    }
    let planes = Borrowed { path: &path, names, wave: &wave, values: &values, ivar: &ivar, mask: &mask };
    let tidied = owned(planes.check()?);
    Ok(Planes { wave, values: tidied.unwrap_or(values), ivar, mask })
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

//! What is checked of every product, on reading and on writing: shapes, wavelengths, NaNs, the camera.

use crate::{Camera, Error, Header, Result};
use ndarray::{Array, Array2, Array3, Dimension};
use std::{borrow::Cow, fmt::Display, path::Path};

/// Largest difference in Angstrom of wavelengths that are the same: 2016 files hold them as f4, whose spacing
/// at 9800 Angstrom is 0.001.
pub const SAME_WAVELENGTH: f64 = 1e-3;

/// Checks that keyword CAMERA of a file's HDU names this camera.
///
/// # Errors
/// [`Error::Invalid`] saying which camera was expected and which was found.
pub fn check_camera(header: &Header, path: &Path, hdu: &str, expected: Camera) -> Result<()> {
    let found = header.require_str(path, hdu, "CAMERA")?.trim();
    if header.camera() == Some(expected) {
        return Ok(());
    }
    Err(invalid(path, hdu, "keyword CAMERA", expected, found))
}

/// Checks that two files are on the same wavelength grid, to [`SAME_WAVELENGTH`].
///
/// # Errors
/// [`Error::Invalid`] for the second file, naming both and saying how their grids differ.
pub fn check_same_wavelengths(first: (&Path, &[f64]), second: (&Path, &[f64])) -> Result<()> {
    let (a, b) = (first.1, second.1);
    if same_wavelengths(a, b) {
        return Ok(());
    }
    let expected = format!("the grid of {}, {}", first.0.display(), describe_wavelengths(a));
    Err(invalid(second.0, "WAVELENGTH", "values", expected, describe_wavelengths(b)))
}

/// Whether two grids of wavelengths (Angstrom) are the same, to [`SAME_WAVELENGTH`].
pub fn same_wavelengths(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() <= SAME_WAVELENGTH)
}

/// A grid of wavelengths (Angstrom) in words, for messages.
pub fn describe_wavelengths(wave: &[f64]) -> String {
    match wave {
        [first, .., last] => format!("{} bins from {first:.3} to {last:.3} Angstrom", wave.len()),
        _ => format!("{} bins", wave.len()),
    }
}

pub(crate) fn invalid(path: &Path, hdu: &str, item: &str, expected: impl Display, found: impl Display) -> Error {
    Error::Invalid {
        path: path.to_path_buf(),
        hdu: hdu.to_string(),
        item: item.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

/// Shapes in C order, slow axis first.
pub(crate) fn check_shape(path: &Path, hdu: &str, found: &[usize], expected: &[usize]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(invalid(path, hdu, "shape", format!("{expected:?}"), format!("{found:?}")))
}

pub(crate) fn check_rows(path: &Path, hdu: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(invalid(path, hdu, "rows", expected, found))
}

/// Finite and strictly ascending.
pub(crate) fn check_wave(path: &Path, hdu: &str, wave: &[f64]) -> Result<()> {
    check_finite(path, hdu, "values", wave)?;
    match wave.windows(2).position(|w| w[0] >= w[1]) {
        None => Ok(()),
        Some(i) => {
            let found = format!("{} after {} in bin {}", wave[i + 1], wave[i], i + 1);
            Err(invalid(path, hdu, "values", "ascending wavelengths", found))
        }
    }
}

pub(crate) fn check_finite<'a, T: 'a + Copy + Into<f64>>(
    path: &Path,
    hdu: &str,
    item: &str,
    values: impl IntoIterator<Item = &'a T>,
) -> Result<()> {
    let bad = values.into_iter().enumerate().find(|(_, x)| !(**x).into().is_finite());
    match bad {
        None => Ok(()),
        Some((i, x)) => Err(invalid(path, hdu, item, "finite numbers", format!("{} in element {i}", (*x).into()))),
    }
}

/// Whether all values are numbers.
pub(crate) fn is_finite<D: Dimension>(values: &Array<f32, D>) -> bool {
    values.as_slice_memory_order().map_or_else(|| values.iter().all(|x| x.is_finite()), are_finite)
}

/// Values looked at before asking whether one of them is bad: a loop without an exit runs in vectors.
const AT_ONCE: usize = 4096;

numerics::dispatch! {
    /// Whether all are numbers.
    fn are_finite(values: &[f32]) -> bool = finite | finite
}

numerics::dispatch! {
    /// Whether all are finite and not negative.
    fn are_weights(values: &[f32]) -> bool = weights | weights
}

#[inline(always)]
fn finite(values: &[f32]) -> bool {
    none(values, |x| !x.is_finite())
}

#[inline(always)]
fn weights(values: &[f32]) -> bool {
    none(values, |x| !(x.is_finite() & (x >= 0.0)))
}

#[inline(always)]
fn none(values: &[f32], is_bad: impl Fn(f32) -> bool) -> bool {
    for some in values.chunks(AT_ONCE) {
        let mut bad = false;
        for x in some {
            bad |= is_bad(*x);
        }
        if bad {
            return false;
        }
    }
    true
}

/// Inverse variances are finite and not negative.
pub(crate) fn check_ivar<D: Dimension>(path: &Path, hdu: &str, ivar: &Array<f32, D>) -> Result<()> {
    if ivar.as_slice_memory_order().is_some_and(are_weights) {
        return Ok(());
    }
    match ivar.indexed_iter().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
        None => Ok(()),
        Some((at, w)) => Err(invalid(path, hdu, "values", "finite inverse variances >= 0", format!("{w} at {at:?}"))),
    }
}

/// The values with those that are no number but carry no information (ivar 0) replaced by 0; borrowed if there
/// are none.
///
/// # Errors
/// [`Error::Invalid`] if one of the others is no number.
pub(crate) fn tidy<'a, D: Dimension>(
    path: &Path,
    hdu: &str,
    values: &'a Array<f32, D>,
    ivar: &Array<f32, D>,
) -> Result<Cow<'a, Array<f32, D>>> {
    check_shape(path, hdu, values.shape(), ivar.shape())?;
    if is_finite(values) {
        return Ok(Cow::Borrowed(values));
    }
    let mut tidied = values.clone();
    for ((at, x), &w) in tidied.indexed_iter_mut().zip(ivar) {
        if !x.is_finite() {
            if w > 0.0 {
                return Err(invalid(path, hdu, "values", "finite numbers where ivar > 0", format!("{x} at {at:?}")));
            }
            *x = 0.0;
        }
    }
    Ok(Cow::Owned(tidied))
}

/// [`tidy`] of values that are owned.
pub(crate) fn tidied<D: Dimension>(
    path: &Path,
    hdu: &str,
    values: Array<f32, D>,
    ivar: &Array<f32, D>,
) -> Result<Array<f32, D>> {
    let new = owned(tidy(path, hdu, &values, ivar)?);
    Ok(new.unwrap_or(values))
}

/// What a check has made anew.
pub(crate) fn owned<A: Clone>(tidied: Cow<A>) -> Option<A> {
    match tidied {
        Cow::Borrowed(_) => None,
        Cow::Owned(new) => Some(new),
    }
}

/// [`tidy`] for `[nspec, ndiag, nwave]` of a resolution: a column of a bin without information becomes 0.
pub(crate) fn tidy_resolution<'a>(
    path: &Path,
    hdu: &str,
    resolution: &'a Array3<f32>,
    ivar: &Array2<f32>,
) -> Result<Cow<'a, Array3<f32>>> {
    let (nspec, ndiag, nwave) = resolution.dim();
    if (nspec, nwave) != ivar.dim() || ndiag % 2 == 0 {
        let expected = format!("[{}, an odd number of diagonals, {}]", ivar.nrows(), ivar.ncols());
        return Err(invalid(path, hdu, "shape", expected, format!("{:?}", resolution.shape())));
    }
    if is_finite(resolution) {
        return Ok(Cow::Borrowed(resolution));
    }
    let mut tidied = resolution.clone();
    for ((i, k, j), x) in tidied.indexed_iter_mut().filter(|(_, x)| !x.is_finite()) {
        if ivar[(i, j)] > 0.0 {
            let found = format!("{x} at ({i}, {k}, {j})");
            return Err(invalid(path, hdu, "values", "finite numbers where ivar > 0", found));
        }
        *x = 0.0;
    }
    Ok(Cow::Owned(tidied))
}

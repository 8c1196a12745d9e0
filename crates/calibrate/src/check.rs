//! Whether two products belong together: same camera, same wavelengths, same fibres.

use datamodel::{Camera, Fiberflat, FluxCalib, Frame, Sky};

/// Why a product cannot be applied to a frame.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// They come from different cameras.
    #[error("keyword CAMERA: expected {expected}, found {found}")]
    Camera {
        /// Camera of the frame.
        expected: Camera,
        /// Camera of the product.
        found: Camera,
    },
    /// The numbers of spectra or their fibres differ.
    #[error("fibres: expected {expected}, found {found}")]
    Fibers {
        /// Those of the frame.
        expected: String,
        /// Those of the product.
        found: String,
    },
    /// The wavelength grids differ.
    #[error("HDU WAVELENGTH: expected {expected}, found {found}")]
    Wavelength {
        /// Grid of the frame.
        expected: String,
        /// Grid of the product.
        found: String,
    },
}

/// A product with one row a fibre on one wavelength grid.
pub trait Product {
    /// Its camera, where the header says.
    fn camera(&self) -> Option<Camera>;
    /// Vacuum Angstrom.
    fn wave(&self) -> &[f64];
    /// Number of rows.
    fn nspec(&self) -> usize;
    /// FIBER of each row, where it has a fibermap.
    fn fibers(&self) -> Option<Vec<i32>>;
}

macro_rules! product {
    ($type:ty, $array:ident, $this:ident => $fibers:expr) => {
        impl Product for $type {
            fn camera(&self) -> Option<Camera> {
                <$type>::camera(self)
            }
            fn wave(&self) -> &[f64] {
                &self.wave
            }
            fn nspec(&self) -> usize {
                self.$array.nrows()
            }
            fn fibers(&self) -> Option<Vec<i32>> {
                let $this = self;
                $fibers
            }
        }
    };
}
product!(Frame, flux, this => Some(this.fibermap.fibers()));
product!(Fiberflat, fiberflat, this => this.fibermap.as_ref().map(|m| m.fibers()));
product!(Sky, sky, this => { let _ = this; None });
product!(FluxCalib, calib, this => { let _ = this; None });

/// That `product` can be applied to `frame`: same camera and fibres, and wavelengths equal within the f4
/// rounding of stored grids (1e-5 relative would be 0.05 Angstrom; a hundredth of a bin is asked for).
///
/// # Errors
/// The first [`Mismatch`] found.
pub fn check(frame: &Frame, product: &impl Product) -> Result<(), Mismatch> {
    if let (Some(expected), Some(found)) = (frame.camera(), product.camera())
        && expected != found
    {
        return Err(Mismatch::Camera { expected, found });
    }
    if frame.nspec() != product.nspec() {
        let spectra = |n: usize| format!("{n} spectra");
        return Err(Mismatch::Fibers { expected: spectra(frame.nspec()), found: spectra(product.nspec()) });
    }
    if let Some(found) = product.fibers().filter(|f| f.len() == frame.nspec()) {
        let expected = frame.fibermap.fibers();
        if let Some(row) = (0..found.len().min(expected.len())).find(|&i| found[i] != expected[i]) {
            let fiber = |f: i32| format!("FIBER {f} in row {row}");
            return Err(Mismatch::Fibers { expected: fiber(expected[row]), found: fiber(found[row]) });
        }
    }
    let step = frame.wave.windows(2).map(|p| p[1] - p[0]).fold(f64::INFINITY, f64::min);
    let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 0.01 * step;
    if frame.wave.len() != product.wave().len() || !frame.wave.iter().zip(product.wave()).all(same) {
        return Err(Mismatch::Wavelength { expected: grid(&frame.wave), found: grid(product.wave()) });
    }
    Ok(())
}

fn grid(wave: &[f64]) -> String {
    match (wave.first(), wave.last()) {
        (Some(a), Some(b)) => format!("{} bins from {a:.2} to {b:.2} Angstrom", wave.len()),
        _ => "no bins".to_string(),
    }
}

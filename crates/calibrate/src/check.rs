//! Whether two products belong together: same camera, same fibres, same wavelengths.

use datamodel::{Camera, Error, Fiberflat, FluxCalib, Frame, Result, Sky, check_same_wavelengths};
use std::{fmt::Display, path::Path};

/// A product with one row a fibre on one wavelength grid.
pub trait Product {
    /// Name of its main HDU.
    const HDU: &'static str;
    /// Its camera, where the header says.
    fn camera(&self) -> Option<Camera>;
    /// Vacuum Angstrom.
    fn wave(&self) -> &[f64];
    /// Number of rows.
    fn nspec(&self) -> usize;
    /// FIBER of each row, where it has a fibermap.
    fn fibers(&self) -> Option<Vec<i32>> {
        None
    }
}

macro_rules! product {
    ($type:ty, $hdu:literal, $array:ident $(, $this:ident => $fibers:expr)?) => {
        impl Product for $type {
            const HDU: &'static str = $hdu;
            fn camera(&self) -> Option<Camera> {
                <$type>::camera(self)
            }
            fn wave(&self) -> &[f64] {
                &self.wave
            }
            fn nspec(&self) -> usize {
                self.$array.nrows()
            }
            $(fn fibers(&self) -> Option<Vec<i32>> {
                let $this = self;
                $fibers
            })?
        }
    };
}
product!(Frame, "FLUX", flux, this => Some(this.fibermap.fibers()));
product!(Fiberflat, "FIBERFLAT", fiberflat, this => this.fibermap.as_ref().map(|m| m.fibers()));
product!(Sky, "SKY", sky);
product!(FluxCalib, "FLUXCALIB", calib);

/// Checks that a product can be applied to a frame: same camera, same fibres, same wavelengths. The paths are
/// for the message only.
///
/// # Errors
/// [`Error::Invalid`] for the product's file, naming both files and saying how they differ.
pub fn check<P: Product>(frame: (&Path, &Frame), product: (&Path, &P)) -> Result<()> {
    let ((frame_path, frame), (path, product)) = (frame, product);
    let error = |hdu: &str, item: &str, expected: String, found: String| Error::Invalid {
        path: path.to_path_buf(),
        hdu: hdu.to_string(),
        item: item.to_string(),
        expected: format!("{expected} as in {}", frame_path.display()),
        found,
    };
    if let (Some(expected), Some(found)) = (frame.camera(), product.camera())
        && expected != found
    {
        return Err(error(P::HDU, "keyword CAMERA", expected.to_string(), found.to_string()));
    }
    if frame.nspec() != product.nspec() {
        return Err(error(P::HDU, "rows", frame.nspec().to_string(), product.nspec().to_string()));
    }
    let expected = frame.fibermap.fibers();
    let found = product.fibers().unwrap_or_default();
    if let Some(row) = expected.iter().zip(&found).position(|(a, b)| a != b) {
        let fiber = |f: i32| in_row(f, row);
        return Err(error("FIBERMAP", "column FIBER", fiber(expected[row]), fiber(found[row])));
    }
    check_same_wavelengths((frame_path, &frame.wave), (path, product.wave()))
}

/// Checks that a frame says what its fibres look at. A frame of 2016, or one extracted without a fibermap, has numbered
/// fibres alone: spectra that no target owns, which no brick would take, and stars whose offsets are unknown.
///
/// # Errors
/// [`Error::Invalid`] for the frame's file.
pub fn check_targets(path: &Path, frame: &Frame) -> Result<()> {
    if frame.fibermap.has_targets() {
        return Ok(());
    }
    Err(Error::Invalid {
        path: path.to_path_buf(),
        hdu: "FIBERMAP".to_string(),
        item: "columns".to_string(),
        expected: "the targets of the fibres; extract the exposure with its fibermap".to_string(),
        found: "none".to_string(),
    })
}

fn in_row(fiber: impl Display, row: usize) -> String {
    format!("{fiber} in row {row}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Instrument, frame_of};

    #[test]
    fn the_wrong_camera_grid_or_fibre_is_named_with_both_files() {
        let instrument = Instrument::new(2, 20, 5);
        let frame = frame_of(&instrument, &[vec![1.0; 20], vec![1.0; 20]], 1.0, 1);
        let (a, b) = (Path::new("frame.fits"), Path::new("flat.fits"));
        let mut flat = instrument.unit_flat();
        assert!(check((a, &frame), (b, &flat)).is_ok());
        flat.wave[19] += 0.01;
        let text = check((a, &frame), (b, &flat)).unwrap_err().to_string();
        assert_eq!(
            text,
            "flat.fits[WAVELENGTH]: values: expected the grid of frame.fits, 20 bins from 4000.000 to 4015.200 Angstrom, \
             found 20 bins from 4000.000 to 4015.210 Angstrom"
        );
        flat = instrument.unit_flat();
        flat.header.set("CAMERA", "r0", "");
        let text = check((a, &frame), (b, &flat)).unwrap_err().to_string();
        assert_eq!(text, "flat.fits[FIBERFLAT]: keyword CAMERA: expected b0 as in frame.fits, found r0");
        flat = instrument.unit_flat();
        flat.fibermap = Some(frame.fibermap.select(&[1, 0]));
        assert!(check((a, &frame), (b, &flat)).unwrap_err().to_string().contains("FIBER: expected 0 in row 0"));
    }
}

//! A measured PSF in place of our own: the first fibres of a Gauss-Hermite file, or of a trace file with
//! Gaussian widths.

use crate::{instrument::Instrument, optics};
use datamodel::{Camera, Error, GaussHermitePsf, PsfBoot, Result, fits::FitsReader, psf::LegendreRows};
use ndarray::{Array2, Axis};
use numerics::legendre;
use std::path::Path;

/// Legendre coefficients of the fitted width along the dispersion.
const WIDTH_TERMS: usize = 4;
/// Wavelengths at which it is fitted.
const WIDTH_NODES: usize = 40;

/// The PSF of a file for the fibres and the CCD of `instrument`.
///
/// # Errors
/// [`Error`] if the file is neither kind of PSF or has fewer fibres than the instrument.
pub fn read(path: &Path, instrument: &Instrument, camera: Camera) -> Result<GaussHermitePsf> {
    let has_spots = FitsReader::open(path)?.has("PSF");
    let psf = if has_spots { GaussHermitePsf::read(path)? } else { gaussian(path, camera)? };
    if psf.nfiber() < instrument.nfiber() {
        return Err(Error::Invalid {
            path: path.to_path_buf(),
            hdu: "XTRACE".into(),
            item: "number of fibres".into(),
            expected: format!("at least the {} of instrument {}", instrument.nfiber(), instrument.name),
            found: psf.nfiber().to_string(),
        });
    }
    let arm = instrument.arm(camera.band);
    Ok(GaussHermitePsf { npix: (arm.ny, arm.nx), header: optics::header(camera), fibermin: 0, ..cut(psf, instrument) })
}

/// The first fibres of a PSF.
fn cut(psf: GaussHermitePsf, instrument: &Instrument) -> GaussHermitePsf {
    let n = instrument.nfiber();
    let head = |a: &Array2<f64>| a.select(Axis(0), &(0..n).collect::<Vec<_>>());
    let rows = |r: &LegendreRows| LegendreRows { coeff: head(&r.coeff), ..r.clone() };
    GaussHermitePsf {
        x: rows(&psf.x),
        y: rows(&psf.y),
        parameters: psf.parameters.iter().map(|(k, v)| (k.clone(), head(v))).collect(),
        bundle: (0..n).map(|f| (f / instrument.fibers_per_bundle) as i32).collect(),
        status: vec![0; n],
        ..psf
    }
}

/// A trace file with XSIGMA (pixels) and WSIGMA (Legendre coefficients of the width in Angstrom) as Gaussian
/// spots.
fn gaussian(path: &Path, camera: Camera) -> Result<GaussHermitePsf> {
    let boot = PsfBoot::read(path)?;
    let widths = FitsReader::open(path)?.plane_f64("WSIGMA")?;
    let (min, max) = (boot.y.wavemin, boot.y.wavemax);
    let mut parameters = optics::empty_parameters(boot.xsigma.len());
    for fiber in 0..boot.xsigma.len() {
        let u: Vec<f64> = (0..WIDTH_NODES).map(|i| 2.0 * (i as f64 + 0.5) / WIDTH_NODES as f64 - 1.0).collect();
        let row = |u: f64| legendre::evaluate(&boot.y.coeff.row(fiber).to_vec(), u);
        let rows_per_angstrom = |u: f64| (row(u + 1e-3) - row(u - 1e-3)) / (1e-3 * (max - min));
        let sigma: Vec<f64> =
            u.iter().map(|&u| legendre::evaluate(&widths.row(fiber).to_vec(), u) * rows_per_angstrom(u)).collect();
        let fitted = legendre::fit(&u, &sigma, &[1.0; WIDTH_NODES], WIDTH_TERMS).map_err(|e| Error::Invalid {
            path: path.to_path_buf(),
            hdu: "WSIGMA".into(),
            item: format!("width of fibre {fiber}"),
            expected: "a smooth function of wavelength".into(),
            found: e.to_string(),
        })?;
        if let Some(a) = parameters.get_mut("GHSIGX") {
            a[[fiber, 0]] = boot.xsigma[fiber];
        }
        if let Some(a) = parameters.get_mut("GHSIGY") {
            a.row_mut(fiber).iter_mut().zip(fitted).for_each(|(a, c)| *a = c);
        }
    }
    let nfiber = boot.xsigma.len();
    Ok(GaussHermitePsf {
        header: optics::header(camera),
        x: boot.x,
        y: boot.y,
        wavemin: min,
        wavemax: max,
        parameters,
        bundle: vec![0; nfiber],
        status: vec![0; nfiber],
        fibermin: 0,
        ghdeg: (optics::DEGREE, optics::DEGREE),
        half_size: optics::HALF_SIZE,
        npix: (0, 0),
    })
}

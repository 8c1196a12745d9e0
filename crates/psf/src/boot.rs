//! The first guess that a bootstrap gives: its traces with Gaussian spots.

use datamodel::{GaussHermitePsf, PsfBoot};
use ndarray::Array2;

/// Fibres of a bundle.
const BUNDLE: usize = 25;

/// Traces of a bootstrap with Gaussian spots of its widths in both directions, bundles of 25 fibres, for an image of
/// `npix` (rows, columns).
pub fn gaussian(boot: &PsfBoot, npix: (usize, usize)) -> GaussHermitePsf {
    let nfiber = boot.xsigma.len();
    let width = Array2::from_shape_fn((nfiber, 1), |(f, _)| boot.xsigma[f].max(0.5));
    let parameters = [("GHSIGX", width.clone()), ("GHSIGY", width), ("GH-0-0", Array2::ones((nfiber, 1)))];
    GaussHermitePsf {
        header: boot.header.clone(),
        x: boot.x.clone(),
        y: boot.y.clone(),
        wavemin: boot.y.wavemin,
        wavemax: boot.y.wavemax,
        parameters: parameters.into_iter().map(|(k, v)| (k.to_string(), v)).collect(),
        bundle: (0..nfiber).map(|f| (f / BUNDLE) as i32).collect(),
        status: vec![0; nfiber],
        fibermin: 0,
        ghdeg: (0, 0),
        half_size: (8, 5),
        npix,
    }
}

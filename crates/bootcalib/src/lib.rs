//! First traces and wavelengths of every fibre from a flat and an arc.
//!
//! The flat shows where the fibres are: a cut across its middle is numbered ([`fibers`]) and each fibre is
//! followed along the dispersion ([`trace`]). The arc's spectra along these traces ([`spectra`]) show lines, which
//! are identified without a first guess of the wavelengths ([`identify`]) and fitted together ([`wavelengths`]).

pub mod error;
pub mod fibers;
pub mod identify;
pub mod profile;
pub mod spectra;
pub mod surface;
pub mod trace;
pub mod wavelengths;

pub use error::BootError;

use datamodel::{Header, Image, PsfBoot, psf::LegendreRows};
use identify::Nominal;
use ndarray::Array2;
use numerics::legendre;
use psf::lamps::LampLine;
use rayon::prelude::*;

/// Traces, wavelengths and widths of every fibre: `arc` and `flat` are images of one camera, `degree` is that of
/// the Legendre series x(wavelength) and y(wavelength). The header is empty.
///
/// # Errors
/// [`BootError`] says what is wrong with the flat or the arc.
pub fn run(
    flat: &Image,
    arc: &Image,
    lines: &[LampLine],
    nominal: Nominal,
    degree: usize,
) -> Result<PsfBoot, BootError> {
    if flat.pix.dim() != arc.pix.dim() {
        return Err(BootError::Shape { flat: flat.pix.dim(), arc: arc.pix.dim() });
    }
    let traces = trace::trace(flat)?;
    report(&traces.seen);
    let ny = arc.pix.nrows();
    // what lies where the flat shows no fibre is a defect or a neighbour's light
    let lines_of = |f: usize| if traces.seen[f] { spectra::peaks(arc, &traces, f) } else { Vec::new() };
    let peaks: Vec<_> = (0..traces.seen.len()).into_par_iter().map(lines_of).collect();
    let found = wavelengths::solve(&peaks, lines, nominal, ny, degree + 1)?;
    let rows = |coeff| LegendreRows { wavemin: found.range.0, wavemax: found.range.1, coeff };
    let x = columns(&traces, &found.coeff, ny, degree + 1)?;
    Ok(PsfBoot { header: Header::new(), x: rows(x), y: rows(pad(found.coeff, degree + 1)), xsigma: traces.sigma })
}

fn report(seen: &[bool]) {
    let missing: Vec<String> = (0..seen.len()).filter(|f| !seen[*f]).map(|f| f.to_string()).collect();
    log::info!("{} fibres in {} bundles", seen.len(), seen.len() / fibers::BUNDLE);
    if !missing.is_empty() {
        log::warn!("no light in the flat from fibre {}: placed by its neighbours", missing.join(", "));
    }
}

/// Legendre coefficients of x over the wavelength, from those over the row.
fn columns(
    traces: &trace::Traces,
    y: &Array2<f64>,
    ny: usize,
    terms: usize,
) -> Result<Array2<f64>, numerics::NumericsError> {
    let u: Vec<f64> = (0..=200).map(|i| f64::from(i) / 100.0 - 1.0).collect();
    let mut coeff = Array2::zeros((y.nrows(), terms));
    for fiber in 0..y.nrows() {
        // beyond the CCD the traces go straight on
        let x: Vec<f64> = u
            .iter()
            .map(|u| {
                let row = identify::reduced_row(surface::value(y, fiber, *u), ny);
                let edge = row.clamp(-1.0, 1.0);
                let slope = (traces.x(fiber, edge) - traces.x(fiber, 0.98 * edge)) / (0.02 * edge);
                traces.x(fiber, edge) + if row == edge { 0.0 } else { slope * (row - edge) }
            })
            .collect();
        for (c, v) in coeff.row_mut(fiber).iter_mut().zip(legendre::fit(&u, &x, &vec![1.0; u.len()], terms)?) {
            *c = v;
        }
    }
    Ok(coeff)
}

/// The series with zeros up to the wanted number of terms.
fn pad(coeff: Array2<f64>, terms: usize) -> Array2<f64> {
    Array2::from_shape_fn((coeff.nrows(), terms), |(f, k)| if k < coeff.ncols() { coeff[(f, k)] } else { 0.0 })
}

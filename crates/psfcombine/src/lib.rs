//! The PSF of a night from those of its arcs.
//!
//! Bundle by bundle, the coefficients of all valid fits are averaged. A fit is valid if its fibres have STATUS 0 and
//! its reduced chi2 is above 0 and at most 1 above the median of the bundle (DESI's rule of today; that of 2016 was
//! the median of fits with a reduced chi2 below 2). Series over other ranges of wavelengths are first brought to
//! those of the first input.

pub mod error;

pub use error::CombineError;

use datamodel::{GaussHermitePsf, Header};
use ndarray::{Array1, Array2};
use numerics::robust;
use psf::series;

/// How far above its median a valid reduced chi2 may be.
const CHI2_MARGIN: f64 = 1.0;

/// Which inputs made a bundle of the night's PSF.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Bundle.
    pub bundle: usize,
    /// Indices of the inputs that were averaged.
    pub used: Vec<usize>,
    /// Whether none was valid: the rows and STATUS of the first input are kept.
    pub fallback: bool,
}

/// Combines the PSFs of one camera and night; the header is that of the first with the medians of BnnRCHI2.
///
/// # Errors
/// [`CombineError`]: nothing to combine, inputs that do not go together, no valid bundle at all.
pub fn combine(inputs: &[GaussHermitePsf]) -> Result<(GaussHermitePsf, Vec<Choice>), CombineError> {
    let first = inputs.first().ok_or(CombineError::Nothing)?;
    for (k, input) in inputs.iter().enumerate().skip(1) {
        check(first, input, k)?;
    }
    let aligned = inputs.iter().map(|p| align(p, first)).collect::<Result<Vec<_>, _>>()?;
    let mut bundles: Vec<usize> = first.bundle.iter().filter_map(|b| usize::try_from(*b).ok()).collect();
    bundles.dedup();
    let choices: Vec<Choice> = bundles.into_iter().map(|b| choose(&aligned, b)).collect();
    if choices.iter().all(|c| c.fallback) {
        return Err(CombineError::NothingValid { inputs: inputs.len() });
    }
    let mut night = aligned[0].clone();
    for choice in &choices {
        average(&mut night, &aligned, choice);
    }
    Ok((night, choices))
}

/// Fibres of a bundle.
fn fibers(psf: &GaussHermitePsf, bundle: usize) -> Vec<usize> {
    (0..psf.bundle.len()).filter(|f| psf.bundle[*f] == bundle as i32).collect()
}

/// Reduced chi2 of a bundle if its fit can be used at all.
fn fitted(psf: &GaussHermitePsf, bundle: usize) -> Option<f64> {
    let good = fibers(psf, bundle).iter().all(|f| psf.status[*f] == 0);
    psf.rchi2(bundle).filter(|c| good && c.is_finite() && *c > 0.0)
}

/// The valid inputs of a bundle; without any, the first input.
fn choose(inputs: &[GaussHermitePsf], bundle: usize) -> Choice {
    let chi2: Vec<Option<f64>> = inputs.iter().map(|p| fitted(p, bundle)).collect();
    let limit = robust::median(&chi2.iter().flatten().copied().collect::<Vec<_>>()).unwrap_or(0.0) + CHI2_MARGIN;
    let used: Vec<usize> = (0..inputs.len()).filter(|k| chi2[*k].is_some_and(|c| c <= limit)).collect();
    if used.is_empty() {
        Choice { bundle, used: vec![0], fallback: true }
    } else {
        Choice { bundle, used, fallback: false }
    }
}

/// Puts the mean of the chosen inputs into the rows of the bundle.
fn average(night: &mut GaussHermitePsf, inputs: &[GaussHermitePsf], choice: &Choice) {
    let rows = fibers(night, choice.bundle);
    let mean = |of: &dyn Fn(&GaussHermitePsf) -> Array1<f64>| -> Array1<f64> {
        let sum = choice.used.iter().map(|k| of(&inputs[*k])).reduce(|a, b| a + b);
        sum.unwrap_or_default() / choice.used.len() as f64
    };
    for &f in &rows {
        night.x.coeff.row_mut(f).assign(&mean(&|p| p.x.coeff.row(f).to_owned()));
        night.y.coeff.row_mut(f).assign(&mean(&|p| p.y.coeff.row(f).to_owned()));
        for (name, table) in &mut night.parameters {
            let row =
                mean(&|p| p.parameters.get(name).map_or_else(|| Array1::zeros(table.ncols()), |t| t.row(f).to_owned()));
            table.row_mut(f).assign(&row);
        }
        night.status[f] = inputs[choice.used[0]].status[f];
    }
    let chi2: Vec<f64> = choice.used.iter().filter_map(|k| inputs[*k].rchi2(choice.bundle)).collect();
    let key = format!("B{:02}RCHI2", choice.bundle);
    night.header.set(&key, robust::median(&chi2).unwrap_or(0.0), "median of the exposures that were combined");
}

/// The input with its series over the ranges of the first.
fn align(psf: &GaussHermitePsf, first: &GaussHermitePsf) -> Result<GaussHermitePsf, CombineError> {
    let mut out = psf.clone();
    out.x = series::remap(&psf.x, (first.x.wavemin, first.x.wavemax), first.x.coeff.ncols())?;
    out.y = series::remap(&psf.y, (first.y.wavemin, first.y.wavemax), first.y.coeff.ncols())?;
    if (psf.wavemin, psf.wavemax) != (first.wavemin, first.wavemax) {
        for table in out.parameters.values_mut() {
            let rows =
                datamodel::psf::LegendreRows { wavemin: psf.wavemin, wavemax: psf.wavemax, coeff: table.clone() };
            *table = series::remap(&rows, (first.wavemin, first.wavemax), table.ncols())?.coeff;
        }
        (out.wavemin, out.wavemax) = (first.wavemin, first.wavemax);
    }
    Ok(out)
}

/// What must be the same in all inputs (formats: mean-PSF compatibility).
fn check(first: &GaussHermitePsf, other: &GaussHermitePsf, input: usize) -> Result<(), CombineError> {
    let text = |h: &Header, key: &str| h.str(key).map_or_else(|| "none".to_string(), |s| s.trim().to_lowercase());
    let terms = |p: &GaussHermitePsf| p.parameters.values().map(Array2::ncols).max().unwrap_or(0).saturating_sub(1);
    let facts = |p: &GaussHermitePsf| -> Vec<(&'static str, String)> {
        vec![
            ("keyword CAMERA", text(&p.header, "CAMERA")),
            ("keyword NPIX_X", p.npix.1.to_string()),
            ("keyword NPIX_Y", p.npix.0.to_string()),
            ("keyword HSIZEX", p.half_size.0.to_string()),
            ("keyword HSIZEY", p.half_size.1.to_string()),
            ("keyword FIBERMIN", p.fibermin.to_string()),
            ("number of fibres", p.nfiber().to_string()),
            ("keyword GHDEGX", p.ghdeg.0.to_string()),
            ("keyword GHDEGY", p.ghdeg.1.to_string()),
            ("keyword LEGDEG", terms(p).to_string()),
            ("keyword NPARAMS", p.parameters.len().to_string()),
            ("row BUNDLE", format!("{:?}", p.bundle)),
        ]
    };
    let differing = facts(first).into_iter().zip(facts(other)).find(|(a, b)| a != b);
    match differing {
        None => Ok(()),
        Some(((item, expected), (_, found))) => Err(CombineError::Incompatible {
            input,
            item: item.to_string(),
            expected: short(expected),
            found: short(found),
        }),
    }
}

/// A value that fits a message.
fn short(text: String) -> String {
    if text.len() <= 60 { text } else { format!("{}...", text.chars().take(57).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datamodel::psf::LegendreRows;
    use ndarray::arr2;

    /// Two bundles of two fibres, all coefficients offset by `value`.
    fn psf(value: f64, chi2: [f64; 2]) -> GaussHermitePsf {
        let rows = |c: Array2<f64>| LegendreRows { wavemin: 5500.0, wavemax: 7800.0, coeff: c };
        let mut header = Header::new();
        header.set("CAMERA", "r0", "");
        header.set("B00RCHI2", chi2[0], "");
        header.set("B01RCHI2", chi2[1], "");
        let x = Array2::from_shape_fn((4, 3), |(f, k)| if k == 0 { 7.0 * f as f64 + value } else { 1.0 });
        GaussHermitePsf {
            header,
            y: rows(x.clone() + 1000.0),
            x: rows(x),
            wavemin: 5500.0,
            wavemax: 7800.0,
            parameters: [("GHSIGX".to_string(), Array2::from_elem((4, 2), 1.0 + value))].into(),
            bundle: vec![0, 0, 1, 1],
            status: vec![0; 4],
            fibermin: 0,
            ghdeg: (6, 6),
            half_size: (8, 5),
            npix: (4128, 4114),
        }
    }

    #[test]
    fn valid_fits_are_averaged_bundle_by_bundle() {
        let mut bad = psf(5.0, [0.0, 1.1]);
        bad.status[..2].fill(3);
        let inputs = [psf(0.1, [1.0, 1.0]), psf(0.3, [1.2, 9.0]), bad];
        let (night, choices) = combine(&inputs).unwrap();
        assert_eq!(choices[0].used, [0, 1]);
        assert_eq!(choices[1].used, [0, 2]);
        assert!((night.x.coeff[(0, 0)] - 0.2).abs() < 1e-12);
        assert!((night.parameters["GHSIGX"][(3, 0)] - 3.55).abs() < 1e-12);
        assert_eq!(night.rchi2(0), Some(1.1));
        assert!(night.status.iter().all(|s| *s == 0));
    }

    #[test]
    fn one_input_is_itself_and_a_bundle_without_a_fit_keeps_its_status() {
        let mut one = psf(0.0, [1.0, 0.0]);
        one.status[2..].fill(1);
        let (night, choices) = combine(std::slice::from_ref(&one)).unwrap();
        assert!(
            night.x == one.x && night.y == one.y && night.parameters == one.parameters && night.status == one.status
        );
        assert!(!choices[0].fallback && choices[1].fallback);
        one.status.fill(1);
        assert_eq!(combine(&[one]).unwrap_err(), CombineError::NothingValid { inputs: 1 });
        assert_eq!(combine(&[]).unwrap_err(), CombineError::Nothing);
    }

    #[test]
    fn another_range_of_wavelengths_is_refitted() {
        let a = psf(0.0, [1.0, 1.0]);
        let mut b = a.clone();
        b.x = series::remap(&a.x, (5450.0, 7850.0), 3).unwrap();
        b.y = series::remap(&a.y, (5450.0, 7850.0), 3).unwrap();
        let width = LegendreRows {
            wavemin: 5500.0,
            wavemax: 7800.0,
            coeff: arr2(&[[1.0, 0.1], [1.0, 0.1], [1.1, 0.1], [1.1, 0.1]]),
        };
        let wider = series::remap(&width, (5450.0, 7850.0), 2).unwrap();
        let mut first = a.clone();
        first.parameters.insert("GHSIGX".to_string(), width.coeff.clone());
        b.parameters.insert("GHSIGX".to_string(), wider.coeff);
        (b.wavemin, b.wavemax) = (5450.0, 7850.0);
        let (night, _) = combine(&[first.clone(), b]).unwrap();
        assert!((&night.x.coeff - &first.x.coeff).iter().all(|d| d.abs() < 1e-9));
        assert!((&night.parameters["GHSIGX"] - &width.coeff).iter().all(|d| d.abs() < 1e-12));
    }

    #[test]
    fn what_differs_is_named() {
        let a = psf(0.0, [1.0, 1.0]);
        let mut b = a.clone();
        b.npix = (4128, 4000);
        let error = combine(&[a, b]).unwrap_err();
        assert_eq!(error.to_string(), "keyword NPIX_X: expected 4114 as in the first input, found 4000");
    }
}

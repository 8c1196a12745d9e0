//! Legendre series whose wavelength range changes.

use datamodel::psf::LegendreRows;
use ndarray::Array2;
use numerics::{NumericsError, legendre};

/// The same curves as series of `terms` over another range of wavelengths (Angstrom): least squares at evenly
/// spaced points of the new range; exact where `terms` is not less than before.
///
/// # Errors
/// [`NumericsError`] if there are no terms.
pub fn remap(rows: &LegendreRows, (min, max): (f64, f64), terms: usize) -> Result<LegendreRows, NumericsError> {
    let before = rows.coeff.ncols();
    let mut coeff = Array2::zeros((rows.coeff.nrows(), terms));
    if (rows.wavemin, rows.wavemax) == (min, max) && terms >= before {
        coeff.slice_mut(ndarray::s![.., ..before]).assign(&rows.coeff);
        return Ok(LegendreRows { wavemin: min, wavemax: max, coeff });
    }
    let n = terms.max(before) + 3;
    let u: Vec<f64> = (0..n).map(|i| legendre::reduced(i as f64, 0.0, n as f64 - 1.0)).collect();
    let weight = vec![1.0; n];
    for (fiber, row) in rows.coeff.rows().into_iter().enumerate() {
        let series = row.to_vec();
        let wave = |u: f64| min + 0.5 * (u + 1.0) * (max - min);
        let values: Vec<f64> = u
            .iter()
            .map(|u| legendre::evaluate(&series, legendre::reduced(wave(*u), rows.wavemin, rows.wavemax)))
            .collect();
        coeff.row_mut(fiber).iter_mut().zip(legendre::fit(&u, &values, &weight, terms)?).for_each(|(c, v)| *c = v);
    }
    Ok(LegendreRows { wavemin: min, wavemax: max, coeff })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    #[test]
    fn curves_stay_where_they_are() {
        let rows = LegendreRows {
            wavemin: 5500.0,
            wavemax: 7800.0,
            coeff: arr2(&[[100.0, 3.0, -2.0], [2000.0, 900.0, 30.0]]),
        };
        for (range, terms) in [((5543.0, 7826.0), 3), ((5500.0, 7800.0), 5), ((5600.0, 7700.0), 7)] {
            let new = remap(&rows, range, terms).unwrap();
            for fiber in 0..2 {
                for wave in [5600.0, 6000.0, 7777.0] {
                    let at = |r: &LegendreRows| {
                        let u = legendre::reduced(wave, r.wavemin, r.wavemax);
                        legendre::evaluate(&r.coeff.row(fiber).to_vec(), u)
                    };
                    assert!((at(&new) - at(&rows)).abs() < 1e-9);
                }
            }
        }
    }
}

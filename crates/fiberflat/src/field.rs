//! Flats of several spectrographs that one lamp lit at once, on one scale: that of the middle of the field.

use datamodel::Fiberflat;
use ndarray::Axis;
use numerics::{SymmetricBand, robust};

/// Share of good bins from which a fibre tells about the illumination of the field.
const GOOD_SHARE: f64 = 0.5;
/// Terms of the illumination: 1, x, y, x² + y².
const TERMS: usize = 4;

/// Flats of one exposure times the lamp of their spectrograph over the mean lamp, over the illumination of the field's
/// centre.
pub fn to_the_centre(flats: &[&Fiberflat]) -> Vec<Fiberflat> {
    let Some(first) = flats.first() else { return vec![] };
    let nwave = first.wave.len();
    let mean = |j: usize| flats.iter().map(|f| f.meanspec[j]).sum::<f64>() / flats.len() as f64;
    let mean: Vec<f64> = (0..nwave).map(mean).collect();
    let mut scaled: Vec<Fiberflat> = flats.iter().map(|f| (*f).clone()).collect();
    for flat in &mut scaled {
        let ratio = |j: usize| if flat.meanspec[j] > 0.0 && mean[j] > 0.0 { mean[j] / flat.meanspec[j] } else { 1.0 };
        let ratio: Vec<f64> = (0..nwave).map(ratio).collect();
        divide(flat, &ratio);
        flat.meanspec.clone_from(&mean);
    }
    let fibers: Vec<Vec<([f64; TERMS], usize)>> = scaled.iter().map(usable).collect();
    let centre: Vec<f64> = (0..nwave).map(|j| at_the_centre(&scaled, &fibers, j)).collect();
    scaled.iter_mut().for_each(|flat| divide(flat, &centre));
    scaled
}

/// Divides a flat by a positive vector.
pub fn divide(flat: &mut Fiberflat, divisor: &[f64]) {
    for (mut values, mut ivar) in flat.fiberflat.axis_iter_mut(Axis(0)).zip(flat.ivar.axis_iter_mut(Axis(0))) {
        for ((v, w), d) in values.iter_mut().zip(ivar.iter_mut()).zip(divisor) {
            *v = (f64::from(*v) / d) as f32;
            *w = (f64::from(*w) * d * d) as f32;
        }
    }
}

/// Fibres of good status with most bins good: terms of the illumination at their place (in units of 400 mm) and row.
fn usable(flat: &Fiberflat) -> Vec<([f64; TERMS], usize)> {
    let nspec = flat.fiberflat.nrows();
    let column = |name: &str| flat.fibermap.as_ref().and_then(|m| m.table.floats(name));
    let place = |names: [&str; 2]| names.iter().find_map(|n| column(n)).unwrap_or_else(|| vec![0.0; nspec]);
    let (x, y) = (place(["FIBERASSIGN_X", "FIBER_X"]), place(["FIBERASSIGN_Y", "FIBER_Y"]));
    let status = flat.fibermap.as_ref().map_or_else(|| vec![0; nspec], |m| m.fiberstatus());
    let good = |f: usize| {
        let share = flat.mask.row(f).iter().filter(|m| **m == 0).count() as f64 / flat.wave.len() as f64;
        status[f] == 0 && share > GOOD_SHARE && x[f].is_finite() && y[f].is_finite()
    };
    let terms = |f: usize| {
        let (x, y) = (x[f] / 400.0, y[f] / 400.0);
        ([1.0, x, y, x * x + y * y], f)
    };
    (0..nspec).filter(|&f| good(f)).map(terms).collect()
}

/// The illumination of the field's centre in bin `j`: constant term of a least-squares fit; the median where the places
/// are not known or the fit fails.
fn at_the_centre(flats: &[Fiberflat], fibers: &[Vec<([f64; TERMS], usize)>], j: usize) -> f64 {
    let mut normal = SymmetricBand::zeros(TERMS, TERMS - 1);
    let mut rhs = [0.0; TERMS];
    let mut values = vec![];
    for (flat, fibers) in flats.iter().zip(fibers) {
        for (terms, f) in fibers.iter().filter(|(_, f)| flat.mask[(*f, j)] == 0) {
            let value = f64::from(flat.fiberflat[(*f, j)]);
            values.push(value);
            for i in 0..TERMS {
                rhs[i] += terms[i] * value;
                (0..=i).for_each(|k| normal.add(i, k, terms[i] * terms[k]));
            }
        }
    }
    let middle = robust::median(&values).filter(|m| *m > 0.0).unwrap_or(1.0);
    let known = (1..TERMS).all(|i| normal.get(i, i) > 0.0) && values.len() > TERMS;
    let fitted = if known { normal.cholesky().ok().map(|factor| factor.solve(&rhs)[0]) } else { None };
    fitted.filter(|c| *c > 0.5 * middle && *c < 2.0 * middle).unwrap_or(middle)
}

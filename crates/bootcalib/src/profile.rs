//! A Gaussian integrated over pixels, fitted to a few pixels of a line or of a fibre's profile.

use numerics::SymmetricBand;

/// A fitted peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Centre in pixels; the first pixel's centre is 0.
    pub centre: f64,
    /// One sigma of the centre, pixels.
    pub error: f64,
    /// Gaussian width, pixels.
    pub sigma: f64,
    /// Light under the Gaussian.
    pub flux: f64,
}

/// Fits flux, centre, width and a constant background to `data` with inverse variances `ivar`, around the guess
/// `(centre, sigma)`, over the pixels within `half` of the guess. `None` where the fit does not settle on a peak
/// with 0.5 < sigma < 3 pixels within 1.5 pixels of the guess, or fewer than 5 pixels are good.
pub fn fit(data: &[f64], ivar: &[f64], (guess, sigma): (f64, f64), half: usize) -> Option<Peak> {
    let middle = guess.round() as i64;
    let first = (middle - half as i64).max(0) as usize;
    let end = ((middle + half as i64 + 1).max(0) as usize).min(data.len());
    if end < first + 5 || ivar[first..end].iter().filter(|w| **w > 0.0).count() < 5 {
        return None;
    }
    let floor = data[first..end].iter().copied().fold(f64::INFINITY, f64::min);
    let flux = data[first..end].iter().map(|d| d - floor).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut p = [flux, guess, sigma, floor];
    let mut variance = 0.0;
    for iteration in 0..12 {
        let (step, errors) = gauss_newton_step(&data[first..end], &ivar[first..end], first, &p)?;
        let shrink = (0.5 / step[1].abs()).min(0.3 * p[2] / step[2].abs()).min(1.0);
        p.iter_mut().zip(step).for_each(|(p, s)| *p += shrink * s);
        variance = errors;
        if (p[1] - guess).abs() > 1.5 || !(0.4..3.5).contains(&p[2]) {
            return None;
        }
        if iteration > 2 && step[1].abs() < 1e-4 {
            break;
        }
    }
    let [flux, centre, sigma, _] = p;
    (flux > 0.0 && (0.5..3.0).contains(&sigma)).then_some(Peak { centre, error: variance.sqrt(), sigma, flux })
}

/// One step in flux, centre, sigma, background and the variance of the centre.
fn gauss_newton_step(data: &[f64], ivar: &[f64], first: usize, p: &[f64; 4]) -> Option<([f64; 4], f64)> {
    let [flux, centre, sigma, background] = *p;
    let mut normal = SymmetricBand::zeros(4, 3);
    let mut gradient = [0.0; 4];
    let edge = |e: f64| {
        let t = (e - centre) / sigma;
        let g = numerics::hermite::gaussian(t);
        (0.5 * libm::erf(t * std::f64::consts::FRAC_1_SQRT_2), g, t * g)
    };
    let mut low = edge(first as f64 - 0.5);
    for (k, (d, w)) in data.iter().zip(ivar).enumerate() {
        let high = edge((first + k) as f64 + 0.5);
        let unit = high.0 - low.0;
        let derivative = [unit, -flux * (high.1 - low.1) / sigma, -flux * (high.2 - low.2) / sigma, 1.0];
        let residual = d - flux * unit - background;
        for i in 0..4 {
            gradient[i] += w * residual * derivative[i];
            for j in 0..=i {
                normal.add(i, j, w * derivative[i] * derivative[j]);
            }
        }
        low = high;
    }
    let factor = normal.cholesky().ok()?;
    let step = factor.solve(&gradient);
    let variance = factor.solve(&[0.0, 1.0, 0.0, 0.0])[1];
    let finite = step.iter().all(|s| s.is_finite());
    finite.then_some(([step[0], step[1], step[2], step[3]], variance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noiseless_gaussian_is_recovered() {
        let phi = |t: f64| 0.5 * libm::erf(t / std::f64::consts::SQRT_2);
        let (centre, sigma) = (10.37, 1.13);
        let data: Vec<f64> = (0..21)
            .map(|i| {
                let (a, b) = (f64::from(i) - 0.5 - centre, f64::from(i) + 0.5 - centre);
                5.0 + 1000.0 * (phi(b / sigma) - phi(a / sigma))
            })
            .collect();
        let peak = fit(&data, &[1.0; 21], (10.0, 1.0), 5).unwrap();
        assert!((peak.centre - centre).abs() < 1e-4 && (peak.sigma - sigma).abs() < 1e-3, "{peak:?}");
        assert!((peak.flux - 1000.0).abs() < 1.0);
        assert!(fit(&data, &[0.0; 21], (10.0, 1.0), 5).is_none());
        assert!(fit(&data, &[1.0; 21], (2.0, 1.0), 1).is_none());
    }
}

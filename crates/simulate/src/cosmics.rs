//! Cosmic rays: straight tracks of muons through the silicon, and the worms of Compton electrons in thick CCDs.

use crate::instrument::Arm;
use ndarray::Array2;
use rand::Rng;
use rand_distr::{Distribution, Exp1, Poisson, StandardNormal};

/// Events per cm2 and minute at 2,100 m (docs/simulate.md).
pub const RATE: f64 = 3.0;
/// Electrons per micrometre of path of a minimum-ionising particle in silicon.
const ELECTRONS_PER_UM: f64 = 80.0;
/// Rms spread of the charge while it drifts to the pixels, in pixels.
const DIFFUSION: f64 = 0.3;
/// Share of worms among the events of a CCD thicker than [`THICK_UM`].
const WORM_SHARE: f64 = 0.25;
const THICK_UM: f64 = 100.0;
/// Path between two deposits, micrometre.
const STEP_UM: f64 = 2.0;

/// Electrons that the events of `minutes` leave in a CCD, `[ny, nx]`.
pub fn rain(arm: &Arm, minutes: f64, rng: &mut impl Rng) -> Array2<f32> {
    let area = (arm.nx as f64 * arm.pixel_um * 1e-4) * (arm.ny as f64 * arm.pixel_um * 1e-4);
    let mut charge = Array2::zeros((arm.ny, arm.nx));
    let events = Poisson::new(RATE * area * minutes).map_or(0, |p| p.sample(rng) as usize);
    for _ in 0..events {
        if arm.thickness_um > THICK_UM && rng.random_bool(WORM_SHARE) {
            worm(&mut charge, arm, rng);
        } else {
            muon(&mut charge, arm, rng);
        }
    }
    charge
}

/// A straight track through the whole thickness. Muons arrive as cos² of the zenith angle; the CCD is taken
/// to stand upright or lie in equal shares of directions, so that the inclination is uniform in its cosine.
fn muon(charge: &mut Array2<f32>, arm: &Arm, rng: &mut impl Rng) {
    let cosine = rng.random_range(0.05..1.0f64);
    let length = arm.thickness_um / cosine;
    let (sin, direction) = ((1.0 - cosine * cosine).sqrt(), rng.random_range(0.0..std::f64::consts::TAU));
    let (dx, dy) = (sin * direction.cos(), sin * direction.sin());
    let (mut x, mut y) = start(arm, rng);
    let steps = (length / STEP_UM).ceil();
    for _ in 0..steps as usize {
        deposit(charge, (x, y), ELECTRONS_PER_UM * length / steps, rng);
        x += dx * length / steps / arm.pixel_um;
        y += dy * length / steps / arm.pixel_um;
    }
}

/// A slow electron that scatters at every step and stops in the silicon.
fn worm(charge: &mut Array2<f32>, arm: &Arm, rng: &mut impl Rng) {
    let length = arm.thickness_um * (0.2 + rng.sample::<f64, _>(Exp1));
    let mut direction = rng.random_range(0.0..std::f64::consts::TAU);
    let (mut x, mut y) = start(arm, rng);
    for _ in 0..(length / STEP_UM).ceil() as usize {
        deposit(charge, (x, y), ELECTRONS_PER_UM * STEP_UM, rng);
        direction += 0.25 * rng.sample::<f64, _>(StandardNormal);
        x += direction.cos() * STEP_UM / arm.pixel_um;
        y += direction.sin() * STEP_UM / arm.pixel_um;
    }
}

fn start(arm: &Arm, rng: &mut impl Rng) -> (f64, f64) {
    (rng.random_range(-0.5..arm.nx as f64 - 0.5), rng.random_range(-0.5..arm.ny as f64 - 0.5))
}

/// Energy loss fluctuates from step to step (taken as exponential, the tail of knock-on electrons included),
/// and the charge spreads.
fn deposit(charge: &mut Array2<f32>, (x, y): (f64, f64), mean: f64, rng: &mut impl Rng) {
    let electrons = mean * rng.sample::<f64, _>(Exp1);
    let dx: f64 = rng.sample(StandardNormal);
    let dy: f64 = rng.sample(StandardNormal);
    let (column, row) = ((x + DIFFUSION * dx).round(), (y + DIFFUSION * dy).round());
    if row < 0.0 || column < 0.0 {
        return;
    }
    if let Some(pixel) = charge.get_mut((row as usize, column as usize)) {
        *pixel += electrons as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instrument::Instrument, random};

    #[test]
    fn the_rain_has_the_rate_and_charge_of_muons() {
        let mut arm = Instrument::load("desi").unwrap().arms.z;
        let charge = rain(&arm, 1.0, &mut random::stream(1, "test", &[]));
        let area = arm.nx as f64 * arm.ny as f64 * 15e-4 * 15e-4;
        // mean path of the muons: thickness times the mean of 1/cosine, of the worms 1.2 times the thickness
        let muon = arm.thickness_um * 20f64.ln() / 0.95;
        let expected = RATE * area * ELECTRONS_PER_UM * (0.75 * muon + 0.25 * 1.2 * arm.thickness_um);
        let ratio = f64::from(charge.sum()) / expected;
        // 115 events whose charges scatter by a factor of two each: 20 % is two sigma
        assert!((0.6..1.4).contains(&ratio), "{ratio}");
        arm.thickness_um = 40.0;
        let thin = rain(&arm, 1.0, &mut random::stream(1, "test", &[]));
        let hit = |c: &Array2<f32>| c.iter().filter(|v| **v > 0.0).count();
        assert!(hit(&thin) * 2 < hit(&charge));
    }
}

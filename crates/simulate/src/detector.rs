//! The CCD: what the electrons of an exposure become with dark current, defects, cosmic rays and read noise.

use crate::{cosmics, instrument::Arm, random};
use datamodel::{Camera, mask::ccd};
use ndarray::{Array2, ArrayViewMut2, Axis, Zip};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson, StandardNormal};
use rayon::prelude::*;

/// Rows that share a stream of random numbers.
const BLOCK: usize = 64;
/// Relative scatter of read noise and gain from amplifier to amplifier.
const AMPLIFIER_RMS: f64 = 0.05;
/// Read-out time in minutes, during which cosmic rays hit too (half of it on average).
const READOUT_MINUTES: f64 = 0.5;
/// Response of a dead column.
const DEAD_RESPONSE: f64 = 0.02;
/// ADU at which the converter saturates.
pub const SATURATION_ADU: f64 = 65_535.0;

/// One of the four amplifiers: A lower left, B lower right, C upper left, D upper right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amplifier {
    /// Electrons per ADU.
    pub gain: f64,
    /// Read noise in electrons.
    pub read_noise: f64,
    /// Bias level in ADU.
    pub bias: f64,
}

/// A CCD and its defects; they depend on the seed and the camera only.
#[derive(Debug, Clone)]
pub struct Detector {
    /// Geometry and figures.
    pub arm: Arm,
    /// A, B, C, D.
    pub amplifiers: [Amplifier; 4],
    /// Share of the light that each pixel keeps.
    pub response: Array2<f32>,
    /// Dark current of each pixel, electrons per second.
    pub dark: Array2<f32>,
    /// The defects that calibration exposures show: HOT, DEAD, BAD.
    pub mask: Array2<u32>,
    seed: u64,
    camera: Camera,
}

/// The electrons of an exposure before read-out.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Electrons, whole numbers but for those of cosmic rays.
    pub electrons: Array2<f32>,
    /// The part that cosmic rays left.
    pub cosmics: Array2<f32>,
}

impl Detector {
    /// The CCD of a camera.
    pub fn new(arm: &Arm, camera: Camera, seed: u64) -> Self {
        let mut rng = random::stream(seed, "detector", &[random::camera_key(camera)]);
        let scatter =
            |rng: &mut ChaCha8Rng| 1.0 + AMPLIFIER_RMS * rng.sample::<f64, _>(StandardNormal).clamp(-3.0, 3.0);
        let amplifiers = std::array::from_fn(|_| Amplifier {
            gain: arm.gain * scatter(&mut rng),
            read_noise: arm.read_noise * scatter(&mut rng),
            bias: arm.bias * scatter(&mut rng),
        });
        let mut detector = Self {
            arm: arm.clone(),
            amplifiers,
            response: Array2::ones((arm.ny, arm.nx)),
            dark: Array2::from_elem((arm.ny, arm.nx), (arm.dark_per_hour / 3600.0) as f32),
            mask: Array2::zeros((arm.ny, arm.nx)),
            seed,
            camera,
        };
        detector.add_hot_pixels(&mut rng);
        detector.add_bad_columns(&mut rng);
        detector
    }

    fn add_hot_pixels(&mut self, rng: &mut ChaCha8Rng) {
        let n = (self.arm.hot_pixels * self.mask.len() as f64).round() as usize;
        for _ in 0..n {
            let at = [rng.random_range(0..self.arm.ny), rng.random_range(0..self.arm.nx)];
            // 0.1 to 10 electrons per second, as many in each decade
            self.dark[at] = 10f32.powf(rng.random_range(-1.0..1.0));
            self.mask[at] |= ccd::HOT;
        }
    }

    /// A charge trap spoils its column from its row to the edge that is read last: dead or leaking.
    fn add_bad_columns(&mut self, rng: &mut ChaCha8Rng) {
        let n = Poisson::new(self.arm.bad_columns.max(1e-9)).map_or(0.0, |p| p.sample(rng)) as usize;
        let middle = self.arm.ny / 2;
        for _ in 0..n.max(usize::from(self.arm.bad_columns >= 1.0)) {
            let (x, y, dead) =
                (rng.random_range(0..self.arm.nx), rng.random_range(0..self.arm.ny), rng.random_bool(0.5));
            let rows = if y < middle { y..middle } else { middle..y + 1 };
            for y in rows {
                self.mask[[y, x]] |= ccd::BAD | if dead { ccd::DEAD } else { ccd::HOT };
                if dead { self.response[[y, x]] = DEAD_RESPONSE as f32 } else { self.dark[[y, x]] = 0.5 }
            }
        }
    }

    /// Index of the amplifier that reads a pixel.
    pub fn amplifier_of(&self, y: usize, x: usize) -> usize {
        2 * usize::from(y >= self.arm.ny / 2) + usize::from(x >= self.arm.nx / 2)
    }

    /// Read noise of each pixel in electrons.
    pub fn read_noise(&self) -> Array2<f32> {
        Array2::from_shape_fn((self.arm.ny, self.arm.nx), |(y, x)| {
            self.amplifiers[self.amplifier_of(y, x)].read_noise as f32
        })
    }

    /// Electrons of each pixel at which its amplifier saturates.
    pub fn saturation(&self, y: usize, x: usize) -> f32 {
        let amp = self.amplifiers[self.amplifier_of(y, x)];
        ((SATURATION_ADU - amp.bias) * amp.gain) as f32
    }

    pub(crate) fn rng(&self, purpose: &str, expid: u32, block: usize) -> ChaCha8Rng {
        random::stream(self.seed, purpose, &[u64::from(expid), random::camera_key(self.camera), block as u64])
    }

    /// Collects the expected `light` (electrons) of an exposure: Poisson noise, dark current, cosmic rays.
    pub fn expose(&self, light: &Array2<f64>, seconds: f64, expid: u32) -> Charge {
        let minutes = seconds / 60.0 + 0.5 * READOUT_MINUTES;
        let cosmics = cosmics::rain(&self.arm, minutes, &mut self.rng("cosmics", expid, 0));
        let mut electrons = cosmics.clone();
        blocks(&mut electrons).into_par_iter().for_each(|(block, mut rows)| {
            let mut rng = self.rng("photons", expid, block);
            for ((y, x), pixel) in rows.indexed_iter_mut() {
                let at = [block * BLOCK + y, x];
                let mean = light[at] * f64::from(self.response[at]) + f64::from(self.dark[at]) * seconds;
                *pixel += poisson(mean, &mut rng) as f32;
            }
        });
        Charge { electrons, cosmics }
    }

    /// Read noise in electrons, `[ny, nx]`.
    pub fn noise(&self, expid: u32) -> Array2<f32> {
        let mut noise = self.read_noise();
        blocks(&mut noise).into_par_iter().for_each(|(block, mut rows)| {
            let mut rng = self.rng("read noise", expid, block);
            rows.iter_mut().for_each(|v| *v *= rng.sample::<f32, _>(StandardNormal));
        });
        noise
    }

    /// Which pixels cosmic rays left more than `nsigma` of the noise in.
    pub fn struck(&self, charge: &Charge, light: &Array2<f64>, nsigma: f32) -> Array2<bool> {
        let noise = self.read_noise();
        Zip::from(&charge.cosmics)
            .and(light)
            .and(&noise)
            .map_collect(|&c, &l, &n| c > nsigma * (l.max(0.0) as f32 + n * n).sqrt())
    }
}

/// The image in blocks of rows, numbered.
fn blocks(image: &mut Array2<f32>) -> Vec<(usize, ArrayViewMut2<'_, f32>)> {
    image.axis_chunks_iter_mut(Axis(0), BLOCK).enumerate().collect()
}

fn poisson(mean: f64, rng: &mut ChaCha8Rng) -> f64 {
    Poisson::new(mean).map_or(0.0, |p| p.sample(rng))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::Instrument;
    use datamodel::Band;

    fn detector() -> Detector {
        let mut arm = Instrument::load("mini").unwrap().arms.r;
        (arm.nx, arm.ny) = (200, 600);
        arm.dark_per_hour = 0.0;
        Detector::new(&arm, Camera::new(Band::R, 0), 5)
    }

    #[test]
    fn noise_is_that_of_photons_and_of_the_amplifiers() {
        let detector = detector();
        let light = Array2::from_elem((600, 200), 40.0);
        let charge = detector.expose(&light, 0.0, 7);
        let image = &charge.electrons + &detector.noise(7) - &charge.cosmics;
        let noise = detector.read_noise();
        let good = |y: usize, x: usize| detector.mask[[y, x]] == 0;
        let pulls: Vec<f64> = image
            .indexed_iter()
            .filter(|((y, x), _)| good(*y, *x))
            .map(|((y, x), v)| (f64::from(*v) - 40.0) / (40.0 + f64::from(noise[[y, x]]).powi(2)).sqrt())
            .collect();
        let n = pulls.len() as f64;
        let mean = pulls.iter().sum::<f64>() / n;
        let width = (pulls.iter().map(|p| p * p).sum::<f64>() / n - mean * mean).sqrt();
        assert!(mean.abs() * n.sqrt() < 4.0, "mean is {} sigma off", mean * n.sqrt());
        assert!((width - 1.0).abs() * (2.0 * n).sqrt() < 4.0, "width {width}");
    }

    #[test]
    fn threads_change_nothing_and_exposures_differ() {
        let detector = detector();
        let light = Array2::from_elem((600, 200), 3.0);
        let run = |threads: usize, expid: u32| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| detector.expose(&light, 1000.0, expid).electrons + detector.noise(expid))
        };
        assert_eq!(run(1, 7), run(3, 7));
        assert_ne!(run(2, 7), run(2, 8));
    }
}

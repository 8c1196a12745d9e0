//! Raw frames made here, so that every number in them is known.
#![allow(dead_code)]

use datamodel::{Header, raw::RawImage};
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Trimmed rows and columns of the frames.
pub const NY: usize = 400;
pub const NX: usize = 120;
/// Overscan columns of an amplifier.
pub const OVER: usize = 32;

/// An amplifier of a frame: a column half and the rows it reads.
pub struct Amp {
    pub suffix: char,
    pub right: bool,
    pub rows: (usize, usize),
    pub bias: f64,
    pub gain: f64,
    pub noise: f64,
}

pub fn four() -> Vec<Amp> {
    let half = NY / 2;
    vec![
        Amp { suffix: 'A', right: false, rows: (0, half), bias: 1200.0, gain: 1.1, noise: 3.0 },
        Amp { suffix: 'B', right: true, rows: (0, half), bias: 1400.5, gain: 0.9, noise: 2.5 },
        Amp { suffix: 'C', right: false, rows: (half, NY), bias: 1100.0, gain: 1.3, noise: 3.5 },
        Amp { suffix: 'D', right: true, rows: (half, NY), bias: 1300.0, gain: 1.0, noise: 2.8 },
    ]
}

/// Two amplifiers with the suffixes of 2016, each reading a half of the columns.
pub fn two() -> Vec<Amp> {
    vec![
        Amp { suffix: '1', right: false, rows: (0, NY), bias: 1200.0, gain: 1.1, noise: 3.0 },
        Amp { suffix: '2', right: true, rows: (0, NY), bias: 1400.0, gain: 0.9, noise: 2.5 },
    ]
}

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}

/// Left data, left overscan, right overscan, right data.
pub fn frame(amps: &[Amp], electrons: &Array2<f64>, level: impl Fn(usize) -> f64, seed: u64) -> RawImage {
    let ny = electrons.nrows();
    let mut rng = rng(seed);
    let half = NX / 2;
    let mut adu = Array2::zeros((ny, NX + 2 * OVER));
    let mut header = Header::new();
    header.set("CAMERA", "r0", "").set("EXPTIME", 100.0, "");
    for amp in amps {
        let data = if amp.right { half + 2 * OVER } else { 0 };
        let bias = if amp.right { half + OVER } else { half };
        let ccd = if amp.right { half } else { 0 };
        for y in amp.rows.0..if amp.rows.1 == NY { ny } else { amp.rows.1 } {
            for x in (data..data + half).chain(bias..bias + OVER) {
                let light = if (data..data + half).contains(&x) { electrons[[y, x - data + ccd]] } else { 0.0 };
                let value = amp.bias + level(y) + (light + amp.noise * normal(&mut rng)) / amp.gain;
                adu[[y, x]] = value.round().clamp(0.0, 65535.0) as i32;
            }
        }
        let section = |x0: usize, n: usize| format!("[{}:{}, {}:{}]", x0 + 1, x0 + n, amp.rows.0 + 1, amp.rows.1);
        let key = |name: &str| format!("{name}{}", amp.suffix);
        header.set(&key("DATASEC"), section(data, half), "").set(&key("BIASSEC"), section(bias, OVER), "");
        header.set(&key("CCDSEC"), section(ccd, half), "");
        header.set(&key("GAIN"), amp.gain, "").set(&key("RDNOISE"), amp.noise, "");
    }
    RawImage { header, adu }
}

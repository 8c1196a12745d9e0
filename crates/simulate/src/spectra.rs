//! The model spectra of the targets.

use crate::targets::Class;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// A model.
pub struct Model {
    /// Rest-frame vacuum Angstrom.
    pub wave: Vec<f64>,
    /// Per Angstrom, arbitrary units.
    pub flux: Vec<f64>,
    /// GALAXY, QSO or STAR.
    pub spectype: String,
    /// Of a star its type.
    pub subtype: String,
}

/// Where the models come from.
pub struct Spectra {}

impl Spectra {
    /// The models of a folder of redrock templates, or the built-in ones.
    pub fn load(_folder: Option<&std::path::Path>) -> datamodel::Result<Self> {
        Ok(Self {})
    }

    /// A model for a target of a class at redshift `z`; none for the sky.
    pub fn draw(&self, class: Class, _z: f64, rng: &mut ChaCha8Rng) -> Option<Model> {
        let wave: Vec<f64> = (0..30000).map(|i| 800.0 * 10f64.powf(1e-4 * f64::from(i) * 0.4)).collect();
        let (spectype, lines): (&str, &[(f64, f64, f64)]) = match class {
            Class::Sky | Class::Unassigned => return None,
            Class::Standard | Class::Star => ("STAR", &[(6564.6, -0.4, 8.0), (4862.7, -0.5, 8.0), (4341.7, -0.5, 8.0), (4102.9, -0.5, 8.0), (3934.8, -0.5, 4.0), (3969.6, -0.6, 5.0)]),
            Class::Qso => ("QSO", &[(1215.67, 4.0, 15.0), (1549.0, 2.0, 15.0), (1908.0, 1.2, 18.0), (2799.0, 1.2, 22.0), (4862.7, 1.5, 40.0), (5008.2, 1.5, 10.0), (6564.6, 4.0, 50.0)]),
            Class::Elg => ("GALAXY", &[(3728.5, 20.0, 1.8), (5008.2, 15.0, 1.8), (4960.3, 5.0, 1.8), (4862.7, 6.0, 1.8), (6564.6, 18.0, 2.0)]),
            _ => ("GALAXY", &[(3934.8, -0.5, 5.0), (3969.6, -0.5, 5.0), (4305.0, -0.25, 12.0), (5176.0, -0.25, 12.0), (5895.0, -0.2, 6.0), (3728.5, 0.5, 2.5), (6564.6, 1.0, 3.0)]),
        };
        let slope = rng.random_range(-0.5..0.5);
        let flux = wave.iter().map(|&w| {
            let c = match spectype { "GALAXY" if w < 4000.0 => 0.55, _ => 1.0 } * (w / 5000.0f64).powf(slope);
            c * (1.0 + lines.iter().map(|(l, a, s)| a * (-0.5 * ((w - l) / s).powi(2)).exp()).sum::<f64>()).max(0.02)
        }).collect();
        Some(Model { wave, flux, spectype: spectype.into(), subtype: if spectype == "STAR" { "F".into() } else { String::new() } })
    }

    /// Transmission of the intergalactic medium.
    pub fn igm(&self, _class: Class, _z: f64, _wave: f64) -> f64 {
        1.0
    }
}

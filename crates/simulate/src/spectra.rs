//! The model spectra of the targets.

use crate::targets::Class;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use templates::{
    Igm, igm,
    models::{Kind, Library, ModelSpectrum},
};

/// Where the models come from.
pub struct Spectra {
    library: Library,
}

impl Spectra {
    /// The models of a folder of redrock templates, or the built-in ones.
    ///
    /// # Errors
    /// [`datamodel::Error`] if the folder's files are no templates.
    pub fn load(folder: Option<&Path>) -> datamodel::Result<Self> {
        let library = folder.map_or_else(|| Ok(Library::builtin()), Library::from_folder)?;
        Ok(Self { library })
    }

    /// A model of a class at rest; none for a fibre without a source.
    pub fn draw(&self, class: Class, rng: &mut ChaCha8Rng) -> Option<ModelSpectrum> {
        let kind = match class {
            Class::Sky | Class::Unassigned => return None,
            Class::Standard => Kind::Standard,
            Class::Bgs => Kind::Bgs,
            Class::Lrg => Kind::Lrg,
            Class::Elg => Kind::Elg,
            Class::Qso => Kind::Qso,
            Class::Star => Kind::Star,
        };
        Some(self.library.draw(kind, &mut || rng.random_range(0.0..1.0)))
    }
}

/// Mean transmission of the intergalactic medium towards a source at redshift `z` at an observed wavelength.
pub fn intergalactic(z: f64, wave: f64) -> f64 {
    igm::transmission(Igm::Calura12, z, wave)
}

//! The instrument as a TOML file says it: telescope, slit, arms.

use datamodel::{Band, FIBERS_PER_SPECTROGRAPH};
use serde::Deserialize;
use std::path::Path;

/// A multi-fibre spectrograph.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    /// Its name.
    pub name: String,
    /// Number of spectrographs.
    pub spectrographs: u8,
    /// Bundles of the full slit.
    pub slit_bundles: usize,
    /// Bundles that this instrument has, counted from the slit's start.
    pub bundles: usize,
    /// Fibres of a bundle.
    pub fibers_per_bundle: usize,
    /// Expected share of fibres without light.
    pub dead_fibers: f64,
    /// Relative scatter of the fibres' throughput.
    pub throughput_rms: f64,
    /// Relative scatter of its slope from the middle to the ends of an arm.
    pub colour_rms: f64,
    /// Share of the fibres that look at the sky.
    pub sky_share: f64,
    /// Share of the fibres that look at standard stars.
    pub standard_share: f64,
    /// The telescope.
    pub telescope: Telescope,
    /// The arms.
    pub arms: Arms,
}

/// What feeds the fibres.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Telescope {
    /// Collecting area in cm2.
    pub area_cm2: f64,
    /// Diameter of a fibre on the sky in arcsec.
    pub fiber_diameter_arcsec: f64,
    /// Micrometres on the focal plane per arcsec.
    pub plate_scale_um_arcsec: f64,
    /// Radius of the field that the fibres reach, degrees.
    pub field_radius_deg: f64,
    /// Share of a point source's light that a centred fibre takes in at 6500 Angstrom in median seeing.
    pub acceptance: f64,
    /// Scatter of the positioners in each axis, micrometre.
    pub positioner_rms_um: f64,
}

/// The three arms.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Arms {
    /// Blue.
    pub b: Arm,
    /// Red.
    pub r: Arm,
    /// Near infrared.
    pub z: Arm,
}

/// Optics and CCD of an arm.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Columns of the trimmed CCD.
    pub nx: usize,
    /// Rows.
    pub ny: usize,
    /// Size of a pixel, micrometre.
    pub pixel_um: f64,
    /// Prescan columns of an amplifier.
    pub prescan: usize,
    /// Overscan columns of an amplifier.
    pub overscan: usize,
    /// Parallel overscan rows of an amplifier.
    pub overscan_rows: usize,
    /// Wavelength (vacuum Angstrom) of the slit's middle at y = 0, ny/4, ny/2, 3ny/4 and ny.
    pub wave: [f64; 5],
    /// Pixels in y by which the slit's ends lie above its middle, at the shortest and at the longest wavelength.
    pub smile: [f64; 2],
    /// Column of the slit's middle.
    pub centre: f64,
    /// Pixels between neighbouring fibres.
    pub spacing: f64,
    /// Pixels between the last fibre of a bundle and the first of the next.
    pub gap: f64,
    /// Relative growth of the slit's image from y = 0 to the top, cubic in y.
    pub bend: f64,
    /// Legendre coefficients in wavelength of the spot's width across the dispersion, pixels.
    pub sigma_x: Vec<f64>,
    /// The same along the dispersion.
    pub sigma_y: Vec<f64>,
    /// Read noise in electrons.
    pub read_noise: f64,
    /// Dark current in electrons per hour and pixel.
    pub dark_per_hour: f64,
    /// Electrons per ADU.
    pub gain: f64,
    /// Bias level in ADU.
    pub bias: f64,
    /// Thickness of the silicon that cosmic rays cross, micrometre.
    pub thickness_um: f64,
    /// Share of pixels that are hot.
    pub hot_pixels: f64,
    /// Expected number of bad columns.
    pub bad_columns: f64,
    /// (Angstrom, throughput) of everything from the atmosphere's foot to the CCD's electrons, less the fibre's
    /// acceptance.
    pub throughput: Vec<[f64; 2]>,
}

/// An instrument file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstrumentError {
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] datamodel::Error),
    /// The file is no valid instrument.
    #[error("{name}: {reason}")]
    Invalid {
        /// The file, or the built-in instrument.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl Instrument {
    /// The built-in instrument `desi` or `mini`, or one from a TOML file.
    ///
    /// # Errors
    /// [`InstrumentError`] if there is no such file or its content makes no instrument.
    pub fn load(name: &str) -> Result<Self, InstrumentError> {
        match name {
            "desi" => Self::parse(name, include_str!("../instruments/desi.toml")),
            "mini" => Self::parse(name, include_str!("../instruments/mini.toml")),
            file => {
                let path = Path::new(file);
                let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
                    std::io::ErrorKind::NotFound => datamodel::Error::Missing { path: path.to_path_buf() },
                    _ => datamodel::Error::Io { path: path.to_path_buf(), action: "read", source },
                })?;
                Self::parse(file, &text)
            }
        }
    }

    fn parse(name: &str, text: &str) -> Result<Self, InstrumentError> {
        let invalid = |reason: String| InstrumentError::Invalid { name: name.to_string(), reason };
        let instrument: Self = toml::from_str(text).map_err(|e| invalid(e.to_string()))?;
        instrument.check().map_err(invalid)?;
        Ok(instrument)
    }

    fn check(&self) -> Result<(), String> {
        let need = |good: bool, what: &str| if good { Ok(()) } else { Err(what.to_string()) };
        need((1..=10).contains(&self.spectrographs), "spectrographs must be 1 to 10")?;
        need((1..=self.slit_bundles).contains(&self.bundles), "bundles must be 1 to slit_bundles")?;
        need(self.fibers_per_bundle >= 1 && self.nfiber() <= FIBERS_PER_SPECTROGRAPH, "there must be 1 to 500 fibres")?;
        need(self.sky_share + self.standard_share <= 1.0, "sky_share and standard_share exceed 1")?;
        for (band, arm) in Band::ALL.map(|b| (b, self.arm(b))) {
            arm.check().map_err(|what| format!("arms.{band}: {what}"))?;
        }
        Ok(())
    }

    /// Fibres of a spectrograph.
    pub fn nfiber(&self) -> usize {
        self.bundles * self.fibers_per_bundle
    }

    /// Optics and CCD of an arm.
    pub fn arm(&self, band: Band) -> &Arm {
        match band {
            Band::B => &self.arms.b,
            Band::R => &self.arms.r,
            Band::Z => &self.arms.z,
        }
    }
}

impl Arm {
    fn check(&self) -> Result<(), String> {
        let need = |good: bool, what: &str| if good { Ok(()) } else { Err(what.to_string()) };
        need(
            self.nx >= 16 && self.ny >= 16 && self.nx.is_multiple_of(2) && self.ny.is_multiple_of(2),
            "nx and ny must be even and at least 16",
        )?;
        need(self.wave.windows(2).all(|w| w[0] < w[1]), "wave must ascend")?;
        need(!self.sigma_x.is_empty() && !self.sigma_y.is_empty(), "sigma_x and sigma_y must have a coefficient")?;
        need(self.read_noise > 0.0 && self.gain > 0.0, "read_noise and gain must be positive")?;
        need(
            self.throughput.len() >= 2 && self.throughput.windows(2).all(|w| w[0][0] < w[1][0]),
            "throughput must ascend in wavelength",
        )
    }

    /// Throughput at a wavelength (Angstrom).
    pub fn throughput_at(&self, wave: f64) -> f64 {
        let (x, y): (Vec<f64>, Vec<f64>) = self.throughput.iter().map(|p| (p[0], p[1])).unzip();
        numerics::interp::linear(wave, &x, &y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_instruments_load_and_bad_ones_are_named() {
        let desi = Instrument::load("desi").unwrap();
        assert_eq!((desi.nfiber(), desi.arms.r.nx, desi.arms.r.ny), (500, 4114, 4128));
        let mini = Instrument::load("mini").unwrap();
        assert_eq!(mini.nfiber(), 50);
        assert_eq!(mini.arms.z.wave, desi.arms.z.wave);
        let error = Instrument::load("/no/such.toml").unwrap_err();
        assert_eq!(error.to_string(), "/no/such.toml: no such file");
        let text = include_str!("../instruments/mini.toml").replace("wave = [5608.3, 6186.2", "wave = [6608.3, 6186.2");
        assert_eq!(Instrument::parse("x.toml", &text).unwrap_err().to_string(), "x.toml: arms.r: wave must ascend");
    }
}

//! A grey plane-parallel atmosphere in hydrostatic and local thermodynamic equilibrium, and its continuous
//! opacity (Gray 2005, The Observation and Analysis of Stellar Photospheres, chapters 8 and 9).

use super::exponential::exp;
use super::{BOLTZMANN, HC_OVER_K};

/// Number of helium atoms per hydrogen nucleus.
const HELIUM: f64 = 0.085;
/// Mass per hydrogen nucleus in g, helium included.
const MASS: f64 = 1.6735e-24 * 1.38;
/// Ionisation energy of hydrogen, eV.
pub(crate) const RYDBERG_EV: f64 = 13.598;
/// k in eV/K.
pub(crate) const BOLTZMANN_EV: f64 = 8.617333e-5;
/// log10 of the optical depths at 5000 A of the first and the last layer, and how many there are.
const DEPTHS: (f64, f64, usize) = (-4.5, 1.5, LAYERS);
/// Number of layers of an atmosphere.
pub(crate) const LAYERS: usize = 24;

/// Parameters of a star.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Star {
    /// Effective temperature, K.
    pub teff: f64,
    /// log10 of the surface gravity in cm/s2.
    pub logg: f64,
    /// Metals relative to the Sun, dex.
    pub feh: f64,
}

impl Star {
    /// The Sun.
    pub const SUN: Star = Star { teff: 5772.0, logg: 4.44, feh: 0.0 };
}

/// An element: what ionisation needs to know. Abundances by number relative to H from Asplund et al. 2009
/// (ARA&A 47, 481), ionisation energies from NIST, ratios of partition functions from Gray 2005, appendix D.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    pub abundance: f64,
    /// Energies of the first and second ionisation, eV.
    pub ionisation: [f64; 2],
    /// Partition function of each ion over that of the stage before it.
    pub partition: [f64; 2],
}

macro_rules! elements {
    ($($name:ident: $a:expr, $i1:expr, $i2:expr, $u1:expr, $u2:expr;)*) => {
        $(pub(crate) const $name: Element = Element { abundance: $a, ionisation: [$i1, $i2], partition: [$u1, $u2] };)*
    };
}
elements! {
    CARBON: 2.69e-4, 11.260, 24.383, 0.63, 0.17;
    OXYGEN: 4.90e-4, 13.618, 35.117, 0.44, 2.1;
    SODIUM: 1.74e-6, 5.139, 47.286, 0.48, 6.0;
    MAGNESIUM: 3.98e-5, 7.646, 15.035, 2.0, 0.5;
    ALUMINIUM: 2.82e-6, 5.986, 18.829, 0.17, 2.0;
    SILICON: 3.24e-5, 8.152, 16.346, 0.61, 0.18;
    POTASSIUM: 1.07e-7, 4.341, 31.63, 0.46, 6.0;
    CALCIUM: 2.19e-6, 6.113, 11.872, 1.8, 0.46;
    TITANIUM: 8.91e-8, 6.828, 13.576, 1.9, 0.7;
    CHROMIUM: 4.37e-7, 6.767, 16.486, 0.7, 3.5;
    MANGANESE: 2.69e-7, 7.434, 15.640, 1.2, 0.8;
    IRON: 3.16e-5, 7.902, 16.188, 1.6, 0.6;
    NICKEL: 1.66e-6, 7.640, 18.169, 0.36, 0.9;
    STRONTIUM: 7.41e-10, 5.695, 11.030, 1.8, 0.46;
    BARIUM: 1.51e-10, 5.212, 10.004, 1.6, 0.24;
}
/// The metals that give free electrons to cool gas.
const DONORS: [Element; 9] = [CARBON, SODIUM, MAGNESIUM, ALUMINIUM, SILICON, POTASSIUM, CALCIUM, IRON, NICKEL];

/// N(r+1) P_e / N(r) in dyn/cm2 (Saha; Gray 2005, equation 1.21).
fn saha(partition: f64, energy: f64, temperature: f64) -> f64 {
    0.6665
        * partition
        * temperature
        * temperature
        * temperature.sqrt()
        * libm::exp(-energy / (BOLTZMANN_EV * temperature))
}

/// The state of the gas in one layer; densities are per hydrogen nucleus.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    /// Optical depth of the continuum at 5000 A.
    pub tau: f64,
    /// K.
    pub temperature: f64,
    /// Gas pressure, dyn/cm2.
    pub pressure: f64,
    /// Electron pressure, dyn/cm2.
    pub electron_pressure: f64,
    /// Fraction of hydrogen that is neutral.
    pub neutral: f64,
}

impl Layer {
    fn new(tau: f64, temperature: f64, pressure: f64, metals: f64) -> Self {
        let hydrogen = saha(0.5, RYDBERG_EV, temperature);
        let donors = DONORS.map(|e| (metals * e.abundance, saha(e.partition[0], e.ionisation[0], temperature)));
        // electrons per nucleus grow as the electron pressure falls: bisection of its logarithm
        let (mut low, mut high) = (libm::log(pressure * 1e-12), libm::log(pressure * 0.5));
        for _ in 0..34 {
            let middle = 0.5 * (low + high);
            let pe = libm::exp(middle);
            let electrons: f64 = donors.iter().map(|(a, k)| a * k / (k + pe)).sum::<f64>() + hydrogen / (hydrogen + pe);
            if (pressure - pe) * electrons / (1.0 + HELIUM) > pe {
                low = middle;
            } else {
                high = middle;
            }
        }
        let electron_pressure = libm::exp(0.5 * (low + high));
        let neutral = electron_pressure / (electron_pressure + hydrogen);
        Self { tau, temperature, pressure, electron_pressure, neutral }
    }

    /// Electrons per cm3.
    pub fn electron_density(&self) -> f64 {
        self.electron_pressure / (BOLTZMANN * self.temperature)
    }

    /// Fraction of an element in the ionisation stage (0 neutral, 1, 2).
    pub(crate) fn fraction(&self, element: &Element, stage: usize) -> f64 {
        let pe = self.electron_pressure;
        let first = saha(element.partition[0], element.ionisation[0], self.temperature) / pe;
        let second = first * saha(element.partition[1], element.ionisation[1], self.temperature) / pe;
        [1.0, first, second][stage.min(2)] / (1.0 + first + second)
    }

    /// Neutral hydrogen in level `n`, per hydrogen nucleus (Boltzmann).
    pub(crate) fn level(&self, n: usize) -> f64 {
        let n2 = (n * n) as f64;
        let energy = RYDBERG_EV * (1.0 - 1.0 / n2);
        self.neutral * n2 * libm::exp(-energy / (BOLTZMANN_EV * self.temperature))
    }

    /// Continuous absorption and scattering in cm2 per hydrogen nucleus at a wavelength in Angstrom.
    pub fn continuum(&self, wave: f64) -> f64 {
        let mut out = [0.0];
        opacities(&[Opacity::new(self)], &Photon::new(wave), &mut out);
        out[0]
    }

    /// The level of hydrogen whose Stark broadening equals its distance from the next (Inglis & Teller 1939,
    /// ApJ 90, 439).
    fn merged_level(&self) -> f64 {
        libm::pow(10.0, (23.26 - libm::log10(self.electron_density())) / 7.5)
    }
}

/// What the opacity of a layer needs at every wavelength.
pub(crate) struct Opacity {
    /// The layer.
    pub layer: Layer,
    /// -hc/k over the temperature, Angstrom.
    exponent: f64,
    /// Absorbers in each level of hydrogen over the fifth power of its number.
    levels: [f64; LEVELS],
    /// The same of the levels above as an integral, and of free electrons.
    unbound: f64,
    /// The level of hydrogen from which on they are dissolved.
    pub merged: f64,
    /// Holtsmark's normal field strength.
    pub field: f64,
    /// What the cross section of H- is multiplied by.
    h_minus: f64,
    /// log10(5040 K / T).
    log_theta: f64,
    electron_scattering: f64,
}

/// Levels of hydrogen that absorb one by one.
const LEVELS: usize = 8;

impl Opacity {
    pub(crate) fn new(layer: &Layer) -> Self {
        let temperature = layer.temperature;
        let kt = BOLTZMANN_EV * temperature;
        // levels above the last as an integral, then free-free
        let above = RYDBERG_EV / ((LEVELS + 1) as f64).powi(2);
        let unbound = layer.neutral * libm::exp((above - RYDBERG_EV) / kt) * kt / (2.0 * RYDBERG_EV);
        let boltzmann = libm::exp(HC_OVER_K * 1e-4 / (H_MINUS_LIMIT * temperature));
        Self {
            layer: *layer,
            exponent: -HC_OVER_K / temperature,
            levels: std::array::from_fn(|n| layer.level(n + 1) / ((n + 1) as f64).powi(5)),
            unbound,
            merged: layer.merged_level(),
            field: 1.25e-9 * libm::pow(layer.electron_density(), 2.0 / 3.0),
            h_minus: 0.750 * boltzmann / (temperature * temperature * temperature.sqrt()),
            log_theta: libm::log10(5040.0 / temperature),
            electron_scattering: 6.652e-25 * layer.electron_pressure / (layer.pressure - layer.electron_pressure)
                * (1.0 + HELIUM),
        }
    }

    /// Continuous absorption and scattering in cm2 per hydrogen nucleus.
    #[inline(always)]
    fn at(&self, photon: &Photon) -> f64 {
        let stimulated = 1.0 - exp(self.exponent / photon.wave);
        let [f0, f1, f2] = photon.free_free;
        let t = self.log_theta;
        let free_free = 1e-26 * exp(std::f64::consts::LN_10 * (f0 + t * (f1 + t * f2)));
        let bound_free = self.h_minus * stimulated * photon.bound_free;
        let h_minus = self.layer.electron_pressure * (bound_free + free_free);
        self.hydrogen(photon.wave) * stimulated
            + self.layer.neutral * (h_minus + photon.rayleigh)
            + self.electron_scattering
    }

    /// Bound-free and free-free absorption of neutral hydrogen (Kramers, Gaunt factors 1; Gray 2005,
    /// equations 8.4-8.10), without stimulated emission.
    #[inline(always)]
    fn hydrogen(&self, wave: f64) -> f64 {
        const ALPHA: f64 = 1.0449e-26; // cm2/Angstrom3
        let mut sum = self.unbound;
        for (n, absorbers) in self.levels.iter().enumerate() {
            let n2 = ((n + 1) * (n + 1)) as f64;
            // redward of the limit, transitions to levels that the plasma has dissolved go on
            let open = 1.0 / n2 - 911.75 / wave;
            sum += if open <= 0.0 { *absorbers } else { (1.0 - survival(1.0 / open.sqrt(), self.merged)) * absorbers };
        }
        ALPHA * wave.powi(3) * sum
    }
}

numerics::dispatch! {
    /// Continuous absorption and scattering of some layers in cm2 per hydrogen nucleus.
    pub(crate) fn opacities(layers: &[Opacity], photon: &Photon, out: &mut [f64]) -> () = all_opacities | all_opacities
}

#[inline(always)]
fn all_opacities(layers: &[Opacity], photon: &Photon, out: &mut [f64]) {
    for (out, layer) in out.iter_mut().zip(layers) {
        *out = layer.at(photon);
    }
}

/// Longest wavelength that takes the electron off H-, micron.
const H_MINUS_LIMIT: f64 = 1.6419;

/// What the continuous opacity of every layer needs at one wavelength.
pub(crate) struct Photon {
    /// Angstrom.
    wave: f64,
    /// Cross section of H-, cm2: bound-free of John 1988 (A&A 193, 189).
    bound_free: f64,
    /// Coefficients of free-free absorption by H- of Bell & Berrington 1987 as fitted by Gray 2005, equation 8.13.
    free_free: [f64; 3],
    /// Rayleigh scattering, cm2 per neutral atom.
    rayleigh: f64,
}

impl Photon {
    pub(crate) fn new(wave: f64) -> Self {
        let micron = wave * 1e-4;
        let mut bound_free = 0.0;
        if micron < H_MINUS_LIMIT {
            let x = (1.0 / micron - 1.0 / H_MINUS_LIMIT).sqrt();
            let f = [152.519, 49.534, -118.858, 92.536, -34.194, 4.982].iter().rev().fold(0.0, |s, c| s * x + c);
            bound_free = 1e-18 * (micron * x).powi(3) * f.max(0.0);
        }
        let l = libm::log10(wave.max(2600.0));
        let f0 = -2.2763 + l * (-1.6850 + l * (0.76661 - 0.053346 * l));
        let f1 = 15.2827 + l * (-9.2846 + l * (1.99381 - 0.142631 * l));
        let f2 = -197.789 + l * (190.266 + l * (-67.9775 + l * (10.6913 - 0.625151 * l)));
        let inverse = 1.0 / (wave * wave);
        let rayleigh = (5.799e-13 + (1.422e-6 + 2.784 * inverse) * inverse) * inverse * inverse;
        Self { wave, bound_free, free_free: [f0, f1, f2], rayleigh: rayleigh.min(1e-23) }
    }
}

/// Fraction of the atoms in which a level exists, where the plasma dissolves those from `merged` on (in the manner
/// of Daeppen, Anderson & Mihalas 1987, ApJ 319, 195).
#[inline(always)]
pub(crate) fn survival(level: f64, merged: f64) -> f64 {
    1.0 / (1.0 + (level / merged).powi(8))
}

/// The layers of a star's atmosphere, outermost first.
pub fn layers(star: &Star) -> [Layer; LAYERS] {
    let metals = libm::pow(10.0, star.feh);
    let gravity = libm::pow(10.0, star.logg) * MASS;
    let (first, last, n) = DEPTHS;
    let mut above: Option<Layer> = None;
    std::array::from_fn(|k| {
        let tau = libm::pow(10.0, first + (last - first) * k as f64 / (n - 1) as f64);
        // grey temperature with Hopf's function to 1e-3 (Mihalas 1978, section 3-3)
        let hopf = 0.7104 - 0.1331 * libm::exp(-3.4488 * tau);
        // lines cool the outermost layers (as in the models of Gustafsson et al. 2008, A&A 486, 951)
        let cooling = 1.0 - 0.11 / (1.0 + libm::pow(tau / 3e-4, 0.8));
        let temperature = star.teff * cooling * libm::pow(0.75 * (tau + hopf), 0.25);
        let mut layer = match above {
            None => Layer::new(tau, temperature, 1e2, metals),
            Some(p) => Layer::new(tau, temperature, p.pressure * (tau / p.tau).sqrt(), metals),
        };
        // dP / dtau = g / kappa; kappa grows about as P: the mean of the two ends, iterated
        let known = above.map(|p| (p, p.continuum(5000.0)));
        for _ in 0..3 {
            let kappa = layer.continuum(5000.0);
            let pressure = match known {
                None => 0.5 * layer.pressure + 0.5 * gravity * tau / kappa,
                Some((p, other)) => p.pressure + gravity * (tau - p.tau) / (kappa * other).sqrt(),
            };
            layer = Layer::new(tau, temperature, pressure, metals);
        }
        above = Some(layer);
        layer
    })
}

/// The layer where lines form, interpolated at an optical depth of the continuum.
pub(crate) fn line_layer(layers: &[Layer]) -> Layer {
    const LINE_DEPTH: f64 = 0.1;
    layers.iter().copied().find(|l| l.tau >= LINE_DEPTH).unwrap_or(layers[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(star: &Star, tau: f64) -> Layer {
        let distance = |l: &Layer| (l.tau / tau).ln().abs();
        layers(star).into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap()
    }

    #[test]
    fn the_solar_photosphere_is_that_of_the_textbook() {
        // Gray 2005, table 9.2 and Vernazza et al. 1981: at tau(5000) = 1 log P = 5.1, log Pe = 1.5-1.8, opacity
        // 0.5-0.9 cm2/g
        let deep = nearest(&Star::SUN, 1.0);
        assert!((deep.pressure.log10() - 5.1).abs() < 0.15, "{deep:?}");
        assert!((deep.electron_pressure.log10() - 1.6).abs() < 0.3, "{deep:?}");
        assert!((0.4..1.1).contains(&(deep.continuum(5000.0) / MASS)), "{}", deep.continuum(5000.0) / MASS);
        assert!(deep.fraction(&IRON, 0) < 0.15 && deep.fraction(&CALCIUM, 1) > 0.95);
    }

    #[test]
    fn the_balmer_jump_is_largest_near_10000_kelvin() {
        let jump = |teff: f64| {
            let l = nearest(&Star { teff, logg: 4.0, feh: 0.0 }, 0.5);
            l.continuum(3600.0) / l.continuum(3900.0)
        };
        assert!(jump(10000.0) > 3.0 && jump(10000.0) > jump(20000.0) && jump(10000.0) > jump(6000.0));
        assert!(jump(10000.0) > 2.0 * jump(6000.0) && jump(5000.0) < 1.2);
    }
}

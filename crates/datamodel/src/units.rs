//! BUNIT of the products, in the form that astropy parses.

/// Of an extracted spectrum and of the sky.
pub const ELECTRON_PER_ANGSTROM: &str = "electron/Angstrom";
/// Of a calibrated spectrum.
pub const FLUX: &str = "10**-17 erg/(s cm2 Angstrom)";
/// Of its inverse variance.
pub const FLUX_IVAR: &str = "10**+34 (s2 cm4 Angstrom2) / erg2";
/// Of the flux calibration: electron/Angstrom per unit of [`FLUX`].
pub const CALIBRATION: &str = "10**+17 cm2 count s / erg";
/// Of a wavelength.
pub const ANGSTROM: &str = "Angstrom";
/// Of a CCD image.
pub const ELECTRON: &str = "electron";

/// Today's unit of a spectrum for what a file says: 2016 files have `photon/bin` (though they were per Angstrom)
/// and `1e-17 erg/(s cm2 A)`.
pub(crate) fn of_spectrum(bunit: Option<&str>) -> &'static str {
    if bunit.is_some_and(|b| b.contains("erg")) { FLUX } else { ELECTRON_PER_ANGSTROM }
}

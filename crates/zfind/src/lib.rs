//! Redshifts and classes of calibrated spectra.

//! Calibrated spectra grouped by brick.

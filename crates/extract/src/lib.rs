//! Spectra, inverse variances and resolution matrices from an image (spectroperfectionism).

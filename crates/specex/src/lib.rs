//! The Gauss-Hermite PSF of every fibre from an arc image.

//! Spectral templates: redrock's file format, and the built-in set.

//! First traces and wavelengths of every fibre from a flat and an arc.

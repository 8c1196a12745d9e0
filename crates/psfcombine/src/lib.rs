//! One PSF for the night from those of its arcs.

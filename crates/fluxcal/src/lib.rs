//! The flux calibration vector of an exposure.

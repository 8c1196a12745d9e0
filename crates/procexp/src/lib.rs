//! Flat, sky and calibration applied to a frame.

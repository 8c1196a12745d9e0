//! Nights of raw data whose truth is known.

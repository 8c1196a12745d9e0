//! The sky spectrum of an exposure and its subtraction.

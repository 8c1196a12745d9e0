//! Models of the standard stars of an exposure.

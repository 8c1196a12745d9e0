//! The Gauss-Hermite spot: traces, evaluation, integration over pixels, projection.

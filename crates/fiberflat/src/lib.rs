//! Fibre-to-fibre throughput from a flat.

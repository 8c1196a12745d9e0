//! `desi_fiberflat`
fn main() {}

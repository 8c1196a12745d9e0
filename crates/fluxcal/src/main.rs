//! `desi_fluxcal`
fn main() {}

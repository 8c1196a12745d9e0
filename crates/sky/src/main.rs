//! `desi_sky`
fn main() {}

//! `desi_stdstars`
fn main() {}

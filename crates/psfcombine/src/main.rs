//! `desi_psfcombine`
fn main() {}

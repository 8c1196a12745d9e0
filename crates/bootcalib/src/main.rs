//! `desi_bootcalib`
fn main() {}

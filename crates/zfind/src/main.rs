//! `desi_zfind`
fn main() {}

//! `desi_specex`
fn main() {}

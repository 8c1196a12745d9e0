//! `desi_preproc`
fn main() {}

//! `desi_simulate`
fn main() {}

//! `desi_procexp`
fn main() {}

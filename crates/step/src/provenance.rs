//! What a product's header says of its making. Nothing here depends on the host, the hour or the folder.

use datamodel::Header;
use std::path::Path;

/// Records the software and its version as DESI does: DEPNAM00, DEPVER00.
pub fn stamp(header: &mut Header) {
    header.set("DEPNAM00", "specmill", "software that made this file");
    header.set("DEPVER00", env!("CARGO_PKG_VERSION"), "its version");
}

/// Records the name of an input file (IN_PSF, IN_IMG ...), without its folder.
pub fn record_input(header: &mut Header, key: &str, path: &Path) {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    header.set(key, name, "input file");
}

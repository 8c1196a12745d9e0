//! FITS files as small as the planner needs them.
#![allow(dead_code)]

/// A fibermap as FITS: BRICKNAME, TARGETID and whether it is a sky fibre, for each row.
pub fn fibermap(flavor: &str, rows: &[(&str, i64, u8)]) -> Vec<u8> {
    let row = |(brick, target, sky): &(&str, i64, u8)| row(brick, *target, *sky);
    table_of(flavor, rows.iter().map(row).collect(), &[])
}

/// The same of targets only: BRICKNAME, TARGETID and PETAL_LOC for each row.
pub fn fibermap_of_petals(flavor: &str, rows: &[(String, i64, u8)]) -> Vec<u8> {
    let row = |(brick, target, petal): &(String, i64, u8)| [row(brick, *target, 0), vec![0, *petal]].concat();
    table_of(flavor, rows.iter().map(row).collect(), &[("TTYPE4", "'PETAL_LOC'"), ("TFORM4", "'I'")])
}

fn row(brick: &str, target: i64, sky: u8) -> Vec<u8> {
    let kind: &[u8] = if sky == 1 { b"SKY" } else { b"TGT" };
    [&target.to_be_bytes(), format!("{brick:<8}").as_bytes(), kind].concat()
}

fn table_of(flavor: &str, rows: Vec<Vec<u8>>, more: &[(&str, &str)]) -> Vec<u8> {
    let (width, count) = (rows.first().map_or(19, Vec::len).to_string(), rows.len().to_string());
    let columns = (3 + more.len() / 2).to_string();
    let mut table = vec![
        ("XTENSION", "'BINTABLE'"),
        ("BITPIX", "8"),
        ("NAXIS", "2"),
        ("NAXIS1", &width),
        ("NAXIS2", &count),
        ("PCOUNT", "0"),
        ("GCOUNT", "1"),
        ("TFIELDS", &columns),
        ("TTYPE1", "'TARGETID'"),
        ("TFORM1", "'K'"),
        ("TTYPE2", "'BRICKNAME'"),
        ("TFORM2", "'8A'"),
        ("TTYPE3", "'OBJTYPE'"),
        ("TFORM3", "'3A'"),
    ];
    table.extend(more);
    let flavor = format!("'{flavor}  '");
    table.extend([("EXTNAME", "'FIBERMAP'"), ("FLAVOR", &flavor)]);
    let mut bytes = header(&[("SIMPLE", "T"), ("BITPIX", "8"), ("NAXIS", "0")]);
    bytes.extend(header(&table));
    bytes.extend(padded(rows.concat(), 0));
    bytes
}

/// A raw exposure with an HDU a camera.
pub fn raw_exposure(cameras: &[&str]) -> Vec<u8> {
    let mut bytes = header(&[("SIMPLE", "T"), ("BITPIX", "8"), ("NAXIS", "0")]);
    for camera in cameras {
        let name = format!("'{}'", camera.to_uppercase());
        let cards = [
            ("XTENSION", "'BINTABLE'"),
            ("BITPIX", "8"),
            ("NAXIS", "2"),
            ("NAXIS1", "8"),
            ("NAXIS2", "1000"),
            ("PCOUNT", "77"),
            ("GCOUNT", "1"),
            ("TFIELDS", "0"),
            ("ZIMAGE", "T"),
            ("EXTNAME", &name),
        ];
        bytes.extend(header(&cards));
        bytes.extend(padded(vec![1; 8077], 0));
    }
    bytes
}

pub fn header(cards: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in cards {
        let card = if value.starts_with('\'') {
            format!("{key:<8}= {value} / text")
        } else {
            format!("{key:<8}= {value:>20}")
        };
        bytes.extend(format!("{card:<80}").as_bytes());
    }
    bytes.extend(format!("{:<80}", "END").as_bytes());
    padded(bytes, b' ')
}

pub fn padded(mut bytes: Vec<u8>, with: u8) -> Vec<u8> {
    bytes.resize(bytes.len().div_ceil(2880) * 2880, with);
    bytes
}

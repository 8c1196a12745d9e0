//! Header cards as text (FITS Standard 4.0, section 4): 80-character records to [`Header`] and back.

use crate::header::{Card, Header, Value};

/// Keywords that describe the file or the layout of an HDU rather than the data. DATE is one of them: it is
/// the hour of writing, which no product carries.
const STRUCTURAL: [&str; 40] = [
    "SIMPLE", "XTENSION", "EXTEND", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", "TFIELDS", "THEAP", "BSCALE",
    "BZERO", "BLANK", "EXTNAME", "EXTVER", "EXTLEVEL", "CHECKSUM", "DATASUM", "DATE", "END", "INHERIT", "LONGSTRN",
    "COMMENT", "HISTORY", "CONTINUE", "ZIMAGE", "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZSIMPLE", "ZTENSION", "ZEXTEND",
    "ZPCOUNT", "ZGCOUNT", "ZHECKSUM", "ZDATASUM", "ZQUANTIZ", "ZDITHER0", "ZBLANK", "",
];
/// The same, followed by a number.
const NUMBERED: [&str; 16] = [
    "NAXIS", "TTYPE", "TFORM", "TUNIT", "TDIM", "TSCAL", "TZERO", "TNULL", "TDISP", "TBCOL", "TCOMM", "TUCD", "ZNAXIS",
    "ZTILE", "ZNAME", "ZVAL",
];

/// Whether a keyword is no part of a [`Header`].
pub(super) fn is_structural(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    STRUCTURAL.contains(&key) || (stem.len() < key.len() && NUMBERED.contains(&stem))
}

/// The header of an HDU's records and its EXTNAME.
pub(super) fn parse(records: &[String]) -> (Header, Option<String>) {
    let mut header = every(records);
    let name = header.str("EXTNAME").map(|n| n.trim().to_string()).filter(|n| !n.is_empty());
    header.retain(|c| !is_structural(&c.key));
    (header, name)
}

/// All cards of an HDU's records, structural ones too, long strings joined. The first card of a keyword counts.
pub(super) fn every(records: &[String]) -> Header {
    let mut header = Header::new();
    let mut i = 0;
    while i < records.len() {
        let (card, used) = parse_card(&records[i..]);
        i += used;
        if let Some(card) = card.filter(|c| header.get(&c.key).is_none()) {
            header.set(&card.key, card.value, &card.comment);
        }
    }
    header
}

/// The first card and how many records it takes; `None` for comments and undefined values.
fn parse_card(records: &[String]) -> (Option<Card>, usize) {
    let Some((key, rest)) = split_key(&records[0]) else { return (None, 1) };
    let Some((mut text, mut comment)) = parse_string(rest) else {
        return (parse_plain(rest).map(|(value, comment)| Card { key, value, comment }), 1);
    };
    let mut used = 1;
    while text.ends_with('&') {
        let Some((more, c)) = records.get(used).and_then(|r| r.strip_prefix("CONTINUE")).and_then(parse_string) else {
            break;
        };
        text.pop();
        text.push_str(&more);
        comment.push_str(&c);
        used += 1;
    }
    (Some(Card { key, value: Value::Str(text.trim_end().to_string()), comment }), used)
}

fn split_key(record: &str) -> Option<(String, &str)> {
    if let Some(rest) = record.strip_prefix("HIERARCH ") {
        let (key, value) = rest.split_once('=')?;
        return Some((key.trim().to_string(), value));
    }
    let (key, value) = (record.get(..8)?, record.get(8..)?);
    Some((key.trim().to_string(), value.strip_prefix("= ")?))
}

/// A quoted string and its comment.
fn parse_string(rest: &str) -> Option<(String, String)> {
    let body = rest.trim_start().strip_prefix('\'')?;
    let mut text = String::new();
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '\'' {
            text.push(c);
        } else if chars.peek().is_some_and(|&(_, next)| next == '\'') {
            text.push('\'');
            chars.next();
        } else {
            return Some((text.trim_end().to_string(), comment_of(&body[at + 1..])));
        }
    }
    Some((text.trim_end().to_string(), String::new()))
}

fn comment_of(rest: &str) -> String {
    rest.trim_start().strip_prefix('/').unwrap_or_default().trim().to_string()
}

/// A logical or number and its comment; `None` if undefined.
fn parse_plain(rest: &str) -> Option<(Value, String)> {
    let (word, comment) = rest.split_once('/').unwrap_or((rest, ""));
    let value = match word.trim() {
        "T" => Value::Bool(true),
        "F" => Value::Bool(false),
        word => match word.parse() {
            Ok(i) => Value::Int(i),
            Err(_) => Value::Float(word.replace(['D', 'd'], "E").parse().ok().filter(|x: &f64| x.is_finite())?),
        },
    };
    Some((value, comment.trim().to_string()))
}

/// The records of a header and the EXTNAME before them, each of 80 ASCII characters.
pub(super) fn format(name: &str, header: &Header) -> Vec<String> {
    let extname = Card { key: "EXTNAME".into(), value: name.into(), comment: String::new() };
    let named = (!name.is_empty()).then_some(&extname);
    let cards = named.into_iter().chain(header.cards().iter().filter(|c| !is_structural(&c.key.to_uppercase())));
    let mut records: Vec<String> = cards.flat_map(format_card).collect();
    if records.iter().any(|r| r.starts_with("CONTINUE")) {
        let convention = Card {
            key: "LONGSTRN".into(),
            value: "OGIP 1.0".into(),
            comment: "long strings continue on further cards".into(),
        };
        records.splice(0..0, format_card(&convention));
    }
    records
}

/// The record of a keyword that [`format`] would leave out, whose value fits on it.
pub(super) fn structural(key: &str, value: impl Into<Value>, comment: &str) -> String {
    structurals(key, value, comment).swap_remove(0)
}

/// The records of one whose value may not.
pub(super) fn structurals(key: &str, value: impl Into<Value>, comment: &str) -> Vec<String> {
    format_card(&Card { key: key.into(), value: value.into(), comment: comment.into() })
}

fn format_card(card: &Card) -> Vec<String> {
    let key = printable(&card.key).to_uppercase();
    let (start, comment) = (start_of(&key), printable(&card.comment));
    let value = match &card.value {
        Value::Bool(b) => if *b { "T" } else { "F" }.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) => number(*x),
        Value::Str(_) => "'&'".to_string(),
    };
    // a value that is cut would be another one
    if start.len() + value.len() > 80 {
        log::warn!("keyword {key} is too long for a FITS header and is left out");
        return vec![];
    }
    if let Value::Str(s) = &card.value {
        return format_string(&start, &printable(s), &comment);
    }
    let width = if start.len() + 20 > 80 { 0 } else { 20 };
    vec![record(&format!("{start}{value:>width$}"), &comment)]
}

/// A keyword and what comes before its value; what the standard's 8 letters, digits, `-` and `_` do not hold is one of ESO's.
fn start_of(key: &str) -> String {
    let standard = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if key.len() <= 8 && key.bytes().all(standard) { format!("{key:<8}= ") } else { format!("HIERARCH {key} = ") }
}

/// The shortest decimal that reads back as the same number; nothing (undefined) for NaN and infinities, which
/// FITS cannot hold.
fn number(x: f64) -> String {
    if !x.is_finite() {
        return String::new();
    }
    let text = format!("{x:?}").replace('e', "E");
    if text.contains('.') { text } else { text.replacen('E', ".0E", 1) }
}

/// A string on one card, or on several that end in `&`.
fn format_string(start: &str, text: &str, comment: &str) -> Vec<String> {
    const LAST: usize = 80 - 2;
    let mut records = Vec::new();
    let mut line = format!("{start}'");
    let escaped: Vec<&str> =
        text.trim_end().split_inclusive(|_| true).map(|c| if c == "'" { "''" } else { c }).collect();
    let mut rest = &escaped[..];
    while line.len() + rest.iter().map(|c| c.len()).sum::<usize>() > LAST + 1 {
        let mut taken = 0;
        while line.len() + rest[taken].len() <= LAST {
            line += rest[taken];
            taken += 1;
        }
        rest = &rest[taken..];
        records.push(record(&(line + "&'"), ""));
        line = "CONTINUE  '".to_string();
    }
    line += &rest.concat();
    if records.is_empty() {
        line = format!("{line:<19}");
    }
    records.push(record(&format!("{:<30}", line + "'"), comment));
    records
}

/// Value and comment on 80 characters; the comment is cut to fit.
pub(super) fn record(value: &str, comment: &str) -> String {
    let text = if comment.is_empty() { value.to_string() } else { format!("{value} / {comment}") };
    format!("{:<80}", text.chars().take(80).collect::<String>())
}

/// FITS headers and tables hold printable ASCII only.
pub(super) fn ascii(c: char) -> u8 {
    if (' '..='~').contains(&c) { c as u8 } else { b'?' }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| char::from(ascii(c))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(header: &Header) -> Header {
        let records = format("FLUX", header);
        assert!(records.iter().all(|r| r.len() == 80 && r.is_ascii()), "{records:#?}");
        let (back, name) = parse(&records);
        assert_eq!(name.as_deref(), Some("FLUX"));
        back
    }

    #[test]
    fn values_of_every_type_survive() {
        let mut h = Header::new();
        h.set("CAMERA", "r0", "spectrograph camera").set("EXPID", 12345678, "").set("SIMULATE", true, "no sky");
        h.set("MJD-OBS", 61000.12345678901, "[day]").set("TINY", 1e-17, "").set("EXPTIME", 900.0, "[s] a/b").set(
            "BIG",
            -1.2345678901234567e-300,
            "",
        );
        h.set("QUOTE", "it's 'so'", "").set("EMPTY", "", "").set("ESO TEL ALT", 81.5, "[deg]");
        assert_eq!(round_trip(&h), h);
    }

    #[test]
    fn strings_of_any_length_survive() {
        for n in [0, 1, 8, 9, 60, 66, 67, 68, 69, 70, 134, 135, 136, 300] {
            for unit in ["x", "'", "a'b ", "&"] {
                let text = unit.repeat(n).trim_end().chars().take(n).collect::<String>().trim_end().to_string();
                let mut h = Header::new();
                h.set("PATH", text.as_str(), "");
                assert_eq!(round_trip(&h).str("PATH"), Some(text.as_str()), "{n} {unit}");
            }
        }
    }

    #[test]
    fn keywords_of_any_length_keep_their_value_or_go() {
        let mut h = Header::new();
        let key = |n: usize| "ESO DET ".repeat(10)[..n].trim_end().to_string() + "X";
        h.set("A B", 3, "").set(&key(40), -1.25e-300, "").set(&key(60), 12, "").set(
            &key(50),
            "text ".repeat(20) + "x",
            "",
        );
        let back = round_trip(&h);
        assert_eq!(back, h);
        h.set(&key(75), 12345, "");
        assert_eq!(round_trip(&h), back);
    }

    #[test]
    fn a_comment_is_cut_and_structure_is_left_out() {
        let mut h = Header::new();
        h.set("KEY", 1, &"long ".repeat(30)).set("NAXIS1", 5, "").set("CHECKSUM", "x", "").set("NAN", f64::NAN, "");
        let back = round_trip(&h);
        assert_eq!(back.cards().len(), 1);
        assert_eq!(back.cards()[0].comment.len(), 47);
    }

    #[test]
    fn cards_of_other_writers_are_read() {
        let record = |s: &str| format!("{s:<80}");
        let records: Vec<String> = [
            "NIGHT   =             20201216 / Observing night",
            "EXPTIME =              1.5D+02",
            "UNDEF   =                      / undefined",
            "COMMENT = 'not a value'",
            "NIGHT   =             20990101 / a duplicate",
            "LONG    = 'first &'",
            "CONTINUE  'second'  / and comment",
        ]
        .map(record)
        .to_vec();
        let (h, name) = parse(&records);
        assert_eq!(
            (h.int("NIGHT"), h.float("EXPTIME"), h.get("UNDEF"), name),
            (Some(20201216), Some(150.0), None, None)
        );
        assert_eq!(h.str("LONG"), Some("first second"));
        assert_eq!(h.cards().len(), 3);
    }
}

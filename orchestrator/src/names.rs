//! Names that come close to a mistyped one.

/// Number of single-letter edits that turn `a` into `b` (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// The `most` known names that come closest, closest first.
pub fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let mut ranked: Vec<(usize, &str)> = known.map(|k| (distance(name, k), k)).collect();
    ranked.sort();
    ranked.truncate(most);
    ranked.into_iter().map(|(_, k)| k).collect()
}

/// "; did you mean ..." for an error message; empty if nothing is known.
pub fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>, most: usize) -> String {
    let close = closest(name, known, most);
    if close.is_empty() { String::new() } else { format!("; the names that come closest: {}", close.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(closest("skyy", ["zfind", "sky", "extract"].into_iter(), 1), ["sky"]);
    }
}

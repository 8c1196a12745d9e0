//! Numbers as users write them.

/// A number greater than 0, for use as clap's `value_parser`.
///
/// # Errors
/// Says that it is none.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "not a number greater than 0".to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_positive_numbers_pass() {
        assert_eq!(super::positive("0.5"), Ok(0.5));
        ["0", "-1", "nan", "inf", "x", ""].iter().for_each(|text| assert!(super::positive(text).is_err(), "{text}"));
    }
}

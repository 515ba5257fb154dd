//! Suggests the known name nearest to a misspelled one.

/// Returns the nearest known name, if it is near enough.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    let near = known.into_iter().map(|word| (distance(typed, word), word));
    near.min_by_key(|(far, _)| *far).filter(|(far, _)| *far <= allowed).map(|(_, word)| word)
}

/// Returns "; did you mean NAME?" or an empty string, for the end of an error message.
pub fn hint<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
    show: impl Fn(&str) -> String,
) -> String {
    nearest(typed, known).map_or(String::new(), |word| format!("; did you mean {}?", show(word)))
}

/// Returns the edit distance: insertions, deletions, substitutions and swaps of neighbors. Input is
/// unbounded, so only its first characters are compared.
fn distance(typed: &str, word: &str) -> usize {
    const CHARS_MAX: usize = 32;
    let a: Vec<char> = typed.chars().take(CHARS_MAX).collect();
    let b: Vec<char> = word.chars().collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let known = ["echo", "relay", "discard", "idle-timeout", "max-lifetime"];
        let cases = [
            ("ecoh", Some("echo")),
            ("eho", Some("echo")),
            ("realy", Some("relay")),
            ("idel-timeout", Some("idle-timeout")),
            ("idletimeout", Some("idle-timeout")),
            ("idle_timeout", Some("idle-timeout")),
            ("max-life-time", Some("max-lifetime")),
            ("stress", None),
            ("x", None),
            ("", None),
        ];
        for (typed, meant) in cases {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }

    #[test]
    fn distances_count_single_slips() {
        for (a, b, far) in [("", "abc", 3), ("abc", "abc", 0), ("acb", "abc", 1), ("xbc", "abc", 1)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
        assert_eq!(distance(&"a".repeat(100_000), "echo"), 32);
    }
}

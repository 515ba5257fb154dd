//! Wraps lines at spaces to fit a terminal.

/// Maximum columns of help, reports and errors.
pub const COLUMNS: usize = 80;
/// Minimum columns: below this, each line would have a single word.
pub const COLUMNS_MIN: usize = 20;

/// Wraps lines longer than `columns`. Continuation lines are aligned with the text: after a name at
/// the start of the line, or at the indentation. Escape sequences have no width.
pub fn fit(text: &str, columns: usize) -> String {
    let columns = columns.max(COLUMNS_MIN);
    let mut fitted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (bare, end) = line.strip_suffix('\n').map_or((line, ""), |bare| (bare, "\n"));
        match width(bare) <= columns {
            true => fitted.push_str(bare),
            false => wrap(bare, columns, &mut fitted),
        }
        fitted.push_str(end);
    }
    fitted
}

/// Returns the width of a text on a terminal, in columns.
pub fn width(text: &str) -> usize {
    visible(text).filter(|(_, is_visible)| *is_visible).count()
}

fn wrap(line: &str, columns: usize, fitted: &mut String) {
    let hang = hang(line, columns);
    let mut at = 0;
    for piece in line
        .split_inclusive(' ')
        .flat_map(|piece| piece.strip_suffix(' ').map_or([piece, ""], |word| [word, " "]))
    {
        if piece == " " && at >= columns {
            continue;
        }
        if at + width(piece) > columns && at > hang && piece != " " {
            break_line(fitted, hang);
            at = hang;
        }
        for (char, is_visible) in visible(piece) {
            if is_visible && at == columns {
                break_line(fitted, hang);
                at = hang;
            }
            fitted.push(char);
            at += usize::from(is_visible);
        }
    }
}

fn break_line(fitted: &mut String, hang: usize) {
    fitted.truncate(fitted.trim_end_matches(' ').len());
    fitted.push('\n');
    fitted.extend(std::iter::repeat_n(' ', hang));
}

/// Returns where the text of a line begins: after its first gap of two spaces, if in the left half.
fn hang(line: &str, columns: usize) -> usize {
    let bare: String = visible(line).filter(|(_, shown)| *shown).map(|(char, _)| char).collect();
    let indent = bare.chars().take_while(|char| *char == ' ').count();
    let name = bare.trim_start().split("  ").next().unwrap_or_default();
    let text = bare.trim_start().get(name.len()..).unwrap_or_default();
    let gap = text.chars().take_while(|char| *char == ' ').count();
    let behind = indent + name.chars().count() + gap;
    let hang = if gap > 0 && behind <= columns / 2 { behind } else { indent };
    hang.min(columns / 2)
}

/// Returns each character and its width: escape sequences have none.
fn visible(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut escaped = false;
    text.chars().map(move |char| {
        let is_start = char == '\x1b';
        let is_visible = !escaped && !is_start;
        escaped = is_start || (escaped && char != 'm');
        (char, is_visible)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fits_stays_as_it_is() {
        let text = "  name   text of a line \n\n  \x1b[1mbold words\x1b[0m here\nend";
        assert_eq!(fit(text, 24), text);
    }

    #[test]
    fn a_wide_line_is_wrapped_below_its_text() {
        let cases = [
            ("  name  one two three four", "  name  one two\n        three four"),
            ("      one two three four five", "      one two three\n      four five"),
            ("one two three four five six", "one two three four\nfive six"),
            ("a long name is no name  one two", "a long name is no\nname  one two"),
            ("123456789012345678901234", "12345678901234567890\n1234"),
            ("  name  12345678901234567890", "  name  123456789012\n        34567890"),
            (
                "  \x1b[1mname\x1b[0m  one \x1b[31mtwo three\x1b[0m four",
                "  \x1b[1mname\x1b[0m  one \x1b[31mtwo\n        three\x1b[0m four",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(fit(line, 20), expected);
        }
    }

    #[test]
    fn no_line_is_too_wide_and_no_text_is_lost_at_any_width() {
        let text = "  ok  limit of files   20,000  19,967   a note\n\n\
                    some words, and averyveryverylongword µ✔×\n";
        for columns in COLUMNS_MIN..90 {
            let fitted = fit(text, columns);
            assert!(fitted.lines().all(|line| width(line) <= columns), "{columns}: {fitted}");
            let bare = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(bare(&fitted), bare(text));
        }
    }
}

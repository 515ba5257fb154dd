//! The form of printed text: colors, columns, and foreign text that steers no terminal.

use std::time::Duration;

use crate::text::escape::{Form, Shown};
use crate::text::terminal::Paint;
use crate::text::wrap::width;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub paint: Paint,
    pub columns: usize,
}

/// Escapes text of the daemon. Peers choose a part of it; the daemon's own escapes stay as they
/// are.
pub fn safe(text: &str) -> String {
    Shown::new(text.as_bytes(), Form::Ours).within(usize::MAX).to_string()
}

/// Cuts a text at its end, which becomes `…`.
pub fn cut_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_string();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Returns the first text that fits. If none does, the last one is cut.
pub fn first_fit(texts: &[String], columns: usize) -> String {
    let fitting = texts.iter().find(|text| width(text) <= columns).or(texts.last());
    fitting.map_or(String::new(), |text| cut_end(text, columns))
}

/// Cuts a text in its middle: both the host and the port of an address are at its ends.
pub fn cut_middle(text: &str, columns: usize) -> String {
    let length = width(text);
    if length <= columns {
        return text.to_string();
    }
    let kept = columns.saturating_sub(1);
    let tail = kept.div_ceil(2);
    let head: String = text.chars().take(kept - tail).collect();
    let tail: String = text.chars().skip(length - tail).collect();
    format!("{head}…{tail}")
}

/// Lays out names and values in two columns, indented by two.
pub fn pairs(rows: &[(String, String)], view: &View) -> String {
    let widest = rows.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in rows {
        let gap = " ".repeat(widest - width(name) + 2);
        let left = view.columns.saturating_sub(widest + 4);
        text += &format!("  {}{gap}{}\n", view.paint.dim(name), cut_end(value, left));
    }
    text
}

/// A name and a value, for `pairs`.
pub fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_string(), value.into())
}

/// Converts a number of seconds of the daemon, which may be any number.
pub fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_to_its_columns() {
        assert_eq!(cut_end("hello", 5), "hello");
        assert_eq!(cut_end("hello there", 7), "hello…");
        assert_eq!(cut_end("hello", 0), "…");
        let texts = ["hello there", "hello"].map(str::to_string);
        assert_eq!(
            [11, 10, 4].map(|columns| first_fit(&texts, columns)),
            ["hello there", "hello", "hel…"]
        );
        assert_eq!(cut_middle("10.0.0.9:51234", 14), "10.0.0.9:51234");
        assert_eq!(cut_middle("10.0.0.9:51234", 13), "10.0.0…:51234");
        assert_eq!(cut_middle("éééééééé", 4), "é…éé");
        assert_eq!(cut_middle("abc", 1), "…");
    }

    #[test]
    fn pairs_are_aligned() {
        let view = View { paint: Paint(false), columns: 24 };
        let rows = [pair("a", "1"), pair("long name", "a value that is cut")];
        assert_eq!(pairs(&rows, &view), "  a          1\n  long name  a value th…\n");
    }
}

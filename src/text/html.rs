//! Text of an HTML page.

use super::escape::{Form, Shown};

/// The text as it stands in a page: it can neither open nor close an element or an attribute.
pub fn escape(text: &str) -> String {
    Shown::new(text.as_bytes(), Form::Html).within(usize::MAX).to_string()
}

//! Escapes text for HTML.

use super::escape::{Form, Shown};

/// Escapes text so that it cannot open or close an element or an attribute.
pub fn escape(text: &str) -> String {
    Shown::new(text.as_bytes(), Form::Html).within(usize::MAX).to_string()
}

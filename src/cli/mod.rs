//! What was typed becomes a `Plan`.

//! Units a user types: durations, counts, sizes.

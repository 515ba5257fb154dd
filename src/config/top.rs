//! The plan of top: which daemon to watch, and what to show first.

use std::path::PathBuf;
use std::time::Duration;

use super::{Address, Color};

/// The daemon, how often it is asked, and the first view.
#[derive(Clone, Debug, PartialEq)]
pub struct TopPlan {
    /// The address of the admin endpoint. None: from the environment, or the usual socket.
    pub admin: Option<Address>,
    pub token_file: Option<PathBuf>,
    /// Time between two polls.
    pub interval: Duration,
    /// Print one frame and exit.
    pub once: bool,
    /// Print one JSON object for each poll.
    pub json: bool,
    pub view: TopView,
    pub sort: TopSort,
    /// Text that the rows must contain. Empty: any.
    pub filter: String,
    pub color: Color,
}

/// What fills the screen below the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopView {
    #[default]
    Connections,
    Routes,
    Listeners,
    Loop,
}

/// The column by which connections are sorted, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopSort {
    #[default]
    Received,
    Sent,
    Unsent,
    Age,
    Idle,
}

impl TopPlan {
    /// Default time between two polls.
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// Minimum time between two polls: without a pause, top would be a load of its own.
    pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
}

impl Default for TopPlan {
    fn default() -> TopPlan {
        TopPlan {
            admin: None,
            token_file: None,
            interval: TopPlan::INTERVAL,
            once: false,
            json: false,
            view: TopView::default(),
            sort: TopSort::default(),
            filter: String::new(),
            color: Color::default(),
        }
    }
}

impl TopView {
    /// All views, in the order of their number keys.
    pub const NAMES: [(&'static str, TopView); 4] = [
        ("connections", TopView::Connections),
        ("routes", TopView::Routes),
        ("listeners", TopView::Listeners),
        ("loop", TopView::Loop),
    ];

    pub fn name(self) -> &'static str {
        super::parse::choice_name(&TopView::NAMES, self)
    }
}

impl TopSort {
    /// All columns, as the admin endpoint calls them.
    pub const NAMES: [(&'static str, TopSort); 5] = [
        ("received", TopSort::Received),
        ("sent", TopSort::Sent),
        ("unsent", TopSort::Unsent),
        ("age", TopSort::Age),
        ("idle", TopSort::Idle),
    ];

    pub fn name(self) -> &'static str {
        super::parse::choice_name(&TopSort::NAMES, self)
    }
}

//! The charts of the reports, checked in a browser.

use std::fs;

use crate::browser;
use crate::scratch::Scratch;

#[test]
fn charts_are_drawn_from_plain_data_and_read_out() {
    let scratch = Scratch::new();
    let page = scratch.path("charts.html");
    let style = include_str!("../../src/text/assets/charts.css");
    let charts = include_str!("../../src/text/assets/charts.js");
    // The checks have the end of a script element in strings.
    let checks = include_str!("charts_test.js").replace("</script", "<\\/script");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    let html = format!(
        "<!doctype html><html><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\
         <style>{style}</style></head><body><script>{charts}</script>\
         <script>{checks}</script></body></html>"
    );
    fs::write(&page, html).unwrap();
    let Some(loaded) = browser::load(&format!("file://{}", page.display()), 1100) else { return };
    assert!(loaded.dom.contains("<p>All checks passed.</p>"), "{}", loaded.dom);
    // A console that shows this line would show an error as well.
    let is_expected = loaded.console.len() == 1 && loaded.console[0].contains("\"checked\"");
    assert!(is_expected, "{:?}", loaded.console);
}

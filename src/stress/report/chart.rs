//! Draws a chart as inline SVG: axes, lines, areas and bars. The page's style sheet sets the
//! colors.

use std::fmt::Write;

use super::scale::AxisScale;
use crate::text::escape::html;

/// A chart to be drawn.
pub struct Chart {
    pub title: String,
    /// A line below the title that describes the values.
    pub about: String,
    pub x: Axis,
    pub y: Axis,
    /// Shaded part of the x axis: the measured window.
    pub shaded: Option<(f64, f64)>,
    pub series: Vec<Series>,
}

/// An axis: its range, and its labels.
pub struct Axis {
    pub from: f64,
    pub to: f64,
    pub log: bool,
    /// Formats a label.
    pub label: fn(f64) -> String,
    /// Positions of the ticks. `None`: at round values.
    pub ticks: Option<Vec<f64>>,
}

/// One set of points. `class` is its CSS class, which sets the color.
pub struct Series {
    pub name: &'static str,
    pub class: &'static str,
    pub shape: Shape,
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Line,
    /// A line with a filled area below it.
    Area,
    /// A bar from each point to the x of the next one.
    Bars,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

impl Axis {
    /// Creates a linear axis from zero.
    pub fn linear(to: f64, label: fn(f64) -> String) -> Axis {
        Axis { from: 0.0, to, log: false, label, ticks: None }
    }

    /// Creates a logarithmic axis.
    pub fn log(from: f64, to: f64, label: fn(f64) -> String) -> Axis {
        Axis { from, to, log: true, label, ticks: None }
    }

    fn scale(&self, pixels: (f64, f64)) -> AxisScale {
        match self.log {
            true => AxisScale::log(self.from, self.to, pixels),
            false => AxisScale::linear(self.from, self.to, pixels),
        }
    }
}

impl Chart {
    /// Formats the chart as a figure of the page.
    pub fn figure(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let x = self.x.scale((LEFT, WIDTH - RIGHT));
        let y = self.y.scale((HEIGHT - BOTTOM, TOP));
        write!(out, "<figure><figcaption><b>{}</b>", html(&self.title))?;
        write!(out, "<span>{}</span></figcaption>", html(&self.about))?;
        let label = html(&format!("{}: {}", self.title, self.about));
        write!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">")?;
        if let Some((from, to)) = self.shaded {
            let (left, right) = (x.at(from), x.at(to));
            let (width, height) = (right - left, HEIGHT - BOTTOM - TOP);
            write!(
                out,
                "<rect class=\"window\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{height}\"/>"
            )?;
        }
        self.write_axes(out, &x, &y)?;
        for series in &self.series {
            series.write(out, &x, &y)?;
        }
        out.push_str("</svg>");
        self.write_legend(out)?;
        out.push_str("</figure>\n");
        Ok(())
    }

    fn write_axes(&self, out: &mut String, x: &AxisScale, y: &AxisScale) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let ticks = |axis: &Axis, scale: &AxisScale, about| {
            axis.ticks.clone().unwrap_or_else(|| scale.ticks(about))
        };
        for value in ticks(&self.y, y, 5) {
            let (at, text) = (y.at(value), html(&(self.y.label)(value)));
            write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                LEFT - 8.0,
                at + 4.0
            )?;
        }
        let shown = |value: &f64| *value >= self.x.from && *value <= self.x.to;
        let values: Vec<f64> = ticks(&self.x, x, 7).into_iter().filter(shown).collect();
        for (index, value) in values.iter().enumerate() {
            let (at, text) = (x.at(*value), html(&(self.x.label)(*value)));
            // On a narrow page every second label is hidden.
            let class = if index % 2 == 1 && values.len() > 3 { "x minor" } else { "x" };
            write!(
                out,
                "<path class=\"tick\" d=\"M{at:.1} {bottom}v5\"/>\
                 <text class=\"{class}\" x=\"{at:.1}\" y=\"{:.1}\">{text}</text>",
                bottom + 19.0
            )?;
        }
        write!(out, "<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>")
    }

    fn write_legend(&self, out: &mut String) -> std::fmt::Result {
        if self.series.len() < 2 {
            return Ok(());
        }
        out.push_str("<div class=\"legend\">");
        for Series { name, class, .. } in &self.series {
            write!(out, "<span><i class=\"{class}\"></i>{}</span>", html(name))?;
        }
        out.push_str("</div>");
        Ok(())
    }
}

impl Series {
    fn write(&self, out: &mut String, x: &AxisScale, y: &AxisScale) -> std::fmt::Result {
        let Series { class, points, shape, .. } = self;
        let bottom = HEIGHT - BOTTOM;
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
        if *shape == Shape::Bars {
            return self.write_bars(out, x, y);
        }
        let mut line = String::new();
        for (index, (a, b)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            write!(line, "{command}{:.1} {:.1}", x.at(*a), y.at(*b))?;
        }
        if *shape == Shape::Area {
            let (left, right) = (x.at(first.0), x.at(last.0));
            write!(
                out,
                "<path class=\"area {class}\" d=\"{line}L{right:.1} {bottom}\
                 L{left:.1} {bottom}Z\"/>"
            )?;
        }
        write!(out, "<path class=\"line {class}\" d=\"{line}\"/>")
    }

    fn write_bars(&self, out: &mut String, x: &AxisScale, y: &AxisScale) -> std::fmt::Result {
        let bottom = HEIGHT - BOTTOM;
        for pair in self.points.windows(2) {
            let [(from, value), (to, _)] = pair else { continue };
            if *value <= 0.0 {
                continue;
            }
            let (left, right, top) = (x.at(*from), x.at(*to), y.at(*value).min(bottom - 1.0));
            write!(
                out,
                "<rect class=\"bar {}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
                 height=\"{:.1}\"/>",
                self.class,
                (right - left - 1.0).max(0.6),
                bottom - top
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(shape: Shape, points: &[(f64, f64)]) -> Series {
        Series { name: "it", class: "one", shape, points: points.to_vec() }
    }

    fn chart(series: Vec<Series>) -> String {
        let show = |value: f64| value.to_string();
        let (x, y) = (Axis::linear(10.0, show), Axis::log(1.0, 1000.0, show));
        let (title, about) = ("a < b".to_string(), "\"this\"".to_string());
        Chart { title, about, x, y, shaded: Some((2.0, 4.0)), series }.figure()
    }

    #[test]
    fn points_are_drawn_at_their_positions() {
        let points = [(0.0, 1.0), (10.0, 1000.0)];
        let text = chart(vec![series(Shape::Area, &points)]);
        assert!(text.contains("class=\"line one\" d=\"M64.0 220.0L546.0 12.0\""), "{text}");
        assert!(text.contains("class=\"area one\"") && text.contains("class=\"window\""));
        assert!(!text.contains("legend"));
        let bars = chart(vec![series(Shape::Bars, &[(0.0, 10.0), (5.0, 0.0), (10.0, 0.0)])]);
        assert_eq!(bars.matches("<rect class=\"bar one\"").count(), 1, "{bars}");
    }

    #[test]
    fn foreign_text_cannot_inject_markup() {
        let text = chart(vec![series(Shape::Line, &[]), series(Shape::Line, &[(1.0, 2.0)])]);
        assert!(text.contains("a &lt; b") && text.contains("&quot;this&quot;"), "{text}");
        assert!(text.contains("legend"));
        assert_eq!(html("a&b"), "a&amp;b");
    }
}

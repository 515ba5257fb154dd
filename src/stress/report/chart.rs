//! A chart as SVG within a page: axes, lines, areas and bars, coloured by the page's style.

use std::fmt::Write;

use super::scale::Scale;
use crate::text::html::escape;

/// A chart before it is drawn.
pub struct Chart {
    pub title: String,
    /// What is shown, in one line under the title.
    pub about: String,
    pub x: Axis,
    pub y: Axis,
    /// This part of the x axis is shaded: what was measured.
    pub shaded: Option<(f64, f64)>,
    pub series: Vec<Series>,
}

pub struct Axis {
    pub from: f64,
    pub to: f64,
    pub log: bool,
    /// How a value is written.
    pub show: fn(f64) -> String,
    /// Where it is marked. None: at round values.
    pub marks: Option<Vec<f64>>,
}

/// One set of points. `class` names its colour in the page's style.
pub struct Series {
    pub name: &'static str,
    pub class: &'static str,
    pub shape: Shape,
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Line,
    /// A line, and what is below it.
    Area,
    /// From each point to the x of the next one.
    Bars,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

impl Axis {
    /// Linear, from zero.
    pub fn linear(to: f64, show: fn(f64) -> String) -> Axis {
        Axis { from: 0.0, to, log: false, show, marks: None }
    }

    pub fn log(from: f64, to: f64, show: fn(f64) -> String) -> Axis {
        Axis { from, to, log: true, show, marks: None }
    }

    fn scale(&self, pixels: (f64, f64)) -> Scale {
        match self.log {
            true => Scale::log(self.from, self.to, pixels),
            false => Scale::linear(self.from, self.to, pixels),
        }
    }
}

impl Chart {
    /// The chart as a figure of the page.
    pub fn figure(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let x = self.x.scale((LEFT, WIDTH - RIGHT));
        let y = self.y.scale((HEIGHT - BOTTOM, TOP));
        write!(out, "<figure><figcaption><b>{}</b>", escape(&self.title))?;
        write!(out, "<span>{}</span></figcaption>", escape(&self.about))?;
        let label = escape(&format!("{}: {}", self.title, self.about));
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

    fn write_axes(&self, out: &mut String, x: &Scale, y: &Scale) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let marks = |axis: &Axis, scale: &Scale, about| {
            axis.marks.clone().unwrap_or_else(|| scale.ticks(about))
        };
        for value in marks(&self.y, y, 5) {
            let (at, label) = (y.at(value), escape(&(self.y.show)(value)));
            write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                LEFT - 8.0,
                at + 4.0
            )?;
        }
        let shown = |value: &f64| *value >= self.x.from && *value <= self.x.to;
        let values: Vec<f64> = marks(&self.x, x, 7).into_iter().filter(shown).collect();
        for (index, value) in values.iter().enumerate() {
            let (at, label) = (x.at(*value), escape(&(self.x.show)(*value)));
            // On a narrow page every second label is left out.
            let class = if index % 2 == 1 && values.len() > 3 { "x minor" } else { "x" };
            write!(
                out,
                "<path class=\"tick\" d=\"M{at:.1} {bottom}v5\"/>\
                 <text class=\"{class}\" x=\"{at:.1}\" y=\"{:.1}\">{label}</text>",
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
            write!(out, "<span><i class=\"{class}\"></i>{}</span>", escape(name))?;
        }
        out.push_str("</div>");
        Ok(())
    }
}

impl Series {
    fn write(&self, out: &mut String, x: &Scale, y: &Scale) -> std::fmt::Result {
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

    fn write_bars(&self, out: &mut String, x: &Scale, y: &Scale) -> std::fmt::Result {
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
    fn points_are_drawn_where_they_belong() {
        let points = [(0.0, 1.0), (10.0, 1000.0)];
        let text = chart(vec![series(Shape::Area, &points)]);
        assert!(text.contains("class=\"line one\" d=\"M64.0 220.0L546.0 12.0\""), "{text}");
        assert!(text.contains("class=\"area one\"") && text.contains("class=\"window\""));
        assert!(!text.contains("legend"));
        let bars = chart(vec![series(Shape::Bars, &[(0.0, 10.0), (5.0, 0.0), (10.0, 0.0)])]);
        assert_eq!(bars.matches("<rect class=\"bar one\"").count(), 1, "{bars}");
    }

    #[test]
    fn foreign_text_cannot_change_the_page() {
        let text = chart(vec![series(Shape::Line, &[]), series(Shape::Line, &[(1.0, 2.0)])]);
        assert!(text.contains("a &lt; b") && text.contains("&quot;this&quot;"), "{text}");
        assert!(text.contains("legend"));
        assert_eq!(escape("a&b"), "a&amp;b");
    }
}

//! Panels with axes and curves as SVG.

use std::fmt::Write;

/// Font size of the axes, pixels.
const TEXT: f64 = 13.0;

/// A drawing.
#[derive(Debug)]
pub struct Drawing {
    width: f64,
    height: f64,
    body: String,
    panels: usize,
}

/// A rectangle of the drawing with its coordinates; `y` grows upwards.
#[derive(Debug, Clone, Copy)]
pub struct Panel {
    /// Left edge, pixels.
    pub left: f64,
    /// Upper edge, pixels.
    pub top: f64,
    /// Width, pixels.
    pub width: f64,
    /// Height, pixels.
    pub height: f64,
    /// Values at the left and right edge.
    pub x: (f64, f64),
    /// Values at the lower and upper edge.
    pub y: (f64, f64),
}

/// A mark of an axis: value and text.
pub type Tick = (f64, String);

/// Where a text is anchored.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// At its left end.
    Start,
    /// At its middle.
    Middle,
    /// At its right end.
    End,
}

/// Some `n` round values within a range, with as many decimals as they need.
pub fn ticks(range: (f64, f64), n: usize) -> Vec<Tick> {
    let raw = (range.1 - range.0) / n.max(1) as f64;
    if !(raw > 0.0 && raw.is_finite()) {
        return Vec::new();
    }
    let power = raw.log10().floor();
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * 10f64.powf(power)).into_iter().find(|s| *s >= raw).unwrap_or(raw);
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    let (first, last) = ((range.0 / step).ceil() as i64, (range.1 / step).floor() as i64);
    (first..=last).map(|k| (k as f64 * step, format!("{:.decimals$}", k as f64 * step))).collect()
}

impl Panel {
    /// Pixel of a value.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let part = |v: f64, (low, high): (f64, f64)| (v - low) / (high - low);
        (self.left + self.width * part(x, self.x), self.top + self.height * (1.0 - part(y, self.y)))
    }
}

impl Drawing {
    /// An empty one on white.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new(), panels: 0 }
    }

    /// Text at a pixel, in a colour.
    pub fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, colour: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{text}</text>"#
        );
    }

    /// Frame, marks and names of a panel's axes.
    pub fn axes(&mut self, p: &Panel, x: (&str, &[Tick]), y: (&str, &[Tick])) {
        let (right, bottom) = (p.left + p.width, p.top + p.height);
        _ = writeln!(
            self.body,
            r#"<rect x="{}" y="{}" width="{}" height="{}" fill="none" stroke="black"/>"#,
            p.left, p.top, p.width, p.height
        );
        for (value, text) in x.1 {
            let (at, _) = p.at(*value, p.y.0);
            self.line((at, bottom), (at, bottom - 6.0), "black", "");
            self.line((at, p.top), (at, p.top + 6.0), "black", "");
            self.text((at, bottom + 17.0), TEXT, Anchor::Middle, "black", text);
        }
        for (value, text) in y.1 {
            let (_, at) = p.at(p.x.0, *value);
            self.line((p.left, at), (p.left + 6.0, at), "black", "");
            self.line((right, at), (right - 6.0, at), "black", "");
            self.text((p.left - 6.0, at + 4.0), TEXT, Anchor::End, "black", text);
        }
        self.text((p.left + 0.5 * p.width, bottom + 36.0), TEXT, Anchor::Middle, "black", x.0);
        let (across, down) = (p.left - 58.0, p.top + 0.5 * p.height);
        _ = writeln!(self.body, r#"<g transform="translate({across:.1},{down:.1}) rotate(-90)">"#);
        self.text((0.0, 0.0), TEXT, Anchor::Middle, "black", y.0);
        self.body.push_str("</g>\n");
    }

    /// A straight line between pixels; `dash` as SVG's stroke-dasharray, may be empty.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, dash: &str) {
        let dash = if dash.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dash}""#) };
        _ = writeln!(
            self.body,
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}"{dash}/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    /// A circle around a pixel.
    pub fn circle(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        _ = writeln!(
            self.body,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="none" stroke="{colour}" stroke-width="1.6"/>"#
        );
    }

    /// Lines of text in colours on a pale ground, their upper right corner at a pixel.
    pub fn list(&mut self, (right, top): (f64, f64), lines: &[(String, &str)]) {
        let widest = lines.iter().map(|l| l.0.chars().count()).fold(0, usize::max);
        let (width, height) = (7.0 * widest as f64 + 8.0, 14.0 * lines.len() as f64 + 4.0);
        let left = right - width;
        _ = writeln!(
            self.body,
            r#"<rect x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}" fill="white" fill-opacity="0.85"/>"#
        );
        for (i, (text, colour)) in lines.iter().enumerate() {
            self.text((right - 4.0, top + 12.0 + 14.0 * i as f64), 11.0, Anchor::End, colour, text);
        }
    }

    /// Curves within a panel, cut at its frame: points, colour, width of the stroke. A curve is broken where a value
    /// is no number.
    pub fn curves<'a>(&mut self, p: &Panel, curves: impl IntoIterator<Item = (Vec<(f64, f64)>, &'a str, f64)>) {
        let id = self.panels;
        self.panels += 1;
        _ = writeln!(
            self.body,
            r#"<clipPath id="panel{id}"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath><g clip-path="url(#panel{id})" fill="none" stroke-linejoin="round">"#,
            p.left, p.top, p.width, p.height
        );
        for (points, colour, width) in curves {
            for run in points.split(|(_, y)| !y.is_finite()).filter(|r| r.len() > 1) {
                _ = write!(self.body, r#"<polyline stroke="{colour}" stroke-width="{width}" points=""#);
                for &(x, y) in run {
                    // far outside of the frame a value is as good as another
                    let (x, y) = p.at(x, y.clamp(p.y.0 - 2.0 * (p.y.1 - p.y.0), p.y.1 + 2.0 * (p.y.1 - p.y.0)));
                    _ = write!(self.body, "{x:.1},{y:.1} ");
                }
                self.body.push_str("\"/>\n");
            }
        }
        self.body.push_str("</g>\n");
    }

    /// The file.
    pub fn finish(self) -> String {
        let Self { width, height, body, .. } = self;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">
<rect width="{width}" height="{height}" fill="white"/>
{body}</svg>
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_within_the_range() {
        let values = |range, n| ticks(range, n).into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(values((3600.0, 9800.0), 7), ["4000", "5000", "6000", "7000", "8000", "9000"]);
        assert_eq!(values((-0.31, 0.9), 7), ["-0.2", "0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert!(ticks((1.0, 1.0), 5).is_empty() && ticks((f64::NAN, 1.0), 5).is_empty());
    }

    #[test]
    fn values_land_on_their_pixels_and_gaps_break_curves() {
        let p = Panel { left: 10.0, top: 20.0, width: 100.0, height: 50.0, x: (0.0, 2.0), y: (-1.0, 1.0) };
        assert_eq!(p.at(1.0, 0.0), (60.0, 45.0));
        let mut d = Drawing::new(200.0, 100.0);
        let points =
            vec![(0.0, 0.0), (0.5, 0.5), (0.6, f64::NAN), (1.0, 0.0), (2.0, -1.0), (2.0, f64::NAN), (2.0, 0.0)];
        d.curves(&p, [(points, "red", 1.0)]);
        d.text((0.0, 0.0), 12.0, Anchor::Start, "black", "a < b & c");
        let svg = d.finish();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(r#"points="60.0,45.0 110.0,70.0 ""#) && svg.contains("a &lt; b &amp; c"), "{svg}");
    }
}

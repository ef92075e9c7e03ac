//! Pictures of figures: curves and bars, the same as SVG (for a page) and as PNG (for a document).
//!
//! What is drawn is laid out here; plotters puts lines and letters where it is told, into either kind of file.

use std::path::Path;
use std::sync::Once;

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::style::{FontStyle, RGBColor, register_font};
use vectorizer::interop::WholeFile;

use crate::error::{DataError, Result};

mod axis;
mod draw;

pub use axis::Scale;

/// Width and height of a picture over the whole page and of one beside another, in pixels of the page; a PNG has twice as many.
const WIDE: (u32, u32) = (1080, 480);
const HALF: (u32, u32) = (540, 400);
/// Colours that are told apart, also by those who see fewer: ours first.
pub(crate) const COLOURS: [RGBColor; 8] = [
    RGBColor(0x1d, 0x4e, 0xd8),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x05, 0x96, 0x69),
    RGBColor(0xb9, 0x1c, 0x5c),
    RGBColor(0x6d, 0x28, 0xd9),
    RGBColor(0x8a, 0x6d, 0x00),
    RGBColor(0x0e, 0x74, 0x90),
    RGBColor(0x47, 0x55, 0x69),
];

/// One axis of curves.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it measures, with its unit.
    pub label: String,
    /// How.
    pub scale: Scale,
}

impl Axis {
    /// An axis.
    #[must_use]
    pub fn new(label: &str, scale: Scale) -> Self {
        Self {
            label: label.to_owned(),
            scale,
        }
    }
}

/// A point, with the range of its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Along the axis.
    pub x: f64,
    /// The median.
    pub y: f64,
    /// The least and the greatest.
    pub range: (f64, f64),
}

/// A curve.
#[derive(Debug, Clone)]
pub struct Series {
    /// Whose; curves of one name share a line of the legend.
    pub name: String,
    /// Which of the colours.
    pub colour: usize,
    /// Its points, in order.
    pub marks: Vec<Mark>,
    /// Whether it is drawn in dashes.
    pub dashed: bool,
    /// Whether each point has a dot.
    pub dots: bool,
}

/// A bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Whose.
    pub name: String,
    /// Which of the colours.
    pub colour: usize,
    /// How long.
    pub value: f64,
    /// The least and the greatest.
    pub range: (f64, f64),
    /// What is written at its end.
    pub text: String,
}

/// What can be drawn.
#[derive(Debug, Clone)]
pub enum Plot {
    /// Curves over two axes.
    Curves {
        /// To the right.
        x: Axis,
        /// Upwards.
        y: Axis,
        /// The curves.
        series: Vec<Series>,
    },
    /// Bars from zero to the right.
    Bars {
        /// What they measure, with its unit.
        label: String,
        /// The bars, top down.
        bars: Vec<Bar>,
    },
}

/// A picture with its name.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The file's name, without its ending.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// How to read it, in a sentence or two.
    pub caption: String,
    /// Whether it takes the whole width of a page.
    pub wide: bool,
    /// The drawing.
    pub plot: Plot,
}

impl Picture {
    /// As SVG text. Titles are left to the page around it where there is no `title`.
    ///
    /// # Errors
    /// It could not be drawn.
    pub fn svg(&self, title: bool) -> Result<String> {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, self.size()).into_drawing_area();
            self.draw(&area, 1.0, title)?;
        }
        // A picture that grows with its page: plotters gives width and height alone.
        let (width, height) = self.size();
        Ok(text.replacen(
            &format!("<svg width=\"{width}\" height=\"{height}\""),
            &format!(
                "<svg role=\"img\" aria-label=\"{}\" style=\"width:100%;height:auto\"",
                escape(&self.title)
            ),
            1,
        ))
    }

    /// Writes a PNG file.
    ///
    /// # Errors
    /// It could not be drawn or written.
    pub fn write_png(&self, path: &Path) -> Result<()> {
        let (width, height) = self.size();
        // The library that draws writes a file by its own rules.
        let unwritten = |error| DataError::io(path, "write it", &error);
        let folder = tempfile::tempdir().map_err(unwritten)?;
        let drawn = folder.path().join("drawn.png");
        {
            let area = BitMapBackend::new(&drawn, (2 * width, 2 * height)).into_drawing_area();
            self.draw(&area, 2.0, true)?;
        }
        let bytes = std::fs::read(&drawn).map_err(unwritten)?;
        Ok(WholeFile::write(path, &bytes)?)
    }

    fn size(&self) -> (u32, u32) {
        let size = if self.wide { WIDE } else { HALF };
        match &self.plot {
            Plot::Curves { .. } => size,
            Plot::Bars { bars, .. } => {
                let bars = u32::try_from(bars.len()).unwrap_or(u32::MAX).min(100);
                (size.0, 110 + 34 * bars)
            }
        }
    }

    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: f64,
        title: bool,
    ) -> Result<()> {
        static FONT: Once = Once::new();
        FONT.call_once(|| {
            for style in [FontStyle::Normal, FontStyle::Bold] {
                let font = match style {
                    FontStyle::Bold => dejavu::sans::bold(),
                    _ => dejavu::sans::regular(),
                };
                // A font that is built in is one.
                drop(register_font("sans-serif", style, font));
            }
        });
        let canvas = draw::Canvas { area, scale };
        canvas
            .picture(self, title.then_some(self.title.as_str()))
            .and_then(|()| area.present().map_err(|error| error.to_string()))
            .map_err(|reason| {
                DataError::new(Path::new(self.name), format!("cannot draw: {reason}"))
            })
    }
}

/// Text as it may stand in a page.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(values: &[(f64, f64)]) -> Picture {
        let marks = values.iter().map(|&(x, y)| Mark {
            x,
            y,
            range: (y * 0.9, y * 1.1),
        });
        Picture {
            name: "curves",
            title: "Speed & recall".to_owned(),
            caption: String::new(),
            wide: true,
            plot: Plot::Curves {
                x: Axis::new("recall@10", Scale::Recall),
                y: Axis::new("queries a second", Scale::Log),
                series: vec![Series {
                    name: "ours".to_owned(),
                    colour: 0,
                    marks: marks.collect(),
                    dashed: false,
                    dots: true,
                }],
            },
        }
    }

    #[test]
    fn axes_are_named_and_every_point_is_drawn() {
        let svg = curves(&[(0.8, 1e5), (0.95, 3e4), (1.0, 1e3)])
            .svg(true)
            .unwrap();
        for word in [
            "recall@10",
            "queries a second",
            "ours",
            "0.95",
            "Speed &amp; recall",
        ] {
            assert!(svg.contains(word), "no {word:?} in {svg}");
        }
        assert_eq!(
            svg.matches("<circle").count(),
            3 + 1,
            "three points and the legend's"
        );
    }

    #[test]
    fn pictures_of_little_or_odd_data_are_drawn_too() {
        for values in [&[][..], &[(0.5, 7.0)], &[(1.0, 0.0), (1.0, 0.0)]] {
            assert!(curves(values).svg(false).unwrap().contains("recall@10"));
        }
    }

    #[test]
    fn a_png_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.png");
        curves(&[(0.8, 1e5), (0.9, 5e4)]).write_png(&path).unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..4], b"\x89PNG");
        assert!(bytes.len() > 5_000);
    }
}

//! Lines, letters and dots, in their places.

use std::fmt::Display;

use plotters::backend::DrawingBackend;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontStyle, FontTransform, IntoFont as _, IntoTextStyle as _, RGBColor, ShapeStyle,
};

use super::axis::Layout;
use super::{Axis, Bar, COLOURS, Mark, Picture, Plot, Series};

const INK: RGBColor = RGBColor(0x1f, 0x29, 0x37);
const SOFT: RGBColor = RGBColor(0x4b, 0x55, 0x63);
const GRID: RGBColor = RGBColor(0xe5, 0xe7, 0xeb);
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// Lengths of a dash and of the gap behind it.
const DASH: (f64, f64) = (6.0, 4.0);
/// What a letter is wide, of its height, about.
const LETTER: f64 = 0.56;

type Drawn = Result<(), String>;

/// Where to draw, and how many pixels a unit has.
pub(super) struct Canvas<'a, B: DrawingBackend> {
    pub(super) area: &'a DrawingArea<B, Shift>,
    pub(super) scale: f64,
}

/// The part of the picture that the axes enclose.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, share: f64) -> f64 {
        self.left + share * (self.right - self.left)
    }

    fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }
}

fn failed(error: impl Display) -> String {
    error.to_string()
}

#[derive(Clone, Copy)]
struct Letters {
    size: f64,
    colour: RGBColor,
    bold: bool,
    across: HPos,
    upright: bool,
}

const LABEL: Letters = Letters {
    size: 13.0,
    colour: SOFT,
    bold: false,
    across: HPos::Center,
    upright: true,
};

impl<B: DrawingBackend> Canvas<'_, B> {
    pub(super) fn picture(&self, picture: &Picture, title: Option<&str>) -> Drawn {
        self.area.fill(&PAPER).map_err(failed)?;
        let (width, height) = self.area.dim_in_pixel();
        let (width, height) = (
            f64::from(width) / self.scale,
            f64::from(height) / self.scale,
        );
        let mut top = 12.0;
        if let Some(title) = title {
            let letters = Letters {
                size: 17.0,
                colour: INK,
                bold: true,
                across: HPos::Left,
                ..LABEL
            };
            self.text(title, (16.0, 22.0), letters)?;
            top = 44.0;
        }
        let frame = Frame {
            left: 74.0,
            right: width - 20.0,
            top,
            bottom: height - 52.0,
        };
        match &picture.plot {
            Plot::Curves { x, y, series } => self.curves(frame, x, y, series),
            Plot::Bars { label, bars } => self.bars(frame, label, bars),
        }
    }

    fn curves(&self, frame: Frame, x: &Axis, y: &Axis, series: &[Series]) -> Drawn {
        let frame = Frame {
            top: self.legend(frame, series)?,
            ..frame
        };
        let marks = || series.iter().flat_map(|series| &series.marks);
        let across = Layout::new(x.scale, marks().map(|mark| mark.x));
        let up = Layout::new(
            y.scale,
            marks().flat_map(|mark| [mark.y, mark.range.0, mark.range.1]),
        );
        for (value, text) in &across.ticks {
            let place = frame.x(across.place(*value));
            self.line(&[(place, frame.top), (place, frame.bottom)], GRID, 1.0)?;
            self.text(text, (place, frame.bottom + 14.0), LABEL)?;
        }
        for (value, text) in &up.ticks {
            let place = frame.y(up.place(*value));
            self.line(&[(frame.left, place), (frame.right, place)], GRID, 1.0)?;
            let letters = Letters {
                across: HPos::Right,
                ..LABEL
            };
            self.text(text, (frame.left - 8.0, place), letters)?;
        }
        self.line(
            &[
                (frame.left, frame.top),
                (frame.left, frame.bottom),
                (frame.right, frame.bottom),
            ],
            SOFT,
            1.0,
        )?;
        let middle = frame.x(0.5);
        let letters = Letters {
            colour: INK,
            ..LABEL
        };
        self.text(&x.label, (middle, frame.bottom + 38.0), letters)?;
        let letters = Letters {
            upright: false,
            ..letters
        };
        self.text(&y.label, (16.0, frame.y(0.5)), letters)?;
        // Ours, the first, on top.
        for series in series.iter().rev() {
            self.series(frame, &across, &up, series)?;
        }
        Ok(())
    }

    /// Names and colours, in as many lines as it takes; returns where the frame begins.
    fn legend(&self, frame: Frame, series: &[Series]) -> Result<f64, String> {
        let mut named: Vec<&Series> = Vec::new();
        for one in series {
            if !named.iter().any(|other| other.name == one.name) {
                named.push(one);
            }
        }
        let (mut x, mut y) = (frame.left, frame.top + 8.0);
        for one in named {
            let wide = 34.0 + 13.0 * LETTER * letters_of(&one.name) + 18.0;
            if x + wide > frame.right && x > frame.left {
                (x, y) = (frame.left, y + 20.0);
            }
            let colour = colour(one.colour);
            let stroke = [(x, y), (x + 24.0, y)];
            if one.dashed {
                self.dashes(&stroke, colour)?;
            } else {
                self.line(&stroke, colour, 2.0)?;
            }
            if one.dots {
                self.dot((x + 12.0, y), colour)?;
            }
            let letters = Letters {
                colour: INK,
                across: HPos::Left,
                ..LABEL
            };
            self.text(&one.name, (x + 30.0, y), letters)?;
            x += wide;
        }
        Ok(y + 20.0)
    }

    fn series(&self, frame: Frame, across: &Layout, up: &Layout, series: &Series) -> Drawn {
        let colour = colour(series.colour);
        let place = |x: f64, y: f64| (frame.x(across.place(x)), frame.y(up.place(y)));
        let marks: Vec<&Mark> = series
            .marks
            .iter()
            .filter(|mark| mark.x.is_finite() && mark.y.is_finite())
            .collect();
        let path: Vec<_> = marks.iter().map(|mark| place(mark.x, mark.y)).collect();
        for mark in marks.iter().filter(|mark| mark.range.0 < mark.range.1) {
            let ends = [place(mark.x, mark.range.0), place(mark.x, mark.range.1)];
            self.line(&ends, colour, 1.0)?;
        }
        if series.dashed {
            self.dashes(&path, colour)?;
        } else {
            self.line(&path, colour, 2.0)?;
        }
        if series.dots {
            for place in path {
                self.dot(place, colour)?;
            }
        }
        Ok(())
    }

    fn bars(&self, frame: Frame, label: &str, bars: &[Bar]) -> Drawn {
        let names = bars
            .iter()
            .map(|bar| letters_of(&bar.name))
            .fold(4.0, f64::max);
        let texts = bars
            .iter()
            .map(|bar| letters_of(&bar.text))
            .fold(4.0, f64::max);
        let frame = Frame {
            left: 24.0 + 13.0 * LETTER * names,
            right: frame.right - 13.0 * LETTER * texts - 8.0,
            ..frame
        };
        let along = Layout::new(
            super::Scale::Linear,
            bars.iter().flat_map(|bar| [bar.value, bar.range.1]),
        );
        for (value, text) in &along.ticks {
            let place = frame.x(along.place(*value));
            self.line(&[(place, frame.top), (place, frame.bottom)], GRID, 1.0)?;
            self.text(text, (place, frame.bottom + 14.0), LABEL)?;
        }
        let letters = Letters {
            colour: INK,
            ..LABEL
        };
        self.text(label, (frame.x(0.5), frame.bottom + 38.0), letters)?;
        let step = (frame.bottom - frame.top) / bars.len().max(1) as f64;
        for (number, bar) in bars.iter().enumerate() {
            let middle = frame.top + (number as f64 + 0.5) * step;
            let half = (0.32 * step).min(13.0);
            let end = frame.x(along.place(bar.value));
            let corners = [
                self.at((frame.left, middle - half)),
                self.at((end, middle + half)),
            ];
            let colour = colour(bar.colour);
            self.area
                .draw(&Rectangle::new(corners, colour.filled()))
                .map_err(failed)?;
            if bar.range.0 < bar.range.1 {
                let (low, high) = (along.place(bar.range.0), along.place(bar.range.1));
                self.line(&[(frame.x(low), middle), (frame.x(high), middle)], INK, 1.5)?;
            }
            let right = Letters {
                across: HPos::Right,
                ..letters
            };
            self.text(&bar.name, (frame.left - 8.0, middle), right)?;
            let left = Letters {
                across: HPos::Left,
                ..letters
            };
            let end = frame.x(along.place(bar.value.max(bar.range.1)));
            self.text(&bar.text, (end + 8.0, middle), left)?;
        }
        self.line(
            &[(frame.left, frame.top), (frame.left, frame.bottom)],
            SOFT,
            1.0,
        )
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a place in a picture of a few thousand pixels"
    )]
    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (
            (x * self.scale).round() as i32,
            (y * self.scale).round() as i32,
        )
    }

    fn line(&self, path: &[(f64, f64)], colour: RGBColor, width: f64) -> Drawn {
        if path.len() < 2 {
            return Ok(());
        }
        let path: Vec<_> = path.iter().map(|place| self.at(*place)).collect();
        let style = ShapeStyle {
            color: colour.to_rgba(),
            filled: false,
            stroke_width: self.pixels(width),
        };
        self.area
            .draw(&PathElement::new(path, style))
            .map_err(failed)
    }

    fn dashes(&self, path: &[(f64, f64)], colour: RGBColor) -> Drawn {
        // How far into the pattern the last piece ended.
        let mut at = 0.0;
        for pair in path.windows(2) {
            let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
            let length = (to_x - x).hypot(to_y - y);
            let mut from = 0.0;
            while from < length {
                let (here, whole) = (at % (DASH.0 + DASH.1), DASH.0 + DASH.1);
                let inside = here < DASH.0;
                let until = (from + if inside { DASH.0 - here } else { whole - here }).min(length);
                if inside {
                    let point = |way: f64| {
                        let share = way / length;
                        (x + share * (to_x - x), y + share * (to_y - y))
                    };
                    self.line(&[point(from), point(until)], colour, 2.0)?;
                }
                // Rounding must not make a piece of no length.
                let step = (until - from).max(1e-3);
                (from, at) = (from + step, at + step);
            }
        }
        Ok(())
    }

    fn dot(&self, place: (f64, f64), colour: RGBColor) -> Drawn {
        let radius = self.pixels(3.5).cast_signed();
        self.area
            .draw(&Circle::new(self.at(place), radius, colour.filled()))
            .map_err(failed)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few pixels"
    )]
    fn pixels(&self, length: f64) -> u32 {
        (length * self.scale).round().max(1.0) as u32
    }

    fn text(&self, text: &str, place: (f64, f64), letters: Letters) -> Drawn {
        let style = if letters.bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        let font = ("sans-serif", letters.size * self.scale)
            .into_font()
            .style(style);
        let font = if letters.upright {
            font
        } else {
            font.transform(FontTransform::Rotate270)
        };
        let style = font
            .into_text_style(self.area)
            .color(&letters.colour)
            .pos(Pos::new(letters.across, VPos::Center));
        self.area
            .draw(&Text::new(text.to_owned(), self.at(place), style))
            .map_err(failed)
    }
}

fn letters_of(text: &str) -> f64 {
    text.chars().count() as f64
}

fn colour(number: usize) -> RGBColor {
    COLOURS[number % COLOURS.len()]
}

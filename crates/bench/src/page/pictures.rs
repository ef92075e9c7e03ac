//! The pictures of a report.

use super::number::seconds;
use super::{MEBIBYTE, Report, Shown};
use crate::picture::{Axis, Bar, Mark, Picture, Plot, Scale, Series};
use crate::summary::{Reached, Spread};

impl Report<'_> {
    pub(super) fn pictures(&self) -> Vec<Picture> {
        let mut pictures = vec![self.speed()];
        pictures.extend(self.building());
        pictures.push(self.latency());
        pictures.extend(self.batches());
        pictures.extend(self.memory());
        pictures
    }

    fn speed(&self) -> Picture {
        let series = self
            .shown()
            .iter()
            .map(|shown| {
                let curve = shown.known.curve(self.summary.whole());
                self.series(shown, &curve, |reached| Some(reached.qps))
            })
            .collect();
        Picture {
            name: "recall-speed",
            title: "How fast at which recall".to_owned(),
            caption: "Up and to the right is better. Each point is a beam width; all queries in one call; upright strokes span the rounds."
                .to_owned(),
            wide: true,
            plot: Plot::Curves {
                x: Axis::new(&self.recall_label(), Scale::Recall),
                y: Axis::new("queries a second (log)", Scale::Log),
                series,
            },
        }
    }

    fn recall_label(&self) -> String {
        format!("recall@{} (share of the true neighbours found)", self.k())
    }

    fn series(
        &self,
        shown: &Shown<'_>,
        curve: &[&Reached],
        value: impl Fn(&Reached) -> Option<Spread>,
    ) -> Series {
        let marks = curve.iter().filter_map(|reached| {
            let value = value(reached)?;
            Some(Mark {
                x: reached.recall.median,
                y: value.median,
                range: (value.low, value.high),
            })
        });
        Series {
            name: shown.name.clone(),
            colour: shown.colour,
            marks: marks.collect(),
            dashed: false,
            dots: true,
        }
    }

    fn building(&self) -> Option<Picture> {
        let shown = self.shown();
        let mut bars: Vec<Bar> = shown
            .iter()
            .filter_map(|shown| {
                let build = shown.known.build?;
                Some(Bar {
                    name: shown.name.clone(),
                    colour: shown.colour,
                    value: build.median,
                    range: (build.low, build.high),
                    text: seconds(build.median),
                })
            })
            .collect();
        bars.sort_by(|a, b| a.value.total_cmp(&b.value));
        (!bars.is_empty()).then(|| Picture {
            name: "build-time",
            title: "How long building takes".to_owned(),
            caption: "Adding and linking all rows, from memory. Shorter is better; a build counts only together with the recall above."
                .to_owned(),
            wide: false,
            plot: Plot::Bars {
                label: "seconds".to_owned(),
                bars,
            },
        })
    }

    fn latency(&self) -> Picture {
        let mut series = Vec::new();
        for shown in &self.shown() {
            let curve = shown.known.curve(self.summary.whole());
            let p50 = self.series(shown, &curve, |reached| reached.p50_us);
            let p99 = self.series(shown, &curve, |reached| reached.p99_us);
            for (one, dashed) in [(p50, false), (p99, true)] {
                if !one.marks.is_empty() {
                    series.push(Series {
                        dashed,
                        dots: !dashed,
                        ..one
                    });
                }
            }
        }
        Picture {
            name: "latency",
            title: "How long one query takes".to_owned(),
            caption: "Queries one at a time on one thread: the median, and the slowest in a hundred (dashed). Lower is better.".to_owned(),
            wide: false,
            plot: Plot::Curves {
                x: Axis::new(&self.recall_label(), Scale::Recall),
                y: Axis::new("microseconds (log)", Scale::Log),
                series,
            },
        }
    }

    fn batches(&self) -> Option<Picture> {
        let mut series = Vec::new();
        for shown in self.shown() {
            let mut of_batches: Vec<_> = shown
                .known
                .reached
                .iter()
                .filter(|(setting, _)| setting.target.is_none() && setting.ef.is_some())
                .collect();
            // Those of the beam width that other batches were tried with.
            let tried = of_batches
                .iter()
                .find(|(setting, _)| setting.batch != self.summary.whole())
                .map(|(setting, _)| setting.ef);
            of_batches.retain(|(setting, _)| Some(setting.ef) == tried);
            of_batches.sort_by_key(|(setting, _)| setting.batch);
            let marks: Vec<Mark> = of_batches
                .iter()
                .map(|(setting, reached)| Mark {
                    x: setting.batch as f64,
                    y: reached.qps.median,
                    range: (reached.qps.low, reached.qps.high),
                })
                .collect();
            if marks.len() > 1 {
                let recall = of_batches[0].1.recall.median;
                series.push(Series {
                    name: format!("{}, recall {recall:.3}", shown.name),
                    colour: shown.colour,
                    marks,
                    dashed: false,
                    dots: true,
                });
            }
        }
        (!series.is_empty()).then(|| Picture {
            name: "batches",
            title: "What asking together is worth".to_owned(),
            caption:
                "The same queries, so many in each call, with one beam width. Higher is better."
                    .to_owned(),
            wide: false,
            plot: Plot::Curves {
                x: Axis::new("queries in a call (log)", Scale::Log),
                y: Axis::new("queries a second (log)", Scale::Log),
                series,
            },
        })
    }

    fn memory(&self) -> Option<Picture> {
        let mut series = Vec::new();
        for shown in self.shown() {
            let Some(memory) = &shown.known.memory else {
                continue;
            };
            let mut add = |what: &str, dashed, of: fn(&(f64, u64, u64)) -> u64| {
                let marks: Vec<Mark> = memory
                    .samples
                    .iter()
                    .map(|sample| {
                        let y = crate::summary::as_number(of(sample)) / MEBIBYTE;
                        Mark {
                            x: sample.0,
                            y,
                            range: (y, y),
                        }
                    })
                    .collect();
                if marks.iter().any(|mark| mark.y > 0.0) {
                    series.push(Series {
                        name: format!("{}: {what}", shown.name),
                        colour: shown.colour,
                        marks,
                        dashed,
                        dots: false,
                    });
                }
            };
            add("the process", true, |sample| sample.1);
            add("counted on the device", false, |sample| sample.2);
        }
        (!series.is_empty()).then(|| Picture {
            name: "memory",
            title: "Memory while building".to_owned(),
            caption: "What the engine takes of its device by its own count, and what the process grew by (with the block of rows being read)."
                .to_owned(),
            wide: false,
            plot: Plot::Curves {
                x: Axis::new("seconds since the first row", Scale::Linear),
                y: Axis::new("MiB", Scale::Linear),
                series,
            },
        })
    }
}

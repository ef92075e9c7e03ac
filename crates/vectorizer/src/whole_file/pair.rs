//! Two files that belong together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::part::{self, Turn};
use super::target::folder_of;
use super::{Kind, Target, WholeFile, failed, refused};
use crate::disk;
use crate::error::{Result, VectorizerError};

/// A file and another beside it that says more about it, which may be left out: then one that is there goes away.
///
/// No crash, power cut or failure leaves one of them beside the other of an older pair. Both are whole and on the disk before the
/// first name changes. Then the old main file's name goes, the file beside takes its place, and the new main file comes last. So after
/// a crash the main file is the old one with what was beside it, the new one with what belongs to it, or not there. A failure puts
/// both old ones back.
///
/// A main file that is a device has nothing beside it.
#[derive(Debug)]
pub(crate) struct Pair {
    main: WholeFile,
    beside: Beside,
}

#[derive(Debug)]
enum Beside {
    Written(Box<WholeFile>),
    /// This name is to be free.
    Gone(PathBuf),
    /// Nothing is beside a device.
    None,
}

impl Pair {
    /// Begins both, or the main file alone. Nothing is written before both places are known to be right.
    pub(crate) fn create(main: &Path, beside: &Path, with: bool) -> Result<Self> {
        let target = Target::of(main, &[])?;
        if matches!(target.kind, Kind::Device) {
            return Ok(Self {
                main: WholeFile::begin(target)?,
                beside: Beside::None,
            });
        }
        if !with {
            let there = fs::symlink_metadata(beside);
            if there.is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
                let reason = "is in the way: it is no plain file, and would be taken for the ids";
                return Err(refused(beside, reason));
            }
            return Ok(Self {
                main: WholeFile::begin(target)?,
                beside: Beside::Gone(beside.to_owned()),
            });
        }
        let second = Target::of(beside, &[])?;
        if target.is(&second) {
            return Err(VectorizerError::WouldOverwrite {
                path: beside.display().to_string(),
                holds: "the file that it is to lie beside",
            });
        }
        // Opening a pipe waits for its reader, who may come for the main file first.
        let main = WholeFile::begin(target)?;
        let second = WholeFile::begin(second)?;
        Ok(Self {
            main,
            beside: Beside::Written(Box::new(second)),
        })
    }

    /// The main file.
    pub(crate) fn main(&mut self) -> &mut WholeFile {
        &mut self.main
    }

    /// The one beside it, if there will be one.
    pub(crate) fn beside(&mut self) -> Option<&mut WholeFile> {
        match &mut self.beside {
            Beside::Written(file) => Some(file),
            Beside::Gone(_) | Beside::None => None,
        }
    }

    /// Both are whole: puts them in place.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { mut main, beside } = self;
        main.complete()?;
        match beside {
            Beside::None => main.finish(),
            // What went into a pipe is past: only the other file has a name to get.
            Beside::Written(file) if main.part.is_none() || file.part.is_none() => {
                file.finish()?;
                main.finish()
            }
            Beside::Written(mut file) => {
                file.complete()?;
                let _turn = Turn::wait(&main.target);
                let target = file.target.clone();
                swap(&mut main, &target, Some(&mut file))
            }
            Beside::Gone(path) => {
                let _turn = Turn::wait(&main.target);
                // The name itself: what a link leads to is none of ours.
                let target = Target {
                    named: path.clone(),
                    path,
                    kind: Kind::Free,
                };
                if main.part.is_some() {
                    swap(&mut main, &target, None)
                } else if is_there(&target.path) {
                    disk::remove(&target.path).map_err(failed(&target.named))
                } else {
                    Ok(())
                }
            }
        }
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Takes the old main file's name away, puts the other file in its place or takes it away, and then puts the main file in its place.
fn swap(main: &mut WholeFile, beside: &Target, new: Option<&mut WholeFile>) -> Result<()> {
    part::sweep_old(beside);
    let mut undo = Undo::default();
    let swapped = try_swap(main, beside, new, &mut undo);
    if swapped.is_err() && main.part.is_some() {
        undo.run();
    } else {
        undo.forget();
    }
    swapped.map_err(failed(&main.target.named))
}

fn try_swap(
    main: &mut WholeFile,
    beside: &Target,
    new: Option<&mut WholeFile>,
    undo: &mut Undo,
) -> io::Result<()> {
    let changes = new.is_some() || is_there(&beside.path);
    if changes && is_there(&main.target.path) {
        undo.main = Some(part::put_aside(&main.target)?);
        disk::sync_folder(main.target.folder())?;
    }
    if is_there(&beside.path) {
        undo.beside = Some(part::put_aside(beside)?);
    }
    if let Some(new) = new {
        undo.new = Some(beside.path.clone());
        new.appear()?;
    } else if changes {
        disk::sync_folder(beside.folder())?;
    }
    main.appear()
}

/// What puts an old pair back: names that the files have now, and those that they had.
#[derive(Debug, Default)]
struct Undo {
    main: Option<(PathBuf, PathBuf)>,
    beside: Option<(PathBuf, PathBuf)>,
    /// The place of a new file beside, which is there already or not.
    new: Option<PathBuf>,
}

impl Undo {
    /// The main file last, as on the way here. What fails stays under its other name.
    fn run(self) {
        let back = |(aside, path): &(PathBuf, PathBuf)| {
            disk::rename(aside, path).and_then(|()| disk::sync_folder(folder_of(path)))
        };
        let beside = match (&self.beside, &self.new) {
            (Some(moved), _) => back(moved),
            (None, Some(new)) if is_there(new) => disk::remove(new),
            _ => Ok(()),
        };
        if let (Ok(()), Some(moved)) = (beside, &self.main) {
            drop(back(moved));
        }
    }

    /// The old pair is no longer wanted.
    fn forget(self) {
        for (aside, _) in [self.main, self.beside].into_iter().flatten() {
            drop(disk::remove(&aside));
        }
    }
}

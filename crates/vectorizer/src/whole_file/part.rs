//! Files under names of their own, beside the file that they become.
//!
//! A name is a dot, eight digits that stand for the target's name, chance, and a suffix: short enough beside any target, and known
//! for the target's. Whoever writes one has it locked, so that the next writer to the same target can tell what a stopped program
//! left, and takes it away.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::target::{Kind, Target};
use crate::disk;

/// A file that is being written.
const PART: &str = ".part";
/// A file that another takes the place of.
const OLD: &str = ".old";
/// Held by whoever gives files their names.
const TURN: &str = ".lock";
/// How often a name may be taken.
const TRIES: usize = 100;

/// What the names of all files beside a target begin with.
fn prefix(target: &Target) -> String {
    let name = target.path.file_name().unwrap_or_default();
    let hash = twox_hash::XxHash3_64::oneshot(name.as_encoded_bytes());
    format!(".{:08x}-", hash >> 32)
}

/// A name that nobody has.
pub(super) fn new_name(target: &Target, suffix: &str) -> io::Result<PathBuf> {
    let mut chance = [0; 6];
    getrandom::fill(&mut chance).map_err(io::Error::other)?;
    let mut name = prefix(target);
    name.extend(chance.iter().map(|byte| format!("{byte:02x}")));
    Ok(target.folder().join(name + suffix))
}

/// Makes a locked file beside a target, as private as the file whose place it takes.
pub(super) fn create(target: &Target) -> io::Result<(PathBuf, disk::File)> {
    sweep(target, PART);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if let Kind::Plain(_) = &target.kind {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    for _ in 0..TRIES {
        let path = new_name(target, PART)?;
        let file = match disk::File::open_with(&path, &options) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        };
        // Another writer may have taken it for a left-over between these two steps.
        match file.get_ref().try_lock() {
            Ok(()) if !is_named(file.get_ref(), &path) => {}
            Err(TryLockError::WouldBlock) => {}
            // Where nobody can lock, nobody sweeps.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok((path, file)),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Moves a file away from its name; the name it has now, and the one it had.
pub(super) fn put_aside(target: &Target) -> io::Result<(PathBuf, PathBuf)> {
    let aside = new_name(target, OLD)?;
    disk::rename(&target.path, &aside)?;
    Ok((aside, target.path.clone()))
}

/// Takes away what was moved and is no longer wanted, since a program stopped; for whoever has the turn.
pub(super) fn sweep_old(target: &Target) {
    sweep(target, OLD);
}

/// Gives a finished file the owner and the permissions of the one whose place it takes, as far as this process may.
pub(super) fn take_after(file: &File, target: &Target) -> io::Result<()> {
    let Kind::Plain(old) = &target.kind else {
        return Ok(());
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
        let new = file.metadata()?;
        let mut mode = old.mode() & 0o7777;
        if old.gid() != new.gid() && fchown(file, None, Some(old.gid())).is_err() {
            // What a group of another name might do is what all others might.
            mode = (mode & !0o2070) | ((mode & 0o007) << 3);
        }
        if old.uid() != new.uid() && fchown(file, Some(old.uid()), None).is_err() {
            mode &= !0o4000;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, old);
        Ok(())
    }
}

/// Takes away what stopped programs left of a target's files with this suffix. What fails here is no matter of the new file's.
fn sweep(target: &Target, suffix: &str) {
    let prefix = prefix(target);
    let Ok(entries) = fs::read_dir(target.folder()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        let is_ours = bytes.starts_with(prefix.as_bytes()) && bytes.ends_with(suffix.as_bytes());
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if file.try_lock().is_ok() {
            drop(disk::remove(&path));
        }
    }
}

/// The turn to give the files of one target their names. It ends when this is dropped, or the process does.
#[derive(Debug)]
pub(super) struct Turn(Option<(PathBuf, File)>);

impl Turn {
    /// Waits for the others who write to this target. Where files cannot be locked, nobody waits.
    pub(super) fn wait(target: &Target) -> Self {
        let mut name = OsString::from(prefix(target));
        name.push(TURN);
        let path = target.folder().join(name);
        let turn = loop {
            let mut options = OpenOptions::new();
            let Ok(file) = options.write(true).create(true).truncate(false).open(&path) else {
                break Self(None);
            };
            if file.lock().is_err() {
                break Self(None);
            }
            // Whoever had the turn before has taken the name away.
            if is_named(&file, &path) {
                break Self(Some((path, file)));
            }
        };
        sweep_old(target);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((path, _file)) = self.0.take() {
            // While it is still locked; a name that stays is used again.
            drop(fs::remove_file(path));
        }
    }
}

/// Whether an open file still has this name.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |there: &Metadata| (there.dev(), there.ino());
    let (open, named) = (file.metadata(), fs::symlink_metadata(path));
    matches!((open, named), (Ok(open), Ok(named)) if identity(&open) == identity(&named))
}

/// Whether an open file still has this name: an open file's name is not free elsewhere before it is closed.
#[cfg(not(unix))]
fn is_named(_: &File, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

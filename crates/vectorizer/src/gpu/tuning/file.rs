//! The file in which a device's tuning is remembered.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy as _, choose_native_strategy};
use serde::{Deserialize, Serialize};

use super::{TUNING_VARIABLE, Tuning, TuningInUse, TuningRefused, TuningSource};
use crate::disk;
use crate::error::{Result, VectorizerError};
use crate::gpu::device::DeviceInfo;
use crate::whole_file::WholeFile;

/// No file with a tuning is longer than this.
const LONGEST: u64 = 64 << 10;

/// What a tuning was measured with. It holds for nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    device: String,
    backend: String,
    /// PCI's numbers, 0 where there are none.
    vendor_id: u32,
    device_id: u32,
    driver: String,
    version: String,
    /// A sum over the texts of all kernels.
    kernels: String,
}

impl Key {
    fn of(info: &DeviceInfo) -> Self {
        Self {
            device: info.name.clone(),
            backend: info.backend.to_string(),
            vendor_id: info.vendor_id,
            device_id: info.device_id,
            driver: info.driver.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernels: format!("{:016x}", crate::kernels::fingerprint()),
        }
    }

    /// The first thing in which a file's key differs from this one.
    fn difference(&self, found: &Self) -> Option<TuningRefused> {
        let numbers = |key: &Self| format!("{:04x}:{:04x}", key.vendor_id, key.device_id);
        let fields = [
            ("device", self.device.clone(), found.device.clone()),
            ("backend", self.backend.clone(), found.backend.clone()),
            ("PCI number", numbers(self), numbers(found)),
            ("driver", self.driver.clone(), found.driver.clone()),
            ("version", self.version.clone(), found.version.clone()),
            (
                "sum of kernels",
                self.kernels.clone(),
                found.kernels.clone(),
            ),
        ];
        let (field, expected, found) = fields.into_iter().find(|(_, ours, its)| ours != its)?;
        Some(TuningRefused::OfAnother {
            field,
            found,
            expected,
        })
    }

    /// The name of its file: readable letters of the device's name, and a sum that keeps apart what differs in anything else.
    fn file_name(&self) -> String {
        let letters = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let name: String = self.device.chars().map(letters).take(40).collect();
        let mut all = String::new();
        for part in [
            &self.device,
            &self.backend,
            &format!("{:08x}{:08x}", self.vendor_id, self.device_id),
            &self.driver,
            &self.version,
            &self.kernels,
        ] {
            // With its length, so that no two keys run together.
            all.push_str(&format!("{}:{part}", part.len()));
        }
        let sum = twox_hash::XxHash3_64::oneshot(all.as_bytes());
        format!("{}-{sum:016x}.json", name.trim_matches('-'))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    measured_on: Key,
    tuning: Tuning,
}

/// Where a device's tuning is looked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: the variable says so.
    Off,
    /// Nowhere: the system has no folder for such things.
    None,
    /// In this file.
    File(PathBuf),
}

impl Place {
    /// By the environment.
    pub(crate) fn of(info: &DeviceInfo) -> Self {
        let cache = || Some(choose_native_strategy().ok()?.cache_dir());
        Self::by(
            std::env::var_os(TUNING_VARIABLE).map(PathBuf::from),
            cache,
            info,
        )
    }

    /// The file, if there may be one.
    ///
    /// # Errors
    /// [`VectorizerError::FileRefused`] says why there may not.
    pub(crate) fn file(self) -> Result<PathBuf> {
        match self {
            Self::File(path) => Ok(path),
            Self::Off => Err(refused(
                TUNING_VARIABLE,
                "it is off, so that nothing is remembered: unset it, or name a file".to_owned(),
            )),
            Self::None => Err(refused(
                "the cache folder",
                format!("the system names none: name a file in {TUNING_VARIABLE}"),
            )),
        }
    }

    pub(super) fn by(
        named: Option<PathBuf>,
        cache: impl FnOnce() -> Option<PathBuf>,
        info: &DeviceInfo,
    ) -> Self {
        match named {
            Some(named) if named.as_os_str() == "off" => Self::Off,
            Some(named) if !named.as_os_str().is_empty() => Self::File(named),
            _ => cache().map_or(Self::None, |cache| {
                let folder = cache.join("vectorizer").join("tuning");
                Self::File(folder.join(Key::of(info).file_name()))
            }),
        }
    }
}

/// The tuning that a device is opened with: what is remembered in its place, else its default. Nothing that is wrong with a file is an error.
pub(crate) fn in_use(place: Place, info: &DeviceInfo) -> TuningInUse {
    let default = Tuning::default_for(&info.tier, info.kind);
    let (values, source) = match place {
        Place::Off => (default, TuningSource::Off),
        Place::None => (default, TuningSource::Default),
        Place::File(path) => match read(&path, info) {
            Ok(Some(tuning)) => (tuning, TuningSource::File(path)),
            Ok(None) => (default, TuningSource::Default),
            Err(why) => {
                tracing::warn!(path = %path.display(), %why, "a tuning is refused");
                (default, TuningSource::Refused(path, why))
            }
        },
    };
    TuningInUse { values, source }
}

/// The tuning in a file; `None` if there is no file.
fn read(path: &Path, info: &DeviceInfo) -> Result<Option<Tuning>, TuningRefused> {
    let unreadable = |error: io::Error| TuningRefused::Unreadable {
        reason: error.to_string(),
    };
    let malformed = |reason: String| TuningRefused::Malformed { reason };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        // A pipe would keep us waiting.
        Ok(what) if !what.is_file() => return Err(malformed("it is not a file".to_owned())),
        Ok(_) => {}
    }
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > LONGEST {
        return Err(malformed(format!("it is longer than {LONGEST} bytes")));
    }
    let record: Record =
        serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    if let Some(difference) = Key::of(info).difference(&record.measured_on) {
        return Err(difference);
    }
    record.tuning.validate(&info.tier, info.kind)?;
    Ok(Some(record.tuning))
}

/// Writes a tuning to a file, whole or not at all. The file is made, and its folder, if they are not there.
///
/// # Errors
/// [`VectorizerError::FileRefused`] if the tuning is not one for this device, [`VectorizerError::FileFailed`] if the system refuses.
pub(crate) fn write(path: &Path, info: &DeviceInfo, tuning: &Tuning) -> Result<()> {
    let name = path.display().to_string();
    tuning
        .validate(&info.tier, info.kind)
        .map_err(|why| refused(&name, why.to_string()))?;
    let record = Record {
        measured_on: Key::of(info),
        tuning: *tuning,
    };
    let mut text =
        serde_json::to_string_pretty(&record).map_err(|error| refused(&name, error.to_string()))?;
    text.push('\n');
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        disk::make_folders(folder).map_err(|error| VectorizerError::FileFailed {
            path: name,
            reason: error.to_string(),
        })?;
    }
    WholeFile::write(path, text.as_bytes())
}

fn refused(path: &str, reason: String) -> VectorizerError {
    VectorizerError::FileRefused {
        path: path.to_owned(),
        reason,
    }
}

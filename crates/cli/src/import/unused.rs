//! Options that a format has no use for.

use super::ImportArguments;
use crate::export::Format;
use crate::failure::{Failure, Result};

/// Refuses every option that would be accepted and not used.
pub(super) fn refuse(arguments: &ImportArguments) -> Result<()> {
    let format = arguments.format;
    let name = name(format);
    let rows = matches!(format, Format::Npy | Format::Fvecs);
    let names = &arguments.names;
    if names.ids.is_some() && !rows && format != Format::Hnswlib {
        return Err(Failure::Input(format!(
            "--ids is not used with --format {name}: the file says the ids itself"
        )));
    }
    if names.first_id.is_some() && !rows {
        let reason = if format == Format::Hnswlib {
            "labels are the numbers of its vectors"
        } else {
            "the file says the ids itself"
        };
        return Err(Failure::Input(format!(
            "--first-id is not used with --format {name}: {reason}"
        )));
    }
    #[cfg(feature = "parquet")]
    if format != Format::Parquet {
        let columns = &arguments.columns;
        for (option, given) in [
            ("--id-column", columns.id_column.is_some()),
            ("--vector-column", columns.vector_column.is_some()),
            ("--columns", columns.columns.is_some()),
        ] {
            if given {
                return Err(Failure::Input(format!(
                    "{option} is not used with --format {name}: only Parquet has columns"
                )));
            }
        }
    }
    Ok(())
}

/// A format by the name that it has on the command line.
fn name(format: Format) -> String {
    use clap::ValueEnum as _;
    let value = format.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

//! What a function runs: its sources as the archive that Lambda takes.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{Architecture, program};
use crate::kind::{Failure, Result};

/// The file that Lambda runs where it knows no language.
const BOOTSTRAP: &str = "bootstrap";

/// Where a function's code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Code {
    /// Source files by name, as in `chat.py`.
    Files(BTreeMap<String, String>),
    /// The program that comes with `infra`. It is written where an older version runs, whatever the digests are, so that
    /// two people with two builds of one version do not take turns.
    Rotator {
        /// The path of another one than that beside `infra`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        package: Option<String>,
    },
}

/// An archive as Lambda takes it.
pub(super) struct Archive {
    pub bytes: Vec<u8>,
    /// Where the code is for one processor only.
    pub architecture: Option<Architecture>,
}

impl Code {
    /// The archive. Of sources, the same bytes for the same code, on every machine and on each day, so that its digest says
    /// whether AWS runs this code. For that it is not compressed either, since a compressor's next release may do better.
    pub(super) fn archive(&self) -> Result<Archive> {
        match self {
            Self::Files(files) => {
                let files = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes()));
                Ok(Archive { bytes: pack(files, CompressionMethod::Stored, 0o644)?, architecture: None })
            }
            Self::Rotator { package } => {
                let program = program::read(package.as_deref()).map_err(unpackable)?;
                let bytes = pack([(BOOTSTRAP, &*program.bytes)], CompressionMethod::Deflated, 0o755)?;
                if bytes.len() > program::MOST_BYTES {
                    let message = format!("packed, it has {} MB, and Lambda takes 50: strip it", bytes.len() >> 20);
                    return Err(unpackable(message));
                }
                Ok(Archive { bytes, architecture: Some(program.architecture) })
            }
        }
    }

    /// Where the program that comes with `infra` is said to be, of functions that run it.
    pub fn package(self) -> Option<Option<String>> {
        match self {
            Self::Files(_) => None,
            Self::Rotator { package } => Some(package),
        }
    }

    /// The digest, as AWS writes it, of an archive that is compared by it.
    pub(super) fn sha256(&self) -> Result<Option<String>> {
        let digest = |archive: Archive| aws_smithy_types::base64::encode(Sha256::digest(archive.bytes));
        match self {
            Self::Files(_) => self.archive().map(digest).map(Some),
            Self::Rotator { .. } => Ok(None),
        }
    }
}

fn pack<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    method: CompressionMethod,
    mode: u32,
) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default().compression_method(method);
    let options = options.last_modified_time(DateTime::default()).unix_permissions(mode);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(name, options).map_err(unpackable)?;
        archive.write_all(bytes).map_err(unpackable)?;
    }
    archive.finish().map(Cursor::into_inner).map_err(unpackable)
}

fn unpackable(error: impl std::fmt::Display) -> Failure {
    Failure::new("lambda_function", "Code", format!("the code cannot be packed: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn code(text: &str) -> Code {
        Code::Files(BTreeMap::from([("chat.py".into(), text.into()), ("a/b.txt".into(), "b".into())]))
    }

    #[test]
    fn the_archive_depends_on_the_code_alone() {
        // Another digest here means that every function of every user would be written again.
        assert_eq!(code("x = 1\n").sha256().unwrap().unwrap(), "IlySpJ6xH8Xl2wx70URq1eqHMXN7tAOfgupedsatPVE=");
        assert_ne!(code("x = 2\n").sha256().unwrap(), code("x = 1\n").sha256().unwrap());
    }

    #[test]
    fn the_archive_holds_the_files_readable_for_all() {
        let mut archive = zip::ZipArchive::new(Cursor::new(code("x = 1\n").archive().unwrap().bytes)).unwrap();
        assert_eq!(archive.len(), 2);
        let mut file = archive.by_name("chat.py").unwrap();
        assert_eq!(file.unix_mode().map(|mode| mode & 0o777), Some(0o644));
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x = 1\n");
    }
}

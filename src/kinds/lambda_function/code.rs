//! What a function runs: its sources as the archive that Lambda takes.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::kind::{Failure, Result};

/// Where a function's code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Code {
    /// Source files by name, as in `chat.py`.
    Files(BTreeMap<String, String>),
}

impl Code {
    /// The archive: the same bytes for the same code, on every machine and on each day, so that its digest says whether
    /// AWS runs this code. For that it is not compressed either, since a compressor's next release may do better.
    pub(super) fn archive(&self) -> Result<Vec<u8>> {
        let Self::Files(files) = self;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            archive.start_file(name, options).map_err(unpackable)?;
            archive.write_all(text.as_bytes()).map_err(unpackable)?;
        }
        archive.finish().map(Cursor::into_inner).map_err(unpackable)
    }

    /// The archive's digest as AWS writes it.
    pub(super) fn sha256(&self) -> Result<String> {
        Ok(aws_smithy_types::base64::encode(Sha256::digest(self.archive()?)))
    }
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
        assert_eq!(code("x = 1\n").sha256().unwrap(), "IlySpJ6xH8Xl2wx70URq1eqHMXN7tAOfgupedsatPVE=");
        assert_ne!(code("x = 2\n").sha256().unwrap(), code("x = 1\n").sha256().unwrap());
    }

    #[test]
    fn the_archive_holds_the_files_readable_for_all() {
        let mut archive = zip::ZipArchive::new(Cursor::new(code("x = 1\n").archive().unwrap())).unwrap();
        assert_eq!(archive.len(), 2);
        let mut file = archive.by_name("chat.py").unwrap();
        assert_eq!(file.unix_mode().map(|mode| mode & 0o777), Some(0o644));
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x = 1\n");
    }
}

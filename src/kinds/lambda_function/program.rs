//! The program that rotates credentials of databases and rolls services. It comes with `infra` and has its version.

use std::path::{Path, PathBuf};

use object::{Architecture as Machine, BinaryFormat, Object as _};

use super::Architecture;

/// Its name beside `infra`.
const NAME: &str = "infra-rotator";
/// What Lambda takes with a request, once packed.
pub const MOST_BYTES: usize = 50 << 20;

/// The program itself.
pub struct Program {
    pub bytes: Vec<u8>,
    pub architecture: Architecture,
}

/// Where it is: at `package`, or beside the program that runs.
fn place(package: Option<&str>) -> Result<PathBuf, String> {
    if let Some(package) = package {
        return Ok(PathBuf::from(package));
    }
    let own = std::env::current_exe().map_err(|error| format!("where infra itself is cannot be told: {error}"))?;
    Ok(own.parent().unwrap_or(Path::new("")).join(NAME))
}

/// Reads it, and says what is wrong with it.
pub fn read(package: Option<&str>) -> Result<Program, String> {
    const HELP: &str = "name one that was built for Linux: `rotation: { package: PATH }`";
    let path = place(package)?;
    let shown = path.display();
    let bytes = std::fs::read(&path).map_err(|error| {
        format!("the program that rotates credentials cannot be read: {shown}: {error}; it comes with infra; or {HELP}")
    })?;
    let file = object::File::parse(&*bytes).ok().filter(|file| file.format() == BinaryFormat::Elf);
    let architecture = match file.as_ref().map(|file| file.architecture()) {
        Some(Machine::X86_64) => Architecture::X86,
        Some(Machine::Aarch64) => Architecture::Arm,
        _ => return Err(format!("{shown} is no program for Linux on x86_64 or arm64, which Lambda asks for; {HELP}")),
    };
    Ok(Program { bytes, architecture })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_run_in_lambda_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rotator");
        let read = || read(path.to_str()).map(|program| program.architecture);
        assert!(read().unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        assert!(read().unwrap_err().contains("no program for Linux on x86_64 or arm64"));
        let own = std::env::current_exe().unwrap();
        assert!(super::read(own.to_str()).is_ok(), "this test runs on Linux");
    }
}

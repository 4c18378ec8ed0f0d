//! The rules of the code that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// A file that is longer is two.
const LINES: usize = 500;
/// What takes values and returns values.
const PURE: &[&str] = &[
    "address.rs",
    "bluegreen",
    "bluegreen.rs",
    "check",
    "check.rs",
    "desired.rs",
    "diagnostic.rs",
    "diff.rs",
    "drift.rs",
    "environment",
    "environment.rs",
    "explain",
    "explain.rs",
    "plan",
    "plan.rs",
    "policy.rs",
    "policy",
    "reach.rs",
    "report",
    "remedy",
    "remedy.rs",
    "report.rs",
    "rights",
    "rights.rs",
    "source",
    "source.rs",
    "tags.rs",
    "terraform",
    "terraform.rs",
    "value.rs",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn pure_modules_import_neither_tokio_nor_aws() {
    for name in PURE {
        let path = Path::new(ROOT).join("src").join(name);
        let files = if path.is_dir() { sources(&path) } else { vec![path] };
        for file in files {
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            for banned in [
                "tokio::",
                "aws_sdk",
                "aws_config",
                "aws_smithy",
                "crate::aws",
                "crate::live",
                "std::fs",
                "std::env::var",
            ] {
                assert!(!text.contains(banned), "{} uses {banned}", file.display());
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_it_should_be() {
    for folder in ["src", "tests"] {
        for file in sources(&Path::new(ROOT).join(folder)) {
            let lines = fs::read_to_string(&file).expect("a text").lines().count();
            assert!(lines <= LINES, "{} has {lines} lines; {LINES} is the limit", file.display());
        }
    }
}

/// `infra forget` removes exactly these.
#[test]
fn all_keys_of_our_tags_are_in_one_list() {
    let mut missing = Vec::new();
    for file in sources(&Path::new(ROOT).join("src/kinds")) {
        let text = fs::read_to_string(&file).expect("a text");
        let keys = text.split("\"infra:").skip(1).filter_map(|rest| rest.split_once('"')).map(|(key, _)| key);
        let plain = |key: &&str| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let unknown = |key: &&str| !infra::tags::OURS.contains(&format!("infra:{key}").as_str());
        missing.extend(keys.filter(plain).filter(unknown).map(str::to_owned));
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn each_kind_is_one_file_of_its_name() {
    for info in infra::kinds::ALL {
        let file = Path::new(ROOT).join("src/kinds").join(format!("{}.rs", info.name));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(text.contains(&format!("const NAME: &'static str = \"{}\"", info.name)), "{}", file.display());
    }
    assert!(infra::kinds::ALL.is_sorted_by_key(|info| info.name), "kinds.rs lists them by name");
}

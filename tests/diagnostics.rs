//! Each file in `diagnostics/` is one way to get an environment file wrong; the snapshot beside it is what the user
//! reads.
//!
//! A first line such as `# --var NAME=VALUE` gives variables. After a wanted change of wording: `cargo insta review`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use infra::check::check;
use infra::diagnostic::render;
use infra::environment::{Facts, desired, load};

fn message(folder: &Path, file: &str) -> String {
    let read = |name: &str| std::fs::read(folder.join(name)).and_then(infra::environment::extends::text);
    let text = read(file).unwrap_or_default();
    let given = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
    let vars: Vec<(String, String)> = given
        .split("--var ")
        .filter_map(|one| one.trim().split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // What an account with three zones tells.
    let zones = ["us-east-1a", "us-east-1b", "us-east-1c"].map(str::to_owned).to_vec();
    let facts = Facts { zones: Some(zones), ..Facts::default() };
    match load(file, &vars, &read) {
        Ok(loaded) => match desired(&loaded, &facts) {
            Ok(desired) => {
                let found = check(&loaded, &desired).diagnostics;
                render(&[&loaded.warnings[..], &found].concat(), &loaded.sources, false)
            }
            Err(diagnostics) => render(&diagnostics, &loaded.sources, false),
        },
        Err(failed) => render(&failed.diagnostics, &failed.sources, false),
    }
}

#[test]
fn each_mistake_has_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for file in files {
            insta::assert_snapshot!(file.trim_end_matches(".yaml"), message(&folder, &file));
        }
    });
}

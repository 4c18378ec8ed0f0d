//! Environment files.

use std::io;
use std::path::Path;
use std::sync::LazyLock;

use infra::check::check;
use infra::diagnostic::{Diagnostic, render};
use infra::environment::{Facts, Failed, desired, extends, load};
use infra::source::Sources;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;

use crate::edits::{edited, edits, words};
use crate::{foreign, fuzz};

/// A file, and the folder that it stands in.
struct File {
    folder: &'static str,
    name: String,
    text: String,
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let mut files = Vec::new();
    for folder in ["environments", "tests", "tests/diagnostics"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let mut yaml: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
        yaml.sort();
        for path in yaml {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            files.push(File { folder, name: path.file_name().unwrap().to_string_lossy().into_owned(), text });
        }
    }
    files
});

static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut all: Vec<String> =
        FILES.iter().flat_map(|file| words(&file.text).into_iter().map(|word| file.text[word].to_owned())).collect();
    all.sort();
    all.dedup();
    all
});

/// Whether a diagnostic may be about no line: what it is about stands elsewhere.
fn is_about_no_line(one: &Diagnostic) -> bool {
    matches!(one.code, Some("environment_name" | "unused_variable" | "unreadable"))
}

fn in_plain_words(diagnostics: &[Diagnostic], sources: &Sources) -> TestCaseResult {
    let shown = render(diagnostics, sources, false);
    prop_assert_eq!(&shown, &render(diagnostics, sources, false));
    for one in diagnostics {
        prop_assert!(!one.message.trim().is_empty(), "an empty message: {:?}", one);
        for text in [Some(&one.message), Some(&one.label), one.help.as_ref()].into_iter().flatten() {
            prop_assert_eq!(foreign(text), None, "{}", text);
            prop_assert!(!text.contains("``") && !text.contains("()"), "{}", text);
        }
        let Some(place) = one.place else {
            prop_assert!(is_about_no_line(one) || !one.is_error(), "no place: {:?}", one);
            continue;
        };
        for place in one.related.iter().map(|(place, _)| *place).chain([place]) {
            let text = &sources.files[place.file].text;
            prop_assert!(place.start <= place.end && text.get(place.start..place.end).is_some(), "{:?}", one);
            let (_, line) = sources.line(place);
            prop_assert!(line >= 1 && line <= text.lines().count().max(1), "line {} of {:?}", line, one);
        }
    }
    Ok(())
}

/// Reads, expands and checks a file twice, and looks at what is said of it.
fn read_twice(folder: &str, name: &str, bytes: &[u8]) -> TestCaseResult {
    let path = format!("{folder}/{name}");
    let read = |asked: &str| -> io::Result<String> {
        if asked == path {
            return extends::text(bytes.to_vec());
        }
        let file = FILES.iter().find(|file| asked == format!("{}/{}", file.folder, file.name));
        file.map(|file| file.text.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let loaded = match load(&path, &[], &read) {
        Ok(loaded) => loaded,
        Err(Failed { diagnostics, sources }) => {
            prop_assert!(diagnostics.iter().any(Diagnostic::is_error));
            return in_plain_words(&diagnostics, &sources);
        }
    };
    in_plain_words(&loaded.warnings, &loaded.sources)?;
    let Ok(again) = load(&path, &[], &read) else { return Err(TestCaseError::fail("read once and refused once")) };
    let zones = ["us-east-1a", "us-east-1b", "us-east-1c"].map(str::to_owned).to_vec();
    for facts in [Facts::default(), Facts { zones: Some(zones), ..Facts::default() }] {
        match desired(&loaded, &facts) {
            Ok(made) => {
                prop_assert!(matches!(desired(&again, &facts), Ok(again) if again == made));
                in_plain_words(&check(&loaded, &made).diagnostics, &loaded.sources)?;
            }
            Err(diagnostics) => {
                prop_assert!(!diagnostics.is_empty());
                in_plain_words(&diagnostics, &loaded.sources)?;
            }
        }
    }
    Ok(())
}

fn try_edits(cases: u32, only: fn(&File) -> bool) {
    let files: Vec<&File> = FILES.iter().filter(|file| only(file)).collect();
    fuzz(cases, &(any::<Index>(), edits()), |(file, edits)| {
        let file = file.get(&files);
        let bytes = edited(&file.text, &edits, &WORDS);
        read_twice(file.folder, &file.name, &bytes).map_err(|error| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            TestCaseError::fail(format!("{error}\n{}/{} became:\n{text}", file.folder, file.name))
        })
    });
}

#[test]
fn right_files_with_mistakes() {
    try_edits(80, |file| file.folder == "environments");
}

#[test]
fn raw_resources_with_mistakes() {
    try_edits(40, |file| file.folder == "tests");
}

#[test]
fn broken_files_with_more_mistakes() {
    try_edits(120, |file| file.folder == "tests/diagnostics");
}

#[test]
fn any_text() {
    fuzz(200, &"[-a-z0-9 :{}\\[\\]\"'$&*!|>%@\\n\\t#.é]{0,60}", |text| read_twice("x", "y.yaml", text.as_bytes()));
}

#[test]
fn any_bytes() {
    fuzz(200, &proptest::collection::vec(any::<u8>(), 0..60), |bytes| read_twice("x", "y.yaml", &bytes));
}

/// Files that are too deep, too long or too much of anything, by hand.
#[test]
fn extremes() {
    let head = "project: acme\naccount: \"123456789012\"\nregion: us-east-1\n";
    let staircase: String = (0..500).map(|deep| format!("{}a:", "  ".repeat(deep))).collect::<Vec<_>>().join("\n");
    let many: String = (0..3000).map(|number| format!("  key-{number}: x")).collect::<Vec<_>>().join("\n");
    for text in [
        format!("{head}tags: {}", "[".repeat(2_000)),
        format!("{head}tags: {}", "{a: ".repeat(2_000)),
        format!("{head}tags:\n{}", "- ".repeat(2_000)),
        format!("{head}tags: {}", "? ".repeat(2_000)),
        format!("{head}tags: {}", "!a ".repeat(2_000)),
        format!("{head}{staircase}"),
        format!("{head}tags:\n{many}"),
        format!("{head}{}", "# a comment that nobody reads\n".repeat(70_000)),
        format!("{head}network: {{ cidr: {}, zones: 2 }}", "x".repeat(20_000)),
        format!("{head}tags: {{ a: \"{}\" }}", "${".repeat(2_000)),
        format!("{head}services: {{ {}: {{}} }}", "x".repeat(20_000)),
        format!("{head}# {}\n", "x".repeat(4_200_000)),
        "\n".repeat(10_000),
        "a".repeat(20_000),
    ] {
        read_twice("x", "y.yaml", text.as_bytes()).unwrap();
    }
}

//! The function that posts to chats, run as Lambda runs it.

use std::path::Path;
use std::process::Command;

#[test]
fn the_chat_function_passes_its_own_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3")
        .arg("-B")
        .arg(root.join("tests/it/sections/chat.py"))
        .arg(root.join("src/environment/expand/notifications"))
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("\nOK\n"), "{said}");
}

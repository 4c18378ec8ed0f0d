//! The program itself: it must run on Amazon Linux 2023, whatever it was built on.

use object::{Object as _, ObjectSection as _};

/// The C library of Amazon Linux 2023.
const GLIBC: (u32, u32) = (2, 34);
/// What Lambda's `provided.al2023` has.
const LIBRARIES: [&str; 4] = ["ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6"];

#[test]
fn it_needs_nothing_that_amazon_linux_lacks() {
    let bytes = std::fs::read(env!("CARGO_BIN_EXE_infra-rotator")).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let names = file.section_by_name(".dynstr").unwrap().data().unwrap();
    let names: Vec<&str> = names.split(|byte| *byte == 0).map(|name| std::str::from_utf8(name).unwrap()).collect();
    let version = |name: &str| {
        let (major, minor) = name.strip_prefix("GLIBC_")?.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.split('.').next()?.parse::<u32>().ok()?))
    };
    let newest = names.iter().filter_map(|name| version(name)).max().expect("it uses the C library");
    assert!(newest <= GLIBC, "it needs glibc {}.{}: build it on an older system", newest.0, newest.1);
    let libraries = names.iter().filter(|name| name.contains(".so."));
    let others: Vec<_> = libraries.filter(|name| !LIBRARIES.contains(name)).collect();
    assert_eq!(others, [&""; 0]);
}

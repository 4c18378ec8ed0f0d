//! What a schema cannot say: rules between fields and between sections.

use ipnet::Ipv4Net;

use crate::diagnostic::Diagnostic;
use crate::source::Node;

/// The file under check, and what was found so far.
pub struct Rules<'a> {
    pub tree: &'a Node,
    found: Vec<Diagnostic>,
}

impl<'a> Rules<'a> {
    pub(super) const fn new(tree: &'a Node) -> Self {
        Self { tree, found: Vec::new() }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// The names that a section has in the file, whether or not their entries are right.
    pub(super) fn names(&self, section: &str) -> Vec<&'a str> {
        let tree: &'a Node = self.tree;
        tree.entry(section).map(|entry| entry.value.entries().iter().map(|entry| entry.key.as_str()).collect()).unwrap_or_default()
    }

    /// Reports a name that its section does not have. Returns whether it has it.
    pub(super) fn known(&mut self, section: &str, name: &str, path: &[&str]) -> bool {
        let names = self.names(section);
        if names.contains(&name) {
            return true;
        }
        let error = Diagnostic::error("unknown_name", format!("there is no `{name}` in `{section}`"));
        let (label, help) = super::check::suggest(name, &names);
        let error = error.at(self.tree.place_of(path), label);
        self.report(match help {
            Some(help) => error.help(help),
            None => error.help(format!("this file has no `{section}`")),
        });
        false
    }

    /// Reports an address range such as 10.0.0.1/16. Returns whether it is right.
    pub(super) fn no_host_bits(&mut self, net: Ipv4Net, path: &[&str]) -> bool {
        let right = net.trunc();
        if right == net {
            return true;
        }
        let message = format!("the address {} is not the beginning of a /{}", net.addr(), net.prefix_len());
        let error = Diagnostic::error("host_bits", message);
        self.report(error.at(self.tree.place_of(path), format!("the range that holds it is `{right}`")).help(format!("write `{right}`")));
        false
    }
}

//! Each section on a small file of its own, with the real binary: what AWS then holds is what the section promises.

mod dns;
mod firewall;

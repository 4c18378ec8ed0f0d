//! Each section of a file, applied by the real binary and looked at with AWS's own eyes.

mod delivery;
//! Sections of environment files: the real binary makes what they ask for, changes it and takes it away.

mod buckets;
mod connections;
//! Each section on a small file of its own, with the real binary: what AWS then holds is what the section promises.

mod dns;
mod firewall;
//! The real binary against the emulator, section by section.

mod chat;
mod notifications;
//! The real binary against the emulator, a section of the file each: what it makes is what its users ask for.

mod calls;
mod jobs;
mod scale;
mod tracing;
//! Each section of an environment file with the real binary: what AWS then has, one change, and nothing left.

mod caches;

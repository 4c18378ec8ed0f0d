//! Sections of environment files: the real binary makes what they ask for, changes it and takes it away.

mod buckets;
mod connections;

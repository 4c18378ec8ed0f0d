//! The real binary against the emulator, a section of the file each: what it makes is what its users ask for.

mod calls;
mod jobs;
mod scale;
mod tracing;

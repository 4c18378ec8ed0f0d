//! Each section of a file, applied by the real binary and looked at with AWS's own eyes.

mod delivery;

//! Each section of an environment file with the real binary: what AWS then has, one change, and nothing left.

mod caches;

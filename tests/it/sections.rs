//! The real binary against the emulator, section by section.

mod chat;
mod notifications;

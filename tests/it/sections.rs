//! Each section on a small file of its own, with the real binary: what AWS then holds is what the section promises.

mod alarms;
mod buckets;
mod caches;
mod calls;
mod chat;
mod connections;
mod delivery;
mod dns;
mod firewall;
mod jobs;
mod logs;
mod native;
mod notifications;
mod releases;
mod scale;
mod tracing;

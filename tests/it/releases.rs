//! Releases under traffic: tasks are processes, the load balancer forwards to them, and clients do not ask twice.
//! `cargo nextest run releases --no-capture` shows the figures.

mod by_hand;
mod load;
mod site;

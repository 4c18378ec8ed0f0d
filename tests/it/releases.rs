//! Releases under traffic: tasks are processes, the load balancer forwards to them, and clients do not ask twice.
//! `cargo nextest run releases --no-capture` shows the figures.

mod applied;
mod back;
mod bad;
mod by_hand;
mod disturbed;
mod killed;
mod load;
mod operator;
mod policy;
mod site;
mod steps;
mod whole;

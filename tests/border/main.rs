//! What holds at the plugin border: real libraries are loaded from folders, and run with real stores and a platform.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at its first surprise")]

mod by_hand;
mod copied;
mod damaged;
mod described;
mod house;
mod loading;
mod logged;
mod made;
mod pages;
mod rude;
mod running;
mod scoped;
mod settings;
mod wakers;

//! WeChat: login codes, phone codes, requests with the access token, and the table of its error codes.

pub mod answer;
mod api;
mod app_secret;
mod client;
mod encrypted;
pub mod errcodes;
mod session_key;
mod tokens;
pub mod verify;

pub use api::{BASE_URL, WechatCredentials};
pub use client::Wechat;

//! WeChat: login codes, phone codes, requests with the access token, and the table of its error codes.

mod api;
mod app_secret;
mod client;
mod encrypted;
pub mod errcodes;
pub mod response;
mod session_key;
mod tokens;
pub mod verify;

pub use api::{BASE_URL, WechatCredentials};
pub use client::Wechat;

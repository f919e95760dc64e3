//! One operation that a plugin asked of the gateway: a future, and what it came to.

use super::flight::Flight;
use crate::{call::Pieces, error::Result, platform::Person};
use bytes::Bytes;
use menlou_abi::*;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::runtime::Handle;

/// What an operation gives.
pub(super) enum Done {
    /// It happened.
    Nothing,
    /// There is no such thing.
    NotFound,
    /// JSON for the plugin.
    Json(serde_json::Value),
    /// A person, whom the call may open a session for from now on.
    Person { person: Arc<Person>, test: bool },
    /// Another server's answer.
    Http { status: u16, body: Bytes },
    /// A piece of the request's body.
    Piece(Bytes),
    /// An upstream's answer, which is the call's from now on.
    Forwarded(http::Response<Pieces>),
    /// A file that the platform gave.
    File { content_type: String, body: Bytes },
}

/// The work of an operation.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<Done>> + Send>>;

/// An operation, owned by the plugin until `op_drop`.
pub(super) struct Operation {
    /// The call that asked for it. No other may poll it: what it gives, a person, say, is that call's.
    call: u64,
    runtime: Handle,
    work: Option<Work>,
    status: i32,
    http_status: u16,
    word: String,
    data: Bytes,
    content_type: String,
}

impl Operation {
    /// Makes it the plugin's. Inside the runtime only.
    pub fn hand_out(flight: &Flight, work: Work) -> *mut menlou_op {
        let operation = Self {
            call: flight.number,
            runtime: Handle::current(),
            work: Some(work),
            status: MENLOU_ERR_FAILED,
            http_status: 0,
            word: String::new(),
            data: Bytes::new(),
            content_type: String::new(),
        };
        Box::into_raw(Box::new(operation)).cast()
    }

    /// Goes on with it, waking the call's own task where it must wait.
    pub fn poll(&mut self, flight: &Flight, context: &mut Context<'_>, outcome: &mut menlou_outcome) -> i32 {
        if self.call != flight.number {
            return MENLOU_ERR_INVALID;
        }
        if let Some(work) = &mut self.work {
            match work.as_mut().poll(context) {
                Poll::Pending => return MENLOU_PENDING,
                Poll::Ready(result) => {
                    self.work = None;
                    self.finish(flight, result);
                }
            }
        }
        outcome.status = self.status;
        outcome.http_status = self.http_status.into();
        outcome.word = menlou_str::new(self.word.as_bytes());
        outcome.data = menlou_str::new(&self.data);
        outcome.content_type = menlou_str::new(self.content_type.as_bytes());
        MENLOU_READY
    }

    fn finish(&mut self, flight: &Flight, result: Result<Done>) {
        self.status = MENLOU_READY;
        match result {
            Ok(Done::Nothing) => {}
            Ok(Done::NotFound) => self.status = MENLOU_ERR_NOT_FOUND,
            Ok(Done::Json(value)) => self.data = value.to_string().into(),
            Ok(Done::Person { person, test }) => {
                let mut told = serde_json::json!({ "openid": person.openid });
                if let Some(unionid) = &person.unionid {
                    told["unionid"] = unionid.as_str().into();
                }
                self.data = told.to_string().into();
                flight.got(person, test);
            }
            Ok(Done::Http { status, body }) => (self.http_status, self.data) = (status, body),
            Ok(Done::Piece(piece)) => self.data = piece,
            Ok(Done::Forwarded(answer)) => {
                self.http_status = answer.status().as_u16();
                flight.forwarded(answer);
            }
            Ok(Done::File { content_type, body }) => (self.content_type, self.data) = (content_type, body),
            Err(error) => {
                self.status = MENLOU_ERR_WORD;
                self.word = error.word().to_owned();
                self.data = error.data().map(|d| d.to_string().into()).unwrap_or_default();
                flight.failed(error);
            }
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // A plugin may drop it on a thread of its own, but a connection that is given back needs the runtime.
        let _inside = self.runtime.enter();
        self.work = None;
    }
}

//! Bodies read and written piece by piece, and answers that are not brought to their end.

use crate::Params;
use menlou_plugin::{ResponseSent, prelude::*};
use std::future::pending;

/// Gives back the body as it comes.
pub async fn give_back(call: &Call, _: ()) -> Result<ResponseSent> {
    let answer = call.start_response("application/octet-stream")?;
    while let Some(piece) = call.read_body().await? {
        answer.write(&piece).await?;
    }
    Ok(answer.finish())
}

/// Begins an answer, and then: fails (`n` = 0), goes silent (1), panics (2), answers again (3), writes without waiting (4).
pub async fn begin(call: &Call, params: Params) -> Result<ResponseSent> {
    let answer = call.start_response("text/plain")?;
    answer.write(b"begun ").await?;
    match params.n {
        0 => Err(Error::new("too_late")),
        1 => pending().await,
        2 => panic!("in the middle of an answer"),
        3 => {
            call.start_response("text/plain").err().ok_or_else(|| Error::internal("two answers"))?;
            answer.write(b"once").await?;
            Ok(answer.finish())
        }
        _ => {
            let pieces: Vec<_> = ["by ", "three ", "at ", "once"].iter().map(|p| answer.write(p.as_bytes())).collect();
            for piece in pieces {
                piece.await?;
            }
            Ok(answer.finish())
        }
    }
}

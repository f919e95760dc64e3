//! Bodies read and written chunk by chunk, and responses that are not completed.

use crate::Params;
use menlou_plugin::{ResponseSent, prelude::*};
use std::future::pending;

/// Sends the request body back, chunk by chunk.
pub async fn give_back(call: &Call, _: ()) -> Result<ResponseSent> {
    let response = call.start_response("application/octet-stream")?;
    while let Some(chunk) = call.read_body().await? {
        response.write(&chunk).await?;
    }
    Ok(response.finish())
}

/// Starts a response, then fails (`n` = 0), writes nothing more (1), panics (2), starts another response (3), or writes chunks
/// at the same time (4).
pub async fn begin(call: &Call, params: Params) -> Result<ResponseSent> {
    let response = call.start_response("text/plain")?;
    response.write(b"begun ").await?;
    match params.n {
        0 => Err(Error::new("too_late")),
        1 => pending().await,
        2 => panic!("in the middle of a response"),
        3 => {
            call.start_response("text/plain").err().ok_or_else(|| Error::internal("two responses"))?;
            response.write(b"once").await?;
            Ok(response.finish())
        }
        _ => {
            let writes: Vec<_> =
                ["by ", "three ", "at ", "once"].iter().map(|p| response.write(p.as_bytes())).collect();
            for write in writes {
                write.await?;
            }
            Ok(response.finish())
        }
    }
}

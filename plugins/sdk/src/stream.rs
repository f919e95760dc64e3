//! Streamed bodies: read and written in chunks, or forwarded by the gateway to and from an upstream.

use crate::{
    Call, Error, Result, ffi,
    operation::{self, OperationOutput},
    settings::Setup,
};
use menlou_abi::*;
use std::{fmt, future::Future, ops::Deref, ptr, time::Duration};

/// A chunk of a request body, at least one byte.
pub struct BodyChunk(OperationOutput);

/// Proof that the response was sent: returned by an action that forwarded the call or wrote the response itself.
#[derive(Debug)]
pub struct ResponseSent(());

/// A response that is being written.
pub struct ResponseWriter {
    host: &'static menlou_host,
}

/// The servers that calls are forwarded to, kept in the action's settings. See [`Setup::upstream`].
///
/// The default has no servers; it is for `#[serde(skip)]`.
pub struct Upstream(*const menlou_upstream);

// SAFETY: a handle. The gateway keeps the upstream as long as the settings, for all threads.
unsafe impl Send for Upstream {}
// SAFETY: as above.
unsafe impl Sync for Upstream {}

/// The servers of an [`Upstream`] and their health checks.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamOptions<'a> {
    /// `http://` or `https://` URLs; a path of a URL precedes each target.
    pub servers: &'a [&'a str],
    /// JSON pointer of the setting (`/upstream`), for errors in `servers`.
    pub servers_pointer: &'a str,
    /// Number of consecutive failures that open the circuit of a server; 0: never.
    pub break_after: u32,
    /// Time for which the circuit stays open. Then one call at a time probes the server.
    pub break_for: Duration,
    /// Path and interval of health checks with GET: 2xx and 3xx are healthy.
    pub health: Option<(&'a str, Duration)>,
    /// JSON pointer of the setting, for errors in `health`.
    pub health_pointer: &'a str,
}

/// How a call is forwarded. Its method and body are passed on unchanged.
#[derive(Clone, Copy, Debug)]
pub struct ForwardRequest<'a> {
    /// The upstream.
    pub upstream: &'a Upstream,
    /// Path and query, beginning with `/`.
    pub target: &'a str,
    /// Names of request headers to pass on. Never passed on: `authorization`, hop-by-hop headers, `x-menlou-*`,
    /// `x-forwarded-for`, and headers that a CGI-like server could take for one of these or of `headers`.
    pub pass_headers: &'a [&'a str],
    /// Additional headers. They replace passed headers of the same name.
    pub headers: &'a [(&'a str, &'a str)],
    /// Timeout from the last byte of the body to the response headers, and for each pause within the response body.
    pub timeout: Duration,
    /// Maximum number of retries.
    pub retries: u32,
    /// Maximum size of the body in bytes; `None`: unlimited.
    pub max_body: Option<u64>,
    /// Whether addresses in `Location`, `Content-Location` and `Refresh` of the response stay as the upstream wrote them.
    /// Otherwise those of the upstream become public paths.
    pub keep_location: bool,
}

impl<S> Call<S> {
    /// Reads the next chunk of the request body, `None` at its end. For an action with [`raw_body`](crate::Action::raw_body).
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    ///
    /// #[derive(Serialize, JsonSchema)]
    /// struct Data {
    ///     bytes: usize,
    /// }
    ///
    /// async fn count(call: &Call, _: ()) -> Result<Data> {
    ///     let mut bytes = 0;
    ///     while let Some(chunk) = call.read_body().await? {
    ///         bytes += chunk.len();
    ///     }
    ///     Ok(Data { bytes })
    /// }
    ///
    /// menlou_plugin::plugin! { name: "count", actions: [Action::new("count", count).raw_body()] }
    /// # fn main() {
    /// let host = Host::new().body("a large file");
    /// assert_eq!(host.call(plugin(), "count", serde_json::json!({})).data["bytes"], 12);
    /// # }
    /// ```
    pub fn read_body(&self) -> impl Future<Output = Result<Option<BodyChunk>>> + Send {
        // SAFETY: `start` asserts that this thread is inside the call; the gateway copies texts. The same holds below.
        let op = operation::start(self.host, |c| unsafe { (self.host.body_read)(c) });
        async { Ok(op.await?.map(BodyChunk)) }
    }

    /// Reads the rest of the request body and keeps it, so that [`forward`](Call::forward) and [`read_body`](Call::read_body)
    /// still pass it on: for signing or checking a body before it is forwarded. `None` if it is empty. Only in an action with
    /// [`raw_body`](crate::Action::raw_body). A body of more than `max` bytes, or 16 MiB, fails with `body_too_large`.
    pub fn buffer_body(&self, max: u64) -> impl Future<Output = Result<Option<BodyChunk>>> + Send {
        // SAFETY: see `read_body`.
        let op = operation::start(self.host, |c| unsafe { (self.host.body_buffer)(c, max) });
        async { Ok(op.await?.map(BodyChunk)) }
    }

    /// Starts a response that is written in chunks, without an envelope. If the action fails afterwards, the client's
    /// connection is closed, so that the client notices.
    ///
    /// ```
    /// use menlou_plugin::{ResponseSent, prelude::*, testing::Host};
    ///
    /// async fn report(call: &Call, _: ()) -> Result<ResponseSent> {
    ///     let response = call.start_response("text/csv")?;
    ///     for row in 1..=3 {
    ///         response.write(format!("{row},{}\n", row * row).as_bytes()).await?;
    ///     }
    ///     Ok(response.finish())
    /// }
    ///
    /// menlou_plugin::plugin! { name: "report", actions: [Action::new("report", report)] }
    /// # fn main() {
    /// let reply = Host::new().call(plugin(), "report", serde_json::json!({}));
    /// assert_eq!(reply.file, Some(("text/csv".into(), b"1,1\n2,4\n3,9\n".to_vec())));
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the media type is malformed, or the call has a response already.
    pub fn start_response(&self, content_type: &str) -> Result<ResponseWriter> {
        let call = operation::current().call;
        // SAFETY: inside this call; text is copied.
        match !call.is_null() && unsafe { (self.host.response_begin)(call, ffi::str(content_type)) } == MENLOU_READY {
            true => Ok(ResponseWriter { host: self.host }),
            false => Err(Error::internal(
                "cannot start a response: malformed media type, or the call has a response already",
            )),
        }
    }

    /// Forwards the call to an upstream and its response to the client. The gateway streams both bodies.
    ///
    /// ```
    /// use menlou_plugin::{ResponseSent, ConfigErrors, ForwardRequest, Setup, Upstream, UpstreamOptions, prelude::*, testing::Host};
    /// use std::time::Duration;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Shop {
    ///     url: String,
    ///     #[serde(skip)]
    ///     upstream: Upstream,
    /// }
    ///
    /// impl Settings for Shop {
    ///     fn prepare(&mut self, setup: &Setup) {
    ///         self.upstream = setup.upstream(&UpstreamOptions {
    ///             servers: &[&self.url],
    ///             servers_pointer: "/url",
    ///             break_after: 5,
    ///             break_for: Duration::from_secs(10),
    ///             health: None,
    ///             health_pointer: "",
    ///         });
    ///     }
    /// }
    ///
    /// async fn shop(call: &Call<Shop>, _: ()) -> Result<ResponseSent> {
    ///     let forward = ForwardRequest {
    ///         upstream: &call.settings().upstream,
    ///         target: "/orders",
    ///         pass_headers: &["content-type", "accept"],
    ///         headers: &[("x-caller", call.openid().unwrap_or_default())],
    ///         timeout: Duration::from_secs(10),
    ///         retries: 1,
    ///         max_body: Some(1 << 20),
    ///         keep_location: false,
    ///     };
    ///     call.forward(&forward).await
    /// }
    ///
    /// menlou_plugin::plugin! { name: "shop", actions: [Action::new("shop", shop).raw_body()] }
    /// # fn main() {
    /// let host = Host::new()
    ///     .settings(serde_json::json!({ "url": "http://shop.test" }))
    ///     .http_response("POST", "http://shop.test/orders", 200, "from the shop");
    /// assert_eq!(host.call(plugin(), "shop", serde_json::json!({})).file.unwrap().1, b"from the shop");
    /// # }
    /// ```
    pub fn forward(&self, forward: &ForwardRequest<'_>) -> impl Future<Output = Result<ResponseSent>> + Send {
        let pass: Vec<menlou_str> = forward.pass_headers.iter().map(|name| ffi::str(name)).collect();
        let headers: Vec<menlou_kv> =
            forward.headers.iter().map(|(k, v)| menlou_kv { key: ffi::str(k), value: ffi::str(v) }).collect();
        let raw = menlou_forward {
            struct_size: size_of::<menlou_forward>() as u32,
            timeout_ms: milliseconds(forward.timeout).max(1),
            retries: forward.retries,
            flags: if forward.keep_location { MENLOU_FORWARD_KEEP_LOCATION } else { 0 },
            max_body: forward.max_body.map_or(0, |max| max.max(1)),
            upstream: forward.upstream.0,
            target: ffi::str(forward.target),
            pass_headers: pass.as_ptr(),
            pass_headers_len: pass.len(),
            headers: headers.as_ptr(),
            headers_len: headers.len(),
        };
        // SAFETY: as above.
        let op = operation::start(self.host, |c| unsafe { (self.host.forward)(c, &raw) });
        async { op.await.map(|_| ResponseSent(())) }
    }
}

impl ResponseWriter {
    /// Writes a chunk. Completes when the chunk before has been passed to the client's connection.
    pub fn write(&self, chunk: &[u8]) -> impl Future<Output = Result<()>> + Send {
        let chunk = menlou_str::new(chunk);
        // SAFETY: as above.
        let op = operation::start(self.host, |c| unsafe { (self.host.response_write)(c, chunk) });
        async { op.await.map(drop) }
    }

    /// Ends the response when the action returns this value.
    pub fn finish(self) -> ResponseSent {
        ResponseSent(())
    }
}

impl Setup<'_> {
    /// Creates an upstream. Invalid options are reported as errors of the settings, which are rejected then.
    pub fn upstream(&self, options: &UpstreamOptions<'_>) -> Upstream {
        let servers: Vec<menlou_str> = options.servers.iter().map(|server| ffi::str(server)).collect();
        let raw = menlou_upstream_options {
            struct_size: size_of::<menlou_upstream_options>() as u32,
            break_after: options.break_after,
            break_for_ms: milliseconds(options.break_for),
            health_interval_ms: options.health.map_or(0, |(_, interval)| milliseconds(interval)),
            servers: servers.as_ptr(),
            servers_len: servers.len(),
            health_path: ffi::option(options.health.map(|(path, _)| path)),
            servers_pointer: ffi::str(options.servers_pointer),
            health_pointer: ffi::str(options.health_pointer),
        };
        // SAFETY: inside `configure`, whose `setup` this is; texts are copied.
        let upstream = unsafe { (self.host.upstream_new)(self.raw, &raw) };
        self.reject_if(upstream.is_null());
        Upstream(upstream)
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

impl Default for Upstream {
    fn default() -> Self {
        Self(ptr::null())
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstream(…)")
    }
}

impl Deref for BodyChunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl fmt::Debug for BodyChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyChunk({} bytes)", self.len())
    }
}

//! Bodies too large to be held: read and written piece by piece, or moved by the gateway to and from an upstream.

use crate::{
    Call, Error, Result, ffi,
    operation::{self, OperationOutput},
    settings::Setup,
};
use menlou_abi::*;
use std::{fmt, future::Future, ops::Deref, ptr, time::Duration};

/// A piece of a request's body: any bytes, at least one.
pub struct BodyChunk(OperationOutput);

/// The call has its answer: what an action returns that forwarded the call, or wrote its answer itself.
#[derive(Debug)]
pub struct ResponseSent(());

/// An answer being written.
pub struct ResponseWriter {
    host: &'static menlou_host,
}

/// Servers that calls are forwarded to, kept in the action's settings: see [`Setup::upstream`].
///
/// The default is none at all, for `#[serde(skip)]`.
pub struct Upstream(*const menlou_upstream);

// SAFETY: a handle, whose upstream the gateway keeps for any thread as long as the settings.
unsafe impl Send for Upstream {}
// SAFETY: as above.
unsafe impl Sync for Upstream {}

/// Which servers an [`Upstream`] has, and when they are asked.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamOptions<'a> {
    /// `http://` or `https://`, each perhaps with a path that goes before each target.
    pub servers: &'a [&'a str],
    /// The setting that they stand in (`/upstream`): where their faults are told.
    pub servers_pointer: &'a str,
    /// After how many failures in a row a server is left alone; 0: never.
    pub break_after: u32,
    /// For how long. Then one call at a time tries it.
    pub break_for: Duration,
    /// What servers are asked for by GET, and how often: they are well where they answer 2xx or 3xx.
    pub health: Option<(&'a str, Duration)>,
    /// The setting that `health` stands in.
    pub health_pointer: &'a str,
}

/// How a call is forwarded: its method and body go on as they come.
#[derive(Clone, Copy, Debug)]
pub struct ForwardRequest<'a> {
    /// Where it goes.
    pub upstream: &'a Upstream,
    /// Path and query; starts with `/`.
    pub target: &'a str,
    /// Names of the request's headers that go along as they came; `authorization` never does.
    pub pass_headers: &'a [&'a str],
    /// Headers besides, in place of any passed of the same name.
    pub headers: &'a [(&'a str, &'a str)],
    /// From the last byte of the body until the head of the answer, and for each pause within the answer.
    pub timeout: Duration,
    /// How many more attempts there may be.
    pub retries: u32,
    /// The largest body, in bytes; `None`: any.
    pub max_body: Option<u64>,
}

impl<S> Call<S> {
    /// The next piece of the request's body, `None` at its end; for an action with [`raw_body`](crate::Action::raw_body).
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
    ///     while let Some(piece) = call.read_body().await? {
    ///         bytes += piece.len();
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
        // SAFETY: inside this call, as `start` makes sure, here and below; texts are copied before it returns.
        let op = operation::start(self.host, |c| unsafe { (self.host.body_read)(c) });
        async { Ok(op.await?.map(BodyChunk)) }
    }

    /// Begins an answer that is written piece by piece, without an envelope. Where the action fails afterwards, the
    /// client's connection is cut: there is no other way left to tell it.
    ///
    /// ```
    /// use menlou_plugin::{ResponseSent, prelude::*, testing::Host};
    ///
    /// async fn report(call: &Call, _: ()) -> Result<ResponseSent> {
    ///     let answer = call.start_response("text/csv")?;
    ///     for row in 1..=3 {
    ///         answer.write(format!("{row},{}\n", row * row).as_bytes()).await?;
    ///     }
    ///     Ok(answer.finish())
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
    /// Where the media type is none, or the call has its answer.
    pub fn start_response(&self, content_type: &str) -> Result<ResponseWriter> {
        let call = operation::current().call;
        // SAFETY: inside this call; text is copied.
        match !call.is_null() && unsafe { (self.host.response_begin)(call, ffi::str(content_type)) } == MENLOU_READY {
            true => Ok(ResponseWriter { host: self.host }),
            false => Err(Error::internal("the answer can't begin: a bad media type, or there is one already")),
        }
    }

    /// Answers the call from an upstream: the gateway moves the bytes, both ways, and none of them is held.
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
            reserved: 0,
            max_body: forward.max_body.map_or(0, |most| most.max(1)),
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
    /// Writes a piece: ready when the one before has gone to the client's connection.
    pub fn write(&self, piece: &[u8]) -> impl Future<Output = Result<()>> + Send {
        let piece = menlou_str::new(piece);
        // SAFETY: as above.
        let op = operation::start(self.host, |c| unsafe { (self.host.response_write)(c, piece) });
        async { op.await.map(drop) }
    }

    /// Ends the answer once the action returns this.
    pub fn finish(self) -> ResponseSent {
        ResponseSent(())
    }
}

impl Setup<'_> {
    /// Makes an upstream of servers. Where they are no good, that is told as a fault, and the settings are refused.
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
        self.refuse_if(upstream.is_null());
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

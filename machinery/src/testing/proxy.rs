//! A proxy between client and API server that breaks things on request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Config, ConfigError, Forward};

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A request that came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
}

impl Seen {
    /// Whether it is a watch.
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|part| part == "watch=true")
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing special.
    Pass,
    /// This answer, without asking the API server.
    Answer {
        code: u16,
        retry_after: Option<u64>,
        body: String,
    },
    /// It is passed on only after this long.
    Delay(Duration),
    /// The connection breaks without an answer.
    Reset,
}

impl Fault {
    /// What the API server says when it has too much to do.
    pub fn too_many_requests(retry_after: u64) -> Self {
        let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"TooManyRequests","code":429,"message":"Too many requests, please try again later."}"#;
        Fault::Answer {
            code: 429,
            retry_after: Some(retry_after),
            body: body.into(),
        }
    }

    /// A watch that says at once that it starts too far back.
    pub fn expired_watch() -> Self {
        let body = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version: 1 (2)"}}"#;
        Fault::Answer {
            code: 200,
            retry_after: None,
            body: format!("{body}\n"),
        }
    }

    /// The same, as the answer itself.
    pub fn gone() -> Self {
        let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version: 1 (2)"}"#;
        Fault::Answer {
            code: 410,
            retry_after: None,
            body: body.into(),
        }
    }
}

type Rule = Box<dyn FnMut(&Seen) -> Fault + Send>;

struct Shared {
    forward: Forward,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Seen>>,
    /// Counts up to cut all watches that are open.
    cut: watch::Sender<u64>,
}

/// The proxy: plain HTTP on loopback towards the client, the credentials of the client towards the API server.
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    /// Its tasks end with it.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy to the API server of `target`, which lets everything pass at first.
    ///
    /// # Errors
    /// If it cannot listen, or `target` is no usable configuration.
    pub async fn start(target: &Config) -> Result<Self, ConfigError> {
        let problem = |cause: std::io::Error| ConfigError::Server {
            address: "127.0.0.1:0".into(),
            problem: cause.to_string(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(problem)?;
        let url = format!("http://{}", listener.local_addr().map_err(problem)?);
        let shared = Arc::new(Shared {
            forward: Forward::new(target)?,
            rule: Mutex::new(Box::new(|_| Fault::Pass)),
            seen: Mutex::default(),
            cut: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        let serving = shared.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, serving.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Proxy {
            url,
            shared,
            _tasks: tasks,
        })
    }

    /// `config` by way of this proxy. Client certificates do not get through: use tokens.
    #[allow(clippy::expect_used)] // we made the address
    pub fn config(&self, config: &Config) -> Config {
        Config {
            server: self.url.parse().expect("our own address"),
            ..config.clone()
        }
    }

    /// Decides from now on what becomes of each request.
    pub fn on_request(&self, rule: impl FnMut(&Seen) -> Fault + Send + 'static) {
        *self.shared.rule.lock() = Box::new(rule);
    }

    /// Lets everything pass again.
    pub fn pass(&self) {
        self.on_request(|_| Fault::Pass);
    }

    /// Breaks all watches that are open now.
    pub fn cut_watches(&self) {
        self.shared.cut.send_modify(|cuts| *cuts += 1);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { handle(request, &shared).await }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// An error breaks the connection.
async fn handle(request: Request<Incoming>, shared: &Shared) -> Result<Response<Body>, String> {
    let seen = Seen {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
    };
    shared.seen.lock().push(seen.clone());
    let fault = (shared.rule.lock())(&seen);
    match fault {
        Fault::Pass => {}
        Fault::Delay(by) => tokio::time::sleep(by).await,
        Fault::Reset => return Err("reset on request".into()),
        Fault::Answer {
            code,
            retry_after,
            body,
        } => {
            let mut answer = Response::builder()
                .status(code)
                .header("content-type", "application/json");
            if let Some(seconds) = retry_after {
                answer = answer.header("retry-after", seconds);
            }
            return answer.body(full(body)).map_err(|cause| cause.to_string());
        }
    }
    let mut cut = shared.cut.subscribe();
    let response = shared.forward.send(request).await?;
    let (mut parts, body) = response.into_parts();
    for name in ["connection", "transfer-encoding"] {
        parts.headers.remove(name);
    }
    let pieces = body
        .into_data_stream()
        .map(|piece| piece.map(Frame::data).map_err(Into::into));
    let body: Body = if seen.is_watch() {
        let ended = async move {
            let _ = cut.changed().await;
        };
        let broken = futures::stream::once(async { Err("cut on request".into()) });
        BodyExt::boxed_unsync(StreamBody::new(pieces.take_until(ended).chain(broken)))
    } else {
        BodyExt::boxed_unsync(StreamBody::new(pieces))
    };
    Ok(Response::from_parts(parts, body))
}

//! One request from start to end: pacing, credentials, tries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::credentials::Keeper;
use super::pace::{Bucket, Outcome, Pace};
use super::reach::Reach;
use super::tls::Tls;
use super::transport::{Transport, WatchSlot};
use super::{ApiError, Config, ConfigError, Impersonate, Limits};

const JSON: &str = "application/json";
/// Tries of one request in all, as in client-go.
const TRIES: u32 = 10;
/// Tries of a request that found no server: the caller has its own back-off for longer outages.
const TRIES_UNREACHABLE: u32 = 4;

/// The client: cheap to clone, all clones share connections, credentials and pacing.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    gate: Option<Arc<Gate>>,
}

struct Shared {
    config: Config,
    /// `https://host:port/prefix`, without a slash at its end.
    base: String,
    host: String,
    user_agent: HeaderValue,
    credentials: Keeper,
    tls: Arc<Tls>,
    transport: Transport,
    reach: Reach,
}

/// A request as it is tried, perhaps several times.
pub(super) struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub accept: &'a str,
    pub content_type: &'a str,
    pub body: Bytes,
}

impl Client {
    /// A client for `config`. No connection is made yet.
    ///
    /// # Errors
    /// If certificates or keys cannot be read or do not fit.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_limits(config, Limits::default())
    }

    /// As [`new`](Self::new), with other bounds of the adaptive pacing.
    pub fn with_limits(config: Config, limits: Limits) -> Result<Self, ConfigError> {
        let tls = Arc::new(Tls::new(&config)?);
        let base = config.server.to_string().trim_end_matches('/').to_owned();
        let host = config
            .server
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| ConfigError::Server {
            address: base.clone(),
            problem: format!("the user agent {:?} is not a valid header", config.user_agent),
        })?;
        let gate = Gate::new(limits, config.cap);
        let shared = Shared {
            base,
            host,
            user_agent,
            credentials: Keeper::new(config.credentials.clone()),
            transport: Transport::new(tls.clone(), config.tls_server_name.clone(), config.is_secure()),
            tls,
            reach: Reach::default(),
            config,
        };
        Ok(Client {
            shared: Arc::new(shared),
            gate: Some(Arc::new(gate)),
        })
    }

    /// The same client without pacing: for leases and heartbeats, which must not wait behind other work.
    #[must_use]
    pub fn unpaced(&self) -> Self {
        Client {
            shared: self.shared.clone(),
            gate: None,
        }
    }

    /// The same client with pacing of its own.
    #[must_use]
    pub fn paced_apart(&self, limits: Limits) -> Self {
        Client {
            shared: self.shared.clone(),
            gate: Some(Arc::new(Gate::new(limits, self.shared.config.cap))),
        }
    }

    /// What the client was made from.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The files of the client certificate were just rewritten: use them from the next request on.
    pub fn credentials_changed(&self) {
        self.shared.tls.look_now();
    }

    /// Close idle connections and dial anew from the next request on.
    pub fn reset_connections(&self) {
        self.shared.transport.reset();
    }

    /// Waits until the API server answers again, if it cannot be reached now; for ever if it can.
    pub async fn answers_again(&self) {
        self.shared.reach.over().await;
    }

    /// Sends `call`, trying again where that is safe; returns the body of a successful answer.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Bytes, ApiError> {
        let verb = verb(&call.method);
        let mut tries = 0;
        let mut refused_credentials = false;
        loop {
            tries += 1;
            let limit = self.shared.config.timeout;
            let error = match tokio::time::timeout(limit, self.attempt(call, verb)).await {
                Ok(Ok(body)) => return Ok(body),
                Ok(Err(error)) => error,
                Err(_) => ApiError::TimedOut {
                    verb,
                    path: call.path.to_owned(),
                    after: limit,
                },
            };
            let wait = match &error {
                ApiError::Refused { status, .. } if status.code == 401 && !refused_credentials => {
                    refused_credentials = true;
                    if !self.shared.credentials.refuse(None).await {
                        return Err(error);
                    }
                    Duration::ZERO
                }
                // Whoever asks for a wait did not carry it out: safe for every verb.
                // An eviction that a disruption budget stands against is an answer, not congestion.
                ApiError::Refused { status, .. }
                    if matches!(status.code, 429 | 500..=599)
                        && tries < TRIES
                        && !error.has_cause("DisruptionBudget") =>
                {
                    match error.retry_after() {
                        Some(wait) => wait,
                        None => return Err(error),
                    }
                }
                ApiError::Unreachable { unsent, .. }
                    if tries < TRIES_UNREACHABLE && (*unsent || call.method == Method::GET) =>
                {
                    Duration::from_millis(50 << (2 * tries.min(4)))
                }
                _ => return Err(error),
            };
            let code = error
                .code()
                .map_or_else(|| "<error>".to_owned(), |code| code.to_string());
            self.shared.config.metrics.retried(&self.shared.host, verb, &code);
            tokio::time::sleep(wait.mul_f64(1.0 + 0.1 * rand::random::<f64>())).await;
        }
    }

    async fn attempt(&self, call: &Call<'_>, verb: &'static str) -> Result<Bytes, ApiError> {
        let mut permit = None;
        if let Some(gate) = &self.gate {
            let asked = Instant::now();
            permit = Some(gate.enter().await);
            self.shared
                .config
                .metrics
                .paced(&self.shared.host, verb, asked.elapsed());
        }
        let started = Instant::now();
        let result = async {
            let response = self.exchange(call, verb, None).await?;
            let path = || call.path.to_owned();
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(|cause| ApiError::Unreachable {
                    verb,
                    path: path(),
                    unsent: false,
                    cause: cause.into(),
                })?;
            Ok(body.to_bytes())
        }
        .await;
        if let Some(permit) = permit {
            permit.end(match &result {
                Ok(_) => Outcome::Answered(started.elapsed()),
                Err(error @ ApiError::Refused { status, .. }) => match (status.code, error.retry_after()) {
                    (429, _) if error.has_cause("DisruptionBudget") => Outcome::Answered(started.elapsed()),
                    (429, wait) => Outcome::Pushback(wait),
                    (503, Some(wait)) => Outcome::Pushback(Some(wait)),
                    _ => Outcome::Answered(started.elapsed()),
                },
                Err(_) => Outcome::Failed,
            });
        }
        result
    }

    /// Starts a watch; its answer arrives piece by piece and does not count as in flight.
    pub(super) async fn open_watch(&self, path: &str, accept: &str) -> Result<WatchBody, ApiError> {
        let call = Call {
            method: Method::GET,
            path,
            accept,
            content_type: JSON,
            body: Bytes::new(),
        };
        let mut permit = None;
        if let Some(gate) = &self.gate {
            permit = Some(gate.enter().await);
        }
        let (pool, slot) = self.shared.transport.watch();
        let limit = self.shared.config.timeout;
        let opened = tokio::time::timeout(limit, self.exchange(&call, "WATCH", Some(pool)))
            .await
            .unwrap_or_else(|_| {
                Err(ApiError::TimedOut {
                    verb: "WATCH",
                    path: path.to_owned(),
                    after: limit,
                })
            });
        if let (Some(permit), Err(error)) = (permit, &opened) {
            match error.code() {
                Some(429) => permit.end(Outcome::Pushback(error.retry_after())),
                Some(_) => drop(permit),
                None => permit.end(Outcome::Failed),
            }
        }
        if let Err(error) = &opened
            && error.is_unauthorized()
        {
            self.shared.credentials.refuse(None).await;
        }
        Ok(WatchBody {
            body: opened?.into_body(),
            _slot: slot,
        })
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        verb: &'static str,
        pool: Option<super::transport::Pool>,
    ) -> Result<Response<Incoming>, ApiError> {
        let shared = &*self.shared;
        let path = || call.path.to_owned();
        let authorization = shared
            .credentials
            .header(&shared.tls.exec)
            .await
            .map_err(|problem| ApiError::Credentials {
                verb,
                path: path(),
                problem,
            })?;
        let uri: Uri =
            format!("{}{}", shared.base, call.path)
                .parse()
                .map_err(|cause: http::uri::InvalidUri| ApiError::Request {
                    verb,
                    path: path(),
                    cause: cause.into(),
                })?;
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        if let Some(headers) = request.headers_mut() {
            headers.insert(USER_AGENT, shared.user_agent.clone());
            if let Ok(accept) = HeaderValue::from_str(call.accept) {
                headers.insert(ACCEPT, accept);
            }
            if !call.body.is_empty()
                && let Ok(kind) = HeaderValue::from_str(call.content_type)
            {
                headers.insert(CONTENT_TYPE, kind);
            }
            if let Some(authorization) = &authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            if let Some(Impersonate { user, uid, groups }) = &shared.config.impersonate {
                let named = [
                    ("impersonate-user", Some(user)),
                    ("impersonate-uid", uid.as_ref()),
                ];
                let groups = groups.iter().map(|group| ("impersonate-group", Some(group)));
                for (name, value) in named.into_iter().chain(groups) {
                    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                        headers.append(name, value);
                    }
                }
            }
        }
        let request = request
            .body(Full::new(call.body.clone()))
            .map_err(|cause| ApiError::Request {
                verb,
                path: path(),
                cause,
            })?;

        let started = Instant::now();
        let method = if verb == "WATCH" { "GET" } else { verb };
        let pool = pool.unwrap_or_else(|| shared.transport.requests());
        let response = match pool.request(request).await {
            Ok(response) => response,
            Err(cause) => {
                shared
                    .config
                    .metrics
                    .answered(&shared.host, method, "<error>", started.elapsed());
                let unsent = cause.is_connect();
                let text = chain(&cause);
                shared.reach.failed(&shared.base, unsent, &text);
                return Err(ApiError::Unreachable {
                    verb,
                    path: path(),
                    unsent,
                    cause: text.into(),
                });
            }
        };
        shared.reach.answered(&shared.base);
        let code = response.status();
        shared
            .config
            .metrics
            .answered(&shared.host, method, code.as_str(), started.elapsed());
        tracing::trace!(verb, path = call.path, code = code.as_u16(), took = ?started.elapsed(), "request");
        if code.is_success() {
            return Ok(response);
        }
        if code == StatusCode::UNAUTHORIZED {
            shared.credentials.refuse(authorization.as_ref()).await;
        }
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        Err(ApiError::refused(verb, call.path, code.as_u16(), wait, &body))
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

/// An error with its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        // hyper's "client error (Connect)" says nothing that its cause does not.
        let empty = said.starts_with("client error (") && error.source().is_some();
        if !text.contains(&said) && !empty {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = error.source();
    }
    text
}

/// The body of a watch, as it arrives.
pub struct WatchBody {
    body: Incoming,
    _slot: WatchSlot,
}

impl WatchBody {
    /// The next piece; `None` when the server ended the watch.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// Where requests wait for their turn, first come first served.
struct Gate {
    epoch: Instant,
    pace: Mutex<Pace>,
    cap: Option<Mutex<Bucket>>,
    queue: tokio::sync::Mutex<()>,
    freed: Notify,
}

impl Gate {
    fn new(limits: Limits, cap: Option<(f32, u32)>) -> Self {
        Gate {
            epoch: Instant::now(),
            pace: Mutex::new(Pace::new(limits)),
            cap: cap.map(|(qps, burst)| Mutex::new(Bucket::new(qps, burst))),
            queue: tokio::sync::Mutex::new(()),
            freed: Notify::new(),
        }
    }

    async fn enter(self: &Arc<Self>) -> Permit {
        if let Some(cap) = &self.cap {
            let wait = cap.lock().reserve(self.epoch.elapsed());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        // The head of the queue waits for room, the others for the head: tokio's mutex is fair.
        let _turn = self.queue.lock().await;
        loop {
            let freed = self.freed.notified();
            let answer = self.pace.lock().try_start(self.epoch.elapsed());
            match answer {
                Ok(()) => {
                    return Permit {
                        gate: self.clone(),
                        ended: false,
                    };
                }
                Err(Some(wait)) => tokio::time::sleep(wait).await,
                Err(None) => freed.await,
            }
        }
    }
}

/// Room for one request in flight.
struct Permit {
    gate: Arc<Gate>,
    ended: bool,
}

impl Permit {
    fn end(mut self, outcome: Outcome) {
        self.ended = true;
        self.gate.pace.lock().end(self.gate.epoch.elapsed(), outcome);
        self.gate.freed.notify_one();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.ended {
            self.gate.pace.lock().abandon();
            self.gate.freed.notify_one();
        }
    }
}

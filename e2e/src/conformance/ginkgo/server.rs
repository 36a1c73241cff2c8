//! The server: state that the protocol needs, and a desk that knows what is to be run.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State as Shared};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::json;

use super::super::queue::{Process, Work};
use super::report::SpecReport;
use crate::machine::enter;

/// A process asks again after 50 ms: it is kept a while before it hears that it has to.
const KEEP: Duration = Duration::from_millis(500);

/// Who decides what is run.
pub(in super::super) trait Desk: Send + Sync {
    fn next(&self, process: Process) -> Work;
    /// `process` ran something; its report was understood, or why not.
    fn ran(&self, process: Process, report: Result<SpecReport>);
}

/// A server in the network namespace of a machine, or in the caller's.
pub(in super::super) struct Server {
    shared: Arc<State>,
    port: u16,
    end: Option<tokio::sync::oneshot::Sender<()>>,
}

struct State {
    desk: Arc<dyn Desk>,
    /// What process 1 found before all tests, as it told it.
    prepared: Mutex<Option<Bytes>>,
    alive: Mutex<BTreeSet<Process>>,
    abort: AtomicBool,
}

impl State {
    fn prepared(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> MutexGuard<'_, BTreeSet<Process>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Starts a server on a port of the loopback of the machine whose first process is `machine`.
    pub(in super::super) fn start(machine: Option<u32>, desk: Arc<dyn Desk>) -> Result<Self> {
        let shared = Arc::new(State {
            desk,
            prepared: Mutex::default(),
            alive: Mutex::default(),
            abort: AtomicBool::new(false),
        });
        let (end, ended) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("ginkgo".to_owned())
            .spawn(move || match listen(machine) {
                Ok((runtime, listener, port)) => {
                    let _ = ready.send(Ok(port));
                    runtime.block_on(async {
                        tokio::select! {
                            end = axum::serve(listener, routes(theirs)) => drop(end),
                            _ = ended => {}
                        }
                    });
                }
                Err(error) => drop(ready.send(Err(error))),
            })
            .context("starting a thread")?;
        Ok(Self {
            shared,
            port: is_ready.recv().context("starting a server")??,
            end: Some(end),
        })
    }

    /// Where `process` is to ask; it counts as alive from now on.
    pub(in super::super) fn address(&self, process: Process) -> String {
        self.shared.alive().insert(process);
        format!("http://127.0.0.1:{}/{process}", self.port)
    }

    /// `process` has ended.
    pub(in super::super) fn gone(&self, process: Process) {
        self.shared.alive().remove(&process);
    }

    /// Makes every process break off what it does, clean up and end.
    pub(in super::super) fn abort(&self) {
        self.shared.abort.store(true, Ordering::Relaxed);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }
}

fn listen(machine: Option<u32>) -> Result<(tokio::runtime::Runtime, tokio::net::TcpListener, u16)> {
    if let Some(machine) = machine {
        enter::thread_into_network(machine)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting a runtime")?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("listening on the loopback")?;
    let port = listener.local_addr().context("listening on the loopback")?.port();
    Ok((runtime, listener, port))
}

fn routes(state: Arc<State>) -> Router {
    Router::new()
        .route("/{process}/{what}", any(answer))
        // A report holds all that its test wrote.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

async fn answer(
    Shared(state): Shared<Arc<State>>,
    Path((process, what)): Path<(Process, String)>,
    method: Method,
    body: Bytes,
) -> Response {
    match (what.as_str(), method == Method::POST) {
        ("counter", false) => counter(&state, process).await,
        ("did-run", true) => {
            let report = serde_json::from_slice(&body).context("reading a report of a test");
            state.desk.ran(process, report);
            StatusCode::OK.into_response()
        }
        ("before-suite-completed", true) => {
            *state.prepared() = Some(body);
            StatusCode::OK.into_response()
        }
        ("before-suite-state", false) => {
            let (prepared, first) = (state.prepared().clone(), state.alive().contains(&1));
            match prepared {
                Some(prepared) => prepared.into_response(),
                None if first => later().await,
                None => StatusCode::GONE.into_response(),
            }
        }
        ("report-before-suite-state", false) => Json("passed").into_response(),
        ("have-nonprimary-procs-finished", false) => {
            let others = state.alive().iter().any(|process| *process != 1);
            if others {
                later().await
            } else {
                StatusCode::OK.into_response()
            }
        }
        ("aggregated-nonprimary-procs-report", false) => Json(json!({})).into_response(),
        ("abort", false) if state.abort.load(Ordering::Relaxed) => StatusCode::GONE.into_response(),
        ("abort", true) => {
            state.abort.store(true, Ordering::Relaxed);
            StatusCode::OK.into_response()
        }
        // The rest is told, not asked.
        _ => StatusCode::OK.into_response(),
    }
}

async fn counter(state: &State, process: Process) -> Response {
    let index = match state.desk.next(process) {
        Work::Unit(unit) => i64::from(unit),
        // Behind the last unit: the process ends.
        Work::None => i64::from(i32::MAX),
        Work::Later => return later().await,
    };
    Json(json!({ "Index": index })).into_response()
}

async fn later() -> Response {
    tokio::time::sleep(KEEP).await;
    StatusCode::TOO_EARLY.into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    #[derive(Default)]
    struct Fake(Mutex<Vec<String>>);

    impl Desk for Fake {
        fn next(&self, process: Process) -> Work {
            if process == 1 { Work::Unit(7) } else { Work::None }
        }

        fn ran(&self, process: Process, report: Result<SpecReport>) {
            self.0
                .lock()
                .unwrap()
                .push(format!("{process} {}", report.unwrap().name()));
        }
    }

    fn ask(address: &str, method: &str, what: &str, body: &str) -> (u16, String) {
        let (host, process) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /{process}/{what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[test]
    fn processes_are_handed_work_and_hear_what_the_first_prepared() {
        let desk = Arc::new(Fake::default());
        let server = Server::start(None, Arc::<Fake>::clone(&desk)).unwrap();
        let (first, second) = (server.address(1), server.address(2));
        assert_eq!(ask(&first, "GET", "up", "").0, 200);
        assert_eq!(ask(&second, "GET", "before-suite-state", "").0, 425);
        let prepared = r#"{"Data":"eA==","State":"passed"}"#;
        ask(&first, "POST", "before-suite-completed", prepared);
        assert_eq!(
            ask(&second, "GET", "before-suite-state", ""),
            (200, prepared.to_owned())
        );
        assert_eq!(
            ask(&first, "GET", "counter", ""),
            (200, r#"{"Index":7}"#.to_owned())
        );
        assert_eq!(
            ask(&second, "GET", "counter", ""),
            (200, format!(r#"{{"Index":{}}}"#, i32::MAX))
        );
        let report = r#"{"ContainerHierarchyTexts":["a"],"LeafNodeType":"It","LeafNodeText":"b","State":"passed","RunTime":1}"#;
        assert_eq!(ask(&second, "POST", "did-run", report).0, 200);
        assert_eq!(*desk.0.lock().unwrap(), ["2 a b"]);

        assert_eq!(ask(&first, "GET", "have-nonprimary-procs-finished", "").0, 425);
        server.gone(2);
        assert_eq!(ask(&first, "GET", "have-nonprimary-procs-finished", "").0, 200);
        assert_eq!(ask(&first, "GET", "abort", "").0, 200);
        server.abort();
        assert_eq!(ask(&first, "GET", "abort", "").0, 410);
    }

    #[test]
    fn what_a_first_process_that_died_prepared_is_not_waited_for() {
        let server = Server::start(None, Arc::new(Fake::default())).unwrap();
        let second = server.address(2);
        assert_eq!(ask(&second, "GET", "before-suite-state", "").0, 410);
    }
}

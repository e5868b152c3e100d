//! The HTTP listener: `/metrics`, `/livez`, `/readyz` and nothing else.
//!
//! One request per connection, no body, little time: whoever connects cannot hold anything for long. It
//! has no authentication, so it listens on loopback unless the admin says otherwise, and it tells nothing
//! about mail but numbers.

mod guard;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;

use crate::metrics::Metrics;
use guard::Guarded;

/// What the readiness checks found, by name: quarantine, listeners, configuration …
pub type Checks = Vec<(&'static str, Result<(), String>)>;

/// How long the checks may take; then the daemon is not ready. 5 s: probes give up after 1 to 10 s.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// What the pages are made from.
#[derive(Clone)]
pub struct Pages {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Runs the readiness checks. It may block (it runs on a thread of its own); while the daemon is
    /// stopping, one of the checks fails.
    pub readiness: Arc<dyn Fn() -> Checks + Send + Sync>,
}

/// Serves the pages on `listener` (TCP or Unix) until `shutdown` is done. Errors of single connections end
/// these only.
///
/// # Errors
/// None that are known: the accept loop goes on whatever happens.
pub async fn run<L>(listener: L, pages: Pages, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    axum::serve(Guarded::new(listener, guard::MAX_LIFE), router(pages)).with_graceful_shutdown(shutdown).await
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { plain(StatusCode::OK, "ok\n".to_owned()) }))
        .route("/readyz", get(readyz))
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "not found\n".to_owned()) })
        .with_state(pages)
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.metrics.render() {
        Ok(page) => {
            let mut response = plain(StatusCode::OK, page);
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n".to_owned())
        }
    }
}

/// 200 or 503; the list of checks if `?verbose` asks for it or one failed.
async fn readyz(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    let checks = check(pages.readiness).await;
    let ready = checks.iter().all(|(_, result)| result.is_ok());
    let verbose =
        query.is_some_and(|query| query.split('&').any(|key| key == "verbose" || key.starts_with("verbose=")));
    let mut text = String::new();
    for (name, result) in checks.iter().filter(|_| verbose || !ready) {
        text.push_str(&match result {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(why) => format!("[-]{name} failed: {}\n", crate::hostile::escape(why)),
        });
    }
    text.push_str(if ready { "ok\n" } else { "not ready\n" });
    plain(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

async fn check(readiness: Arc<dyn Fn() -> Checks + Send + Sync>) -> Checks {
    let checks = tokio::task::spawn_blocking(move || readiness());
    match tokio::time::timeout(CHECK_TIME, checks).await {
        Ok(Ok(checks)) => checks,
        Ok(Err(_)) => vec![("checks", Err("the checks themselves failed".to_owned()))],
        Err(_) => vec![("checks", Err(format!("no result within {} s", CHECK_TIME.as_secs())))],
    }
}

/// A page of plain text, after which the connection ends.
fn plain(status: StatusCode, text: String) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
    use tokio::sync::oneshot;

    use super::guard::{MAX_CONNECTIONS, MAX_REQUEST};
    use super::*;

    struct Server {
        addr: std::net::SocketAddr,
        ready: Arc<AtomicBool>,
        stop: oneshot::Sender<()>,
        done: tokio::task::JoinHandle<io::Result<()>>,
    }

    fn pages(ready: &Arc<AtomicBool>) -> Pages {
        let ready = Arc::clone(ready);
        let readiness = move || {
            let drain = if ready.load(Ordering::Relaxed) { Ok(()) } else { Err("stopping\x1b[2J".to_owned()) };
            vec![("quarantine", Ok(())), ("running", drain)]
        };
        Pages { metrics: Arc::new(Metrics::new()), readiness: Arc::new(readiness) }
    }

    async fn server() -> Server {
        let ready = Arc::new(AtomicBool::new(true));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(run(listener, pages(&ready), async {
            let _ = stopped.await;
        }));
        Server { addr, ready, stop, done }
    }

    /// Sends `request` and reads until the server closes.
    async fn talk(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &[u8]) -> String {
        // A server that has had enough may close while we still write.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(server: &Server, target: &str) -> (u16, String) {
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let answer = talk(stream, format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        assert!(head.to_lowercase().contains("content-type: text/plain"), "{head}");
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn three_pages_and_nothing_else() {
        let server = server().await;
        assert_eq!(get(&server, "/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(get(&server, "/readyz").await, (200, "ok\n".to_owned()));
        let (status, page) = get(&server, "/metrics").await;
        assert!(status == 200 && page.contains("# TYPE sekisho_messages_total counter\n"), "{page}");
        for target in ["/", "/healthz", "/metrics/", "/..%2f..%2fetc/passwd", "/%00"] {
            assert_eq!(get(&server, target).await, (404, "not found\n".to_owned()), "{target}");
        }
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let server = server().await;
        let (status, list) = get(&server, "/readyz?verbose").await;
        assert_eq!((status, &*list), (200, "[+]quarantine ok\n[+]running ok\nok\n"));
        server.ready.store(false, Ordering::Relaxed);
        let (status, list) = get(&server, "/readyz").await;
        assert_eq!((status, &*list), (503, "[+]quarantine ok\n[-]running failed: stopping⟦U+001B⟧[2J\nnot ready\n"));
        assert_eq!(get(&server, "/livez").await.0, 200, "a daemon that drains is alive");
    }

    #[tokio::test]
    async fn checks_that_panic_or_hang_mean_not_ready() {
        let broken: Arc<dyn Fn() -> Checks + Send + Sync> = Arc::new(|| panic!("checks"));
        assert!(check(broken).await[0].1.is_err());
    }

    #[tokio::test]
    async fn one_request_per_connection() {
        let server = server().await;
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let twice = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
        let answer = talk(stream, twice.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    }

    #[tokio::test]
    async fn endless_headers_and_bodies_are_cut() {
        let server = server().await;
        for (head, filler) in
            [("GET /livez HTTP/1.1\r\n", "X: y\r\n"), ("POST /livez HTTP/1.1\r\nContent-Length: 999999\r\n\r\n", "z")]
        {
            let stream = TcpStream::connect(server.addr).await.unwrap();
            let request = format!("{head}{}", filler.repeat(200_000));
            let answer = tokio::time::timeout(Duration::from_secs(5), talk(stream, request.as_bytes())).await;
            assert!(!answer.expect("the server closes").contains("HTTP/1.1 200"));
        }
        assert_eq!(get(&server, "/livez").await.0, 200, "the others are still served");
    }

    #[tokio::test]
    async fn a_request_is_shorter_than_the_limit() {
        let server = server().await;
        for (length, answered) in [(MAX_REQUEST - 1, true), (MAX_REQUEST, false), (MAX_REQUEST + 1, false)] {
            let (head, end) = ("GET /livez HTTP/1.1\r\nHost: x\r\nX: ", "\r\n\r\n");
            let request = format!("{head}{}{end}", "x".repeat(length - head.len() - end.len()));
            let stream = TcpStream::connect(server.addr).await.unwrap();
            let answer = talk(stream, request.as_bytes()).await;
            assert_eq!(answer.starts_with("HTTP/1.1 200"), answered, "{length}: {answer}");
        }
    }

    #[tokio::test]
    async fn above_the_limit_of_connections_one_waits_until_another_ends() {
        let server = server().await;
        let open = || TcpStream::connect(server.addr);
        let mut idle = Vec::new();
        for _ in 1..MAX_CONNECTIONS {
            idle.push(open().await.unwrap());
        }
        assert_eq!(get(&server, "/livez").await.0, 200, "the last permit");
        idle.push(open().await.unwrap());
        let waiting = get(&server, "/livez");
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
        assert!(early.is_err(), "no permit is left");
        drop(idle);
        assert_eq!(waiting.await.0, 200);
    }

    #[tokio::test]
    async fn a_silent_client_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let guarded = Guarded::new(listener, Duration::from_millis(50));
        let router = router(pages(&Arc::new(AtomicBool::new(true))));
        tokio::spawn(axum::serve(guarded, router).into_future());
        for request in [&b""[..], b"GET /livez HT", b"GET /livez HTTP/1.1\r\nX: "] {
            let stream = TcpStream::connect(addr).await.unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(5), talk(stream, request)).await;
            assert!(answer.is_ok(), "the server closes");
        }
    }

    #[tokio::test]
    async fn a_unix_socket_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(run(listener, pages(&Arc::new(AtomicBool::new(true))), std::future::pending()));
        let answer = talk(UnixStream::connect(&path).await.unwrap(), b"GET /livez HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }

    #[tokio::test]
    async fn it_ends_when_told() {
        let server = server().await;
        assert_eq!(get(&server, "/livez").await.0, 200);
        server.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(5), server.done).await.unwrap().unwrap().unwrap();
    }
}

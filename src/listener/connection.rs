//! One connection, from its handshake to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use openssl::ssl::{Ssl, SslAcceptor};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_openssl::SslStream;

use crate::listener::bounds::Bounds;

/// How often a connection is judged.
const JUDGE_EVERY: Duration = Duration::from_millis(250);

/// The other end of the connection. Each request has it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub SocketAddr);

/// What a connection does.
pub(super) struct Activity {
    began: Instant,
    /// Requests whose answer has not begun.
    requests: AtomicUsize,
    /// The last byte to the client or request from it, in milliseconds since the connection began.
    last_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            requests: AtomicUsize::new(0),
            last_ms: AtomicU64::new(0),
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    pub(super) fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    fn note(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }
}

/// A request under way. It ends when this is dropped, also if the client goes away.
struct Underway(Arc<Activity>);

impl Underway {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.note();
        Self(Arc::clone(activity))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.note();
    }
}

pub(super) struct Connection {
    pub address: SocketAddr,
    pub bounds: Bounds,
    pub activity: Arc<Activity>,
    pub stop: Arc<AtomicBool>,
}

impl Connection {
    /// A client that is late or speaks no HTTP is no error of this process.
    pub(super) async fn serve(self, stream: TcpStream, tls: Option<SslAcceptor>, routes: Router) {
        let _ = stream.set_nodelay(true);
        match tls {
            None => self.converse(stream, routes).await,
            Some(acceptor) => {
                let handshake = shake_hands(&acceptor, stream);
                match tokio::time::timeout(self.bounds.header_within, handshake).await {
                    Ok(Ok(stream)) => self.converse(stream, routes).await,
                    Ok(Err(error)) => tracing::debug!("a client's TLS handshake failed: {error}"),
                    Err(_) => tracing::debug!("a client's TLS handshake took too long"),
                }
            }
        }
    }

    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin, routes: Router) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.bounds.header_within)
            .max_buf_size(self.bounds.header_bytes)
            .keep_alive(self.bounds.keep_alive);
        let inner = TowerToHyperService::new(routes);
        let (address, activity) = (ClientAddress(self.address), &self.activity);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let underway = Underway::begin(activity);
            request.extensions_mut().insert(address);
            let answer = inner.call(request);
            async move {
                let answer = answer.await;
                drop(underway);
                answer
            }
        });
        let stream = Noted {
            stream,
            activity: Arc::clone(activity),
        };
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut judge = tokio::time::interval(JUDGE_EVERY);
        judge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_last = false;
        poll_fn(|context| {
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            while judge.poll_tick(context).is_ready() {
                if self.is_over() {
                    return Poll::Ready(());
                }
                if !is_last && self.takes_no_more() {
                    is_last = true;
                    connection.as_mut().graceful_shutdown();
                    if connection.as_mut().poll(context).is_ready() {
                        return Poll::Ready(());
                    }
                }
            }
            Poll::Pending
        })
        .await;
    }

    fn takes_no_more(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.activity.began.elapsed() >= self.bounds.connection_for
    }

    fn is_over(&self) -> bool {
        let last_answer = if self.bounds.keep_alive {
            self.bounds.idle_for
        } else {
            Duration::ZERO
        };
        let is_idle = !self.activity.is_busy() && self.activity.last().elapsed() >= self.bounds.idle_for;
        is_idle || self.activity.began.elapsed() >= self.bounds.connection_for + last_answer
    }
}

async fn shake_hands(acceptor: &SslAcceptor, stream: TcpStream) -> Result<SslStream<TcpStream>, String> {
    let ssl = Ssl::new(acceptor.context()).map_err(|error| error.to_string())?;
    let mut stream = SslStream::new(ssl, stream).map_err(|error| error.to_string())?;
    Pin::new(&mut stream)
        .accept()
        .await
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

/// A stream that notes each byte to the client.
struct Noted<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.note();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.note();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

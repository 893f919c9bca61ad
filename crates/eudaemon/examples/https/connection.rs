//! One connection, from its handshake to its end.

use crate::answers::Answers;
use eudaemon::drain::Connection;
use eudaemon::tls::Tls;
use hyper::Version;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Serves it. What goes wrong with it is its client's to see.
pub async fn serve(
    stream: TcpStream,
    tls: Option<Tls>,
    connection: Connection,
    answers: Arc<Answers>,
) {
    match tls {
        None => speak(stream, false, connection, answers).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                speak(stream, is_h2, connection, answers).await;
            }
        }
    }
}

async fn speak<S>(stream: S, is_h2: bool, connection: Connection, answers: Arc<Answers>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let this = connection.clone();
    let service = service_fn(move |request| {
        let (busy, this, answers) = (this.busy(), this.clone(), Arc::clone(&answers));
        async move {
            let is_h2 = request.version() == Version::HTTP_2;
            let mut response = answers.to(&request).await;
            if this.is_closing() && !is_h2 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol.http1().timer(TokioTimer::new());
    protocol.http2().timer(TokioTimer::new());
    let protocol = match is_h2 {
        true => protocol.http2_only(),
        false => protocol.http1_only(),
    };
    let mut serving = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    let closing = async {
        match is_h2 {
            // A GOAWAY refuses nothing that was sent before it is heard.
            true => connection.closing().await,
            // A close does.
            false => connection.idle().await,
        }
    };
    tokio::select! {
        _ended = &mut serving => return,
        () = closing => serving.as_mut().graceful_shutdown(),
    }
    let _ended = serving.await;
}

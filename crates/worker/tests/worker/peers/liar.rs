//! A worker that is linked, holds leases, and gives others what it should not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tessera_blobs::{BlockEncoding, Digest, EncodedBlock, StreamEncoder};
use tessera_client::{
    Api, Identity, LinkReceiver, LinkSender, WorkerCertificate, WorkerFarm, peer_server_config,
};
use tessera_model::{Build, BuildKind, PairingGrant, WorkerFacts, WorkerId};
use tessera_wire::api::Digests;
use tessera_wire::link::{FromWorker, ToWorker};
use tessera_wire::peer::{self, Have, Held, worker_of};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::farm::Farm;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Its blocks hold other bytes than their names say.
    WrongBytes,
    /// Its blocks unpack to more than any block may have.
    Bomb,
    /// It sends blocks of its own choice.
    Unasked,
    /// Its connections end in mid-block.
    Dies,
    /// It accepts connections and says nothing.
    Silent,
    /// It shows another worker's certificate.
    SomebodyElse,
    /// It is just bringing the tree, for ever.
    Promises,
}

pub struct Liar {
    pub farm: WorkerFarm,
    at: SocketAddr,
    asked: Arc<AtomicUsize>,
    link: Option<(LinkSender, LinkReceiver)>,
}

async fn joined(farm: &Farm, name: &str) -> WorkerFarm {
    let pairing = farm
        .running
        .mint_pairing(PairingGrant::Worker, Duration::from_secs(600), true)
        .await
        .unwrap();
    let mut link: tessera_wire::pairing::PairingLink = pairing.code.parse().unwrap();
    link.address = Some(format!("https://{}", farm.address()));
    tessera_client::join_as_worker(&link, name).await.unwrap()
}

impl Liar {
    pub async fn join(farm: &Farm, lie: Lie) -> Self {
        let identity = joined(farm, "liar").await;
        let shown = match lie {
            Lie::SomebodyElse => joined(farm, "another").await.identity,
            _ => identity.identity.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        tokio::spawn(serve(listener, shown, lie, Arc::clone(&asked)));
        let mut liar = Self {
            farm: identity,
            at,
            asked,
            link: None,
        };
        liar.come_back(farm).await;
        liar
    }

    /// How often somebody came to it.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Opens its link.
    pub async fn come_back(&mut self, farm: &Farm) {
        let mut access = self.farm.access();
        access.addresses = vec![format!("https://{}", farm.address())];
        let api = Api::new(access).unwrap();
        let (mut sender, mut receiver) = api.link().await.unwrap().split();
        let hello = FromWorker::Hello {
            protocol: tessera_wire::PROTOCOL,
            facts: facts(),
            holds: Vec::new(),
            peer: Some(self.at),
            pyramids: false,
        };
        sender.send(&hello).await.unwrap();
        let first = receiver.next().await.unwrap();
        assert!(matches!(first, Some(ToWorker::Welcome { .. })), "{first:?}");
        self.link = Some((sender, receiver));
    }

    /// Waits for a lease, which is never worked on.
    pub async fn leased(&mut self) {
        while !matches!(self.hear().await, ToWorker::Lease(_)) {}
    }

    /// Waits until it is told of another worker: where that is, and who.
    pub async fn told(&mut self) -> (String, WorkerId) {
        loop {
            if let ToWorker::Peers { sources, .. } = self.hear().await {
                let source = &sources[0];
                return (source.address.clone(), worker_of(&source.identity).unwrap());
            }
        }
    }

    async fn hear(&mut self) -> ToWorker {
        let (_, receiver) = self.link.as_mut().expect("it is linked");
        receiver.next().await.unwrap().expect("the link is open")
    }

    /// Closes its link: what it holds goes to others.
    pub async fn leave(&mut self) {
        let (mut sender, _) = self.link.take().expect("it is linked");
        sender.close().await;
    }

    /// The serial number of its certificate.
    pub fn serial(&self) -> String {
        WorkerCertificate::read(&chain(&self.farm.identity)[0])
            .unwrap()
            .serial
    }

    /// Somebody who shows no certificate gets no answer at all, not even that there is nothing.
    pub async fn without_certificate(&self, address: &str) {
        let tls = self.farm.trust.client_config(None).unwrap();
        let sent = exchange(tls, address, "/").await;
        assert!(sent.is_err(), "{sent:?}");
    }

    /// The HTTP status of a path.
    pub async fn status_of(&self, address: &str, worker: WorkerId, path: &str) -> u16 {
        let tls = tessera_client::peer_client_config(&self.farm.identity, worker).unwrap();
        let answer = exchange(tls, address, path).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// A request of HTTP/1.1, as it is written, and what comes back.
async fn exchange(tls: rustls::ClientConfig, address: &str, path: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let socket = TcpStream::connect(address.trim_start_matches("https://")).await?;
    let name = "127.0.0.1".try_into().unwrap();
    let mut stream = TlsConnector::from(Arc::new(tls))
        .connect(name, socket)
        .await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.is_empty() {
        true => Err(std::io::ErrorKind::UnexpectedEof.into()),
        false => Ok(answer),
    }
}

fn chain(identity: &Identity) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    let pem = identity.certificate_pem.as_bytes();
    rustls::pki_types::CertificateDer::pem_slice_iter(pem)
        .map(Result::unwrap)
        .collect()
}

/// As a machine with the fake Blender has them.
fn facts() -> WorkerFacts {
    WorkerFacts {
        divides: true,
        slots: 1,
        threads: 1,
        cores: 1,
        memory_bytes: 1 << 30,
        os: "linux".into(),
        arch: "x86_64".into(),
        host: "liar".into(),
        tags: Vec::new(),
        builds: vec![Build {
            version: "3.4.1".parse().unwrap(),
            hash: "fake".into(),
            kind: BuildKind::Executable,
        }],
        gpus: Vec::new(),
        version: "0".into(),
        rest: None,
    }
}

async fn serve(listener: TcpListener, shown: Identity, lie: Lie, asked: Arc<AtomicUsize>) {
    let router = Router::new()
        .route(peer::HAVE.path, post(have))
        .route(peer::FETCH.path, post(fetch))
        .with_state(lie);
    let tls = TlsAcceptor::from(Arc::new(peer_server_config(&shown).unwrap()));
    while let Ok((socket, _)) = listener.accept().await {
        asked.fetch_add(1, Ordering::SeqCst);
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            if lie == Lie::Silent {
                std::future::pending::<()>().await;
            }
            let Ok(stream) = tls.accept(socket).await else {
                return;
            };
            let service = TowerToHyperService::new(router);
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn have(State(lie): State<Lie>, Json(question): Json<Have>) -> Json<Held> {
    let (digests, coming) = match lie {
        Lie::Promises => (Vec::new(), true),
        _ => (question.digests, false),
    };
    Json(Held { digests, coming })
}

async fn fetch(State(lie): State<Lie>, Json(Digests { digests }): Json<Digests>) -> Response {
    let mut encoder = StreamEncoder::new();
    let mut body: Vec<Result<Bytes, std::io::Error>> = vec![Ok(encoder.header())];
    for digest in digests {
        let wrong = vec![7; 1000];
        let block = match lie {
            Lie::WrongBytes => raw(digest, wrong),
            Lie::Bomb => EncodedBlock {
                digest,
                encoding: BlockEncoding::Zstd,
                bytes: zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap().into(),
            },
            Lie::Unasked => raw(Digest::of(&wrong), wrong),
            _ => raw(digest, wrong),
        };
        body.extend(encoder.block(&block).map(Ok));
        if lie == Lie::Dies {
            let last = body.pop().unwrap().unwrap();
            body.push(Ok(last.slice(..last.len() / 2)));
            body.push(Err(std::io::ErrorKind::BrokenPipe.into()));
            break;
        }
    }
    body.push(Ok(encoder.end()));
    Body::from_stream(futures_util::stream::iter(body)).into_response()
}

fn raw(digest: Digest, bytes: Vec<u8>) -> EncodedBlock {
    EncodedBlock {
        digest,
        encoding: BlockEncoding::Raw,
        bytes: bytes.into(),
    }
}

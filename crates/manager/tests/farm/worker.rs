//! A worker without a Blender: it speaks the link and reports what it was told to.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls_pki_types::ServerName;
use tessera_blobs::{
    BlobRef, Content, EncodedBlock, Manifest, StreamEncoder, TreePath, write_bytes,
};
use tessera_model::{
    Blob, Build, BuildKind, FileRole, FrameError, FrameErrorKind, FrameFile, FrameResult, JobId,
    JobSettings, LeaseKey, Overrides, ResultTimings, Step, StepKind, Timestamp, WorkerFacts,
    WorkerId,
};
use tessera_wire::api::{Submit, Submitted, Verdict};
use tessera_wire::blob::to_model;
use tessera_wire::link::{FromWorker, Holding, LeaseOffer, ToWorker};
use tessera_wire::routes;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::{Api, End, Member, soon};

pub fn build() -> Build {
    Build {
        version: "3.4.1".parse().unwrap(),
        hash: "55485cb379f7".into(),
        kind: BuildKind::Executable,
    }
}

pub fn facts(slots: u32) -> WorkerFacts {
    WorkerFacts {
        divides: true,
        slots,
        threads: 1,
        cores: 2,
        memory_bytes: 1 << 30,
        os: "linux".into(),
        arch: "x86_64".into(),
        host: "sim".into(),
        tags: Vec::new(),
        builds: vec![build()],
        gpus: Vec::new(),
        version: "0".into(),
        rest: None,
    }
}

/// The blocks of some bytes, and their name.
pub fn blocks_of(bytes: &[u8]) -> (BlobRef, Vec<EncodedBlock>) {
    let mut blocks = Vec::new();
    let blob = write_bytes(bytes, Content::Other, |block| {
        blocks.push(block.encode());
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
    (blob, blocks)
}

pub fn framed(blocks: &[EncodedBlock]) -> Vec<u8> {
    let mut encoder = StreamEncoder::new();
    let mut body = encoder.header().to_vec();
    for block in blocks {
        for part in encoder.block(block) {
            body.extend_from_slice(&part);
        }
    }
    body.extend_from_slice(&encoder.end());
    body
}

pub async fn put(api: &Api, bytes: &[u8]) -> Blob {
    let (blob, blocks) = blocks_of(bytes);
    let response = api
        .to(routes::BLOBS_PUT, &[])
        .body(framed(&blocks))
        .send()
        .await
        .unwrap();
    let status = response.status();
    assert_eq!(status, 204, "{}", response.text().await.unwrap());
    to_model(&blob)
}

/// A file tree of one .blend with these bytes: its name, and its own blocks and those of the file.
pub fn tree(bytes: &[u8]) -> (Blob, Vec<EncodedBlock>, Vec<EncodedBlock>) {
    let (blob, file) = blocks_of(bytes);
    let mut manifest = Manifest::new();
    let entry = tessera_blobs::Entry {
        kind: tessera_blobs::EntryKind::File,
        blob,
        original_size: blob.size,
        encoding: tessera_blobs::FileEncoding::Raw,
        executable: false,
    };
    manifest
        .insert(TreePath::new("home/u/scene.blend").unwrap(), entry)
        .unwrap();
    let mut own = Vec::new();
    let root = manifest
        .write(|block| {
            own.push(block.encode());
            Ok::<_, std::io::Error>(())
        })
        .unwrap();
    (to_model(&root), own, file)
}

pub async fn scene(api: &Api) -> Blob {
    let (root, mut blocks, file) = tree(b"BLENDER-v304 a scene");
    blocks.extend(file);
    let response = api
        .to(routes::BLOBS_PUT, &[])
        .body(framed(&blocks))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 204);
    root
}

pub fn job(manifest: Blob, frames: &str) -> Submit {
    Submit {
        settings: JobSettings::named("shot"),
        manifest,
        main_file: "home/u/scene.blend".into(),
        file_version: "3.4".parse().unwrap(),
        steps: vec![Step {
            kind: StepKind::Render(Overrides::default()),
            frames: frames.parse().unwrap(),
            in_order: false,
            by_frame: false,
            beside: false,
            split: None,
            tiles: Vec::new(),
            chunking: None,
            replaced: false,
        }],
        client_note: "note".into(),
    }
}

pub async fn submit(api: &Api, frames: &str) -> JobId {
    let manifest = scene(api).await;
    let submitted: Submitted = api.json(routes::SUBMIT, &[], &job(manifest, frames)).await;
    submitted.job
}

/// An open link.
pub struct Link {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

impl Link {
    /// Opens it and says nothing yet.
    pub async fn open(end: &End, member: &Member) -> std::io::Result<Self> {
        let mut config = end.tls(Some(&member.certificate()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let address = end.url.strip_prefix("https://").unwrap().to_owned();
        let tcp = TcpStream::connect(&address).await?;
        let name = ServerName::try_from(tessera_wire::MANAGER_NAME).unwrap();
        let tls = TlsConnector::from(std::sync::Arc::new(config))
            .connect(name, tcp)
            .await?;
        let request = format!("wss://{address}{}", routes::LINK.path)
            .into_client_request()
            .unwrap();
        let (socket, _) = client_async(request, tls)
            .await
            .map_err(std::io::Error::other)?;
        Ok(Self { socket })
    }

    /// Opens it and is let in.
    pub async fn enter(
        end: &End,
        member: &Member,
        slots: u32,
        holds: Vec<LeaseKey>,
    ) -> std::io::Result<(Self, ToWorker)> {
        let mut link = Self::open(end, member).await?;
        link.send(&hello(slots, holds)).await?;
        let first = link.next().await.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        Ok((link, first))
    }

    pub async fn send(&mut self, message: &FromWorker) -> std::io::Result<()> {
        self.say(serde_json::to_string(message).unwrap()).await
    }

    pub async fn say(&mut self, text: String) -> std::io::Result<()> {
        self.socket
            .send(Message::Text(text.into()))
            .await
            .map_err(std::io::Error::other)
    }

    /// The next message; none once the link is over.
    pub async fn next(&mut self) -> Option<ToWorker> {
        loop {
            match soon(self.socket.next()).await? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// The next lease; modes in between are passed over.
    pub async fn lease(&mut self) -> LeaseOffer {
        loop {
            match self.next().await.expect("the link is over") {
                ToWorker::Lease(offer) => return *offer,
                ToWorker::Mode { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn heartbeat(&mut self, holds: &[(LeaseKey, Option<u32>)]) -> std::io::Result<()> {
        let holds = holds
            .iter()
            .map(|&(key, rendering)| Holding { key, rendering })
            .collect();
        self.send(&FromWorker::Heartbeat {
            holds,
            machine: None,
        })
        .await
    }
}

pub fn hello(slots: u32, holds: Vec<LeaseKey>) -> FromWorker {
    FromWorker::Hello {
        protocol: tessera_wire::PROTOCOL,
        facts: facts(slots),
        holds,
        peer: None,
        pyramids: false,
    }
}

/// What a worker reports of the first frame of a lease.
pub async fn result(api: &Api, worker: WorkerId, offer: &LeaseOffer) -> FrameResult {
    let frame = offer.frames[0];
    let file = put(api, format!("picture of frame {}", frame.frame).as_bytes()).await;
    let stdout = put(
        api,
        format!("Fra:{} Mem:1M\nSaved\n", frame.frame).as_bytes(),
    )
    .await;
    FrameResult {
        lease: offer.key,
        position: frame.position,
        frame: frame.frame,
        worker,
        build: build(),
        device: "CPU".into(),
        persistent: true,
        files: vec![FrameFile {
            role: FileRole::Main,
            name: format!("{:04}.png", frame.frame),
            blob: file,
        }],
        stdout,
        stderr: to_model(&BlobRef::empty()),
        timings: ResultTimings::default(),
        previews: None,
        notes: Vec::new(),
        noisy: Vec::new(),
        at: Timestamp(0),
    }
}

pub fn failure(worker: WorkerId, offer: &LeaseOffer, stdout: Blob) -> FrameError {
    FrameError {
        lease: offer.key,
        position: offer.frames[0].position,
        frame: offer.frames[0].frame,
        worker,
        kind: FrameErrorKind::Crash,
        message: "Blender died".into(),
        stdout: Some(stdout),
        stderr: None,
        at: Timestamp(0),
    }
}

/// Renders and reports one lease over a link that stays up.
pub async fn deliver(link: &mut Link, api: &Api, worker: WorkerId, offer: &LeaseOffer) -> Verdict {
    let key = offer.key;
    let position = offer.frames[0].position;
    link.send(&FromWorker::Started { key, position })
        .await
        .unwrap();
    let result = result(api, worker, offer).await;
    let verdict = api.json(routes::WORKER_RESULT, &[], &result).await;
    link.send(&FromWorker::Finished { key }).await.unwrap();
    verdict
}

/// A pause of the test's own world, not of what it tests: a peer that tries again.
pub const AGAIN: Duration = Duration::from_millis(50);

//! A cable that counts and can be cut: a TCP proxy to a manager.
//!
//! A cut ends every connection at once and takes with it what lies in the buffers of the system, as a pulled plug does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    /// To the manager, and back.
    up: Arc<Way>,
    down: Arc<Way>,
    cuts: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Way {
    passed_bytes: AtomicU64,
    /// The next cuts, each when so many bytes have come in all.
    cut_at: Mutex<VecDeque<u64>>,
}

impl Way {
    /// Takes note of bytes that came; whether the cable is cut now.
    fn came(&self, bytes: u64) -> bool {
        let came = self.passed_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let mut cut_at = self.cut_at.lock().unwrap();
        let cut = cut_at.front().is_some_and(|at| *at <= came);
        if cut {
            cut_at.pop_front();
        }
        cut
    }
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            up: Arc::default(),
            down: Arc::default(),
            cuts: Arc::new(watch::Sender::new(0)),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = accepting.clone();
                tokio::spawn(async move { proxy.carry(client, target).await });
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Cuts once, after so many bytes more to the manager.
    pub fn cut_after(&self, bytes: u64) {
        self.cut_up_at([self.up_bytes() + bytes]);
    }

    /// Cuts when so many bytes in all have come from the client, each time.
    pub fn cut_up_at(&self, totals: impl IntoIterator<Item = u64>) {
        *self.up.cut_at.lock().unwrap() = totals.into_iter().collect();
    }

    /// The same with what comes from the manager.
    pub fn cut_down_at(&self, totals: impl IntoIterator<Item = u64>) {
        *self.down.cut_at.lock().unwrap() = totals.into_iter().collect();
    }

    pub fn cuts(&self) -> u64 {
        *self.cuts.borrow()
    }

    /// What has come from the client, as it is on the wire.
    pub fn up_bytes(&self) -> u64 {
        self.up.passed_bytes.load(Ordering::SeqCst)
    }

    /// What has come from the manager.
    pub fn down_bytes(&self) -> u64 {
        self.down.passed_bytes.load(Ordering::SeqCst)
    }

    async fn carry(&self, client: TcpStream, target: SocketAddr) {
        let mut cut = self.cuts.subscribe();
        let Ok(manager) = TcpStream::connect(target).await else {
            return;
        };
        for end in [&client, &manager] {
            end.set_nodelay(true).unwrap();
            end.set_zero_linger().unwrap();
        }
        let (from_client, to_client) = client.into_split();
        let (from_manager, to_manager) = manager.into_split();
        // Whichever ends first ends both ways.
        tokio::select! {
            () = self.pass(&self.up, from_client, to_manager) => {}
            () = self.pass(&self.down, from_manager, to_client) => {}
            _ = cut.changed() => {}
        }
    }

    async fn pass(&self, way: &Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if way.came(count as u64) {
                self.cuts.send_modify(|cuts| *cuts += 1);
                return;
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }
}

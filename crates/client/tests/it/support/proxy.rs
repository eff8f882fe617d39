//! A cable that can be cut: a TCP proxy to a manager, which ends every connection after so many bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    /// Bytes from client to manager that still pass; the cut comes when they are used up. Then everything passes.
    cut_after: Arc<AtomicI64>,
    cuts: Arc<AtomicU64>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            cut_after: Arc::new(AtomicI64::new(i64::MAX)),
            cuts: Arc::default(),
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

    pub fn cut_after(&self, bytes: i64) {
        self.cut_after.store(bytes, Ordering::SeqCst);
    }

    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    async fn carry(&self, client: TcpStream, target: SocketAddr) {
        let Ok(manager) = TcpStream::connect(target).await else {
            return;
        };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_manager, mut to_manager) = manager.into_split();
        let up = async {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                let left = self.cut_after.fetch_sub(count as i64, Ordering::SeqCst) - count as i64;
                if left <= 0 {
                    self.cut_after.store(i64::MAX, Ordering::SeqCst);
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if to_manager.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        };
        let down = async {
            let _ = tokio::io::copy(&mut from_manager, &mut to_client).await;
        };
        // Whichever ends first ends both ways.
        tokio::select! { () = up => {}, () = down => {} }
    }
}

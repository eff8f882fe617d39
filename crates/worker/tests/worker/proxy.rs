//! A wire between a worker and its manager that can be cut, held still, and mended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::io::InspectReader;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Whole,
    /// Connections stay and carry nothing.
    Still,
    /// Connections break, and new ones too.
    Cut,
}

pub struct Proxy {
    pub address: SocketAddr,
    /// Bytes that came from the far end.
    pub received: Arc<AtomicU64>,
    wire: Arc<watch::Sender<Wire>>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(watch::Sender::new(Wire::Whole));
        let hands = Arc::clone(&wire);
        let received = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                tokio::spawn(carry(near, target, hands.subscribe(), counter));
            }
        });
        Self {
            address,
            received,
            wire,
        }
    }

    pub fn cut(&self) {
        self.wire.send_replace(Wire::Cut);
    }

    pub fn hold_still(&self) {
        self.wire.send_replace(Wire::Still);
    }

    pub fn mend(&self) {
        self.wire.send_replace(Wire::Whole);
    }
}

async fn carry(
    mut near: TcpStream,
    target: SocketAddr,
    mut wire: watch::Receiver<Wire>,
    received: Arc<AtomicU64>,
) {
    if *wire.borrow() == Wire::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let mut far = InspectReader::new(far, |bytes: &[u8]| {
        received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    });
    loop {
        let now = *wire.borrow_and_update();
        match now {
            Wire::Cut => return,
            Wire::Still => {
                if wire.changed().await.is_err() {
                    return;
                }
            }
            Wire::Whole => tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => return,
                changed = wire.changed() => if changed.is_err() { return },
            },
        }
    }
}

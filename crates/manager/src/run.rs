//! Starts the parts in their order, waits, and ends them in the opposite one.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use tessera_blobs::Store;
use tessera_model::{Role, User};
use tessera_state::State;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{self, Clock};
use crate::data_dir::{DataDir, FarmFile};
use crate::engine::{Engine, EngineHandle, EngineParts};
use crate::events::Events;
use crate::http::{App, AppParts, router, urls};
use crate::identity::{Authority, Index, ServedCertificate, SharedIndex, secret};
use crate::keeper::Keeper;
use crate::links::Links;
use crate::local_file::{self, LocalFile};
use crate::metrics::{self, Metrics};
use crate::notify::{Notifier, Runner};
use crate::server::{Server, listen, serve, server_config};
use crate::{ManagerConfig, ManagerError, Running, addresses, discovery};

/// How often the server's certificate is looked at: its end, its names, the owner's files.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(60 * 60);

/// Serves the farm in [`ManagerConfig::data_dir`] until `shutdown` is cancelled.
///
/// `ready` is told once connections are accepted. When this returns, every task and thread it started has ended, and
/// the folder is free for another manager.
///
/// # Errors
/// If it cannot start, or if another manager has taken over its record.
pub async fn run(
    config: ManagerConfig,
    ready: oneshot::Sender<Running>,
    shutdown: CancellationToken,
) -> Result<(), ManagerError> {
    let ground = Ground::lay(&config).await?;
    let ended = serve_farm(&config, &ground, ready, &shutdown).await;
    ground.state.close().await;
    ended
}

/// What the farm stands on: its folder, opened and locked.
struct Ground {
    dir: DataDir,
    farm: FarmFile,
    state: Arc<State>,
    store: Arc<Store>,
    authority: Arc<Authority>,
    served: ServedCertificate,
    provider: Arc<CryptoProvider>,
}

impl Ground {
    async fn lay(config: &ManagerConfig) -> Result<Self, ManagerError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let dir = DataDir::open(&config.data_dir)?;
        // The record's lock comes first: nothing else in the folder is touched while another manager uses it.
        let state = State::open(dir.root()).await?;
        let farm = dir.farm(config.farm_name.as_deref())?;
        let now = clock::wall();
        let authority = Authority::load_or_make(&dir, &farm.name, now)?;
        let served = ServedCertificate::load(
            config.certificate.as_ref(),
            &dir,
            &authority,
            &provider,
            now,
        )?;
        let blobs = dir.path("blobs");
        let store = tokio::task::spawn_blocking(move || Store::open(&blobs))
            .await
            .expect("opening a store does not panic")?;
        Ok(Self {
            dir,
            farm,
            state: Arc::new(state),
            store: Arc::new(store),
            authority: Arc::new(authority),
            served,
            provider,
        })
    }
}

async fn serve_farm(
    config: &ManagerConfig,
    ground: &Ground,
    ready: oneshot::Sender<Running>,
    shutdown: &CancellationToken,
) -> Result<(), ManagerError> {
    let listeners = listen(&config.listen)?;
    let bound: Vec<SocketAddr> = listeners
        .iter()
        .map(|listener| listener.local_addr())
        .collect::<Result<_, _>>()
        .map_err(|error| {
            ManagerError::file(
                "ask for the address of a socket in",
                ground.dir.root(),
                error,
            )
        })?;
    let parts = Parts::assemble(config, ground, bound.clone()).await?;

    let stop_engine = CancellationToken::new();
    let mut engine = tokio::spawn(parts.engine.run(stop_engine.clone()));
    let ending = parts.app_parts.ending.clone();
    // Should the caller drop this future, the tasks end by themselves.
    let _ends_with_this = (
        ending.clone().drop_guard(),
        stop_engine.clone().drop_guard(),
    );
    let tasks = parts.app_parts.tasks.clone();
    tasks.spawn(Arc::clone(&parts.app_parts.keeper).run());
    tasks.spawn(metrics::utilisation::keep(
        parts.app_parts.engine.clone(),
        Arc::clone(&parts.app_parts.links),
        Arc::clone(&parts.app_parts.metrics),
        ending.clone(),
    ));
    tasks.spawn(parts.notifications.run(ending.clone()));
    let app = Arc::new(App::new(parts.app_parts));
    let tls = server_config(&ground.provider, &ground.authority, ground.served.clone())?;
    let server = Server::new(
        tls,
        router(Arc::clone(&app)),
        &config.allow_from,
        tasks.clone(),
        ending.clone(),
    );
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(serve(server.clone(), listener));
    }
    drop(server);

    let running = running(ground, &bound, &app, parts.admin_token);
    let announcement = config
        .discovery
        .then(|| discovery::announce(&running.farm, &running.fingerprint, &bound))
        .flatten();
    let written = config
        .local_file
        .as_deref()
        .map_or(Ok(()), |path| local_file::write(path, &local(&running)));
    let token = running.admin_token.clone();
    let mut ended = Ok(());
    let mut engine_runs = true;
    if let Err(error) = written {
        ended = Err(error);
    } else {
        tracing::info!(farm = running.farm, addresses = ?bound, "the manager runs");
        // Whoever started it may not want to know.
        let _ = ready.send(running);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = keep_certificate_fresh(config, ground) => {}
            stopped = &mut engine => {
                engine_runs = false;
                ended = stopped.expect("the engine does not panic");
            }
        }
    }

    if let Some(path) = &config.local_file {
        local_file::remove(path, &token);
    }
    if let Some(announcement) = announcement {
        announcement.withdraw().await;
    }
    // Connections end before the engine, so that what they asked for is still answered.
    ending.cancel();
    while accepting.join_next().await.is_some() {}
    tasks.close();
    tasks.wait().await;
    stop_engine.cancel();
    if engine_runs {
        let stopped = engine.await.expect("the engine does not panic");
        ended = ended.and(stopped);
    }
    drop(app);
    tracing::info!("the manager has ended");
    ended
}

/// The parts of a manager, not yet running.
struct Parts {
    engine: Engine,
    app_parts: AppParts,
    admin_token: String,
    notifications: Runner,
}

impl Parts {
    async fn assemble(
        config: &ManagerConfig,
        ground: &Ground,
        bound: Vec<SocketAddr>,
    ) -> Result<Self, ManagerError> {
        let clock = Clock::start();
        let term = ground.state.begin_term().await?;
        let index: SharedIndex = Arc::new(RwLock::new(Index::default()));
        let links = Arc::new(Links::default());
        let events = Arc::new(Events::new(term));
        let (notifier, told) = Notifier::new();
        let metrics = Arc::<Metrics>::default();
        let (engine, handle): (Engine, EngineHandle) = Engine::new(EngineParts {
            state: Arc::clone(&ground.state),
            term,
            settings: config.scheduler.clone(),
            clock,
            index: Arc::clone(&index),
            authority: Arc::clone(&ground.authority),
            links: Arc::clone(&links),
            events: Arc::clone(&events),
            notifier: Arc::clone(&notifier),
            metrics: Arc::clone(&metrics),
        })
        .await?;
        let admin_token = admin_token(config, ground)?;
        let user = User {
            name: config.local_user.clone(),
            role: Role::Admin,
        };
        index
            .write()
            .unwrap_or_else(|poison| poison.into_inner())
            .set_local(
                secret::token_hash(&admin_token).expect("a new token is one"),
                user,
            );
        let ending = CancellationToken::new();
        let keeper = Keeper::new(
            handle.clone(),
            Arc::clone(&ground.state),
            Arc::clone(&ground.store),
            clock,
            config.upload_grace,
            Arc::clone(&notifier),
            ending.clone(),
        );
        let (served, at) = (ground.served.clone(), bound.clone());
        let notifications = Runner {
            notifier: Arc::clone(&notifier),
            told,
            engine: handle.clone(),
            index: Arc::clone(&index),
            farm: ground.farm.name.clone(),
            page: Box::new(move || urls(&served, &at).into_iter().next()),
            retry_after: config.notify_retry_after,
            lost_after: config.notify_lost_after,
        };
        Ok(Self {
            engine,
            app_parts: AppParts {
                farm: ground.farm.clone(),
                term,
                engine: handle,
                state: Arc::clone(&ground.state),
                store: Arc::clone(&ground.store),
                keeper: Arc::new(keeper),
                links,
                events,
                notifier,
                metrics,
                clock,
                ending,
                tasks: TaskTracker::new(),
                index,
                served: ground.served.clone(),
                bound,
                allow_from: config.allow_from.clone(),
            },
            admin_token,
            notifications,
        })
    }
}

/// A new token, but for a manager that was killed: it takes up the one it left behind, so that who waits for it goes on.
fn admin_token(config: &ManagerConfig, ground: &Ground) -> Result<String, ManagerError> {
    let left = config
        .local_file
        .as_deref()
        .and_then(local_file::read)
        .filter(|file| file.anchor_pem == ground.served.trust().anchor_pem)
        .map(|file| file.token)
        .filter(|token| secret::token_hash(token).is_some());
    left.map_or_else(secret::token, Ok)
}

fn running(ground: &Ground, bound: &[SocketAddr], app: &Arc<App>, admin_token: String) -> Running {
    let trust = ground.served.trust();
    Running {
        farm: ground.farm.name.clone(),
        addresses: bound.to_vec(),
        urls: app.urls(),
        loopback_url: addresses::loopback(bound).map(addresses::url_of),
        fingerprint: trust.fingerprint,
        name_check: trust.name_check,
        anchor_pem: trust.anchor_pem,
        admin_token,
        app: Arc::downgrade(app),
    }
}

/// How this user's commands on this machine reach it. The owner's certificate names no loopback address, so its own names go first then.
fn local(running: &Running) -> LocalFile {
    let mut addresses: Vec<String> = running.loopback_url.iter().cloned().collect();
    addresses.extend(running.urls.iter().cloned());
    if running.name_check == tessera_wire::pairing::NameCheck::Host {
        addresses.rotate_left(usize::from(running.loopback_url.is_some()));
    }
    addresses.dedup();
    LocalFile {
        name: running.farm.clone(),
        addresses,
        anchor_pem: running.anchor_pem.clone(),
        name_check: running.name_check,
        token: running.admin_token.clone(),
        pid: std::process::id(),
    }
}

/// Never ends. What cannot be renewed now is shown on, and tried again.
async fn keep_certificate_fresh(config: &ManagerConfig, ground: &Ground) {
    loop {
        tokio::time::sleep(CERTIFICATE_CHECK).await;
        let refreshed = ground.served.refresh(
            config.certificate.as_ref(),
            &ground.dir,
            &ground.authority,
            &ground.provider,
            clock::wall(),
        );
        match refreshed {
            Ok(true) => tracing::info!("the server's certificate is a new one"),
            Ok(false) => {}
            Err(error) => tracing::error!("the server's certificate was not renewed: {error}"),
        }
    }
}

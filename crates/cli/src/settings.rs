//! What is set, and where it was set: flags, then `TESSERA_*` variables, then `tessera.toml`, then defaults.
//!
//! Every setting is resolved once, before a command starts, into a [`Setting`] that remembers its
//! [`Origin`]; no command looks at the environment or at the file itself. So a mistake in the file
//! is said at once and by name, whichever command is run, and `tessera config` shows exactly what
//! the other commands will use.

mod file;
mod key;
mod origin;

pub(crate) use file::{ConfigFile, ConfigFileError};
pub(crate) use key::Key;
pub(crate) use origin::{Origin, Setting, SettingError, Sources};

use std::path::PathBuf;
use std::time::Duration;

use tessera_client::{Bandwidth, PathMap};
use tessera_model::{
    DEFAULT_ATTEMPTS, DEFAULT_CATEGORY, DEFAULT_PRIORITY, Requirement, SLOTS_MAX, SeriesRange,
    UserName, check_name,
};
use tessera_wire::subnet::Subnet;
use tessera_worker::{CACHE_MAX_BYTES, Hours, PeerListen};

use crate::flags::{
    Cores, ManagerFlags, NeedFlags, OrNone, Os, SceneFlags, WorkerFlags, given_names, new_names,
};
use crate::units::{Bytes, Rate};

/// Frames handed out at once. One, so that all workers finish together; more only saves messages.
const CHUNK: u32 = 1;

/// No processor time for so long means hung: long enough for a shader compiler's or a slow disk's pause.
const HANG_AFTER: Duration = Duration::from_secs(120);

/// Everything that can be set.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Blenders to use besides those found: `blender`.
    pub(crate) blender: Setting<Vec<PathBuf>>,
    /// Most bytes a second over the network, 0 without a bound: `bandwidth`.
    pub(crate) bandwidth: Setting<Option<Rate>>,
    /// Where files lie here that scenes name as another machine does: `paths.map`.
    pub(crate) maps: Setting<Vec<PathMap>>,
    /// What is logged, as a filter of the tracing library: `log`.
    pub(crate) log: Setting<Option<String>>,
    /// How a user's commands reach a farm.
    pub(crate) client: ClientSettings,
    /// Jobs.
    pub(crate) job: JobDefaults,
    /// `tessera manager`.
    pub(crate) manager: ManagerSettings,
    /// `tessera worker`.
    pub(crate) worker: WorkerSettings,
    /// Every setting in the order of [`KEYS`], as `tessera config` prints it.
    pub(crate) listing: Vec<Listed>,
}

/// A setting for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its key.
    pub(crate) key: &'static Key,
    /// Its value as text; none if nothing is set and the program decides.
    pub(crate) value: Option<String>,
    /// Where it came from.
    pub(crate) origin: Origin,
}

/// See [`Settings::client`].
#[derive(Debug)]
pub(crate) struct ClientSettings {
    /// Address of the manager.
    pub(crate) manager: Setting<Option<String>>,
    /// Name of one of the connected farms.
    pub(crate) farm: Setting<Option<String>>,
    /// Token for a manager that was never connected to.
    pub(crate) token: Setting<Option<String>>,
    /// The farm's CA (PEM file) for the same.
    pub(crate) farm_ca: Setting<Option<PathBuf>>,
    /// Name that jobs of a private farm are owned by.
    pub(crate) user: Setting<UserName>,
}

/// What a job gets that its flags do not say.
#[derive(Debug)]
pub(crate) struct JobDefaults {
    /// See [`tessera_model::JobSettings`].
    pub(crate) category: Setting<String>,
    /// See [`tessera_model::JobSettings`].
    pub(crate) priority: Setting<u32>,
    /// See [`tessera_model::JobSettings`].
    pub(crate) tags: Setting<Vec<String>>,
    /// See [`tessera_model::JobSettings`].
    pub(crate) chunk: Setting<u32>,
    /// See [`tessera_model::JobSettings`].
    pub(crate) attempts: Setting<u32>,
    /// See [`tessera_model::JobSettings`].
    pub(crate) resources: Setting<Vec<String>>,
    /// What its workers must have.
    pub(crate) needs: Needs,
}

/// See [`tessera_model::Requirement`].
#[derive(Debug)]
pub(crate) struct Needs {
    workers: Setting<Vec<String>>,
    memory: Setting<Option<OrNone<Bytes>>>,
    cores: Setting<Option<OrNone<Cores>>>,
    gpu: Setting<Option<OrNone<String>>>,
    gpu_memory: Setting<Option<OrNone<Bytes>>>,
    os: Setting<Option<OrNone<Os>>>,
    blender_version: Setting<Option<OrNone<SeriesRange>>>,
}

/// See [`Settings::manager`].
#[derive(Debug)]
pub(crate) struct ManagerSettings {
    /// Addresses to listen on; every interface if none.
    pub(crate) listen: Setting<Vec<String>>,
    /// Networks that are let in; any if none.
    pub(crate) allow_from: Setting<Vec<Subnet>>,
    /// Folder.
    pub(crate) data: Setting<Option<PathBuf>>,
    /// Name of the farm.
    pub(crate) name: Setting<Option<String>>,
    /// The owner's certificate chain.
    pub(crate) tls_cert: Setting<Option<PathBuf>>,
    /// Its key.
    pub(crate) tls_key: Setting<Option<PathBuf>>,
    /// Whether it announces itself.
    pub(crate) discovery: Setting<bool>,
}

/// See [`Settings::worker`].
#[derive(Debug, Clone)]
pub(crate) struct WorkerSettings {
    /// Code to join with.
    pub(crate) join: Setting<Option<String>>,
    /// Frames at once.
    pub(crate) slots: Setting<u32>,
    /// Threads of each; shared out evenly if none.
    pub(crate) threads: Setting<Option<u32>>,
    /// Tags.
    pub(crate) tags: Setting<Vec<String>>,
    /// When it works; always if none.
    pub(crate) hours: Setting<Option<Hours>>,
    /// How long its machine has to be left alone before it works; always if none.
    pub(crate) while_idle: Setting<Option<Duration>>,
    /// Name; the host's if none.
    pub(crate) name: Setting<Option<String>>,
    /// Folder.
    pub(crate) data: Setting<Option<PathBuf>>,
    /// Niceness of Blender.
    pub(crate) nice: Setting<u8>,
    /// Memory limit of each Blender.
    pub(crate) memory: Setting<Option<Bytes>>,
    /// Bytes of scenes that are kept.
    pub(crate) cache: Setting<Bytes>,
    /// Where other workers have blocks from this one.
    pub(crate) peer_listen: Setting<PeerListen>,
    /// When a Blender counts as hung.
    pub(crate) hang_after: Setting<Duration>,
}

/// The flags of the command at hand that settings can also come from.
#[derive(Debug, Default)]
pub(crate) struct SettingFlags<'a> {
    /// `--manager` of whichever command.
    pub(crate) manager_address: Option<&'a str>,
    /// `--farm` of whichever command.
    pub(crate) farm: Option<&'a str>,
    /// `--blender` of whichever command.
    pub(crate) blender: &'a [PathBuf],
    /// `--bandwidth` of whichever command.
    pub(crate) bandwidth: Option<Rate>,
    /// `-v` as a log filter.
    pub(crate) log: Option<&'static str>,
    /// `--map-path`.
    pub(crate) map_path: &'a [PathMap],
    /// Of `render` and `submit`.
    pub(crate) scene: Option<&'a SceneFlags>,
    /// Of `manager`.
    pub(crate) manager: Option<&'a ManagerFlags>,
    /// Of `worker`.
    pub(crate) worker: Option<&'a WorkerFlags>,
}

/// A repeatable flag counts as given if it was given at least once.
fn given<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// What was set, as `check` leaves it.
fn checked<T>(
    key: &'static str,
    setting: Setting<T>,
    check: impl FnOnce(T) -> Result<T, String>,
) -> Result<Setting<T>, SettingError> {
    let Setting { value, origin } = setting;
    match check(value) {
        Ok(value) => Ok(Setting { value, origin }),
        Err(reason) => Err(SettingError {
            origin,
            key,
            reason,
        }),
    }
}

/// A list of names that people make up for the farm.
fn names(
    key: &'static str,
    flag: Option<Vec<String>>,
    from: &mut Sources<'_>,
) -> Result<Setting<Vec<String>>, SettingError> {
    checked(key, from.list(key, flag)?, |names| new_names(&names))
}

impl Settings {
    /// The limit of this program: one, however many connections it has.
    pub(crate) fn bandwidth(&self) -> Bandwidth {
        Bandwidth::of(self.bandwidth.value.map_or(0, |rate| rate.0))
    }

    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a variable or an entry of the file can not be read as what it sets.
    pub(crate) fn resolve(
        flags: &SettingFlags<'_>,
        mut sources: Sources<'_>,
    ) -> Result<Self, SettingError> {
        let from = &mut sources;
        let settings = Self {
            blender: from.list("blender", given(flags.blender))?,
            bandwidth: from.optional("bandwidth", flags.bandwidth)?,
            maps: from.list("paths.map", given(flags.map_path))?,
            log: from.optional("log", flags.log.map(str::to_owned))?,
            client: ClientSettings::resolve(flags, from)?,
            job: JobDefaults::resolve(flags.scene, from)?,
            manager: ManagerSettings::resolve(flags.manager, from)?,
            worker: WorkerSettings::resolve(flags.worker, from)?,
            listing: Vec::new(),
        };
        Ok(Self {
            listing: sources.into_listing(),
            ..settings
        })
    }
}

impl ClientSettings {
    fn resolve(flags: &SettingFlags<'_>, from: &mut Sources<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            manager: from.optional("client.manager", flags.manager_address.map(str::to_owned))?,
            farm: from.optional("client.farm", flags.farm.map(str::to_owned))?,
            token: from.optional("client.token", None)?,
            farm_ca: from.optional("client.farm_ca", None)?,
            user: from.required("client.user", None, from.os_user())?,
        })
    }
}

impl JobDefaults {
    fn resolve(flags: Option<&SceneFlags>, from: &mut Sources<'_>) -> Result<Self, SettingError> {
        let category = flags.and_then(|f| f.category.clone());
        Ok(Self {
            category: checked(
                "job.category",
                from.required("job.category", category, DEFAULT_CATEGORY.to_owned())?,
                |name| check_name(&name).map(|()| name),
            )?,
            priority: from.number(
                "job.priority",
                flags.and_then(|f| f.priority),
                DEFAULT_PRIORITY,
            )?,
            tags: names("job.tags", flags.and_then(|f| f.tags.clone()), from)?,
            chunk: from.number("job.chunk", flags.and_then(|f| f.chunk), CHUNK)?,
            attempts: from.number(
                "job.attempts",
                flags.and_then(|f| f.attempts),
                DEFAULT_ATTEMPTS,
            )?,
            resources: names(
                "job.resources",
                flags.and_then(|f| f.order.resources.clone()),
                from,
            )?,
            needs: Needs::resolve(flags.map(|f| &f.needs), from)?,
        })
    }
}

impl Needs {
    fn resolve(flags: Option<&NeedFlags>, from: &mut Sources<'_>) -> Result<Self, SettingError> {
        let none = NeedFlags::default();
        let flags = flags.unwrap_or(&none).clone();
        Ok(Self {
            workers: from.list("job.workers", flags.workers)?,
            memory: from.optional("job.memory", flags.memory)?,
            cores: from.optional("job.cores", flags.cores)?,
            gpu: from.optional("job.gpu", flags.gpu)?,
            gpu_memory: from.optional("job.gpu_memory", flags.gpu_memory)?,
            os: from.optional("job.os", flags.os)?,
            blender_version: from.optional("job.blender_version", flags.blender_version)?,
        })
    }

    /// As a job has it.
    pub(crate) fn requirement(&self) -> Requirement {
        fn said<T: Clone>(setting: &Setting<Option<OrNone<T>>>) -> Option<T> {
            setting.value.as_ref().and_then(|value| value.0.clone())
        }
        Requirement {
            memory_bytes: said(&self.memory).map(|bytes| bytes.0),
            cores: said(&self.cores).map(|cores| cores.0.get()),
            gpu: said(&self.gpu),
            gpu_memory_bytes: said(&self.gpu_memory).map(|bytes| bytes.0),
            os: said(&self.os).map(|os| os.0.to_owned()),
            blender: said(&self.blender_version),
            workers: given_names(&self.workers.value),
        }
    }
}

impl ManagerSettings {
    fn resolve(flags: Option<&ManagerFlags>, from: &mut Sources<'_>) -> Result<Self, SettingError> {
        let quiet = flags.is_some_and(|f| f.no_discovery).then_some(false);
        let listen = flags
            .map(|f| f.listen.clone())
            .filter(|list| !list.is_empty());
        let allow_from = flags
            .map(|f| f.allow_from.clone())
            .filter(|list| !list.is_empty());
        Ok(Self {
            listen: from.list("manager.listen", listen)?,
            allow_from: from.list("manager.allow_from", allow_from)?,
            data: from.optional("manager.data", flags.and_then(|f| f.data.clone()))?,
            name: from.optional("manager.name", flags.and_then(|f| f.name.clone()))?,
            tls_cert: from.optional("manager.tls_cert", flags.and_then(|f| f.tls_cert.clone()))?,
            tls_key: from.optional("manager.tls_key", flags.and_then(|f| f.tls_key.clone()))?,
            discovery: from.required("manager.discovery", quiet, true)?,
        })
    }
}

impl WorkerSettings {
    fn resolve(flags: Option<&WorkerFlags>, from: &mut Sources<'_>) -> Result<Self, SettingError> {
        let threads = flags.and_then(|f| f.threads).map(u32::from);
        let hang_after = flags.and_then(|f| f.hang_after);
        let slots = from.number("worker.slots", flags.and_then(|f| f.slots), 1)?;
        let slots = checked("worker.slots", slots, |slots| match slots {
            ..=SLOTS_MAX => Ok(slots),
            _ => Err(format!("a worker has 1 to {SLOTS_MAX} slots, not {slots}")),
        })?;
        Ok(Self {
            join: from.optional("worker.join", flags.and_then(|f| f.join.clone()))?,
            slots,
            threads: from.optional_number("worker.threads", threads)?,
            tags: names("worker.tags", flags.and_then(|f| f.tags.clone()), from)?,
            hours: from.optional("worker.hours", flags.and_then(|f| f.hours.clone()))?,
            while_idle: from.optional("worker.while_idle", flags.and_then(|f| f.while_idle))?,
            name: from.optional("worker.name", flags.and_then(|f| f.name.clone()))?,
            data: from.optional("worker.data", flags.and_then(|f| f.data.clone()))?,
            nice: from.required("worker.nice", flags.and_then(|f| f.nice), 0)?,
            memory: from.optional("worker.memory", flags.and_then(|f| f.memory))?,
            cache: from.required(
                "worker.cache",
                flags.and_then(|f| f.cache),
                Bytes(CACHE_MAX_BYTES),
            )?,
            peer_listen: from.required(
                "worker.peer_listen",
                flags.and_then(|f| f.peer_listen),
                PeerListen::default(),
            )?,
            hang_after: from.required("worker.hang_after", hang_after, HANG_AFTER)?,
        })
    }
}

#[cfg(test)]
mod tests;

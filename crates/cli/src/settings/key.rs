//! The names of all settings: the one list that the file, the environment and `tessera config` share.

/// A setting's names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// In `tessera.toml`: `section.key`, or `key` at the top.
    pub(crate) name: &'static str,
    /// Environment variable.
    pub(crate) variable: &'static str,
    /// How a list is separated in the environment variable; none if it is no list.
    pub(crate) separator: Option<char>,
    /// Whether its value is a secret, hence not printed and not taken from the file.
    pub(crate) secret: bool,
    /// What happens if it is not set, where the program decides.
    pub(crate) unset: &'static str,
}

const fn one(name: &'static str, variable: &'static str, unset: &'static str) -> Key {
    Key {
        name,
        variable,
        separator: None,
        secret: false,
        unset,
    }
}

const fn list(
    name: &'static str,
    variable: &'static str,
    separator: char,
    unset: &'static str,
) -> Key {
    Key {
        separator: Some(separator),
        ..one(name, variable, unset)
    }
}

const fn secret(name: &'static str, variable: &'static str, unset: &'static str) -> Key {
    Key {
        secret: true,
        ..one(name, variable, unset)
    }
}

/// Separates paths in a variable, as in `PATH`.
const PATHS: char = if cfg!(windows) { ';' } else { ':' };

/// Every setting, in the order they are shown.
pub(crate) const KEYS: &[Key] = &[
    list(
        "blender",
        "TESSERA_BLENDER",
        PATHS,
        "those found on this machine",
    ),
    one("bandwidth", "TESSERA_BANDWIDTH", "no limit"),
    list(
        "paths.map",
        "TESSERA_MAP_PATHS",
        ';',
        "no path is another one here",
    ),
    one("log", "TESSERA_LOG", "warnings only"),
    one(
        "client.manager",
        "TESSERA_MANAGER",
        "the connected farm, or one on this machine",
    ),
    one("client.farm", "TESSERA_FARM", "the one connected first"),
    secret(
        "client.token",
        "TESSERA_TOKEN",
        "that of the connected farm",
    ),
    one(
        "client.farm_ca",
        "TESSERA_FARM_CA",
        "that of the connected farm",
    ),
    one("client.user", "TESSERA_USER", ""),
    one("job.category", "TESSERA_JOB_CATEGORY", ""),
    one("job.priority", "TESSERA_JOB_PRIORITY", ""),
    list("job.tags", "TESSERA_JOB_TAGS", ';', "every worker"),
    one("job.chunk", "TESSERA_JOB_CHUNK", ""),
    one("job.attempts", "TESSERA_JOB_ATTEMPTS", ""),
    list("job.resources", "TESSERA_JOB_RESOURCES", ';', "none"),
    list("job.workers", "TESSERA_JOB_WORKERS", ';', "every worker"),
    one("job.memory", "TESSERA_JOB_MEMORY", "any"),
    one("job.cores", "TESSERA_JOB_CORES", "any"),
    one("job.gpu", "TESSERA_JOB_GPU", "any"),
    one("job.gpu_memory", "TESSERA_JOB_GPU_MEMORY", "any"),
    one("job.os", "TESSERA_JOB_OS", "any"),
    one(
        "job.blender_version",
        "TESSERA_JOB_BLENDER_VERSION",
        "as the file asks",
    ),
    list(
        "manager.listen",
        "TESSERA_MANAGER_LISTEN",
        ',',
        "every interface, port 7373",
    ),
    list(
        "manager.allow_from",
        "TESSERA_MANAGER_ALLOW_FROM",
        ',',
        "any network",
    ),
    one(
        "manager.data",
        "TESSERA_MANAGER_DATA",
        "manager in the data folder",
    ),
    one(
        "manager.name",
        "TESSERA_MANAGER_NAME",
        "this machine's name",
    ),
    one(
        "manager.tls_cert",
        "TESSERA_MANAGER_TLS_CERT",
        "the farm's own",
    ),
    one(
        "manager.tls_key",
        "TESSERA_MANAGER_TLS_KEY",
        "the farm's own",
    ),
    one("manager.discovery", "TESSERA_MANAGER_DISCOVERY", ""),
    secret("worker.join", "TESSERA_JOIN", "not needed once joined"),
    one("worker.slots", "TESSERA_WORKER_SLOTS", ""),
    one(
        "worker.threads",
        "TESSERA_WORKER_THREADS",
        "all, shared by the slots",
    ),
    list("worker.tags", "TESSERA_WORKER_TAGS", ';', "none"),
    one("worker.hours", "TESSERA_WORKER_HOURS", "always"),
    one("worker.while_idle", "TESSERA_WORKER_WHILE_IDLE", "always"),
    one("worker.name", "TESSERA_WORKER_NAME", "this machine's name"),
    one(
        "worker.data",
        "TESSERA_WORKER_DATA",
        "worker in the data folder",
    ),
    one("worker.nice", "TESSERA_WORKER_NICE", ""),
    one("worker.memory", "TESSERA_WORKER_MEMORY", "no limit"),
    one("worker.cache", "TESSERA_WORKER_CACHE", ""),
    one("worker.peer_listen", "TESSERA_WORKER_PEER_LISTEN", ""),
    one("worker.hang_after", "TESSERA_WORKER_HANG_AFTER", ""),
];

impl Key {
    /// The key of that name in the file.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The name nearest to a mistyped one, if any is near enough to be meant.
    ///
    /// Compared by Jaro–Winkler similarity; 0.8 lets one wrong or missing letter in a short word pass.
    /// The same last part in another section is what people most often mean, so it is looked at too.
    pub(crate) fn near(name: &str) -> Option<&'static str> {
        let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
        let score = |key: &Key| {
            let whole = strsim::jaro_winkler(name, key.name);
            let part = strsim::jaro_winkler(&last(name), &last(key.name));
            whole.max(part * 0.95)
        };
        KEYS.iter()
            .filter(|key| !key.secret)
            .map(|key| (score(key), key.name))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(score, _)| *score >= 0.8)
            .map(|(_, name)| name)
    }
}

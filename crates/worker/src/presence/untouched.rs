//! When somebody last touched this machine, as its system tells it.

use std::time::Duration;

/// Time since keyboard or mouse were last used, at this machine or from afar; none where nothing tells. Blocking, for milliseconds.
#[cfg(not(target_os = "linux"))]
pub(crate) fn untouched_for() -> Option<Duration> {
    let time = user_idle2::UserIdle::get_time().ok()?;
    Some(time.duration())
}

/// Time since keyboard or mouse were last used, at this machine or from afar; none where nothing tells. Blocking, for milliseconds.
///
/// Whoever sits at a screen is known to the Wayland compositor or to the X server, whoever works in a terminal, from afar too, by the
/// time at which it was last read from (as `w` shows it). The latest counts.
#[cfg(target_os = "linux")]
pub(crate) fn untouched_for() -> Option<Duration> {
    linux::untouched_for()
}

/// Whether there is a screen at which nobody can be seen. Blocking.
pub(crate) fn is_blind() -> bool {
    #[cfg(target_os = "linux")]
    return linux::is_blind();
    #[cfg(not(target_os = "linux"))]
    return untouched_for().is_none();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, SystemTime};

    use x11rb::connection::Connection as _;
    use x11rb::protocol::screensaver::ConnectionExt as _;

    /// Where compositors say for how many milliseconds nobody has done anything: service, object, interface, method.
    const COMPOSITORS: [[&str; 4]; 2] = [
        [
            "org.gnome.Mutter.IdleMonitor",
            "/org/gnome/Mutter/IdleMonitor/Core",
            "org.gnome.Mutter.IdleMonitor",
            "GetIdletime",
        ],
        [
            "org.freedesktop.ScreenSaver",
            "/org/freedesktop/ScreenSaver",
            "org.freedesktop.ScreenSaver",
            "GetSessionIdleTime",
        ],
    ];

    pub(super) fn untouched_for() -> Option<Duration> {
        // To the X server of a Wayland session only those show themselves who use its windows.
        let screen = std::env::var_os("WAYLAND_DISPLAY")
            .and_then(|_| compositor())
            .or_else(x_servers);
        screen.into_iter().chain(terminals()).min()
    }

    fn compositor() -> Option<Duration> {
        COMPOSITORS.iter().find_map(|call| {
            let asked = Command::new("busctl")
                .args(["--user", "--timeout=1", "call"])
                .args(call)
                .stderr(Stdio::null())
                .output();
            let answer = asked.ok().filter(|answer| answer.status.success())?;
            milliseconds(&String::from_utf8(answer.stdout).ok()?)
        })
    }

    /// A number as `busctl` shows it, its type before it: `t 4223`.
    pub(super) fn milliseconds(answer: &str) -> Option<Duration> {
        let (_type, number) = answer.trim().split_once(' ')?;
        number.parse().ok().map(Duration::from_millis)
    }

    /// The one that this program is shown by, or all of this machine: a service has none.
    fn x_servers() -> Option<Duration> {
        match std::env::var("DISPLAY") {
            Ok(name) => x_server(&name),
            Err(_) => screens().iter().filter_map(|name| x_server(name)).min(),
        }
    }

    /// The X servers that run on this machine.
    fn screens() -> Vec<String> {
        let sockets = Path::new("/tmp/.X11-unix").read_dir();
        let names = sockets.into_iter().flatten().flatten();
        let names = names.filter_map(|socket| socket.file_name().into_string().ok());
        names
            .filter_map(|name| Some(format!(":{}", name.strip_prefix('X')?)))
            .collect()
    }

    /// Whether somebody may sit at a screen that says nothing to this program.
    pub(super) fn is_blind() -> bool {
        let shown = std::env::var_os("DISPLAY").is_some()
            || std::env::var_os("WAYLAND_DISPLAY").is_some()
            || !screens().is_empty();
        shown && compositor().or_else(x_servers).is_none()
    }

    fn x_server(name: &str) -> Option<Duration> {
        let (connection, screen) = x11rb::connect(Some(name)).ok()?;
        let root = connection.setup().roots.get(screen)?.root;
        let info = connection.screensaver_query_info(root).ok()?.reply().ok()?;
        Some(Duration::from_millis(info.ms_since_user_input.into()))
    }

    fn terminals() -> Option<Duration> {
        let consoles = (1..=63).map(|number| PathBuf::from(format!("/dev/tty{number}")));
        let windows = Path::new("/dev/pts").read_dir().into_iter().flatten();
        // Beside them lies what makes new ones.
        let windows = windows.flatten().map(|entry| entry.path());
        let windows = windows.filter(|path| !path.ends_with("ptmx"));
        let now = SystemTime::now();
        let untouched = |path: PathBuf| {
            let read = path.metadata().ok()?.accessed().ok()?;
            now.duration_since(read).ok()
        };
        consoles.chain(windows).filter_map(untouched).min()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_busctl_shows_is_read() {
        let read = linux::milliseconds;
        assert_eq!(read("t 4223\n"), Some(Duration::from_millis(4223)));
        assert_eq!(read("u 0"), Some(Duration::ZERO));
        assert_eq!(read(""), None);
        assert_eq!(read("s \"no\""), None);
    }
}

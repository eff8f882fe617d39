//! How much memory the GPUs have. Cycles does not tell, so those are asked who know: NVIDIA's tool and, for AMD, the
//! Linux kernel. Jobs can require memory, so a wrong number costs frames where a missing one only costs a choice: what
//! cannot be told for certain stays untold, among them parts of a GPU and GPUs that share the host's memory.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tessera_blender::{Device, DeviceKind};

/// NVIDIA's tool wakes every GPU and takes a second or two where there are many; one whose driver is stuck never ends.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// Where Linux lists graphics cards.
const CARDS: &str = "/sys/class/drm";

/// What Cycles adds to the name of a GPU that has a display at it.
const DISPLAY_SUFFIX: &str = " (Display)";

/// GPUs whose memory is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GpuMemory {
    known: Vec<Known>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    at: PciAddress,
    /// None where only the address is known.
    name: Option<String>,
    bytes: u64,
}

/// Where on its machine a GPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
}

impl GpuMemory {
    /// Asks whoever knows of one of these devices. Without anyone to ask, nothing is known, and that is all.
    pub(crate) async fn of<'a>(devices: impl Iterator<Item = &'a Device> + Clone) -> Self {
        let has = |kinds: &[DeviceKind]| devices.clone().any(|device| kinds.contains(&device.kind));
        let mut known = Vec::new();
        if has(&[DeviceKind::Cuda, DeviceKind::Optix]) {
            known.extend(ask_nvidia().await.lines().filter_map(nvidia));
        }
        if has(&[DeviceKind::Hip]) {
            let reading = tokio::task::spawn_blocking(|| amd(Path::new(CARDS)));
            known.extend(reading.await.expect("reading of files does not panic"));
        }
        Self { known }
    }

    /// Of one device, in bytes.
    pub(crate) fn bytes(&self, device: &Device) -> Option<u64> {
        let at = PciAddress::in_id(&device.id)?;
        let name = device.name.trim_end_matches(DISPLAY_SUFFIX);
        // A part of a GPU has its address, but a name of its own.
        let is_it = |known: &&Known| {
            known.at == at && known.name.as_ref().is_none_or(|known| known == name)
        };
        self.known.iter().find(is_it).map(|known| known.bytes)
    }
}

impl PciAddress {
    /// Reads `DOMAIN:BUS:DEVICE[.FUNCTION]`, hexadecimal.
    fn parse(text: &str) -> Option<Self> {
        let text = text.split_once('.').map_or(text, |(address, _)| address);
        let mut parts = text.split(':');
        let address = Self {
            domain: u32::from_str_radix(parts.next()?, 16).ok()?,
            bus: u8::from_str_radix(parts.next()?, 16).ok()?,
            device: u8::from_str_radix(parts.next()?, 16).ok()?,
        };
        parts.next().is_none().then_some(address)
    }

    /// Cycles makes a device's identifier of its interface, name and address, and adds a word for some interfaces:
    /// `CUDA_NVIDIA GeForce RTX 3090_0000:0a:00_OptiX`.
    fn in_id(id: &str) -> Option<Self> {
        id.rsplit('_').find_map(Self::parse)
    }
}

/// The answer of NVIDIA's tool; empty if there is none.
async fn ask_nvidia() -> String {
    let mut command = tokio::process::Command::new("nvidia-smi");
    command
        .args([
            "--query-gpu=pci.bus_id,memory.total,name",
            "--format=csv,noheader,nounits",
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(ASK_WITHIN, command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(Err(error)) => {
            tracing::debug!("nvidia-smi cannot be asked for the memory of the GPUs: {error}");
            String::new()
        }
        Err(_) => {
            tracing::warn!(
                "nvidia-smi did not answer within {} s: the memory of the GPUs stays unknown",
                ASK_WITHIN.as_secs()
            );
            String::new()
        }
    }
}

/// One line of the answer of NVIDIA's tool: address, MiB, name. None for what is no such line (errors are told in the
/// same place) and for a GPU that does not say.
fn nvidia(line: &str) -> Option<Known> {
    let mut fields = line.splitn(3, ',').map(str::trim);
    let at = PciAddress::parse(fields.next()?)?;
    let mebibytes: u64 = fields.next()?.parse().ok()?;
    let name = fields.next()?.to_owned();
    Some(Known {
        at,
        name: Some(name),
        bytes: mebibytes.checked_mul(1 << 20)?,
    })
}

/// What AMD's driver says of its cards. Blocking.
fn amd(cards: &Path) -> Vec<Known> {
    let Ok(entries) = std::fs::read_dir(cards) else {
        return Vec::new();
    };
    let card = |entry: std::io::Result<std::fs::DirEntry>| {
        let device = entry.ok()?.path().join("device");
        // Only AMD's driver has this file.
        let text = std::fs::read_to_string(device.join("mem_info_vram_total")).ok()?;
        let place = std::fs::canonicalize(&device).ok()?;
        Some(Known {
            at: PciAddress::parse(place.file_name()?.to_str()?)?,
            name: None,
            bytes: text.trim().parse().ok()?,
        })
    };
    let mut known: Vec<Known> = Vec::new();
    // A card is listed once for itself, once for rendering and once for each of its connectors.
    for card in entries.filter_map(card) {
        if !known.contains(&card) {
            known.push(card);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: DeviceKind, name: &str, id: &str) -> Device {
        Device {
            kind,
            name: name.to_owned(),
            id: id.to_owned(),
        }
    }

    fn of_nvidia(answer: &str) -> GpuMemory {
        GpuMemory {
            known: answer.lines().filter_map(nvidia).collect(),
        }
    }

    #[test]
    fn each_nvidia_gpu_has_its_own() {
        let memory = of_nvidia(
            "00000000:0A:00.0, 24576, NVIDIA GeForce RTX 3090\n\
             00000000:0B:00.0, 11264, NVIDIA GeForce RTX 2080 Ti\n\
             00000001:C1:00.0, 143771, NVIDIA H200\n",
        );
        let of = |kind, name, id| memory.bytes(&device(kind, name, id));
        assert_eq!(
            of(
                DeviceKind::Optix,
                "NVIDIA GeForce RTX 3090 (Display)",
                "CUDA_NVIDIA GeForce RTX 3090_0000:0a:00_OptiX"
            ),
            Some(24576 << 20)
        );
        assert_eq!(
            of(
                DeviceKind::Cuda,
                "NVIDIA GeForce RTX 2080 Ti",
                "CUDA_NVIDIA GeForce RTX 2080 Ti_0000:0b:00"
            ),
            Some(11264 << 20)
        );
        assert_eq!(
            of(
                DeviceKind::Cuda,
                "NVIDIA H200",
                "CUDA_NVIDIA H200_0001:c1:00"
            ),
            Some(143_771 << 20)
        );
    }

    #[test]
    fn what_is_not_certain_is_not_told() {
        let memory = of_nvidia("00000000:0A:00.0, 143771, NVIDIA H200\n");
        for (name, id) in [
            // A part of it.
            (
                "NVIDIA H200 MIG 1g.18gb",
                "CUDA_NVIDIA H200 MIG 1g.18gb_0000:0a:00",
            ),
            // Another one.
            ("NVIDIA H200", "CUDA_NVIDIA H200_0000:0b:00"),
            // Of nowhere.
            ("NVIDIA H200", "CUDA_0"),
            ("", ""),
        ] {
            assert_eq!(
                memory.bytes(&device(DeviceKind::Cuda, name, id)),
                None,
                "{id}"
            );
        }
        for answer in [
            "",
            "No devices were found\n",
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest \
             NVIDIA driver is installed and running.\n",
            "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.90\n",
            "Unable to determine the device handle for GPU0000:0A:00.0: Unknown Error\n",
            // Memory shared with the host.
            "0000000F:01:00.0, [N/A], NVIDIA GB10\n",
            "00000000:01:00.0, [Not Supported], NVIDIA H200\n",
            "00000000:01:00.0, 99999999999999999999, NVIDIA H200\n",
        ] {
            assert_eq!(of_nvidia(answer), GpuMemory::default(), "{answer}");
        }
    }

    #[test]
    fn amd_cards_are_told_by_their_address() {
        let dir = tempfile::tempdir().unwrap();
        let pci = dir.path().join("devices/pci0000:00");
        let cards = dir.path().join("class/drm");
        std::fs::create_dir_all(&cards).unwrap();
        for (address, vram) in [
            ("0000:03:00.0", Some("17163091968\n")),
            ("0000:00:02.0", None),
        ] {
            let at = pci.join(address);
            std::fs::create_dir_all(&at).unwrap();
            if let Some(vram) = vram {
                std::fs::write(at.join("mem_info_vram_total"), vram).unwrap();
            }
        }
        for (name, address) in [
            ("card0", "0000:00:02.0"),
            ("card1", "0000:03:00.0"),
            ("renderD128", "0000:03:00.0"),
        ] {
            std::fs::create_dir(cards.join(name)).unwrap();
            let link = cards.join(name).join("device");
            std::os::unix::fs::symlink(pci.join(address), link).unwrap();
        }
        // A connector's device is its card.
        std::fs::create_dir(cards.join("card1-DP-1")).unwrap();
        std::os::unix::fs::symlink("../card1", cards.join("card1-DP-1/device")).unwrap();
        std::fs::write(cards.join("version"), "drm 1.1.0 20060810\n").unwrap();
        let memory = GpuMemory { known: amd(&cards) };
        assert_eq!(memory.known.len(), 1);
        let card = device(
            DeviceKind::Hip,
            "AMD Radeon RX 6800 XT",
            "HIP_AMD Radeon RX 6800 XT_0000:03:00",
        );
        assert_eq!(memory.bytes(&card), Some(17_163_091_968));
        assert!(amd(&dir.path().join("nowhere")).is_empty());
    }

    #[tokio::test]
    async fn a_machine_without_gpus_asks_nobody() {
        let processor = device(DeviceKind::Cpu, "CPU", "CPU");
        let memory = GpuMemory::of([processor].iter()).await;
        assert_eq!(memory, GpuMemory::default());
    }
}

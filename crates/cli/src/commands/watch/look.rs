//! The latest picture of the job that is watched, in a terminal: each character is two pixels, by the colours in front of
//! and behind an upper half block.

use std::io::Cursor;
use std::time::Duration;

use image::imageops::{self, FilterType};
use image::{ImageReader, Limits, RgbImage};
use tessera_client::Api;
use tessera_model::JobId;
use tessera_wire::api::PreviewSize;
use tessera_wire::event::What;
use tokio::task::JoinHandle;

use crate::growing::Growing;

/// Most pixels of a thumbnail's side that are believed: what a worker sent is its own word.
const SIDE_MAX: u32 = 1024;

/// Fewest lines that a picture is shown in, and most columns: more is a wall of blocks, and slow to redraw.
const LINES_MIN: usize = 6;
const COLUMNS_MAX: usize = 96;

/// Longest wait for the last picture once its job is over.
const LAST_MAX: Duration = Duration::from_secs(5);

/// What is seen of a job. One picture is brought at a time, and then the newest.
pub(super) struct Look {
    api: Api,
    job: JobId,
    wanted: Option<Wanted>,
    bringing: Option<JoinHandle<Brought>>,
    /// The frame in parts that was seen last.
    growing: Option<Growing>,
    seen: Option<Seen>,
}

enum Wanted {
    /// A finished frame.
    Frame(i32),
    /// What is there of one.
    Parts(i32),
}

#[derive(Default)]
struct Brought {
    seen: Option<Seen>,
    growing: Option<Growing>,
}

struct Seen {
    title: String,
    picture: RgbImage,
}

impl Look {
    /// At a job, by a terminal that has 24-bit colours and says so.
    pub(super) fn at(api: &Api, job: JobId) -> Option<Self> {
        let told = std::env::var("COLORTERM").unwrap_or_default();
        let has_colours = matches!(told.as_str(), "truecolor" | "24bit");
        (has_colours && console::colors_enabled_stderr()).then(|| Self {
            api: api.clone(),
            job,
            wanted: None,
            bringing: None,
            growing: None,
            seen: None,
        })
    }

    /// Takes note of a frame that can be seen.
    pub(super) fn take(&mut self, what: &What) {
        match what {
            What::FrameDone { result }
                if result.lease.unit.job == self.job && result.previews.is_some() =>
            {
                self.wanted = Some(Wanted::Frame(result.frame));
            }
            // A finished frame that waits to be shown goes first.
            What::Job { job }
                if job.id == self.job && !matches!(self.wanted, Some(Wanted::Frame(_))) =>
            {
                self.wanted = job.growing.map(Wanted::Parts).or(self.wanted.take());
            }
            _ => {}
        }
    }

    /// Returns when there is another picture, or one could not be brought; never, if none is wanted. May be dropped and called again.
    pub(super) async fn changed(&mut self) {
        if self.bringing.is_none()
            && let Some(wanted) = self.wanted.take()
        {
            let (api, job) = (self.api.clone(), self.job);
            self.bringing = Some(match wanted {
                Wanted::Frame(frame) => tokio::spawn(bring(api, job, frame)),
                Wanted::Parts(frame) => {
                    let growing = self
                        .growing
                        .take()
                        .filter(|growing| growing.frame() == frame);
                    tokio::spawn(bring_parts(api, job, frame, growing))
                }
            });
        }
        match &mut self.bringing {
            Some(bringing) => {
                let Brought { seen, growing } = bringing.await.unwrap_or_default();
                self.bringing = None;
                self.seen = seen.or(self.seen.take());
                self.growing = growing;
            }
            None => std::future::pending().await,
        }
    }

    /// Has the last picture, if it can be had soon.
    pub(super) async fn finish(&mut self) {
        let all = async {
            while self.wanted.is_some() || self.bringing.is_some() {
                self.changed().await;
            }
        };
        // What did not come in time is not shown.
        let _ = tokio::time::timeout(LAST_MAX, all).await;
    }

    /// The picture, in so many columns and lines at most; nothing where that is too little.
    pub(super) fn lines(&self, columns: usize, lines: usize) -> Vec<String> {
        let Some(Seen { title, picture }) = &self.seen else {
            return Vec::new();
        };
        if lines < LINES_MIN {
            return Vec::new();
        }
        let mut shown = blocks(picture, columns.min(COLUMNS_MAX), lines - 1);
        shown.push(title.clone());
        shown
    }
}

/// What cannot be brought or read is not shown: the next may be.
async fn bring(api: Api, job: JobId, frame: i32) -> Brought {
    let picture = async {
        let size = PreviewSize::Thumbnail;
        let bytes = api.preview(job, frame, None, size).await.ok()?;
        let decoding = tokio::task::spawn_blocking(move || decode(&bytes));
        decoding.await.ok()?
    };
    let title = format!("frame {frame}");
    Brought {
        seen: picture.await.map(|picture| Seen { title, picture }),
        growing: None,
    }
}

/// Goes on with a frame of which some parts were brought already.
async fn bring_parts(api: Api, job: JobId, frame: i32, growing: Option<Growing>) -> Brought {
    let mut growing = match growing {
        Some(growing) => growing,
        None => {
            let detail = api.job(job).await.ok();
            let new = detail.and_then(|job| Growing::of(&job, frame, PreviewSize::Thumbnail));
            match new {
                Some(growing) => growing,
                None => return Brought::default(),
            }
        }
    };
    if let Err(error) = growing.catch_up(&api).await {
        tracing::debug!("cannot bring the parts of frame {frame}: {error:#}");
    }
    let seen = growing.has_begun().then(|| Seen {
        title: format!("frame {frame}, as far as it is rendered"),
        picture: growing.mosaic().picture(),
    });
    Brought {
        seen,
        growing: Some(growing),
    }
}

fn decode(bytes: &[u8]) -> Option<RgbImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes));
    reader.set_format(image::ImageFormat::Jpeg);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    reader.limits(limits);
    Some(reader.decode().ok()?.into_rgb8())
}

/// A picture in half blocks, as large as it fits.
fn blocks(picture: &RgbImage, columns: usize, lines: usize) -> Vec<String> {
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let scale = (columns as f64 / width).min(2.0 * lines as f64 / height);
    let side = |pixels: f64| ((pixels * scale).round() as u32).max(1);
    let (width, height) = (side(width), side(height));
    let small = imageops::resize(picture, width, height, FilterType::Triangle);
    let line = |top: u32| {
        let mut line = String::new();
        for x in 0..width {
            let [red, green, blue] = small.get_pixel(x, top).0;
            line.push_str(&format!("\x1b[38;2;{red};{green};{blue}m"));
            if top + 1 < height {
                let [red, green, blue] = small.get_pixel(x, top + 1).0;
                line.push_str(&format!("\x1b[48;2;{red};{green};{blue}m"));
            }
            line.push('▀');
        }
        line.push_str("\x1b[0m");
        line
    };
    (0..height).step_by(2).map(line).collect()
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn check(size: (u32, u32), room: (usize, usize), expected: (usize, usize)) {
        let picture = RgbImage::from_pixel(size.0, size.1, Rgb([1, 2, 3]));
        let lines = blocks(&picture, room.0, room.1);
        let columns = console::measure_text_width(&lines[0]);
        assert_eq!((columns, lines.len()), expected, "{size:?} in {room:?}");
    }

    #[test]
    fn a_picture_fits_and_keeps_its_proportions() {
        check((256, 144), (80, 100), (80, 23));
        check((256, 144), (500, 9), (32, 9));
        check((144, 256), (80, 20), (23, 20));
        check((4, 1), (80, 1), (8, 1));
        check((1, 900), (80, 20), (1, 20));
    }

    #[test]
    fn each_character_is_two_pixels() {
        let mut picture = RgbImage::from_pixel(1, 3, Rgb([1, 2, 3]));
        picture.put_pixel(0, 1, Rgb([4, 5, 6]));
        let (front, end) = ("\x1b[38;2;1;2;3m", "\x1b[0m");
        let first = format!("{front}\x1b[48;2;4;5;6m▀{end}");
        assert_eq!(blocks(&picture, 1, 2), [first, format!("{front}▀{end}")]);
    }

    #[test]
    fn what_is_no_picture_is_not_shown() {
        assert!(decode(b"").is_none());
        assert!(decode(b"\xff\xd8\xff\xe0 no picture").is_none());
    }
}

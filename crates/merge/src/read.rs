//! Reads an EXR file of any layout into a [`Frame`].
//!
//! The file is read in one pass, in the order of its chunks, without the table of offsets: a file whose writer died has
//! a hole where the table should be, and the missing chunks tell the truth. Every chunk must be there once and only once.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use exr::block::UncompressedBlock;
use exr::block::chunk::Chunk;
use exr::block::reader::{ChunksReader, Reader};
use exr::error::Error as ExrError;
use exr::math::Vec2;
use exr::meta::MetaData;
use exr::meta::attribute::{Compression, IntegerBounds, SampleType as ExrSampleType};
use exr::meta::header::Header;
use exr::prelude::f16;

use crate::attributes::{Attributes, text_of};
use crate::dwa;
use crate::name::{PartWords, channel_name};
use crate::zip::Codec;
use crate::{Channel, ChannelName, Container, Frame, Part, SampleType, Samples, Window};

/// How many bytes of pixels one byte of a file can stand for at most. A header that promises more is broken, and would
/// otherwise be believed, and memory taken for it, before one pixel was read. Deflate reaches 1032 (zlib's technical
/// notes), which is more than run lengths or the Huffman codes of PIZ reach; DWA deflates one value per 8 × 8 pixels.
const MAX_EXPANSION: u64 = 1032;
const MAX_EXPANSION_DWA: u64 = 64 * MAX_EXPANSION;

/// The message of the exr crate for an end of file where bytes were expected; a test holds it.
const EXR_END_OF_FILE: &str = "reference to missing bytes";

/// Why a file could not be read as a frame. `subject` is the path or the name that the caller gave.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("cannot read {subject}")]
    Io {
        /// The file.
        subject: String,
        /// What the system said.
        source: io::Error,
    },
    /// The first bytes are those of something else.
    #[error("{subject} is not an EXR file")]
    NotExr {
        /// The file.
        subject: String,
    },
    /// The file ends before its last chunk.
    #[error("{subject} is cut off: it ends before all of its pixels; write it again")]
    Truncated {
        /// The file.
        subject: String,
    },
    /// The pixels are deep, that is, lists of samples.
    #[error("{subject} holds deep data, which cannot be read; save it as a flat image")]
    Deep {
        /// The file.
        subject: String,
    },
    /// A codec that nobody here can decode.
    #[error(
        "{subject} is compressed by {codec}, which cannot be read; save it with ZIP, PIZ, RLE, PXR24, B44 or DWA"
    )]
    Codec {
        /// The file.
        subject: String,
        /// Its codec.
        codec: &'static str,
    },
    /// Two channels have the same name in the normal form.
    #[error("{subject} holds the channel {name} twice")]
    ChannelTwice {
        /// The file.
        subject: String,
        /// The name.
        name: ChannelName,
    },
    /// The header asks for more pixels than the file can hold.
    #[error(
        "{subject} is not a sound EXR file: {file_bytes} bytes cannot hold the {pixel_bytes} bytes of pixels that it declares"
    )]
    Oversold {
        /// The file.
        subject: String,
        /// Length of the file.
        file_bytes: u64,
        /// What the headers ask for.
        pixel_bytes: u64,
    },
    /// The frame does not fit into memory.
    #[error(
        "{subject} needs {pixel_bytes} bytes of memory for its pixels, which this machine does not have"
    )]
    NoMemory {
        /// The file.
        subject: String,
        /// What the pixels take.
        pixel_bytes: u64,
    },
    /// The pixels are stored as tiles, where rows are wanted.
    #[error(
        "{subject} stores its pixels as tiles, which cannot be merged; save it in scan lines, as Blender does"
    )]
    Tiled {
        /// The file.
        subject: String,
    },
    /// Its parts have different sizes, where one frame is wanted.
    #[error(
        "{subject} holds pictures of different sizes, which cannot be merged; save one frame in it"
    )]
    Sizes {
        /// The file.
        subject: String,
    },
    /// The contents contradict the format.
    #[error("{subject} is not a sound EXR file")]
    Broken {
        /// The file.
        subject: String,
        /// What is wrong.
        source: ExrError,
    },
}

/// Reads the frame in a file.
pub fn read(path: &Path) -> Result<Frame, ReadError> {
    let subject = path.display().to_string();
    match File::open(path) {
        Ok(file) => read_from(&subject, BufReader::new(file)),
        Err(source) => Err(ReadError::Io { subject, source }),
    }
}

/// Reads a frame from buffered bytes; `subject` names them in errors.
pub fn read_from(subject: &str, mut bytes: impl Read + Seek) -> Result<Frame, ReadError> {
    let said = |error| said_of(subject, error);
    let file_bytes = refuse_what_cannot_be_read(subject, &mut bytes)?;
    let reader = caught(|| Reader::read_from_buffered(bytes, false)).map_err(said)?;
    refuse_headers(subject, reader.headers(), file_bytes)?;
    let container = match reader.meta_data().requirements.has_multiple_layers {
        true => Container::MultiPart,
        false => Container::SinglePart,
    };
    let planes = reader
        .headers()
        .iter()
        .map(|header| Planes::of(subject, header));
    let mut planes = planes.collect::<Result<Vec<_>, _>>()?;

    let mut chunks = caught(|| reader.all_chunks(false)).map_err(said)?;
    let mut seen = HashSet::new();
    let mut codec = Codec::new();
    while let Some(chunk) = chunks.read_next_chunk() {
        let chunk = chunk.map_err(said)?;
        let meta = chunks.meta_data();
        let placed = decompress(&mut codec, meta, chunk)
            .and_then(|block| place(meta, block, &mut seen, &mut planes));
        codec.spare = placed.map_err(said)?.data;
    }
    frame(subject, container, &chunks.meta_data().headers, planes)
}

/// Copies a block into the planes of its part, and gives it back.
fn place(
    meta: &MetaData,
    block: UncompressedBlock,
    seen: &mut HashSet<(usize, Vec2<usize>, Vec2<usize>)>,
    planes: &mut [Planes],
) -> Result<UncompressedBlock, ExrError> {
    if !seen.insert((
        block.index.layer,
        block.index.level,
        block.index.pixel_position,
    )) {
        return Err(ExrError::Invalid("a chunk is there twice".into()));
    }
    // Smaller copies of the same picture are no part of a frame.
    if block.index.level != Vec2(0, 0) {
        return Ok(block);
    }
    let header = &meta.headers[block.index.layer];
    for line in block.lines(&header.channels) {
        let start =
            line.location.position.y() * header.layer_size.width() + line.location.position.x();
        planes[block.index.layer].0[line.location.channel].write(start, line.value);
    }
    Ok(block)
}

/// Decompresses one chunk.
pub(crate) fn decompress(
    codec: &mut Codec,
    meta: &MetaData,
    chunk: Chunk,
) -> Result<UncompressedBlock, ExrError> {
    caught(|| {
        dwa::refuse_oversold(&chunk, &meta.headers)?;
        let chunk = codec.unpacked(chunk, &meta.headers)?;
        UncompressedBlock::decompress_chunk(chunk, meta, false)
    })
}

/// Does what the exr crate does with a file, which trusts it in places and panics where it is damaged.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, ExrError>) -> Result<T, ExrError> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(ExrError::Invalid("damaged beyond reading".into())))
}

/// The samples of the channels of one part, in the order of its header.
struct Planes(Vec<Samples>);

impl Planes {
    fn of(subject: &str, header: &Header) -> Result<Self, ReadError> {
        let area = header.layer_size.area();
        let plane = |sample_type| Samples::zeroed(sample_type, area);
        let types = header
            .channels
            .list
            .iter()
            .map(|channel| sample_type_of(channel.sample_type));
        let planes: Option<_> = types.map(plane).collect();
        let pixel_bytes = header.total_pixel_bytes() as u64;
        planes.map(Self).ok_or_else(|| ReadError::NoMemory {
            subject: subject.to_owned(),
            pixel_bytes,
        })
    }
}

impl Samples {
    /// Makes room for `count` samples of a type, which may hold anything; where they were of that type, in the same memory. False if there is none.
    #[must_use]
    pub(crate) fn refit(&mut self, sample_type: SampleType, count: usize) -> bool {
        fn resized<T: Clone + Default>(samples: &mut Vec<T>, count: usize) -> bool {
            let more = count.saturating_sub(samples.len());
            let there = samples.try_reserve_exact(more).is_ok();
            if there {
                samples.resize(count, T::default());
            }
            there
        }
        match (&mut *self, sample_type) {
            (Self::Half(samples), SampleType::Half) => resized(samples, count),
            (Self::Float(samples), SampleType::Float) => resized(samples, count),
            (Self::Uint(samples), SampleType::Uint) => resized(samples, count),
            _ => match Self::zeroed(sample_type, count) {
                Some(zeros) => {
                    *self = zeros;
                    true
                }
                None => false,
            },
        }
    }

    /// Zeros, or none if the memory is not there.
    pub(crate) fn zeroed(sample_type: SampleType, count: usize) -> Option<Self> {
        fn zeros<T: Clone + Default>(count: usize) -> Option<Vec<T>> {
            // Asked for first, because `vec!` ends the process where memory ends; and asked for by `vec!` then, because
            // only that takes pages which are zero already and touches none of them.
            Vec::<T>::new().try_reserve_exact(count).ok()?;
            Some(vec![T::default(); count])
        }
        Some(match sample_type {
            SampleType::Half => Self::Half(zeros(count)?),
            SampleType::Float => Self::Float(zeros(count)?),
            SampleType::Uint => Self::Uint(zeros(count)?),
        })
    }

    /// Writes a run of samples, given as their bytes in the machine's order. Only bits move, no value is looked at.
    pub(crate) fn write(&mut self, start: usize, bytes: &[u8]) {
        fn fill<T, const N: usize>(to: &mut [T], bytes: &[u8], from_bytes: impl Fn([u8; N]) -> T) {
            let (samples, rest) = bytes.as_chunks::<N>();
            debug_assert!(rest.is_empty(), "a line holds whole samples");
            for (to, sample) in to.iter_mut().zip(samples) {
                *to = from_bytes(*sample);
            }
        }
        match self {
            Self::Half(samples) => fill(&mut samples[start..], bytes, f16::from_ne_bytes),
            Self::Float(samples) => fill(&mut samples[start..], bytes, f32::from_ne_bytes),
            Self::Uint(samples) => fill(&mut samples[start..], bytes, u32::from_ne_bytes),
        }
    }
}

/// Names the channels and sorts them.
fn frame(
    subject: &str,
    container: Container,
    headers: &[Header],
    planes: Vec<Planes>,
) -> Result<Frame, ReadError> {
    let names = channel_names(headers);
    let mut parts = Vec::with_capacity(headers.len());
    let mut channels = Vec::new();
    for ((header, planes), names) in headers.iter().zip(planes).zip(names) {
        let window = window_of(header.data_window());
        for (name, samples) in names.into_iter().zip(planes.0) {
            channels.push(Channel {
                name,
                window,
                samples,
            });
        }
        parts.push(Part {
            name: header.own_attributes.layer_name.as_ref().map(text_of),
            view: header.own_attributes.view_name.as_ref().map(text_of),
            compression: header.compression,
            attributes: Attributes::of(header),
        });
    }
    channels.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some([twice, _]) = channels.array_windows().find(|[a, b]| a.name == b.name) {
        return Err(ReadError::ChannelTwice {
            subject: subject.to_owned(),
            name: twice.name.clone(),
        });
    }
    let shared = &headers[0].shared_attributes;
    let display_window = window_of(shared.display_window);
    Ok(Frame {
        display_window,
        pixel_aspect: shared.pixel_aspect,
        container,
        parts,
        channels,
    })
}

/// The normal names of the channels of each part, in the order of its header.
pub(crate) fn channel_names(headers: &[Header]) -> Vec<Vec<ChannelName>> {
    let views = headers
        .iter()
        .find_map(|header| header.own_attributes.multi_view_names.as_ref());
    let views = views
        .map(|views| views.iter().map(text_of).collect::<Vec<_>>())
        .unwrap_or_default();
    let names_of = |header: &Header| {
        let name = header.own_attributes.layer_name.as_ref().map(text_of);
        let view = header.own_attributes.view_name.as_ref().map(text_of);
        let words = PartWords {
            name: name.as_deref(),
            view: view.as_deref(),
            views: &views,
        };
        let channels = header.channels.list.iter();
        channels
            .map(|channel| channel_name(words, &text_of(&channel.name)))
            .collect()
    };
    headers.iter().map(names_of).collect()
}

/// Looks at the first eight bytes, which say what the file is, before the crate stumbles over what it does not know.
/// Gives the length of the file.
///
/// See <https://openexr.com/en/latest/OpenEXRFileLayout.html>, "Magic Number" and "Version Field".
pub(crate) fn refuse_what_cannot_be_read(
    subject: &str,
    bytes: &mut (impl Read + Seek),
) -> Result<u64, ReadError> {
    const MAGIC: [u8; 4] = [0x76, 0x2f, 0x31, 0x01];
    const DEEP: u32 = 1 << 11;
    let subject = || subject.to_owned();
    let failed = |source| ReadError::Io {
        subject: subject(),
        source,
    };
    let mut first = Vec::with_capacity(8);
    bytes
        .by_ref()
        .take(8)
        .read_to_end(&mut first)
        .map_err(failed)?;
    let length = bytes.seek(SeekFrom::End(0)).map_err(failed)?;
    bytes.rewind().map_err(failed)?;
    if first.is_empty() || !MAGIC.starts_with(&first[..first.len().min(4)]) {
        return Err(ReadError::NotExr { subject: subject() });
    }
    let Some(version) = first.get(4..8).and_then(|version| version.try_into().ok()) else {
        return Err(ReadError::Truncated { subject: subject() });
    };
    if u32::from_le_bytes(version) & DEEP != 0 {
        return Err(ReadError::Deep { subject: subject() });
    }
    Ok(length)
}

/// Refuses a file without parts, codecs that cannot be decoded, and promises that the file cannot keep.
pub(crate) fn refuse_headers(
    subject: &str,
    headers: &[Header],
    file_bytes: u64,
) -> Result<(), ReadError> {
    if headers.is_empty() {
        return Err(ReadError::Broken {
            subject: subject.to_owned(),
            source: ExrError::Invalid("it has no parts".into()),
        });
    }
    let mut pixel_bytes = 0_u64;
    let mut most_pixel_bytes = 0_u64;
    for header in headers {
        if let Some(codec) = unreadable_codec(header.compression) {
            return Err(ReadError::Codec {
                subject: subject.to_owned(),
                codec,
            });
        }
        let Vec2(width, height) = header.layer_size;
        let area = (width as u64).saturating_mul(height as u64);
        pixel_bytes =
            pixel_bytes.saturating_add(area.saturating_mul(header.channels.bytes_per_pixel as u64));
        most_pixel_bytes = most_pixel_bytes.max(match header.compression {
            Compression::DWAA(_) | Compression::DWAB(_) => {
                file_bytes.saturating_mul(MAX_EXPANSION_DWA)
            }
            _ => file_bytes.saturating_mul(MAX_EXPANSION),
        });
    }
    if pixel_bytes > most_pixel_bytes {
        return Err(ReadError::Oversold {
            subject: subject.to_owned(),
            file_bytes,
            pixel_bytes,
        });
    }
    Ok(())
}

fn unreadable_codec(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::HTJ2K32 => Some("HTJ2K32"),
        Compression::HTJ2K256 => Some("HTJ2K256"),
        _ => None,
    }
}

pub(crate) fn said_of(subject: &str, error: ExrError) -> ReadError {
    let subject = subject.to_owned();
    match error {
        ExrError::Io(source) => ReadError::Io { subject, source },
        ExrError::Invalid(message) if message == EXR_END_OF_FILE => {
            ReadError::Truncated { subject }
        }
        source => ReadError::Broken { subject, source },
    }
}

pub(crate) fn sample_type_of(sample_type: ExrSampleType) -> SampleType {
    match sample_type {
        ExrSampleType::F16 => SampleType::Half,
        ExrSampleType::F32 => SampleType::Float,
        ExrSampleType::U32 => SampleType::Uint,
    }
}

fn window_of(bounds: IntegerBounds) -> Window {
    Window {
        x: bounds.position.x(),
        y: bounds.position.y(),
        width: bounds.size.width(),
        height: bounds.size.height(),
    }
}

//! Some rows of a file at a time, by the file's table of offsets: what makes merging independent of how large frames are.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use exr::block::UncompressedBlock;
use exr::block::chunk::{Chunk, CompressedBlock, CompressedScanLineBlock};
use exr::meta::header::Header;
use exr::meta::{BlockDescription, MetaData};

use crate::read::{
    caught, channel_names, decompress, refuse_headers, refuse_what_cannot_be_read, said_of,
    sample_type_of,
};
use crate::zip::Codec;
use crate::{ChannelName, ReadError, SampleType, Samples};

/// Most chunks that a file's headers may count: a table of them is read before any pixel. 4 million are a part for each of a
/// hundred passes of a frame of 40,000 rows, each of them a chunk of its own.
const CHUNKS_MAX: usize = 4 << 20;

/// What is wrong with a file whose table of offsets is.
const ELSEWHERE: &str = "its table of offsets leads to other chunks";

/// A channel and where a file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub name: ChannelName,
    pub sample_type: SampleType,
    pub part: usize,
    /// In the order of the part's header.
    pub channel: usize,
}

/// What one thread reads into, again and again: to get memory from the system takes longer than to fill it.
pub(crate) struct Buffers {
    /// What was read last, a plane for each channel.
    pub planes: Vec<Samples>,
    pub codec: Codec,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            planes: Vec::new(),
            codec: Codec::new(),
        }
    }
}

/// A file that is read by rows.
#[derive(Debug)]
pub(crate) struct Rows {
    subject: String,
    file_bytes: u64,
    meta: MetaData,
    /// Of each part's chunks, from the top.
    offsets: Vec<Vec<u64>>,
    bytes: Mutex<BufReader<File>>,
    /// All channels, sorted by name.
    places: Vec<Place>,
}

impl Rows {
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let subject = path.display().to_string();
        let failed = |source| ReadError::Io {
            subject: subject.clone(),
            source,
        };
        let mut bytes = BufReader::new(File::open(path).map_err(failed)?);
        let file_bytes = refuse_what_cannot_be_read(&subject, &mut bytes)?;
        let said = |error| said_of(&subject, error);
        let meta = caught(|| MetaData::read_from_buffered(&mut bytes, false)).map_err(said)?;
        refuse_headers(&subject, &meta.headers, file_bytes)?;
        let size = meta.headers[0].layer_size;
        for header in &meta.headers {
            if header.blocks != BlockDescription::ScanLines {
                return Err(ReadError::Tiled { subject });
            }
            if header.layer_size != size {
                return Err(ReadError::Sizes { subject });
            }
        }
        let offsets = offsets(&subject, &meta.headers, &mut bytes)?;
        let places = places(&subject, &meta.headers)?;
        Ok(Self {
            subject,
            file_bytes,
            meta,
            offsets,
            bytes: Mutex::new(bytes),
            places,
        })
    }

    pub(crate) fn headers(&self) -> &[Header] {
        &self.meta.headers
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        let size = self.meta.headers[0].layer_size;
        (size.width(), size.height())
    }

    /// Reads what lies in `columns` and `rows` of some channels, which are `wanted` by their [`places`](Self::places), into the planes of the buffers, in that
    /// order.
    pub(crate) fn read(
        &self,
        wanted: &[usize],
        columns: Range<usize>,
        rows: Range<usize>,
        buffers: &mut Buffers,
    ) -> Result<(), ReadError> {
        let (width, height) = self.size();
        debug_assert!(columns.end <= width && rows.start < rows.end && rows.end <= height);
        let area = columns.len() * rows.len();
        let Buffers { planes, codec } = buffers;
        planes.resize_with(wanted.len(), || Samples::Half(Vec::new()));
        let mut plane_of: Vec<Vec<Option<usize>>> = self
            .meta
            .headers
            .iter()
            .map(|header| vec![None; header.channels.list.len()])
            .collect();
        for (at, &index) in wanted.iter().enumerate() {
            let place = &self.places[index];
            plane_of[place.part][place.channel] = Some(at);
            if !planes[at].refit(place.sample_type, area) {
                return Err(ReadError::NoMemory {
                    subject: self.subject.clone(),
                    pixel_bytes: (area * place.sample_type.bytes()) as u64,
                });
            }
        }
        for (part, header) in self.meta.headers.iter().enumerate() {
            if plane_of[part].iter().all(Option::is_none) {
                continue;
            }
            let lines = header.compression.scan_lines_per_block();
            for index in rows.start / lines..rows.end.div_ceil(lines) {
                let block = self.block(codec, part, index)?;
                for line in block.lines(&header.channels) {
                    let row = line.location.position.y();
                    let plane = plane_of[part][line.location.channel];
                    if let (Some(plane), true) = (plane, rows.contains(&row)) {
                        let start = (row - rows.start) * columns.len();
                        let bytes = line.value.len() / width;
                        let line = &line.value[columns.start * bytes..columns.end * bytes];
                        planes[plane].write(start, line);
                    }
                }
                codec.spare = block.data;
            }
        }
        Ok(())
    }

    fn block(
        &self,
        codec: &mut Codec,
        part: usize,
        index: usize,
    ) -> Result<UncompressedBlock, ReadError> {
        let offset = self.offsets[part][index];
        // The writer died before it wrote the table.
        if offset == 0 {
            return Err(cut_off(&self.subject));
        }
        let chunk = self.chunk(offset, part, std::mem::take(&mut codec.chunk))?;
        let block =
            decompress(codec, &self.meta, chunk).map_err(|error| said_of(&self.subject, error))?;
        let lines = self.meta.headers[part].compression.scan_lines_per_block();
        let is_that = block.index.layer == part
            && block.index.pixel_position.x() == 0
            && block.index.pixel_position.y() == index * lines;
        match is_that {
            true => Ok(block),
            false => Err(broken(&self.subject, ELSEWHERE)),
        }
    }

    /// Reads a chunk of a part into `packed`. The exr crate would read it into new memory, which it would fill with zeros before.
    ///
    /// See <https://openexr.com/en/latest/OpenEXRFileLayout.html>, "Chunk Layout" and "Scan Line".
    fn chunk(&self, offset: u64, part: usize, mut packed: Vec<u8>) -> Result<Chunk, ReadError> {
        let failed = |source| unread(&self.subject, source);
        let bytes = self.bytes.lock();
        let mut bytes = bytes.unwrap_or_else(std::sync::PoisonError::into_inner);
        bytes.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut number = || {
            let mut raw = [0; 4];
            bytes.read_exact(&mut raw).map_err(failed)?;
            Ok(i32::from_le_bytes(raw))
        };
        if self.meta.requirements.has_multiple_layers && usize::try_from(number()?) != Ok(part) {
            return Err(broken(&self.subject, ELSEWHERE));
        }
        let (y_coordinate, length) = (number()?, number()?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.meta.headers[part].max_block_byte_size() {
            return Err(broken(&self.subject, "a chunk is longer than its pixels"));
        }
        if length as u64 > self.file_bytes {
            return Err(cut_off(&self.subject));
        }
        packed.resize(length, 0);
        bytes.read_exact(&mut packed).map_err(failed)?;
        Ok(Chunk {
            layer_index: part,
            compressed_block: CompressedBlock::ScanLine(CompressedScanLineBlock {
                y_coordinate,
                compressed_pixels_le: packed,
            }),
        })
    }
}

fn broken(subject: &str, what: &'static str) -> ReadError {
    ReadError::Broken {
        subject: subject.to_owned(),
        source: exr::error::Error::Invalid(what.into()),
    }
}

fn cut_off(subject: &str) -> ReadError {
    ReadError::Truncated {
        subject: subject.to_owned(),
    }
}

fn unread(subject: &str, source: io::Error) -> ReadError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(subject),
        _ => ReadError::Io {
            subject: subject.to_owned(),
            source,
        },
    }
}

/// The tables lie behind the headers: for each part one number for each of its chunks.
///
/// See <https://openexr.com/en/latest/OpenEXRFileLayout.html>, "Offset Tables".
fn offsets(
    subject: &str,
    headers: &[Header],
    bytes: &mut impl Read,
) -> Result<Vec<Vec<u64>>, ReadError> {
    let count: usize = headers.iter().map(|header| header.chunk_count).sum();
    if count > CHUNKS_MAX {
        return Err(broken(subject, "it counts too many chunks"));
    }
    let mut table = Vec::with_capacity(headers.len());
    for header in headers {
        let mut raw = vec![0; header.chunk_count * 8];
        bytes
            .read_exact(&mut raw)
            .map_err(|source| unread(subject, source))?;
        let (numbers, _) = raw.as_chunks::<8>();
        table.push(numbers.iter().map(|raw| u64::from_le_bytes(*raw)).collect());
    }
    Ok(table)
}

fn places(subject: &str, headers: &[Header]) -> Result<Vec<Place>, ReadError> {
    let mut places = Vec::new();
    for (part, names) in channel_names(headers).into_iter().enumerate() {
        for (channel, name) in names.into_iter().enumerate() {
            let sample_type = sample_type_of(headers[part].channels.list[channel].sample_type);
            places.push(Place {
                name,
                sample_type,
                part,
                channel,
            });
        }
    }
    places.sort_by(|a, b| a.name.cmp(&b.name));
    match places.array_windows().find(|[a, b]| a.name == b.name) {
        Some([twice, _]) => Err(ReadError::ChannelTwice {
            subject: subject.to_owned(),
            name: twice.name.clone(),
        }),
        None => Ok(places),
    }
}

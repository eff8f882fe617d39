//! Some rows of a file at a time, by the file's table of offsets: what makes merging independent of how large frames are.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

use exr::block::chunk::Chunk;
use exr::meta::header::Header;
use exr::meta::{BlockDescription, MetaData};

use crate::read::{
    channel_names, decompress, refuse_headers, refuse_what_cannot_be_read, said_of, sample_type_of,
};
use crate::{ChannelName, ReadError, SampleType, Samples};

/// Most chunks that a file's headers may count: a table of them is read before any pixel. 4 million are a part for each of a
/// hundred passes of a frame of 40,000 rows, each of them a chunk of its own.
const CHUNKS_MAX: usize = 4 << 20;

/// A channel and where a file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub name: ChannelName,
    pub sample_type: SampleType,
    pub part: usize,
    /// In the order of the part's header.
    pub channel: usize,
}

/// A file that is read by rows.
#[derive(Debug)]
pub(crate) struct Rows {
    subject: String,
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
        let meta = MetaData::read_from_buffered(&mut bytes, false).map_err(said)?;
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

    /// Rows `from..to` of all channels, in the order of [`places`](Self::places).
    pub(crate) fn read(&self, from: usize, to: usize) -> Result<Vec<Samples>, ReadError> {
        let all: Vec<usize> = (0..self.places.len()).collect();
        self.read_some(&all, from, to)
    }

    /// Rows `from..to` of some channels, which are `wanted` by their [`places`](Self::places), in that order.
    pub(crate) fn read_some(
        &self,
        wanted: &[usize],
        from: usize,
        to: usize,
    ) -> Result<Vec<Samples>, ReadError> {
        let (width, height) = self.size();
        debug_assert!(from < to && to <= height);
        let area = width * (to - from);
        let mut planes = Vec::with_capacity(wanted.len());
        let mut plane_of: Vec<Vec<Option<usize>>> = self
            .meta
            .headers
            .iter()
            .map(|header| vec![None; header.channels.list.len()])
            .collect();
        for &index in wanted {
            let place = &self.places[index];
            plane_of[place.part][place.channel] = Some(planes.len());
            let plane = Samples::zeroed(place.sample_type, area);
            planes.push(plane.ok_or_else(|| ReadError::NoMemory {
                subject: self.subject.clone(),
                pixel_bytes: (area * place.sample_type.bytes()) as u64,
            })?);
        }
        for (part, header) in self.meta.headers.iter().enumerate() {
            if plane_of[part].iter().all(Option::is_none) {
                continue;
            }
            let lines = header.compression.scan_lines_per_block();
            for index in from / lines..to.div_ceil(lines) {
                let block = self.block(part, index)?;
                for line in block.lines(&header.channels) {
                    let row = line.location.position.y();
                    let plane = plane_of[part][line.location.channel];
                    if let (Some(plane), true) = (plane, (from..to).contains(&row)) {
                        let start = (row - from) * width + line.location.position.x();
                        planes[plane].write(start, line.value);
                    }
                }
            }
        }
        Ok(planes)
    }

    fn block(&self, part: usize, index: usize) -> Result<exr::block::UncompressedBlock, ReadError> {
        let broken = |what: &'static str| ReadError::Broken {
            subject: self.subject.clone(),
            source: exr::error::Error::Invalid(what.into()),
        };
        let offset = self.offsets[part][index];
        // The writer died before it wrote the table.
        if offset == 0 {
            return Err(ReadError::Truncated {
                subject: self.subject.clone(),
            });
        }
        let chunk = {
            let bytes = self.bytes.lock();
            let mut bytes = bytes.unwrap_or_else(std::sync::PoisonError::into_inner);
            bytes
                .seek(SeekFrom::Start(offset))
                .map_err(|source| ReadError::Io {
                    subject: self.subject.clone(),
                    source,
                })?;
            Chunk::read(&mut *bytes, &self.meta).map_err(|error| said_of(&self.subject, error))?
        };
        let block = decompress(&self.meta, chunk).map_err(|error| said_of(&self.subject, error))?;
        let lines = self.meta.headers[part].compression.scan_lines_per_block();
        let is_that = block.index.layer == part
            && block.index.pixel_position.x() == 0
            && block.index.pixel_position.y() == index * lines;
        match is_that {
            true => Ok(block),
            false => Err(broken("its table of offsets leads to other chunks")),
        }
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
        return Err(ReadError::Broken {
            subject: subject.to_owned(),
            source: exr::error::Error::Invalid("it counts too many chunks".into()),
        });
    }
    let mut table = Vec::with_capacity(headers.len());
    for header in headers {
        let mut raw = vec![0; header.chunk_count * 8];
        bytes
            .read_exact(&mut raw)
            .map_err(|source| match source.kind() {
                std::io::ErrorKind::UnexpectedEof => ReadError::Truncated {
                    subject: subject.to_owned(),
                },
                _ => ReadError::Io {
                    subject: subject.to_owned(),
                    source,
                },
            })?;
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

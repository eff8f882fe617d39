//! The tiles of a frame, read back as a viewer does: from the end.

use std::fs::File;
use std::path::Path;

use exr::prelude::*;
use libdeflater::Decompressor;
use serde_json::Value;
use tessera_merge::{Frame, PyramidError, ReadError, Samples, pyramid, read};

/// The pyramid of a file.
struct Tiles {
    bytes: Vec<u8>,
    head: Value,
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn inflated(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut to = vec![0; len];
    let got = Decompressor::new().zlib_decompress(bytes, &mut to);
    assert_eq!(got.unwrap(), len);
    to
}

fn word(bytes: &[u8]) -> usize {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    usize::try_from(u64::from_le_bytes(word)).unwrap()
}

impl Tiles {
    fn of(path: &Path) -> Self {
        let mut bytes = Vec::new();
        pyramid(path, &mut bytes).unwrap();
        let tail = &bytes[bytes.len() - 24..];
        assert_eq!(&tail[16..], b"tsrpyr01");
        let (at, len) = (word(&tail[..8]), word(&tail[8..12]));
        let head = inflated(&bytes[at..at + len], word(&tail[12..16]));
        let head = serde_json::from_slice(&head).unwrap();
        Self { bytes, head }
    }

    fn tile(&self) -> (usize, usize) {
        (number(&self.head["tile"][0]), number(&self.head["tile"][1]))
    }

    /// Columns and rows of each level.
    fn levels(&self) -> Vec<(usize, usize)> {
        let window = &self.head["window"];
        let mut size = (number(&window[2]), number(&window[3]));
        let tile = self.tile();
        let mut levels = vec![size];
        while size.0 > tile.0 || size.1 > tile.1 {
            size = (size.0.div_ceil(2), size.1.div_ceil(2));
            levels.push(size);
        }
        levels
    }

    /// The samples of all channels of a pass at a level, each as its bits.
    fn pass(&self, pass: &Value, level: usize) -> Vec<Vec<u32>> {
        let (tile_width, tile_rows) = self.tile();
        let levels = self.levels();
        let tiles_of =
            |size: &(usize, usize)| size.0.div_ceil(tile_width) * size.1.div_ceil(tile_rows);
        let all: usize = levels.iter().map(tiles_of).sum();
        let mut index: usize = levels[..level].iter().map(tiles_of).sum();
        let (at, len) = (number(&pass["table"][0]), number(&pass["table"][1]));
        let table = inflated(&self.bytes[at..at + len], 12 * all);
        let channels = pass["channels"].as_array().unwrap();
        let bytes_of = |channel: &Value| if channel["type"] == "half" { 2 } else { 4 };
        let (width, height) = levels[level];
        let mut planes = vec![vec![0; width * height]; channels.len()];
        for top in (0..height).step_by(tile_rows) {
            for left in (0..width).step_by(tile_width) {
                let (columns, rows) = (tile_width.min(width - left), tile_rows.min(height - top));
                let count = columns * rows;
                let place = &table[12 * index..12 * (index + 1)];
                index += 1;
                let (at, len) = (word(&place[..8]), word(&place[8..]));
                let raw = count * channels.iter().map(bytes_of).sum::<usize>();
                let raw = inflated(&self.bytes[at..at + len], raw);
                let mut streams = raw.chunks_exact(count);
                for (plane, channel) in planes.iter_mut().zip(channels) {
                    for rank in 0..bytes_of(channel) {
                        let mut byte = 0_u8;
                        for (pixel, difference) in streams.next().unwrap().iter().enumerate() {
                            byte = byte.wrapping_add(*difference);
                            let (x, y) = (left + pixel % columns, top + pixel / columns);
                            plane[y * width + x] |= u32::from(byte) << (8 * rank);
                        }
                    }
                }
            }
        }
        planes
    }

    fn passes(&self) -> &[Value] {
        self.head["passes"].as_array().unwrap()
    }

    fn named(&self, name: &str) -> &Value {
        let mut passes = self.passes().iter();
        passes.find(|pass| pass["pass"] == name).unwrap()
    }
}

fn bits(samples: &Samples) -> Vec<u32> {
    match samples {
        Samples::Half(samples) => samples.iter().map(|it| u32::from(it.to_bits())).collect(),
        Samples::Float(samples) => samples.iter().map(|it| it.to_bits()).collect(),
        Samples::Uint(samples) => samples.clone(),
    }
}

/// The lowest level has every sample of the file, to the bit, and the head what the file says of itself.
pub(crate) fn holds_the_frame(path: &Path) {
    let frame: Frame = read(path).unwrap();
    let tiles = Tiles::of(path);
    assert_eq!(tiles.passes().len(), frame.passes().count());
    for (pass, expected) in tiles.passes().iter().zip(frame.passes()) {
        assert_eq!(pass["layer"], expected.name.layer);
        assert_eq!(pass["pass"], expected.name.pass);
        assert_eq!(pass["view"], expected.name.view);
        let is_first = ["Depth", "CryptoObject00", "IndexOB", "Object Index"]
            .iter()
            .any(|name| expected.name.pass == *name);
        if is_first || ["Combined", "Normal"].contains(&&*expected.name.pass) {
            assert_eq!(pass["first"], is_first, "{}", expected.name);
        }
        let planes = tiles.pass(pass, 0);
        assert_eq!(planes.len(), expected.channels.len());
        for ((plane, channel), said) in planes
            .iter()
            .zip(expected.channels)
            .zip(pass["channels"].as_array().unwrap())
        {
            assert_eq!(said["name"], channel.name.channel);
            assert_eq!(said["type"], channel.samples.sample_type().to_string());
            assert!(*plane == bits(&channel.samples), "{}", channel.name);
        }
    }
    let said = tiles.head["cryptomattes"].as_array().unwrap();
    let cryptomattes = frame.cryptomattes();
    assert_eq!(said.len(), cryptomattes.len());
    for (said, one) in said.iter().zip(&cryptomattes) {
        assert_eq!(said["name"], one.name);
        assert_eq!(said["manifest"], one.manifest);
    }
}

const WIDTH: usize = 701;
const HEIGHT: usize = 515;

/// Colours as halves, depth as floats, ids as integers and as floats; with what is not finite, and a negative zero.
fn made(path: &Path) {
    let value = |at: usize| ((at * 7919) % 4001) as f32 / 1000.0 - 2.0;
    let area = WIDTH * HEIGHT;
    let halves = |salt: usize| -> Vec<f16> {
        let mut halves: Vec<f16> = (0..area)
            .map(|at| f16::from_f32(value(at + salt)))
            .collect();
        halves[0] = f16::INFINITY;
        halves[1] = f16::NEG_ZERO;
        halves[WIDTH - 1] = f16::NAN;
        halves
    };
    let channel = |name: &str, samples| AnyChannel::new(name, samples);
    let ids = |at: usize| f32::from_bits(0x3f00_0000 ^ (at as u32).wrapping_mul(0x9e37_79b9) >> 8);
    let list = AnyChannels::sort(smallvec([
        channel("V.Combined.R", FlatSamples::F16(halves(0))),
        channel("V.Combined.G", FlatSamples::F16(halves(5))),
        channel(
            "V.Depth.Z",
            FlatSamples::F32((0..area).map(value).collect()),
        ),
        channel("V.Mist.Z", FlatSamples::F32(vec![f32::MAX; area])),
        channel(
            "V.Number.X",
            FlatSamples::U32((0..area as u32).map(|at| at << 12 | at).collect()),
        ),
        channel(
            "V.Crypto00.r",
            FlatSamples::F32((0..area).map(ids).collect()),
        ),
        channel("V.Crypto00.g", FlatSamples::F32(vec![0.5; area])),
    ]));
    let mut attributes = LayerAttributes::default();
    for (what, text) in [("name", "V.Crypto"), ("manifest", "{\"a\":\"00000001\"}")] {
        attributes.other.insert(
            format!("cryptomatte/0123456/{what}").as_str().into(),
            AttributeValue::Text(text.into()),
        );
    }
    let encoding = Encoding {
        compression: Compression::ZIP16,
        blocks: Blocks::ScanLines,
        line_order: LineOrder::Increasing,
    };
    let layer = Layer::new((WIDTH, HEIGHT), attributes, encoding, list);
    Image::from_layer(layer).write().to_file(path).unwrap();
}

fn smallvec(channels: [AnyChannel<FlatSamples>; 7]) -> SmallVec<[AnyChannel<FlatSamples>; 4]> {
    channels.into_iter().collect()
}

#[test]
fn every_sample_is_there_and_levels_fall_by_half() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.exr");
    made(&path);
    holds_the_frame(&path);
    let tiles = Tiles::of(&path);
    assert_eq!(tiles.tile(), (256, 256));
    assert_eq!(tiles.levels(), [(701, 515), (351, 258), (176, 129)]);
    for level in 1..3 {
        let (width, _) = tiles.levels()[level - 1];
        for pass in tiles.passes() {
            let name = pass["pass"].as_str().unwrap();
            let below = tiles.pass(pass, level - 1);
            for (channel, plane) in tiles.pass(pass, level).iter().enumerate() {
                let below = &below[channel];
                for (at, bits) in plane.iter().enumerate() {
                    let columns = width.div_ceil(2);
                    let (x, y) = (2 * (at % columns), 2 * (at / columns));
                    let mut of: Vec<u32> = Vec::new();
                    for line in below.chunks(width).skip(y).take(2) {
                        of.extend(line.iter().skip(x).take(2));
                    }
                    let expected = match name {
                        "Combined" => {
                            let of = of.iter().map(|bits| f16::from_bits(*bits as u16).to_f32());
                            let (count, sum) = (of.len(), of.sum::<f32>());
                            u32::from(f16::from_f32(sum / count as f32).to_bits())
                        }
                        "Mist" => f32::MAX.to_bits(),
                        _ => of[0],
                    };
                    assert_eq!(*bits, expected, "{name}, level {level}, at {x}, {y}");
                }
            }
        }
    }
    assert_eq!(tiles.named("Crypto00")["first"], true);
    assert_eq!(tiles.named("Depth")["first"], true);
    assert_eq!(tiles.named("Mist")["first"], false);
}

#[test]
fn what_has_none_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.exr");
    std::fs::write(&path, "no picture").unwrap();
    let refused = pyramid(&path, Vec::new());
    assert!(matches!(
        refused,
        Err(PyramidError::Exr(ReadError::NotExr { .. }))
    ));
    made(&path);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(
        pyramid(&path, Vec::new()),
        Err(PyramidError::Exr(_))
    ));
    std::fs::write(&path, &whole).unwrap();
    let unwritable = File::open(&path).unwrap();
    assert!(matches!(
        pyramid(&path, unwritable),
        Err(PyramidError::Write { .. })
    ));
}

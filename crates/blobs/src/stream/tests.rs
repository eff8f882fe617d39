use proptest::prelude::*;

use super::*;

fn body(blocks: &[EncodedBlock]) -> Vec<u8> {
    let mut encoder = StreamEncoder::new();
    let mut body = encoder.header().to_vec();
    for block in blocks {
        for part in encoder.block(block) {
            body.extend_from_slice(&part);
        }
    }
    body.extend_from_slice(&encoder.end());
    body
}

fn decode(body: &[u8], piece_len: usize) -> Result<Vec<EncodedBlock>, StreamError> {
    let mut decoder = StreamDecoder::new();
    let mut blocks = Vec::new();
    for piece in body.chunks(piece_len.max(1)) {
        decoder.push(piece);
        while let Some(block) = decoder.next_block()? {
            blocks.push(block);
        }
    }
    assert_eq!(decoder.finish()? as usize, blocks.len());
    Ok(blocks)
}

fn sample() -> Vec<EncodedBlock> {
    vec![
        EncodedBlock::encode(b"one"),
        EncodedBlock::encode(&[0; 5000]),
        EncodedBlock::encode(b""),
    ]
}

proptest! {
    #[test]
    fn any_blocks_in_any_pieces_round_trip(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8), piece_len in 1usize..400) {
        let blocks: Vec<_> = contents.iter().map(|bytes| EncodedBlock::encode(bytes)).collect();
        prop_assert_eq!(decode(&body(&blocks), piece_len), Ok(blocks));
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), whole_header in any::<bool>()) {
        let mut input = if whole_header { StreamEncoder::new().header().to_vec() } else { Vec::new() };
        input.extend(bytes);
        let _ = decode(&input, 7);
    }
}

#[test]
fn a_body_cut_off_anywhere_is_refused() {
    let body = body(&sample());
    for len in 0..body.len() {
        assert!(
            matches!(decode(&body[..len], 64), Err(StreamError::Truncated { .. })),
            "cut at {len}"
        );
    }
}

#[test]
fn what_is_wrong_is_named() {
    let good = body(&sample());
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &dyn Fn(&StreamError) -> bool| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = decode(&bad, 1000).unwrap_err();
        assert!(expected(&error), "{error}");
    };
    check(&|b| b[0] = b'X', &|e| *e == StreamError::NotAStream);
    check(&|b| b[7] = 9, &|e| *e == StreamError::Version { found: 9 });
    check(&|b| b[8 + 32] = 7, &|e| {
        matches!(e, StreamError::UnknownEncoding { encoding: 7, .. })
    });
    check(&|b| b[8 + 33] = 0x7F, &|e| {
        matches!(e, StreamError::TooLarge { .. })
    });
    check(&|b| *b.last_mut().unwrap() = 2, &|e| {
        *e == StreamError::Count {
            expected: 2,
            found: 3,
        }
    });
    check(&|b| b.push(0), &|e| *e == StreamError::Trailing);
}

#[test]
fn the_largest_length_is_refused_before_a_byte_of_it_is_held() {
    let mut decoder = StreamDecoder::new();
    decoder.push(&StreamEncoder::new().header());
    decoder.push(&record(&[1; 32], 0, MAX_BLOCK_BYTES as u32 + 1));
    assert!(matches!(
        decoder.next_block(),
        Err(StreamError::TooLarge { .. })
    ));
    decoder.push(&[0; 1000]);
    assert_eq!(decoder.buffer.len(), 0, "a failed decoder holds nothing");
}

/// Version 1 on the wire, byte for byte: an older or newer side reads exactly this.
#[test]
fn the_format_stays() {
    let block = EncodedBlock {
        digest: Digest::from_bytes([0xAB; 32]),
        encoding: BlockEncoding::Raw,
        bytes: Bytes::from_static(b"hi"),
    };
    let mut expected = b"TESBLK\x00\x01".to_vec();
    expected.extend([0xAB; 32]);
    expected.extend(b"\x00\x00\x00\x00\x02hi");
    expected.extend([0; 32]);
    expected.extend(b"\xFF\x00\x00\x00\x01");
    assert_eq!(body(&[block]), expected);
}

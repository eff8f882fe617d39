//! Ten digits, drawn by hand, so that a contact sheet needs no font.

use image::{Rgb, RgbImage};

pub(crate) const WIDTH: u32 = 5;
pub(crate) const HEIGHT: u32 = 7;
const GAP: u32 = 1;

/// One row per byte, the leftmost of five pixels in bit 4.
const DIGITS: [[u8; HEIGHT as usize]; 10] = [
    [
        0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110,
    ],
    [
        0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110,
    ],
    [
        0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111,
    ],
    [
        0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110,
    ],
    [
        0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010,
    ],
    [
        0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110,
    ],
    [
        0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000,
    ],
    [
        0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100,
    ],
];

/// Width of a number in pixels.
pub(crate) fn width_of(number: &str, scale: u32) -> u32 {
    let letters = u32::try_from(number.len()).unwrap_or(u32::MAX);
    (letters * (WIDTH + GAP)).saturating_sub(GAP) * scale
}

/// Draws a number with its top left corner at a place. Pixels outside the picture and letters other than digits are left out.
pub(crate) fn draw(
    picture: &mut RgbImage,
    number: &str,
    (left, top): (u32, u32),
    scale: u32,
    colour: Rgb<u8>,
) {
    for (index, digit) in (0_u32..).zip(number.chars().filter_map(|letter| letter.to_digit(10))) {
        let left = left + index * (WIDTH + GAP) * scale;
        for (row, bits) in (0_u32..).zip(DIGITS[digit as usize]) {
            for column in (0..WIDTH).filter(|column| bits >> (WIDTH - 1 - column) & 1 == 1) {
                for (x, y) in (0..scale * scale).map(|dot| (dot % scale, dot / scale)) {
                    let place = (left + column * scale + x, top + row * scale + y);
                    if let Some(pixel) = picture.get_pixel_mut_checked(place.0, place.1) {
                        *pixel = colour;
                    }
                }
            }
        }
    }
}

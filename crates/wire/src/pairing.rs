//! Pairing codes: what a person carries from a manager to a machine that shall join.
//!
//! A code holds the fingerprint of the certificate that the manager's chain must end in, and a secret.
//! The joining side checks the fingerprint before it says the secret, so nobody on the way can stand
//! in between. Written in Crockford's base 32 (no I, L, O, U; read without regard to case, hyphens and
//! blanks), in groups of five, with two check characters against typing errors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of the fingerprint: the first 16 of the SHA-256 of the certificate in DER, out of reach of a second preimage (2^128).
pub const FINGERPRINT_BYTES: usize = 16;

/// Bytes of the secret: 80 bits, online guesses only and those are limited.
pub const SECRET_BYTES: usize = 10;

/// Bytes in all: version and flags, fingerprint, secret, two of check.
const CODE_BYTES: usize = 1 + FINGERPRINT_BYTES + SECRET_BYTES + 2;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The first bytes of the SHA-256 of a certificate (DER).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; FINGERPRINT_BYTES]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = CodeError;
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .map_err(|_| CodeError::Form)?;
        bytes.try_into().map(Self).map_err(|_| CodeError::Form)
    }
}

/// How the manager's certificate is checked beyond its fingerprint. Written "farm" or "host" in files and announcements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameCheck {
    /// Issued by the farm's own CA, for [`MANAGER_NAME`](crate::MANAGER_NAME), whatever the address.
    Farm,
    /// The owner's certificate: its names must hold the host of the address.
    Host,
}

/// A pairing code.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode {
    /// Of the certificate the manager's chain ends in.
    pub fingerprint: Fingerprint,
    /// How names are checked.
    pub name_check: NameCheck,
    /// What the manager asks for.
    pub secret: [u8; SECRET_BYTES],
}

/// A text that is not a pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Not of the form.
    #[error("this is not a pairing code: copy it as the manager printed it, 47 letters and digits")]
    Form,
    /// The check characters are wrong.
    #[error("the pairing code has a typing error: copy it again as the manager printed it")]
    Check,
    /// Of a newer program.
    #[error(
        "the pairing code is of a newer version of Tessera: install the version the manager runs"
    )]
    Version,
}

fn check_of(body: &[u8]) -> [u8; 2] {
    let hash = blake3::hash(body);
    [hash.as_bytes()[0], hash.as_bytes()[1]]
}

impl PairingCode {
    fn to_bytes(&self) -> [u8; CODE_BYTES] {
        let mut bytes = [0; CODE_BYTES];
        bytes[0] = match self.name_check {
            NameCheck::Farm => 0x10,
            NameCheck::Host => 0x11,
        };
        bytes[1..=FINGERPRINT_BYTES].copy_from_slice(&self.fingerprint.0);
        bytes[1 + FINGERPRINT_BYTES..CODE_BYTES - 2].copy_from_slice(&self.secret);
        let check = check_of(&bytes[..CODE_BYTES - 2]);
        bytes[CODE_BYTES - 2..].copy_from_slice(&check);
        bytes
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairingCode({}, secret withheld)", self.fingerprint)
    }
}

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bits: u32 = 0;
        let mut have = 0;
        let mut letters = Vec::with_capacity(CODE_BYTES * 8 / 5 + 1);
        for byte in self.to_bytes() {
            bits = bits << 8 | u32::from(byte);
            have += 8;
            while have >= 5 {
                have -= 5;
                letters.push(ALPHABET[(bits >> have & 31) as usize]);
            }
        }
        if have > 0 {
            letters.push(ALPHABET[(bits << (5 - have) & 31) as usize]);
        }
        for (i, group) in letters.chunks(5).enumerate() {
            if i > 0 {
                f.write_str("-")?;
            }
            for &letter in group {
                write!(f, "{}", letter as char)?;
            }
        }
        Ok(())
    }
}

impl FromStr for PairingCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let mut bits: u32 = 0;
        let mut have = 0;
        let mut bytes = Vec::with_capacity(CODE_BYTES);
        for letter in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = ALPHABET
                .iter()
                .position(|&known| known as char == letter)
                .ok_or(CodeError::Form)?;
            bits = bits << 5 | value as u32;
            have += 5;
            if have >= 8 {
                have -= 8;
                bytes.push((bits >> have) as u8);
            }
            if bytes.len() > CODE_BYTES {
                return Err(CodeError::Form);
            }
        }
        let bytes: [u8; CODE_BYTES] = bytes.try_into().map_err(|_| CodeError::Form)?;
        let (body, check) = bytes.split_at(CODE_BYTES - 2);
        if check_of(body) != check {
            return Err(CodeError::Check);
        }
        let name_check = match body[0] {
            0x10 => NameCheck::Farm,
            0x11 => NameCheck::Host,
            _ => return Err(CodeError::Version),
        };
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&body[1..=FINGERPRINT_BYTES]);
        let mut secret = [0; SECRET_BYTES];
        secret.copy_from_slice(&body[1 + FINGERPRINT_BYTES..]);
        Ok(Self {
            fingerprint: Fingerprint(fingerprint),
            name_check,
            secret,
        })
    }
}

/// A code with the address to use it at, as one text: `https://HOST:PORT/#CODE`. The part behind `#` never leaves the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingLink {
    /// `https://HOST:PORT`; none if only the code was given and the manager has to be discovered.
    pub address: Option<String>,
    /// The code.
    pub code: PairingCode,
}

impl fmt::Display for PairingLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{address}/#{}", self.code),
            None => self.code.fmt(f),
        }
    }
}

impl FromStr for PairingLink {
    type Err = CodeError;
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let text = text.trim();
        match text.rsplit_once('#') {
            Some((address, code)) => Ok(Self {
                address: Some(address.trim_end_matches('/').to_owned()),
                code: code.parse()?,
            }),
            None => Ok(Self {
                address: None,
                code: text.parse()?,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> PairingCode {
        PairingCode {
            fingerprint: Fingerprint(std::array::from_fn(|i| i as u8 * 17)),
            name_check: NameCheck::Farm,
            secret: std::array::from_fn(|i| 255 - i as u8),
        }
    }

    #[test]
    fn reads_back_however_it_was_typed() {
        let text = code().to_string();
        assert_eq!(text.chars().filter(|c| *c != '-').count(), 47);
        let typed = text
            .to_lowercase()
            .replace('-', " ")
            .replace('0', "o")
            .replace('1', "l");
        assert_eq!(text.parse(), Ok(code()));
        assert_eq!(typed.parse(), Ok(code()));
        let link = PairingLink {
            address: Some("https://10.0.0.1:7373".into()),
            code: code(),
        };
        assert_eq!(link.to_string().parse(), Ok(link));
        assert_eq!(format!("{:?}", code()).find("FF"), None);
    }

    #[test]
    fn a_typing_error_is_noticed() {
        let text = code().to_string();
        for (at, letter) in text.char_indices().filter(|(_, c)| *c != '-') {
            let other = if letter == 'Z' { '0' } else { 'Z' };
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, &other.to_string());
            // The last letter carries padding bits only in part; all others must be caught.
            if at + 1 < text.len() {
                assert!(wrong.parse::<PairingCode>().is_err(), "{wrong}");
            }
        }
        assert_eq!("".parse::<PairingCode>(), Err(CodeError::Form));
        assert_eq!("HELLO".parse::<PairingCode>(), Err(CodeError::Form));
        assert_eq!(
            format!("{text}AAAAA").parse::<PairingCode>(),
            Err(CodeError::Form)
        );
    }
}

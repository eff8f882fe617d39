//! Random secrets. What is recorded of one is its BLAKE3 hash: all are random and long, so a slow hash would buy nothing.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use tessera_model::SecretHash;

use crate::ManagerError;

/// Begins every token, so that leaked ones can be searched for.
const TOKEN_PREFIX: &str = "tsr_";

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// `N` random bytes of the system's secure source.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ManagerError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| ManagerError::Random(error.to_string()))?;
    Ok(bytes)
}

/// `N` random bytes in hexadecimal.
pub(crate) fn random_hex<const N: usize>() -> Result<String, ManagerError> {
    Ok(HEXLOWER.encode(&random::<N>()?))
}

/// A new bearer token.
pub(crate) fn token() -> Result<String, ManagerError> {
    Ok(format!(
        "{TOKEN_PREFIX}{}",
        BASE64URL_NOPAD.encode(&random::<TOKEN_BYTES>()?)
    ))
}

/// What is recorded of a token. None if it is not one at all.
pub(crate) fn token_hash(token: &str) -> Option<SecretHash> {
    let coded = token.strip_prefix(TOKEN_PREFIX)?;
    let bytes = BASE64URL_NOPAD.decode(coded.as_bytes()).ok()?;
    (bytes.len() == TOKEN_BYTES).then(|| hash(&bytes))
}

/// What is recorded of any secret.
pub(crate) fn hash(secret: &[u8]) -> SecretHash {
    SecretHash(*blake3::hash(secret).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_hash_and_nothing_else_is() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_eq!(one.len(), 4 + 43);
        assert_eq!(token_hash(&one), token_hash(&one));
        assert_ne!(token_hash(&one), token_hash(&other));
        for bad in ["", "tsr_", "tsr_AAAA", &one[1..], &format!("{one}A")] {
            assert_eq!(token_hash(bad), None, "{bad}");
        }
    }
}

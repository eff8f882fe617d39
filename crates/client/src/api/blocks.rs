//! Blocks out of one answer, as they arrive.

use reqwest::Response;
use tessera_blobs::{EncodedBlock, StreamDecoder};

use super::{Api, ApiError};

/// Blocks of one answer. They are claims until decoded; a stream that ends early is an error, never a short list.
#[derive(Debug)]
pub struct BlockStream {
    api: Api,
    address: String,
    response: Response,
    decoder: Option<StreamDecoder>,
}

const WHAT: &str = "the fetching of blocks";

impl BlockStream {
    pub(crate) fn new(api: Api, address: String, response: Response) -> Self {
        Self {
            api,
            address,
            response,
            decoder: Some(StreamDecoder::new()),
        }
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    /// If the connection is cut or the stream is damaged. Nothing follows an error.
    pub async fn next(&mut self) -> Result<Option<EncodedBlock>, ApiError> {
        let broken = |address: &String, source| ApiError::Stream {
            address: address.clone(),
            source,
        };
        loop {
            let Some(decoder) = &mut self.decoder else {
                return Ok(None);
            };
            match decoder.next_block() {
                Ok(Some(block)) => return Ok(Some(block)),
                Ok(None) => {}
                Err(source) => {
                    self.decoder = None;
                    return Err(broken(&self.address, source));
                }
            }
            match self
                .api
                .chunk(&self.address, WHAT, &mut self.response)
                .await
            {
                Ok(Some(bytes)) => {
                    decoder.push(&bytes);
                    // Not read on before this is paid for: the connection's window holds the sender up.
                    self.api.bandwidth().pay(bytes.len()).await;
                }
                Ok(None) => {
                    if let Some(decoder) = self.decoder.take() {
                        decoder
                            .finish()
                            .map_err(|source| broken(&self.address, source))?;
                    }
                    return Ok(None);
                }
                Err(error) => {
                    self.decoder = None;
                    return Err(error);
                }
            }
        }
    }
}

//! What crosses the network: requests, events, worker link, pairing codes.

//! Typed client of a manager: pairing, packing, transfer, discovery.

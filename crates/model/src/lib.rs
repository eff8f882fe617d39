//! The nouns of Tessera: ids, jobs, frames, units, workers, and the changes that are recorded of them.

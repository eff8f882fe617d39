//! Files as blocks named by digest: cutting, manifests, packs, delta.

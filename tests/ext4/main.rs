//! The ext4 editor against outside oracles and a shadow model.

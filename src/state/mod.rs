//! What outlives a bake: seed, host keys, receipts; locked, durable, 0700 and 0600.

pub mod identity;

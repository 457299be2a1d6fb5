//! FAT16 and FAT32 through `fatfs`.

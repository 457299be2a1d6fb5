//! An archive made over into the one form that every Docker loads: `manifest.json`, nothing packed with
//! zstd, and only the images that are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, BufWriter, Write};

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tar::{EntryType, Header};

use super::archive::{Opened, Stop};
use super::error::{ContainerError, Problem, corrupt};
use super::members::{BLOCK, Kind, Members};
use super::packing::Packing;
use super::{ContainerImage, ImageArchive, Layer};

/// Writes `images` of `archive`, in Docker's own form. Layers packed with gzip stay so. The result is packed
/// with gzip when the archive as a whole was packed with anything. The same archive and images give the same
/// bytes.
///
/// # Errors
/// What is wrong with the archive, which has to be the one that was read; or with writing.
pub fn repack(
    archive: &ImageArchive,
    images: &[&ContainerImage],
    out: impl Write,
    stop: Stop<'_>,
) -> Result<(), ContainerError> {
    let out = BufWriter::with_capacity(128 << 10, out);
    let written = if archive.packing == Packing::Plain {
        write(archive, images, out, stop).and_then(|mut out| out.flush().map_err(Problem::Io))
    } else {
        write(archive, images, GzEncoder::new(out, Compression::default()), stop)
            .and_then(|out| out.finish().and_then(|mut out| out.flush()).map_err(Problem::Io))
    };
    written.map_err(|problem| problem.at(&archive.path))
}

fn write<W: Write>(
    archive: &ImageArchive,
    images: &[&ContainerImage],
    out: W,
    stop: Stop<'_>,
) -> Result<W, Problem> {
    let mut writer = Writer { out };
    for image in images {
        writer.bytes(&config_name(image), &image.config)?;
    }
    let layers: BTreeMap<&str, &Layer> =
        images.iter().flat_map(|image| &image.layers).map(|layer| (layer.member.as_str(), layer)).collect();
    let mut written = BTreeSet::new();
    let mut opened = Opened::new(&archive.path, stop)?;
    opened.with_members(|members| {
        while let Some(member) = members.next()? {
            let Some(layer) = layers.get(member.path.as_str()).filter(|_| member.kind == Kind::File) else {
                continue;
            };
            if member.size != layer.size {
                return Err(changed());
            }
            if written.insert(layer.diff_id) {
                writer.layer(layer, members)?;
            }
        }
        Ok(())
    })?;
    if layers.values().any(|layer| !written.contains(&layer.diff_id)) {
        return Err(changed());
    }
    writer.bytes("manifest.json", manifest(images).as_bytes())?;
    writer.out.write_all(&[0; 2 * BLOCK]).map_err(Problem::Io)?;
    Ok(writer.out)
}

fn changed() -> Problem {
    corrupt("it changed while it was used")
}

fn config_name(image: &ContainerImage) -> String {
    format!("{}.json", image.id)
}

fn layer_name(layer: &Layer) -> String {
    format!("{}.tar", HEXLOWER.encode(&layer.diff_id))
}

fn manifest(images: &[&ContainerImage]) -> String {
    let entry = |image: &&ContainerImage| {
        let layers: Vec<String> = image.layers.iter().map(layer_name).collect();
        json!({ "Config": config_name(image), "RepoTags": image.names, "Layers": layers })
    };
    serde_json::Value::Array(images.iter().map(entry).collect()).to_string()
}

struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        self.begin(name, bytes.len() as u64)?;
        self.out.write_all(bytes).map_err(Problem::Io)?;
        self.end(bytes.len() as u64)
    }

    /// A layer as it is, but unpacked when it was packed with zstd.
    fn layer(&mut self, layer: &Layer, members: &mut Members<'_>) -> Result<(), Problem> {
        let unpack = layer.packing == Packing::Zst;
        let size = if unpack { layer.unpacked } else { layer.size };
        self.begin(&layer_name(layer), size)?;
        let copied = if unpack {
            let mut unpacked = layer.packing.unpack(BufReader::new(members)).map_err(|_| changed())?;
            copy(&mut unpacked, &mut self.out, size)?
        } else {
            copy(members, &mut self.out, size)?
        };
        if copied == size { self.end(size) } else { Err(changed()) }
    }

    fn begin(&mut self, name: &str, size: u64) -> Result<(), Problem> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_path(name).map_err(Problem::Io)?;
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        self.out.write_all(header.as_bytes()).map_err(Problem::Io)
    }

    fn end(&mut self, size: u64) -> Result<(), Problem> {
        let block = BLOCK as u64;
        let padding = usize::try_from((block - size % block) % block).unwrap_or(0);
        self.out.write_all(&[0; BLOCK][..padding]).map_err(Problem::Io)
    }
}

/// Copies at most `limit` bytes and looks whether there are more; the number of bytes.
fn copy(reader: &mut dyn io::Read, out: &mut dyn Write, limit: u64) -> Result<u64, Problem> {
    let mut buf = vec![0; 128 << 10];
    let mut copied: u64 = 0;
    loop {
        let len = match reader.read(&mut buf) {
            Ok(0) => return Ok(copied),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(changed()),
        };
        copied += len as u64;
        if copied > limit {
            return Err(changed());
        }
        out.write_all(&buf[..len]).map_err(Problem::Io)?;
    }
}

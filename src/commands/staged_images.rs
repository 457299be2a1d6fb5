//! The container images and stacks that a cluster file names: found, read, and made over where the node's
//! Docker would not take them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config::types::{Board, Cluster, Node, Role};
use crate::container::{self, ContainerError, ImageArchive, Packing, Problem};
use crate::error::{Advise, ExitCode, advised};
use crate::interrupt::Interrupt;
use crate::inventory::types::Arch;
use crate::plan::{StackFile, Staged, fitting, runs};

use super::files::matching;

/// A wrong file name must not fill the memory.
const STACK_MAX: u64 = 4 << 20;

const FIX_IMAGES: &str = "mend or replace what docker.images names; nothing was written";

/// Where the files of a cluster file are looked for, and where what is made of them is kept.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) base_dir: &'a Path,
    pub(super) home: &'a Path,
    pub(super) cache_dir: &'a Path,
}

/// The image archives of a run, each read once however many nodes are given it.
pub(super) struct Archives<'a> {
    places: Places<'a>,
    interrupt: &'a Interrupt,
    read: BTreeMap<PathBuf, ImageArchive>,
    made: BTreeMap<PathBuf, ImageArchive>,
}

/// Everything that `docker.images` of these nodes name and that is not there.
pub(super) fn missing<'a>(
    cluster: &Cluster,
    nodes: impl IntoIterator<Item = &'a Node>,
    home: &Path,
) -> Vec<String> {
    let mut missing = BTreeSet::new();
    for node in nodes {
        for pattern in &node.docker.images {
            if matching(&cluster.base_dir, home, pattern).is_ok_and(|files| files.is_empty()) {
                missing.insert(format!("no file matches {pattern:?} of docker.images"));
            }
        }
    }
    missing.into_iter().collect()
}

/// The stacks that a node's card gets: a manager's, all.
fn stacks(cluster: &Cluster, node: &Node) -> anyhow::Result<Vec<StackFile>> {
    let stacks = cluster.swarm.iter().filter(|_| node.role == Role::Manager).flat_map(|swarm| &swarm.stacks);
    let read = stacks.map(|stack| {
        let text = stack_text(&stack.file)
            .with_context(|| format!("reading {} for stack {}", stack.file.display(), stack.name))
            .advise(ExitCode::Usage, "correct swarm.stacks; nothing was written")?;
        Ok(StackFile { name: stack.name.clone(), text })
    });
    read.collect()
}

fn stack_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(STACK_MAX).read_to_string(&mut text)?;
    if text.len() as u64 == STACK_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long for a compose file"));
    }
    Ok(text)
}

impl<'a> Archives<'a> {
    /// None read yet.
    pub(super) fn new(places: Places<'a>, interrupt: &'a Interrupt) -> Self {
        Self { places, interrupt, read: BTreeMap::new(), made: BTreeMap::new() }
    }

    /// Adds what a node is given of container images and stacks.
    ///
    /// # Errors
    /// Everything wrong with any of the archives, in one message; or a stack's file that cannot be read.
    pub(super) fn stage(
        &mut self,
        cluster: &Cluster,
        node: &Node,
        arch: Arch,
        staged: &mut Staged,
    ) -> anyhow::Result<()> {
        staged.images = self.of(node, arch)?;
        self.stage_stacks(cluster, node, staged)
    }

    /// Adds a manager's stacks, and what they are judged by.
    ///
    /// # Errors
    /// A stack's file that cannot be read.
    pub(super) fn stage_stacks(
        &mut self,
        cluster: &Cluster,
        node: &Node,
        staged: &mut Staged,
    ) -> anyhow::Result<()> {
        if node.role == Role::Manager {
            staged.stacks = stacks(cluster, node)?;
            staged.preloaded = self.preloaded(cluster);
        }
        Ok(())
    }

    /// The archives for a node of this architecture, in the order of its patterns: as they are, or made
    /// over into a file of the cache when its Docker would not load them or would load too much.
    fn of(&mut self, node: &Node, arch: Arch) -> anyhow::Result<Vec<ImageArchive>> {
        let (mut archives, mut errors, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for path in self.paths(node).context("looking for docker.images")? {
            match self.one(&path, arch, node.board) {
                // The same file under two names is loaded once.
                Ok(archive) if seen.insert(archive.sha256) => archives.push(archive),
                Ok(_) => {}
                Err(error) => {
                    self.interrupt.check()?;
                    // What is the archives' own is told together.
                    errors.push(error.downcast::<ContainerError>()?.to_string());
                }
            }
        }
        if errors.is_empty() {
            return Ok(archives);
        }
        Err(advised(ExitCode::Usage, errors.join("\n"), FIX_IMAGES))
    }

    /// The names of the images that each node of the swarm is given, for judging stacks. What cannot be
    /// read of a node that is not being baked is its own bake's to tell.
    fn preloaded(&mut self, cluster: &Cluster) -> BTreeMap<String, BTreeSet<String>> {
        let nodes = cluster.nodes.iter().filter(|node| node.role != Role::None);
        nodes
            .map(|node| {
                let mut names = BTreeSet::new();
                for path in self.paths(node).unwrap_or_default() {
                    let archive = self.archive(&path);
                    let images = archive.iter().flat_map(|archive| &archive.images);
                    names.extend(images.flat_map(|image| image.names.clone()));
                }
                (node.name.clone(), names)
            })
            .collect()
    }

    fn paths(&self, node: &Node) -> io::Result<Vec<PathBuf>> {
        let Places { base_dir, home, .. } = self.places;
        let mut paths = Vec::new();
        for pattern in &node.docker.images {
            let found = matching(base_dir, home, pattern)?;
            let new: Vec<PathBuf> = found.into_iter().filter(|path| !paths.contains(path)).collect();
            paths.extend(new);
        }
        Ok(paths)
    }

    fn archive(&mut self, path: &Path) -> Result<ImageArchive, ContainerError> {
        if let Some(archive) = self.read.get(path) {
            return Ok(archive.clone());
        }
        let archive = container::read(path, &|| self.interrupt.requested())?;
        self.read.insert(path.to_owned(), archive.clone());
        Ok(archive)
    }

    fn one(&mut self, path: &Path, arch: Arch, board: Option<Board>) -> anyhow::Result<ImageArchive> {
        let archive = self.archive(path)?;
        let keep = fitting(&archive.images, arch, board);
        let whole = archive.loads_everywhere() && keep.len() == archive.images.len();
        // What does not run is the plan's to refuse; nothing is made of it before.
        if whole || keep.iter().any(|index| !runs(&archive.images[*index].platform, arch, board)) {
            return Ok(archive);
        }
        let cached = self.cached(&archive, &keep);
        if let Some(made) = self.made.get(&cached) {
            return Ok(made.clone());
        }
        let made = self.make(&archive, &keep, &cached)?;
        self.made.insert(cached, made.clone());
        Ok(made)
    }

    /// Where the cache keeps what is made of an archive: by its digest, and by what is kept of it.
    fn cached(&self, archive: &ImageArchive, keep: &[usize]) -> PathBuf {
        let digest = data_encoding::HEXLOWER.encode(&archive.sha256);
        let kept: Vec<String> = keep.iter().map(ToString::to_string).collect();
        let suffix = if archive.packing == Packing::Plain { "tar" } else { "tar.gz" };
        self.places.cache_dir.join("containers").join(format!("{digest}-{}.{suffix}", kept.join("-")))
    }

    fn make(&self, archive: &ImageArchive, keep: &[usize], cached: &Path) -> anyhow::Result<ImageArchive> {
        let stop = || self.interrupt.requested();
        let images: Vec<_> = keep.iter().map(|index| &archive.images[*index]).collect();
        let wanted = |made: &ImageArchive| {
            made.images.len() == images.len()
                && made.images.iter().zip(&images).all(|(made, image)| {
                    (&made.id, &made.names) == (&image.id, &image.names)
                        && made.layers.len() == image.layers.len()
                })
        };
        let earlier = container::read(cached, &stop).ok().filter(wanted);
        let mut made = match earlier {
            Some(made) => made,
            None => {
                let doing = || format!("making {} over for Docker", archive.path.display());
                let dir = cached.parent().unwrap_or(Path::new("."));
                fs::create_dir_all(dir).with_context(doing)?;
                let mut out = tempfile::NamedTempFile::new_in(dir).with_context(doing)?;
                match container::repack(archive, &images, out.as_file_mut(), &stop) {
                    // The disk of the cache may be full, which is no fault of the archive.
                    Err(ContainerError { problem: Problem::Io(error), .. }) => {
                        return Err(error).with_context(doing);
                    }
                    written => written?,
                }
                out.persist(cached).with_context(doing)?;
                container::read(cached, &stop)?
            }
        };
        made.name = made_name(&archive.name, made.packing);
        let kept = |index: &usize| keep.contains(index);
        let left_out = (0..archive.images.len()).filter(|index| !kept(index));
        made.left_out = left_out.map(|index| archive.images[index].platform.clone()).collect();
        Ok(made)
    }
}

/// The name with the ending of what it has become.
fn made_name(name: &str, packing: Packing) -> String {
    let stem = [".zst", ".gz", ".tgz"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let stem = stem.strip_suffix(".tar").unwrap_or(stem);
    format!("{stem}.{}", if packing == Packing::Plain { "tar" } else { "tar.gz" })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Archives, Places, made_name};
    use crate::config::types::{Board, Cluster, Node};
    use crate::config::{Selection, load};
    use crate::container::samples::{docker_archive, multi_platform, oci_archive, pack, sample};
    use crate::container::{ImageArchive, Packing};
    use crate::interrupt::{Interrupt, Interrupted};
    use crate::inventory::types::Arch;

    /// A directory with a cluster file and what it names.
    struct Bench {
        dir: tempfile::TempDir,
        interrupt: Interrupt,
    }

    impl Bench {
        fn new(files: &[(&str, &[u8])]) -> Self {
            let dir = tempfile::TempDir::new().unwrap();
            for (name, bytes) in files {
                let path = dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            Self { dir, interrupt: Interrupt::default() }
        }

        /// The cluster of a file with two nodes, where `docker` stands under `[docker]`.
        fn cluster(&self, docker: &str) -> Cluster {
            let text = format!(
                "name = \"x\"\n[user]\nname = \"anna\"\npassword = \"x\"\n[docker]\n{docker}\n\
                 [swarm]\nstacks = [{{ name = \"web\", file = \"web.yml\" }}]\n\
                 [[node]]\nname = \"pi1\"\naddress = \"10.0.0.1/24\"\nrole = \"manager\"\n\
                 [[node]]\nname = \"pi2\"\naddress = \"10.0.0.2/24\"\nrole = \"worker\"\n"
            );
            fs::write(self.dir.path().join("pibake.toml"), text).unwrap();
            let selection = Selection {
                cluster_file: Some(self.dir.path().join("pibake.toml")),
                profile: None,
                image: None,
                cwd: self.dir.path().to_owned(),
                home: self.dir.path().to_owned(),
                allow_two_managers: false,
            };
            load(&selection).unwrap_or_else(|errors| panic!("{errors}"))
        }

        fn archives(&self) -> Archives<'_> {
            let (base_dir, home) = (self.dir.path(), self.dir.path());
            Archives::new(Places { base_dir, home, cache_dir: base_dir }, &self.interrupt)
        }
    }

    fn of(bench: &Bench, node: &Node, arch: Arch) -> Vec<ImageArchive> {
        bench.archives().of(node, arch).unwrap_or_else(|error| panic!("{error:#}"))
    }

    const IMAGES: &str = "images = [\"images/*.tar*\"]";

    #[test]
    fn what_every_docker_loads_stays_as_it_is() {
        let bytes = pack(Packing::Gz, &docker_archive(&[sample("web:1", "arm64", "")]));
        let bench = Bench::new(&[("images/web.tar.gz", &bytes), ("images/again.tar", &bytes)]);
        let cluster = bench.cluster(IMAGES);
        let archives = of(&bench, &cluster.nodes[0], Arch::Arm64);
        assert_eq!(archives.len(), 1, "the same bytes twice are loaded once");
        assert_eq!(archives[0].path, bench.dir.path().join("images/again.tar"));
        assert!(!bench.dir.path().join("containers").exists());
    }

    #[test]
    fn what_some_do_not_is_made_over_once_and_found_again() {
        let samples = ["amd64", "arm64"].map(|architecture| sample("web:1", architecture, ""));
        let bytes = pack(Packing::Zst, &multi_platform(&samples));
        let bench = Bench::new(&[("images/web.tar.zst", &bytes)]);
        let cluster = bench.cluster(IMAGES);
        let first = of(&bench, &cluster.nodes[0], Arch::Arm64);
        let [archive] = first.as_slice() else { panic!("{first:?}") };
        assert_eq!(archive.name, "web.tar.gz");
        assert!(archive.loads_everywhere());
        assert_eq!(archive.images[0].platform.to_string(), "linux/arm64");
        assert_eq!(archive.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/amd64"]);
        let made = fs::metadata(&archive.path).unwrap().modified().unwrap();
        let again = of(&bench, &cluster.nodes[1], Arch::Arm64);
        assert_eq!((&again[0].path, again[0].sha256), (&archive.path, archive.sha256));
        assert_eq!(fs::metadata(&archive.path).unwrap().modified().unwrap(), made);
        // A file of the cache that is not what it should be is made anew.
        fs::write(&archive.path, docker_archive(&[sample("web:1", "amd64", "")])).unwrap();
        assert_eq!(of(&bench, &cluster.nodes[0], Arch::Arm64)[0].sha256, archive.sha256);
        assert_ne!(of(&bench, &cluster.nodes[0], Arch::Amd64)[0].path, archive.path);
    }

    /// It goes on to the plan, which says what it is for and what the node is.
    #[test]
    fn an_image_for_another_machine_is_left_to_the_plan() {
        let bench = Bench::new(&[("images/web.tar", &oci_archive(&[sample("web:1", "amd64", "")]))]);
        let mut node = bench.cluster(IMAGES).nodes[0].clone();
        node.board = Some(Board::Pi1);
        assert_eq!(of(&bench, &node, Arch::Armhf)[0].images[0].platform.to_string(), "linux/amd64");
        assert!(!bench.dir.path().join("containers").exists());
    }

    #[test]
    fn everything_wrong_and_everything_missing_is_told_at_once() {
        let bench = Bench::new(&[("images/a.tar", b"<html>"), ("images/b.tar", b"")]);
        let cluster = bench.cluster("images = [\"images/*.tar\", \"none/*.tar\"]");
        let error = bench.archives().of(&cluster.nodes[0], Arch::Arm64).unwrap_err().to_string();
        assert!(
            error.contains("a.tar: this is an HTML page") && error.contains("b.tar: this is an empty file")
        );
        let missing = super::missing(&cluster, &cluster.nodes, Path::new("/h"));
        assert_eq!(missing, ["no file matches \"none/*.tar\" of docker.images"]);
    }

    #[test]
    fn stacks_are_the_managers() {
        let bench = Bench::new(&[("web.yml", b"services: {}\n")]);
        let cluster = bench.cluster("");
        let stacks = super::stacks(&cluster, &cluster.nodes[0]).unwrap();
        assert_eq!((stacks[0].name.as_str(), stacks[0].text.as_str()), ("web", "services: {}\n"));
        assert!(super::stacks(&cluster, &cluster.nodes[1]).unwrap().is_empty());
        fs::write(bench.dir.path().join("web.yml"), b"\xff").unwrap();
        assert!(super::stacks(&cluster, &cluster.nodes[0]).is_err());
    }

    #[test]
    fn names_by_node() {
        let bench = Bench::new(&[("images/web.tar", &docker_archive(&[sample("web:1", "amd64", "")]))]);
        let preloaded = bench.archives().preloaded(&bench.cluster(IMAGES));
        assert_eq!(preloaded.keys().collect::<Vec<_>>(), ["pi1", "pi2"]);
        assert!(preloaded.values().all(|names| names.contains("web:1")));
    }

    #[test]
    fn stopping_is_no_fault_of_the_archives() {
        let bench = Bench::new(&[("images/web.tar", &docker_archive(&[sample("web:1", "amd64", "")]))]);
        bench.interrupt.request();
        let error = bench.archives().of(&bench.cluster(IMAGES).nodes[0], Arch::Amd64).unwrap_err();
        assert!(error.downcast_ref::<Interrupted>().is_some());
    }

    #[test]
    fn endings() {
        for (name, packing, expected) in [
            ("web.tar.zst", Packing::Gz, "web.tar.gz"),
            ("web.oci", Packing::Plain, "web.oci.tar"),
            ("web.tgz", Packing::Gz, "web.tar.gz"),
            ("web.tar", Packing::Plain, "web.tar"),
        ] {
            assert_eq!(made_name(name, packing), expected);
        }
    }
}

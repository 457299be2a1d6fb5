//! `pibake fetch`: the packages that an image lacks, as a directory to bake from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::args::{FetchArgs, NodeArgs, SwarmArgs};
use crate::cli::print;
use crate::cli::table::{Table, size};
use crate::error::{Advise, ExitCode, advise, advised};
use crate::fetch::bundle::Image;
use crate::fetch::clock::Clock;
use crate::fetch::{self, Fetched, Request};

use super::context::Context;
use super::prepare::{self, Base};

/// Names that mean Docker: their bundle is the cluster file's.
const DOCKER: [&str; 3] = ["docker", "docker.io", "docker-ce"];

/// A bundle to be made: where, and for which image.
struct Job {
    dir: PathBuf,
    image: PathBuf,
    sha256: Option<[u8; 32]>,
}

pub(super) fn run(context: &Context, args: &FetchArgs) -> anyhow::Result<()> {
    let keyrings = keyrings(context, args)?;
    let mut done = Vec::new();
    for job in jobs(context, args)? {
        let base = prepare::open_base(context, &job.image, job.sha256)?;
        let fetched = make(context, args, &keyrings, &job, &base)?;
        done.push((job, fetched));
    }
    report(context, &done)
}

/// Which bundles the nodes of the cluster file need, one a directory; without a cluster file, that of the
/// image named.
fn jobs(context: &Context, args: &FetchArgs) -> anyhow::Result<Vec<Job>> {
    let for_docker = args.packages.iter().any(|name| DOCKER.contains(&name.as_str()));
    let default = Path::new(if for_docker { "docker-debs" } else { "debs" });
    let output = args.output.as_ref().map(|dir| context.cwd.join(dir));
    if let Some(image) = context.common.image.as_ref().filter(|_| !has_cluster(context)) {
        let dir = output.unwrap_or_else(|| context.cwd.join(default));
        return Ok(vec![Job { dir, image: context.cwd.join(image), sha256: None }]);
    }
    let every = NodeArgs { nodes: Vec::new(), all: true };
    let any = SwarmArgs { allow_two_managers: true, ..SwarmArgs::default() };
    let order = prepare::order(context, &every, &any)?;
    let mut jobs: BTreeMap<PathBuf, Job> = BTreeMap::new();
    for node in &order.nodes {
        let Some(image) = &node.image.source else { continue };
        let own = node.docker.bundle.clone().filter(|_| for_docker);
        let dir = output.clone().or(own).unwrap_or_else(|| order.cluster.base_dir.join(default));
        let job = Job { dir: dir.clone(), image: image.clone(), sha256: node.image.sha256 };
        if let Some(other) = jobs.insert(dir, job).filter(|other| other.image != *image) {
            let what = format!(
                "{} would be for two images, {} and {}",
                other.dir.display(),
                other.image.display(),
                image.display()
            );
            let fix =
                "name one with --image and another directory with --output, and each in its node's `bundle`";
            return Err(advised(ExitCode::Usage, what, fix));
        }
    }
    if jobs.is_empty() {
        let fix = "give [image] source in the cluster file, or --image";
        return Err(advised(ExitCode::Usage, "no image is named", fix));
    }
    Ok(jobs.into_values().collect())
}

/// Whether a cluster file was named, or is where it would be looked for.
fn has_cluster(context: &Context) -> bool {
    let named = context.common.cluster.is_some() || context.common.profile.is_some();
    named || context.cwd.join("pibake.toml").exists()
}

fn keyrings(context: &Context, args: &FetchArgs) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let read = |path: &PathBuf| {
        let bytes =
            std::fs::read(context.cwd.join(path)).with_context(|| format!("reading {}", path.display()));
        Ok((
            path.display().to_string(),
            bytes.advise(ExitCode::Usage, "name a file of OpenPGP keys with --keyring")?,
        ))
    };
    args.keyrings.iter().map(read).collect()
}

fn make(
    context: &Context,
    args: &FetchArgs,
    keyrings: &[(String, Vec<u8>)],
    job: &Job,
    base: &Base,
) -> anyhow::Result<Fetched> {
    let file = job.image.file_name().unwrap_or(job.image.as_os_str()).to_string_lossy().into_owned();
    let request = Request {
        inventory: &base.inventory,
        image: Image { file, sha256: data_encoding::HEXLOWER.encode(&base.image.source_sha256) },
        packages: &args.packages,
        archives: &args.archives,
        keyrings,
        mirrors: &args.mirrors,
        without: &args.without,
        clock: Clock { now: SystemTime::now(), allow_expired: args.allow_expired },
        dir: &job.dir,
        cache_dir: &context.cache_dir,
        environment: &|name| std::env::var(name).ok(),
        progress: context.progress.as_ref(),
        interrupt: &context.interrupt,
    };
    fetch::fetch(&request).map_err(|error| {
        let (code, what_to_do) = error.advice();
        advise(code, error, what_to_do)
    })
}

fn report(context: &Context, done: &[(Job, Fetched)]) -> anyhow::Result<()> {
    if context.common.json {
        let bundles: Vec<_> = done
            .iter()
            .map(|(job, fetched)| json!({ "dir": job.dir, "fetched": fetched.fetched, "bundle": fetched.manifest }))
            .collect();
        return print(format_args!("{:#}\n", json!({ "bundles": bundles })));
    }
    if context.common.quiet {
        return Ok(());
    }
    for (job, fetched) in done {
        let packages = &fetched.manifest.packages;
        if packages.is_empty() {
            print(format_args!("{}: the image has all of it already\n", job.dir.display()))?;
            continue;
        }
        let mut table = Table::new(["PACKAGE", "VERSION", "SIZE", "FROM"]);
        for package in packages {
            table.row([&package.name, &package.version, &size(package.size), &package.archive]);
        }
        let total = packages.iter().map(|package| package.size).sum();
        let (all, new) = (size(total), size(fetched.fetched));
        print(format_args!(
            "{table}{}: {} packages, {all}, of which {new} were fetched now\n",
            job.dir.display(),
            packages.len()
        ))?;
    }
    Ok(())
}

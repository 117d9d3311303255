//! Builds the C library and puts what C and C++ programs need where they look for it.
//!
//! - `capi [--debug] [--probe]` builds the libraries and makes the link by which the loader finds the shared one in the build tree.
//! - `install --prefix DIR [--destdir DIR] [--libdir NAME]` puts header, wrapper, libraries, pkg-config and CMake files below
//!   `DESTDIR/PREFIX`. The files speak of the prefix alone, so a package can be staged with a destdir.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// The shared library as cargo names it.
pub const SHARED: &str = const_str_shared();

const STATIC: &str = "libzokor.a";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a program needs beside the static library: `rustc --print native-static-libs`, which ci/capi.sh compares.
const STATIC_NEEDS: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

const fn const_str_shared() -> &'static str {
    match std::env::consts::DLL_EXTENSION.as_bytes() {
        b"dylib" => "libzokor.dylib",
        _ => "libzokor.so",
    }
}

/// The part of the version that programs are bound to: 0.MINOR before 1.0, MAJOR after. build.rs of capi has the same rule.
fn abi_version(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next().unwrap_or("0"), parts.next().unwrap_or("0")) {
        ("0", minor) => format!("0.{minor}"),
        (major, _) => major.to_string(),
    }
}

/// The shared library's name with a version in it.
fn versioned(version: &str) -> String {
    match SHARED.strip_suffix(".dylib") {
        Some(stem) => format!("{stem}.{version}.dylib"),
        None => format!("{SHARED}.{version}"),
    }
}

/// Task `capi`.
pub fn capi(root: &Path, args: &[String]) -> Outcome {
    let has = |name: &str| args.iter().any(|a| a == name);
    let features: &[&str] = if has("--probe") { &["--features", "probe"] } else { &[] };
    let dir = build_with(root, !has("--debug"), features).map_err(|e| vec![e])?;
    println!("{}", dir.display());
    Ok(())
}

/// Builds the libraries; gives back the directory they are in.
pub fn build(root: &Path, release: bool) -> Result<PathBuf, String> {
    build_with(root, release, &[])
}

fn build_with(root: &Path, release: bool, features: &[&str]) -> Result<PathBuf, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--quiet", "-p", "zokor-capi"]).args(features);
    if release {
        cargo.arg("--release");
    }
    let status = cargo.status().map_err(|e| format!("cargo: {e}"))?;
    if !status.success() {
        return Err(format!("cargo build -p zokor-capi: {status}"));
    }
    let dir = target_directory(root)?.join(if release { "release" } else { "debug" });
    let say = |e: io::Error| format!("{}: {e}", dir.display());
    link(SHARED, &dir.join(versioned(&abi_version(VERSION)))).map_err(say)?;
    Ok(dir)
}

fn target_directory(root: &Path) -> Result<PathBuf, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let out = cargo.current_dir(root).args(["metadata", "--format-version=1", "--no-deps", "--offline"]).output();
    let out = out.map_err(|e| format!("cargo metadata: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let dir = text.split_once("\"target_directory\":\"").and_then(|(_, rest)| rest.split_once('"'));
    dir.map(|(dir, _)| PathBuf::from(dir)).ok_or_else(|| "cargo metadata names no target directory".into())
}

/// Makes `path` a symbolic link to `target`, whatever it was.
fn link(target: &str, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    std::os::unix::fs::symlink(target, path)
}

/// Where the pieces go.
struct Places {
    prefix: String,
    destdir: String,
    libdir: String,
}

impl Places {
    fn parse(args: &[String]) -> Result<Places, String> {
        let value = |name: &str| {
            let with_equals = format!("{name}=");
            let joined = args.iter().find_map(|a| a.strip_prefix(&with_equals).map(str::to_string));
            joined.or_else(|| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1).cloned()))
        };
        let known = ["--prefix", "--destdir", "--libdir"];
        if let Some(odd) = args.iter().find(|a| a.starts_with('-') && !known.iter().any(|k| a.starts_with(k))) {
            return Err(format!("install: unknown option {odd}"));
        }
        let prefix = value("--prefix").unwrap_or_else(|| "/usr/local".into());
        if !prefix.starts_with('/') {
            return Err(format!("install: the prefix must be absolute: {prefix:?}"));
        }
        let prefix = if prefix == "/" { prefix } else { prefix.trim_end_matches('/').to_string() };
        Ok(Places {
            prefix,
            destdir: value("--destdir").unwrap_or_default(),
            libdir: value("--libdir").unwrap_or_else(|| "lib".into()),
        })
    }

    /// The directory `sub` of the prefix, made if need be.
    fn dir(&self, sub: &str) -> io::Result<PathBuf> {
        let dir = PathBuf::from(format!("{}{}", self.destdir, self.prefix)).join(sub);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Fills in a template.
    fn fill(&self, template: &str) -> String {
        template
            .replace("@PREFIX@", &self.prefix)
            .replace("@LIBDIR@", &self.libdir)
            .replace("@VERSION@", VERSION)
            .replace("@ABI_VERSION@", &abi_version(VERSION))
            .replace("@SHARED@", &versioned(VERSION))
            .replace("@SONAME@", &versioned(&abi_version(VERSION)))
            .replace("@STATIC_NEEDS@", STATIC_NEEDS)
            .replace("@STATIC_NEEDS_LIST@", &STATIC_NEEDS.replace(' ', ";"))
    }
}

/// Task `install`.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let places = Places::parse(args).map_err(|e| vec![e])?;
    let built = build(root, true).map_err(|e| vec![e])?;
    put(root, &built, &places).map_err(|e| vec![format!("install: {e}")])
}

fn put(root: &Path, built: &Path, places: &Places) -> io::Result<()> {
    let include = places.dir("include")?;
    for file in ["zokor.h", "zokor.hpp"] {
        copy(&root.join("include").join(file), &include.join(file))?;
    }
    let lib = places.dir(&places.libdir)?;
    copy(&built.join(SHARED), &lib.join(versioned(VERSION)))?;
    link(&versioned(VERSION), &lib.join(versioned(&abi_version(VERSION))))?;
    link(&versioned(&abi_version(VERSION)), &lib.join(SHARED))?;
    copy(&built.join(STATIC), &lib.join(STATIC))?;
    let templates = [
        ("zokor.pc", places.dir(&format!("{}/pkgconfig", places.libdir))?),
        ("zokorConfig.cmake", places.dir(&format!("{}/cmake/zokor", places.libdir))?),
        ("zokorConfigVersion.cmake", places.dir(&format!("{}/cmake/zokor", places.libdir))?),
    ];
    for (name, dir) in templates {
        let template = fs::read_to_string(root.join("capi").join(format!("{name}.in")))?;
        fs::write(dir.join(name), places.fill(&template))?;
    }
    Ok(())
}

/// Copies a file as a new one: a program that has the old library mapped keeps it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let beside = to.with_extension("new");
    fs::copy(from, &beside)?;
    fs::rename(&beside, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_string).collect()
    }

    #[test]
    fn programs_are_bound_to_the_minor_version_before_one() {
        assert_eq!(abi_version("0.1.0"), "0.1");
        assert_eq!(abi_version("2.3.4"), "2");
        assert_eq!(versioned("0.1"), format!("{SHARED}.0.1"));
    }

    #[test]
    fn options_come_with_or_without_an_equals_sign() {
        let places = Places::parse(&args("--prefix=/opt/zokor/ --destdir /tmp/stage")).unwrap();
        assert_eq!((places.prefix.as_str(), places.destdir.as_str()), ("/opt/zokor", "/tmp/stage"));
        assert_eq!(places.libdir, "lib");
        assert!(Places::parse(&args("--prefix here")).is_err());
        assert!(Places::parse(&args("--perfix /usr")).is_err());
    }

    #[test]
    fn files_speak_of_the_prefix_without_the_destdir() {
        let places = Places::parse(&args("--prefix /usr --destdir /tmp/stage --libdir lib64")).unwrap();
        assert_eq!(places.fill("@PREFIX@/@LIBDIR@/libzokor.so @VERSION@"), format!("/usr/lib64/libzokor.so {VERSION}"));
    }
}
